"""Filters: which events a destination or a source wants, by their body, headers and type.

The language is a subset of AWS EventBridge's event patterns, and `$not`; docs/filters.md describes it. A filter is kept
as JSON text that `policy.declare` has checked. What it takes to ask one is bounded, and nothing is raised: an array
that would take too long leaves open whether it fits, and the rest may decide (as in Kleene's logic of three values).
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property, lru_cache
from itertools import repeat
from operator import eq, ge, gt, le, lt
from types import MappingProxyType
from typing import Any, Final

import msgspec

from hookd.parse import parse

REMEMBERED: Final = 10_000
"""Filters that are kept in the form in which they are asked."""
MOST_STEPS: Final = 10_000
"""Names, lists and matchers that are tried on elements of arrays, for one filter and one event."""

ABSENT: Final = object()
"""Stands where an event has nothing."""

REPEATED: Final = object()
"""Stands where a request has a header more than once: it is there, and nobody can say which value counts."""

COMPARISONS: Final = MappingProxyType({"<": lt, "<=": le, "=": eq, ">=": ge, ">": gt})

_CONTAINER: Final = object()


class Subject:
    """What filters look at: an event's type, its body, and a request's headers under their names in lower case."""

    def __init__(self, event_type: str, payload: bytes, headers: Mapping[str, list[str]] | None = None) -> None:
        self.type = event_type
        self.headers = dict(headers or {})
        self._payload = payload

    @cached_property
    def body(self) -> object:
        """The payload as JSON, parsed once and only where a filter asks; ABSENT where it is none."""
        try:
            return parse(self._payload)
        except ValueError:
            return ABSENT


class _Steps:
    """How many steps are left."""

    def __init__(self) -> None:
        self._left = MOST_STEPS

    def take(self, count: int) -> bool:
        """Take so many steps, or none where there are fewer."""
        if count > self._left:
            return False
        self._left -= count
        return True


Answer = bool | None
"""Whether something fits; None where it would take too many steps to tell."""
Test = Callable[[Any, _Steps], Answer]
Match = Callable[[Any], bool]
Member = Callable[[str, Any], Test]
"""Makes the test of what stands under a name, from the name and what the filter says there."""


def passes(text: str, subject: Subject) -> bool:
    """Say whether an event passes a filter; one of which that is open does, since it may be wanted."""
    return _compiled(text)(subject, _Steps()) is not False


@lru_cache(REMEMBERED)
def _compiled(text: str) -> Test:
    return _level(msgspec.json.decode(text), _facet)


def _level(pattern: Mapping[str, Any], member: Member) -> Test:
    """Test that everything fits that the filter names at one level."""
    names = sorted(pattern, key=lambda name: _rank({name: pattern[name]}))
    tests = [_part(name, pattern[name], member) for name in names]
    return tests[0] if len(tests) == 1 else lambda value, steps: _settled(False, (test(value, steps) for test in tests))


def _part(name: str, what: Any, member: Member) -> Test:
    if name == "$not":
        refused = _level(what, member)
        return lambda value, steps: _opposite(refused(value, steps))
    if name == "$or":
        choices = [_level(choice, member) for choice in sorted(what, key=_rank)]
        return lambda value, steps: _settled(True, (choice(value, steps) for choice in choices))
    return member(name, what)


def _rank(pattern: Any) -> tuple[int, bytes]:
    """Put the parts of a filter in one order, however it is written: what comes first may leave no steps to others."""
    return _weight(pattern), msgspec.json.encode(pattern, order="sorted")


def _settled(decisive: bool, answers: Iterable[Answer]) -> Answer:
    """Answer `decisive` where one of these is that, else the opposite, unless one is open."""
    is_open = False
    for answer in answers:
        if answer is decisive:
            return decisive
        is_open |= answer is None
    return None if is_open else not decisive


def _opposite(answer: Answer) -> Answer:
    return None if answer is None else not answer


def _facet(name: str, what: Any) -> Test:
    test = _level(what, _header) if name == "headers" else _field(what)
    return lambda subject, steps: test(getattr(subject, name), steps)


def _header(name: str, what: Any) -> Test:
    test, key = _field(what), name.lower()
    return lambda headers, steps: test(_only(headers.get(key, ())), steps)


def _only(values: Sequence[str]) -> object:
    if len(values) > 1:
        return REPEATED
    return values[0] if values else ABSENT


def _member(name: str, what: Any) -> Test:
    test = _field(what)
    return lambda value, steps: test(value.get(name, ABSENT) if isinstance(value, dict) else ABSENT, steps)


def _field(what: Any) -> Test:
    """Test a value or, of an array, whether one of its elements fits."""
    test = _choice(what) if isinstance(what, list) else _level(what, _member)
    weight = _weight(what)

    def fits(value: Any, steps: _Steps) -> Answer:
        if not isinstance(value, list) or not value:
            return test(value, steps)
        return _settled(True, map(test, value, repeat(steps))) if steps.take(len(value) * weight) else None

    return fits


def _weight(what: Any) -> int:
    """Count the steps that a part of a filter takes for one element."""
    if isinstance(what, dict):
        return sum(1 + _weight(inner) for inner in what.values())
    return 1 + sum(map(_weight, what)) if isinstance(what, list) else 0


def _choice(entries: list[Any]) -> Test:
    """Test that a value is one of those listed, or matches one of the matchers among them."""
    values = frozenset(_key(entry) for entry in entries if not isinstance(entry, dict))
    matches = [MATCHERS[name](what) for entry in entries if isinstance(entry, dict) for name, what in entry.items()]
    return lambda value, _: _key(value) in values or any(match(value) for match in matches)


def _key(value: Any) -> object:
    """Answer what tells a JSON value from others, to which it is unequal: 1 is 1.0, and not true."""
    if value is True or value is False:
        return (bool, value)
    return _CONTAINER if isinstance(value, dict | list) else value


def _prefix(prefix: str) -> Match:
    return lambda value: isinstance(value, str) and value.startswith(prefix)


def _numeric(comparisons: list[Any]) -> Match:
    bounds = [(COMPARISONS[sign], bound) for sign, bound in zip(comparisons[::2], comparisons[1::2], strict=True)]
    return lambda value: is_number(value) and all(compare(value, bound) for compare, bound in bounds)


def _exists(wanted: bool) -> Match:
    return lambda value: (value is not ABSENT) is wanted


def _anything_but(refused: Any) -> Match:
    others = frozenset(map(_key, refused if isinstance(refused, list) else [refused]))
    return lambda value: value is not ABSENT and value is not REPEATED and _key(value) not in others


MATCHERS: Final[Mapping[str, Callable[[Any], Match]]] = MappingProxyType(
    {"prefix": _prefix, "numeric": _numeric, "exists": _exists, "anything-but": _anything_but}
)


def is_number(value: object) -> bool:
    """Tell a number; `true` is none."""
    return isinstance(value, int | float) and not isinstance(value, bool)
