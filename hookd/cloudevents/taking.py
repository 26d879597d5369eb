"""A CloudEvent taken in, in whichever mode it came; what is kept of it is one JSON object."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from hookd.cloudevents import binary, structured
from hookd.cloudevents.attributes import FAMILY, STRUCTURED, CloudEvent, media_type


class Taken(NamedTuple):
    """What is kept of a CloudEvent: `key` tells it from any other, `body` is the event in structured mode."""

    key: str
    type: str
    content_type: str
    body: bytes


def take(
    headers: Mapping[str, Sequence[str]], content_type: str, body: bytes, *, structured_alone: bool = False
) -> Taken:
    """Take in a request: its headers, each name in lower case with all its values, and its body.

    In structured mode the body is kept as it came; in binary mode it is put into a JSON object. A batch, any format
    but JSON and, with `structured_alone`, the binary mode is a ValueError as all that can't be read.
    """
    kind = media_type(content_type)
    if kind == STRUCTURED:
        return _taken(structured.read(body), content_type, body)
    if kind.startswith(FAMILY):
        raise ValueError(f"content-type: expected {STRUCTURED}, one event a request, or the binary mode")
    if structured_alone:
        raise ValueError(f"content-type: expected {STRUCTURED}, since no signature covers the headers of binary mode")
    if f"{binary.PREFIX}specversion" not in headers:
        raise ValueError(f"expected a CloudEvent: the content-type {STRUCTURED}, or the header ce-specversion")
    event = binary.read(headers, content_type, body)
    return _taken(event, STRUCTURED, structured.write(event))


def _taken(event: CloudEvent, content_type: str, body: bytes) -> Taken:
    attributes = event.attributes
    # No source has a space in it, so that no two events have the same key.
    return Taken(f"{attributes['source']} {attributes['id']}", str(attributes["type"]), content_type, body)
