"""Settings written as TOML again, secrets masked."""

from collections.abc import Iterator, Mapping
from dataclasses import fields
from typing import Any

from hookd.config.entries import HandlerTable, SourceTable, TokenTable, TriggerTable
from hookd.config.schemes import SchemeTable
from hookd.config.settings import PLAIN, Settings
from hookd.config.tables import kind_of


def shown(settings: Settings) -> str:
    """Write the settings in effect as TOML; no secret is in it."""
    return "\n\n".join("\n".join([heading, *_lines(shape, values)]) for heading, shape, values in _tables(settings))


def _tables(settings: Settings) -> Iterator[tuple[str, Any, dict[str, Any]]]:
    """Answer each table's heading, its shape and its values."""
    for name, shape in PLAIN.items():
        yield f"[{name}]", shape, _values(getattr(settings, name))
    for name, described in settings.described.items():
        yield f"[schemes.{name}]", SchemeTable, _values(described)
    for token in settings.tokens:
        yield "[[auth.tokens]]", TokenTable, {**_values(token), "hash": token.digest}
    for trigger in settings.triggers:
        auth = "token" if trigger.authenticated else "none"
        yield "[[triggers]]", TriggerTable, {**_values(trigger), "auth": auth}
    for source in settings.sources:
        yield "[[sources]]", SourceTable, _values(source)
    for handler in settings.handlers:
        yield "[[handlers]]", HandlerTable, _values(handler)


def toml(shape: type, key: str, value: Any) -> str:
    """Write a value as it may stand at a table's key."""
    kind, array = kind_of(shape, key)
    return f"[{', '.join(map(kind.show, value))}]" if array else kind.show(value)


def _values(noun: Any) -> dict[str, Any]:
    return {item.name: getattr(noun, item.name) for item in fields(noun)}


def _lines(shape: Any, values: Mapping[str, Any]) -> Iterator[str]:
    for item in fields(shape):
        value = values.get(item.name)
        if value is not None:
            yield f"{item.name} = {toml(shape, item.name, value)}"
