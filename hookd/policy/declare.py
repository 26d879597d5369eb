"""What a filter may say, checked when it is declared; `policy.filter` says what it means."""

import math
import re
from collections.abc import Callable, Iterator
from typing import Any, Final

import msgspec
from pydantic import ValidationError
from pydantic_core import InitErrorDetails, PydanticCustomError

from hookd.policy.filter import COMPARISONS, MATCHERS, is_number
from hookd.policy.types import check_type

DEEPEST: Final = 16
"""Levels of objects and arrays, one in another."""
MOST_NAMES: Final = 50
"""Names and matchers, all together."""
MOST_VALUES: Final = 1000
"""Entries of arrays, all together."""
LARGEST: Final = 2**63
"""What whole numbers are smaller than: they are kept as 64 bits."""

AN_ARRAY: Final = 'expected an array of what it may be, such as ["paid"]'
AN_OBJECT: Final = 'expected names, at least one, each with what it may be, such as { status = ["paid"] }'
A_VALUE: Final = 'expected a string, a number, true, false, null or a matcher such as { prefix = "a" }'
A_NUMERIC: Final = 'expected one or two comparisons such as [">=", 0, "<", 5]'

_HEADER: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")

Place = tuple[str | int, ...]
Fault = tuple[Place, str]
Check = Callable[[Any, Place], Iterator[Fault]]


def declared(pattern: object, source: str | None = None) -> str:
    """Answer a filter as it is kept, as JSON; a ValidationError names every fault with its place in it.

    `source` is the name of the source whose filter it is, '' where that is not known; None for a destination, which
    sees no headers.
    """
    faults = list(_too_much(pattern)) or list(_Checker(source).filter(pattern))
    if faults:
        raise ValidationError.from_exception_data("filter", [_detail(place, saying) for place, saying in faults])
    return msgspec.json.encode(pattern).decode()


def _detail(place: Place, saying: str) -> InitErrorDetails:
    return InitErrorDetails(
        type=PydanticCustomError("value_error", "{error}", {"error": saying}), loc=place, input=None
    )


def _too_much(pattern: object) -> Iterator[Fault]:
    """Name the fault of what is too large or too deep to be looked at any further."""
    names = values = 0
    rest: list[tuple[object, int]] = [(pattern, 1)]
    while rest:
        value, depth = rest.pop()
        inner = list(value.values()) if isinstance(value, dict) else value if isinstance(value, list) else []
        names += len(inner) if isinstance(value, dict) else 0
        values += len(inner) if isinstance(value, list) else 0
        if depth > DEEPEST or names > MOST_NAMES or values > MOST_VALUES:
            yield (), f"expected at most {MOST_NAMES} names, {MOST_VALUES} values and {DEEPEST} levels"
            return
        rest += [(each, depth + 1) for each in inner if isinstance(each, dict | list)]


class _Checker:
    """Looks for faults; `source` as of `declared`."""

    def __init__(self, source: str | None) -> None:
        self._source = source

    def filter(self, pattern: object) -> Iterator[Fault]:
        """Name every fault."""
        return _level(pattern, (), self._facet)

    def _facet(self, what: Any, place: Place) -> Iterator[Fault]:
        match place[-1]:
            case "body":
                yield from _field(what, place)
            case "type":
                yield from _choice(what, place, self._type, ("prefix", "anything-but"))
            case "headers" if self._source is not None:
                yield from _level(what, place, _header)
            case "headers":
                yield place, "a request's headers are not kept with its event; only the filter of a source sees them"
            case _:
                known = "body and type" if self._source is None else "body, headers and type"
                yield place, f"is unknown here; known are {known}"

    def _type(self, value: Any, place: Place) -> Iterator[Fault]:
        """Refuse a type, or the beginning of one, that no event here can have."""
        if not isinstance(value, str):
            yield place, 'expected an event type such as "invoice.paid"'
            return
        is_prefix = place[-1] == "prefix"
        first = "" if not self._source else f"{self._source}."
        if not (value.startswith(first) or (is_prefix and first.startswith(value))):
            yield place, f'expected a type such as "{first}paid": those of this source begin with "{first}"'
        try:
            check_type(f"{value}x" if is_prefix else value)
        except ValueError as error:
            yield place, str(error)


def _level(pattern: object, place: Place, member: Check) -> Iterator[Fault]:
    if not isinstance(pattern, dict) or not pattern:
        yield place, AN_OBJECT
        return
    for name, what in pattern.items():
        at = (*place, name)
        if name == "$not":
            yield from _level(what, at, member)
        elif name == "$or":
            yield from _alternatives(what, at, member)
        elif name.startswith("$"):
            yield at, "is unknown here; known are $or and $not"
        elif not _is_text(name):
            yield at, "expected text without lone surrogates"
        else:
            yield from member(what, at)


