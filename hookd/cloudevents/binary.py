"""Binary mode: attributes in headers, and data as the body (http-protocol-binding.md, 3.1)."""

import re
from collections.abc import Mapping, Sequence
from typing import Final
from urllib.parse import quote, unquote_to_bytes

from hookd.cloudevents.attributes import FAMILY, CloudEvent, check, media_type

PREFIX: Final = "ce-"

_SAFE: Final = "".join(map(chr, range(0x21, 0x7F))).translate({ord('"'): None, ord("%"): None})
"""What stands in a header as it is: printable ASCII but the space, the double quote and the percent sign."""
_QUOTED: Final = re.compile(r'"((?:[^"\\]|\\.)*)"')
_ESCAPED: Final = re.compile(r"\\(.)")


def write(event: CloudEvent) -> tuple[dict[str, str], bytes]:
    """Write a CloudEvent as headers and a body; ValueError where its data is a CloudEvent, or several.

    Their content type would say that they are the event, in structured mode.
    """
    attributes = dict(event.attributes)
    content_type = str(attributes.pop("datacontenttype", ""))
    if media_type(content_type).startswith(FAMILY):
        raise ValueError(f"datacontenttype: {content_type} can be sent in structured mode alone")
    headers = {"content-type": content_type} if content_type else {}
    for name, value in attributes.items():
        headers[PREFIX + name] = quote(_canonical(value), safe=_SAFE)
    return headers, event.data or b""


def _canonical(value: object) -> str:
    """Write a value as spec.md's type system does."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def read(headers: Mapping[str, Sequence[str]], content_type: str, body: bytes) -> CloudEvent:
    """Read a CloudEvent from headers, each name in lower case with all its values, and a body."""
    attributes = {
        name.removeprefix(PREFIX): _decoded(name, values) for name, values in headers.items() if name.startswith(PREFIX)
    }
    if "datacontenttype" in attributes:
        raise ValueError("ce-datacontenttype: expected content-type in its place")
    if "content-type" in headers:
        attributes["datacontenttype"] = content_type
    check(attributes)
    return CloudEvent(attributes, body or None)


def _decoded(name: str, values: Sequence[str]) -> str:
    """Unquote, then decode percent signs, once (3.1.3.2)."""
    if len(values) > 1:
        raise ValueError(f"{name[:40]!a} came {len(values)} times, expected once")
    quoted = _QUOTED.fullmatch(values[0])
    text = values[0] if quoted is None else _ESCAPED.sub(r"\1", quoted[1])
    try:
        return unquote_to_bytes(text.encode("latin-1")).decode()
    except UnicodeError:
        raise ValueError(f"{name[:40]!a}: expected UTF-8, percent-encoded") from None
