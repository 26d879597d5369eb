"""Where a request names its id or its type: in a header, or at a path of its JSON body."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from operator import attrgetter
from typing import Any, Final

import msgspec
from msgspec import UNSET, UnsetType

from hookd.model import Field
from hookd.parse import parse_anything
from hookd.signing.headers import Collected

READERS_KEPT: Final = 1024
"""How many readers of bodies are kept ready: one for each set of paths that schemes and sources name."""


class BodyReader:
    """Reads what stands at some paths: a body is gone through once for all of them, and no other value is made."""

    __slots__ = ("_decode", "_values")

    def __init__(self, paths: Iterable[str]) -> None:
        split = {path: path.split(".") for path in paths}
        self._decode = _decoder(split.values())
        self._values = [(path, attrgetter(".".join(map(_attribute, names)))) for path, names in split.items()]

    def read(self, body: bytes) -> Mapping[str, str]:
        """Answer, under its path, what is text or a whole number, and not empty."""
        if not self._values:
            return {}
        try:
            unfolded = self._decode(body)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):  # another value, or JSON that it refuses
            return _in_anything(body, [path for path, _ in self._values])
        found = {}
        for path, get in self._values:
            value = get(unfolded)
            if value is not UNSET and value != "":
                found[path] = str(value)
        return found


@lru_cache(READERS_KEPT)
def body_reader(*fields: Field | None) -> BodyReader:
    """Answer what reads those of some fields that stand in a body."""
    return BodyReader({field.name: None for field in fields if field is not None and field.place == "body"})


def find(field: Field, headers: Collected, body: bytes) -> str | None:
    """Read a field as text; None where it is absent, empty, repeated, or neither text nor a whole number."""
    return pick(field, headers, body_reader(field).read(body))


def pick(field: Field | None, headers: Collected, found: Mapping[str, str]) -> str | None:
    """Answer the same of a request whose body is read already."""
    if field is None:
        return None
    if field.place == "body":
        return found.get(field.name)
    values = headers.get(field.name.lower(), ())
    return values[0].strip(" \t") or None if len(values) == 1 else None


def _decoder(paths: Iterable[Sequence[str]]) -> Callable[[bytes], Any]:
    """Make what unfolds bodies, into attributes where there is something at the paths, and UNSET where not."""
    try:
        return msgspec.json.Decoder(_structure(paths)).decode
    except (ValueError, RecursionError):  # a name that it can't look for, or one path that leads through another
        return _refuse


def _structure(paths: Iterable[Sequence[str]]) -> type[msgspec.Struct]:
    inner: dict[str, list[Sequence[str]]] = {}
    for name, *deeper in paths:
        inner.setdefault(name, []).append(deeper)
    members = [(_attribute(name), *_member(deeper)) for name, deeper in inner.items()]
    return msgspec.defstruct("Object", members, rename={_attribute(name): name for name in inner})


def _member(paths: Sequence[Sequence[str]]) -> tuple[Any, Any]:
    """Answer the type and the default of what stands under a name."""
    if paths == [[]]:
        return str | int | UnsetType, UNSET
    structure = _structure(paths)
    return structure, msgspec.field(default_factory=structure)


def _attribute(name: str) -> str:
    """Answer an attribute for any name in JSON."""
    return "at_" + name.encode("utf-8", "surrogatepass").hex()


def _refuse(_: bytes) -> Any:
    raise msgspec.DecodeError


def _in_anything(body: bytes, paths: Iterable[str]) -> Mapping[str, str]:
    try:
        value = parse_anything(body, integer=str)  # of any length, and never a float that others would share
    except ValueError:
        return {}
    found = ((path, _follow(path, value)) for path in paths)
    return {path: text for path, text in found if isinstance(text, str) and text}


def _follow(path: str, value: Any) -> Any:
    for name in path.split("."):
        if not isinstance(value, dict):
            return None
        value = value.get(name)
    return value
