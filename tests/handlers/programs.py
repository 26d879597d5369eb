"""Programs for handlers to run: small scripts that each do one thing, and what became of their processes."""

import os
import shlex
from pathlib import Path

import psutil  # type: ignore[import-untyped]

from tests.crash.waiting import until


def script(folder: Path, *lines: str, name: str = "program") -> str:
    """Write an executable shell script, and answer the `run` of a handler for it."""
    path = folder / name
    path.write_text("\n".join(["#!/bin/sh", *lines, ""]))
    path.chmod(0o755)
    return f"exec:{shlex.quote(str(path))}"


async def told(file: Path) -> int:
    """Wait until a program has written a process id into a file, and answer it."""
    await until(lambda: _content(file).endswith("\n"), f"{file.name} is written")
    return int(_content(file))


async def gone(pid: int) -> None:
    """Wait until a process has ended: that it was killed is no more than a promise."""
    await until(lambda: not runs(pid), f"process {pid} ends")


def _content(file: Path) -> str:
    return file.read_text() if file.exists() else ""


def runs(pid: int) -> bool:
    """Say whether a process is there and no zombie."""
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def zombies() -> list[int]:
    """Answer the ids of this process's children that have ended and that nobody has asked about."""
    children = psutil.Process(os.getpid()).children()
    return [child.pid for child in children if child.is_running() and child.status() == psutil.STATUS_ZOMBIE]
