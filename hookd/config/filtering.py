"""Filters as settings: a table, mostly written in one line."""

from collections.abc import Mapping
from typing import Any

import msgspec

from hookd.config.kinds import Kind, Surroundings, is_bare, quoted
from hookd.policy.declare import declared


def _of_destination(value: Any, *_: object) -> str:
    return declared(value)


def _of_source(value: Any, _surroundings: Surroundings, siblings: Mapping[str, Any]) -> str:
    return declared(value, siblings.get("name", ""))


def _show(text: str) -> str:
    return _written(msgspec.json.decode(text))


def _written(value: Any) -> str:
    """Write what a filter may hold as TOML, on one line."""
    match value:
        case dict():
            keys = (f"{key if is_bare(key) else quoted(key)} = {_written(inner)}" for key, inner in value.items())
            return f"{{ {', '.join(keys)} }}"
        case list():
            return f"[{', '.join(map(_written, value))}]"
        case bool():
            return str(value).lower()
        case str():
            return quoted(value)
        case _:  # a number; null, which TOML has not, is in no filter that was written in TOML
            return str(value)


EXPECTED = 'a filter such as { body = { status = ["paid"] } }, see docs/filters.md'
OF_DESTINATION = Kind(EXPECTED, _of_destination, _show)
OF_SOURCE = Kind(EXPECTED, _of_source, _show)
