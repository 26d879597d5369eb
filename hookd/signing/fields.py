"""Where a request names its id or its type: in a header, or at a path of its JSON body."""

import msgspec

from hookd.model import Field
from hookd.parse import parse_anything
from hookd.signing.headers import Collected

_object = msgspec.json.Decoder(dict[str, msgspec.Raw])
_leaf = msgspec.json.Decoder(str | int)


class Fields:
    """The fields of one request; of its body only the objects on a path are unfolded, and the outermost once."""

    __slots__ = ("_body", "_headers", "_outermost")

    def __init__(self, headers: Collected, body: bytes) -> None:
        self._headers = headers
        self._body = body
        self._outermost: dict[str, msgspec.Raw] | None = None

    def find(self, field: Field | None) -> str | None:
        """Read a field as text; None where it is absent, empty, repeated, or neither text nor a whole number."""
        if field is None:
            return None
        if field.place == "header":
            values = self._headers.get(field.name.lower(), ())
            return values[0].strip(" \t") or None if len(values) == 1 else None
        try:
            if self._outermost is None:
                self._outermost = _object.decode(self._body)
            outermost, _, deeper = field.name.partition(".")
            part = self._outermost.get(outermost)
            for name in deeper.split(".") if deeper else ():
                part = None if part is None else _object.decode(part).get(name)
            return None if part is None else str(_leaf.decode(part)) or None
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):  # no such field, or JSON that it refuses
            return _in_anything(self._body, field.name.split("."))


def find(field: Field, headers: Collected, body: bytes) -> str | None:
    """Read one field of a request, as `Fields` does."""
    return Fields(headers, body).find(field)


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
