"""Tables of a TOML document, read one by one, so that a fault in one hides none in another."""

from collections.abc import Iterable
from dataclasses import fields
from difflib import get_close_matches
from functools import cache
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

from pydantic import TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from hookd.config.kinds import Kind, Surroundings, is_bare, quoted
from hookd.errors import Fault

Table = TypeVar("Table")

A_TABLE = "expected a table"


class Reader:
    """Reads tables and keeps every fault that it meets."""

    def __init__(self, surroundings: Surroundings) -> None:
        self.surroundings = surroundings
        self.faults: list[Fault] = []

    def table(self, shape: type[Table], value: object, pointer: str) -> Table | None:
        """Answer a table in its shape; None where it has faults."""
        plain: type = shape
        try:
            result: Table = _adapter(plain).validate_python(value, context=self.surroundings)
        except ValidationError as error:
            details = error.errors(include_url=False, include_input=False)
            self.faults.extend(_fault(shape, pointer, detail) for detail in details)
            return None
        return result

    def array(self, shape: type[Table], value: object, pointer: str) -> list[Table | None]:
        """Answer an array of tables; None in place of those that have faults."""
        if not isinstance(value, list):
            self.faults.append(Fault(pointer, f"expected an array of tables, [[{pointer}]]"))
            return []
        return [self.table(shape, entry, f"{pointer}[{place}]") for place, entry in enumerate(value)]

    def keys(self, value: object, known: Iterable[str], pointer: str) -> dict[str, Any]:
        """Answer a table of tables once its keys are known ones."""
        if not isinstance(value, dict):
            self.faults.append(Fault(pointer, A_TABLE))
            return {}
        unknown = [key for key in value if key not in known]
        self.faults.extend(Fault(joined(pointer, key), _unknown(key, known)) for key in unknown)
        return value


def joined(pointer: str, *steps: str | int) -> str:
    """Write a place in a document as `sources[0].path`."""
    for step in steps:
        name = f"[{step}]" if isinstance(step, int) else step if is_bare(step) else quoted(step)
        pointer += name if isinstance(step, int) or not pointer else f".{name}"
    return pointer


def kind_of(shape: type, key: str) -> tuple[Kind, bool]:
    """Answer the kind of a table's key, and whether the key holds an array of that kind."""
    hint = get_type_hints(shape, include_extras=True)[key]
    return _kind(hint, array=False)


def expected(shape: type, key: str) -> str:
    """Say in words what a table's key holds."""
    kind, array = kind_of(shape, key)
    return f"an array, each entry {kind.expected}" if array else kind.expected


def _kind(hint: Any, *, array: bool) -> tuple[Kind, bool]:
    for item in getattr(hint, "__metadata__", ()):
        if isinstance(item, Kind):
            return item, array
    plain = get_args(hint)[0]
    return _kind(plain, array=True) if get_origin(hint) is tuple else _kind(plain, array=array)


@cache
def _adapter(shape: type) -> TypeAdapter[Any]:
    return TypeAdapter(shape)


def _fault(shape: type, pointer: str, detail: ErrorDetails) -> Fault:
    place = joined(pointer, *detail["loc"])
    key = str(detail["loc"][0]) if detail["loc"] else ""
    if detail["type"] == "missing":
        return Fault(place, f"missing: expected {expected(shape, key)}")
    if detail["type"] == "unexpected_keyword_argument":
        return Fault(place, _unknown(key, [item.name for item in fields(shape)]))
    if detail["type"] == "too_long":
        return Fault(place, f"expected at most {detail['ctx']['max_length']} entries")
    if detail["type"] == "tuple_type":
        return Fault(place, f'expected {expected(shape, key)}; an array is written ["…", "…"]')
    return Fault(place, A_TABLE if detail["type"] == "dataclass_type" else detail["msg"])


def _unknown(key: str, known: Iterable[str]) -> str:
    close = get_close_matches(key, known, 1)
    return f"unknown key; did you mean {close[0]}?" if close else f"unknown key; known are {', '.join(known)}"