def _alternatives(patterns: object, place: Place, member: Check) -> Iterator[Fault]:
    if not isinstance(patterns, list) or not patterns:
        yield place, 'expected an array such as [{ status = ["paid"] }, { amount = [0] }]'
        return
    for number, pattern in enumerate(patterns):
        yield from _level(pattern, (*place, number), member)


def _field(what: object, place: Place) -> Iterator[Fault]:
    if isinstance(what, dict):
        yield from _level(what, place, _field)
    elif _is_matcher(str(place[-1]), what):
        yield place, f"a matcher stands in an array: expected [{{ {place[-1]} = … }}] one level above"
    else:
        yield from _choice(what, place, _value, tuple(MATCHERS))


def _is_matcher(name: str, what: object) -> bool:
    """Tell a matcher, which has no place among names, from a field of such a name, which lists texts."""
    return name in MATCHERS and not any(_matcher({name: what}, (), _value, tuple(MATCHERS)))


def _header(what: object, place: Place) -> Iterator[Fault]:
    if not _HEADER.fullmatch(str(place[-1])):
        yield place, "no header has such a name"
    yield from _choice(what, place, _text, ("prefix", "exists", "anything-but"))


def _choice(entries: object, place: Place, value: Check, matchers: tuple[str, ...]) -> Iterator[Fault]:
    if not isinstance(entries, list) or not entries:
        yield place, AN_ARRAY
        return
    for number, entry in enumerate(entries):
        at = (*place, number)
        if not isinstance(entry, dict):
            yield from value(entry, at)
        elif len(entry) != 1:
            yield at, f"expected one of {', '.join(matchers)}"
        else:
            yield from _matcher(entry, at, value, matchers)


def _matcher(entry: dict[str, Any], place: Place, value: Check, matchers: tuple[str, ...]) -> Iterator[Fault]:
    ((name, what),) = entry.items()
    at = (*place, name)
    if name not in matchers:
        yield at, f"is unknown here; known are {', '.join(matchers)}"
    elif name == "exists":
        if not isinstance(what, bool):
            yield at, "expected true or false"
    elif name == "numeric":
        yield from _numeric(what, at)
    elif name == "prefix":
        yield from value(what, at) if isinstance(what, str) and what else [(at, "expected a text, not an empty one")]
    else:
        yield from _anything_but(what, at, value)


def _anything_but(refused: object, place: Place, value: Check) -> Iterator[Fault]:
    if refused == []:
        yield place, AN_ARRAY
    elif isinstance(refused, list):
        for number, each in enumerate(refused):
            yield from value(each, (*place, number))
    else:
        yield from value(refused, place)


def _numeric(comparisons: object, place: Place) -> Iterator[Fault]:
    if not isinstance(comparisons, list) or len(comparisons) not in (2, 4):
        yield place, A_NUMERIC
        return
    signs, bounds = comparisons[::2], comparisons[1::2]
    if not all(sign in tuple(COMPARISONS) for sign in signs) or not all(map(is_number, bounds)):
        yield place, A_NUMERIC
        return
    for number, bound in enumerate(bounds):
        yield from _value(bound, (*place, 2 * number + 1))
    if len(signs) == 2 and not _is_range(signs, bounds):
        yield place, 'expected a lower bound and then a higher one, such as [">=", 0, "<", 5]'


def _is_range(signs: list[str], bounds: list[float]) -> bool:
    lower, higher = bounds
    is_one = signs == [">=", "<="] and lower == higher
    return signs[0] in (">", ">=") and signs[1] in ("<", "<=") and (lower < higher or is_one)


def _value(value: object, place: Place) -> Iterator[Fault]:
    """Refuse what is no value of JSON, and what can't be kept."""
    match value:
        case None | bool():
            return
        case str():
            yield from _text(value, place)
        case int() if abs(value) >= LARGEST:
            yield place, "expected a whole number of 64 bits"
        case float() if not math.isfinite(value):
            yield place, "expected a number that is finite"
        case int() | float():
            return
        case _:
            yield place, A_VALUE


def _text(value: object, place: Place) -> Iterator[Fault]:
    if not isinstance(value, str):
        yield place, "expected a string"
    elif not _is_text(value):
        yield place, "expected text without lone surrogates"


def _is_text(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
