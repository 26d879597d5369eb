"""Where a request names its id or its type: in a header, or at a path of its JSON body."""

import msgspec

from hookd.model import Field
from hookd.parse import parse_anything
from hookd.signing.headers import Collected

_object = msgspec.json.Decoder(dict[str, msgspec.Raw])
_leaf = msgspec.json.Decoder(str | int)


def find(field: Field, headers: Collected, body: bytes) -> str | None:
    """Read a field as text; None where it is absent, empty, repeated, or neither text nor a whole number."""
    if field.place == "header":
        values = headers.get(field.name.lower(), [])
        return values[0] or None if len(values) == 1 else None
    return _at_path(body, field.name.split("."))


def _at_path(body: bytes, path: list[str]) -> str | None:
    """Unfold only the objects on the path, so that a large body is read through but never built."""
    part: bytes | msgspec.Raw = body
    try:
        for name in path:
            part = _object.decode(part)[name]
        return str(_leaf.decode(part)) or None
    except KeyError:
        return None
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):  # no such field, or JSON that it refuses
        return _in_anything(body, path)


def _in_anything(body: bytes, path: list[str]) -> str | None:
    try:
        part = parse_anything(body, integer=str)  # of any length, and never a float that others would share
    except ValueError:
        return None
    for name in path:
        if not isinstance(part, dict) or name not in part:
            return None
        part = part[name]
    return part or None if isinstance(part, str) else None
