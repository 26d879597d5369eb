"""Settings from the environment: `HOOKD_SERVER__PORT=8081` stands for `port` of `[server]`."""

import re
import tomllib
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from hookd.config.settings import PLAIN
from hookd.errors import Fault

TOKEN = "HOOKD_TOKEN"  # noqa: S105 - the variable's name
STATE_DIRECTORY = "STATE_DIRECTORY"
"""Set by systemd to the service's own directories, joined by colons (systemd.exec(5))."""

_SETTING = re.compile(r"HOOKD_.*__.*", re.DOTALL)

VARIABLES = {
    f"HOOKD_{name.upper()}__{setting.name.upper()}": (name, setting.name)
    for name, shape in PLAIN.items()
    for setting in fields(shape)
}
"""The variables that are settings, and the table and key of each."""


MISSPELT = {variable.replace("__", "_", 1): variable for variable in VARIABLES}
"""What is close enough to be meant as a setting."""


def unknown(environment: Mapping[str, str]) -> list[Fault]:
    """Name the variables that look like settings and are none."""
    names = [name for name in environment if _SETTING.fullmatch(name) and name not in VARIABLES]
    faults = [Fault(ascii(name)[1:-1], "there is no such setting") for name in names]
    close = [name for name in environment if name in MISSPELT]
    return faults + [Fault(name, f"did you mean {MISSPELT[name]}, with two underscores?") for name in close]


def overlay(document: Mapping[str, Any], environment: Mapping[str, str]) -> dict[str, Any]:
    """Answer the document with the environment's settings in it."""
    merged = dict(document)
    directory = environment.get(STATE_DIRECTORY, "").partition(":")[0]
    _fill(merged, "store", "url", f"sqlite:{Path(directory, 'hookd.db')}", replace=False)
    for variable, (table, key) in VARIABLES.items():
        if variable in environment:
            _fill(merged, table, key, value_of(environment[variable]), replace=True)
    return merged


def renamed(fault: Fault, environment: Mapping[str, str]) -> Fault:
    """Answer a fault of a value that came from the environment under the variable's name."""
    if fault.pointer == f"{TOKEN}.token":
        return Fault(TOKEN, fault.detail)
    for variable, (table, key) in VARIABLES.items():
        place, bracket, entry = fault.pointer.partition("[")
        if variable in environment and place == f"{table}.{key}":
            return Fault(variable + bracket + entry, fault.detail)
    return fault


def _fill(document: dict[str, Any], table: str, key: str, value: object, *, replace: bool) -> None:
    present = document.get(table, {})
    if isinstance(present, dict) and (replace or key not in present):  # no table: that fault is found later
        document[table] = {**present, key: value}


def value_of(text: str) -> Any:
    """Answer the TOML value that a variable's text is, else the text itself."""
    try:
        document = tomllib.loads(f"value = {text}")
    except (ValueError, RecursionError):
        return text
    return document["value"] if len(document) == 1 else text
