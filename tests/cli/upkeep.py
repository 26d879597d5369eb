"""Upkeep commands, as people run them on a folder with a config.toml."""

import subprocess
import sys
from pathlib import Path

from tests.daemons import clean_environment

PASSWORD = "zQ7whisper"
SERVER = f'[store]\nurl = "postgresql://me:{PASSWORD}@db.example/hookd"\n'
"""A configuration whose store is on a server, which is never asked for here."""


def command(name: str, folder: Path, *arguments: str) -> list[str]:
    return [sys.executable, "-m", "hookd", name, "--config", str(folder / "config.toml"), *arguments]


def ran(name: str, folder: Path, *arguments: str, status: int) -> tuple[str, str]:
    """Run a command that ends with a status; answer what it says where it should, and what it says elsewhere."""
    done = subprocess.run(
        command(name, folder, *arguments),
        env=clean_environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == status, done.stderr
    return (done.stdout, done.stderr) if status == 0 else (done.stderr, done.stdout)
