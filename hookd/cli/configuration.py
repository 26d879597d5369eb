"""The configuration that a command begins with: the option that names it, and the settings in effect."""

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from hookd.config import Settings

PLACES = "$HOOKD_CONFIG, ./config.toml, /etc/hookd/config.toml, built-in defaults"

option = click.option(
    "--config", metavar="FILE", type=click.Path(path_type=Path), help=f"The configuration.  [default: {PLACES}]"
)


def effective(config: Path | None) -> tuple["Settings", Path | None]:
    """Read the settings; functions of handlers are looked for beside the file too."""
    from hookd.config import locate, read  # the load of it is for those that read one

    path = locate(config, os.environ)
    if path is not None:
        sys.path.append(str(path.absolute().parent))
    return read(path, os.environ), path
