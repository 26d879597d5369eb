"""Structured mode: attributes and data in one JSON object (json-format.md)."""

import binascii
import re
from collections.abc import Mapping
from typing import Final

import msgspec

from hookd.cloudevents.attributes import CloudEvent, check, is_of_json
from hookd.members import Member, split
from hookd.parse import is_json

_CHARSET: Final = re.compile(r';\s*charset="?([^\s;"]+)', re.IGNORECASE)
_CHARSETS: Final = ("utf-8", "us-ascii", "iso-8859-1")

_encode = msgspec.json.Encoder().encode


def write(event: CloudEvent) -> bytes:
    """Write a CloudEvent as a JSON object; data stays byte for byte where it is JSON and its type says so."""
    head = _encode(event.attributes)[:-1]
    if event.data is None:
        return head + b"}"
    plain = is_of_json(event.attributes.get("datacontenttype")) and is_json(event.data)
    return b"%b,%b}" % (head, data_member(event.data, plain))


def data_member(data: bytes, plain: bool) -> bytes:
    """Write the member that holds data: as the JSON that it is, or in base64 under another name."""
    if plain:
        return b'"data":' + data
    return b'"data_base64":"%b"' % binascii.b2a_base64(data, newline=False)


def read(body: bytes) -> CloudEvent:
    """Read a CloudEvent from a JSON object."""
    try:
        members = split(body.decode())
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    attributes = {
        name: member.value
        for name, member in members.items()
        if name not in ("data", "data_base64") and member.value is not None
    }
    check(attributes)
    if "data" in members and "datacontenttype" not in attributes:
        attributes["datacontenttype"] = "application/json"
    return CloudEvent(attributes, _data(members, attributes))


def _data(members: Mapping[str, Member], attributes: Mapping[str, object]) -> bytes | None:
    data = members.get("data")
    encoded = members["data_base64"].value if "data_base64" in members else None
    if encoded is None:
        return None if data is None else _plain_data(data, str(attributes["datacontenttype"]))
    if data is not None:
        raise ValueError("data_base64: expected either it or data")
    return _decoded(encoded)


def _plain_data(data: Member, content_type: str) -> bytes:
    """Answer data that is JSON as it was written, and a text in the encoding that its type names."""
    if is_of_json(content_type):
        return data.raw
    if not isinstance(data.value, str):
        raise ValueError("data: expected a text, since its type is not of JSON")  # noqa: TRY004 - bad input
    charset = _CHARSET.search(content_type)
    name = charset[1].lower() if charset is not None else "utf-8"
    if name not in _CHARSETS:
        raise ValueError(f"data: expected data_base64, or text in {', '.join(_CHARSETS)}")
    try:
        return data.value.encode(name)
    except UnicodeEncodeError:
        raise ValueError(f"data: expected text that {name} can hold") from None


def _decoded(encoded: object) -> bytes:
    try:
        return binascii.a2b_base64(str(encoded), strict_mode=True)
    except ValueError:
        raise ValueError("data_base64: expected base64") from None
