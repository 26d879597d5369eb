"""Secrets: written out, or named by the environment variable or the file that holds them."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hookd.config.kinds import Surroundings

EXPECTED = 'a string, { env = "NAME" } or { file = "PATH" }'
MASK = '"***"'
LARGEST_FILE = 65_536

_NAME = re.compile(r"[a-z_]{1,12}")


def resolve(value: Any, surroundings: Surroundings, *_: object) -> str:
    """Answer the secret that a TOML value is or names; a ValueError never says what is there."""
    match value:
        case str():
            secret = value
        case {"env": str(name)} if len(value) == 1:
            secret = _from_environment(name, surroundings.environment)
        case {"file": str(name)} if len(value) == 1:
            secret = _from_file(name, surroundings.folder)
        case {**members}:
            raise ValueError(f"{_unknown(members)}expected {EXPECTED}")
        case _:
            raise ValueError(f"expected {EXPECTED}")
    if not secret:
        raise ValueError("expected a secret, got an empty one")
    return secret


def _unknown(members: Mapping[Any, object]) -> str:
    """Name what is neither `env` nor `file`, where that can be no secret itself."""
    unknown = [name for name in members if name not in ("env", "file")]
    return f"{unknown[0]} is unknown; " if unknown and _NAME.fullmatch(unknown[0]) else ""


def _from_environment(name: str, environment: Mapping[str, str]) -> str:
    if name not in environment:
        raise ValueError(f"the environment has no variable {name!a}")
    return environment[name]


def _from_file(name: str, folder: Path) -> str:
    path = folder / name
    try:
        if not path.is_file():  # a device or a pipe might never end
            raise ValueError(f"there is no file {str(path)!a}")
        with path.open("rb") as file:
            content = file.read(LARGEST_FILE)
    except OSError as error:
        raise ValueError(f"{str(path)!a} can't be read: {error.strerror}") from None
    try:
        return content.decode().removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError:
        raise ValueError(f"{str(path)!a} is not UTF-8") from None


def masked(_secret: object) -> str:
    """Show a secret as TOML without showing it."""
    return MASK
