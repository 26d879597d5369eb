"""The formats: what the body of an attempt is, made of its event."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final
from urllib.parse import quote

import msgspec

from hookd.cloudevents import STRUCTURED, VERSION, CloudEvent, binary, data_member, media_type, structured
from hookd.model import PAYLOAD_TYPE, Event
from hookd.parse import is_json
from hookd.units import format_time

SOURCE: Final = "/hookd"
"""The `source` of CloudEvents, where the configuration names none."""

Formed = tuple[dict[str, str], bytes]
"""Headers, the content type among them, and the body."""

_encode = msgspec.json.Encoder().encode


def _plain(event: Event, source: str) -> Formed:  # noqa: ARG001 - only CloudEvents name a source
    return {"content-type": event.content_type}, event.payload


def _standard(event: Event, source: str) -> Formed:  # noqa: ARG001 - only CloudEvents name a source
    """Wrap the payload as Standard Webhooks recommends (spec/standard-webhooks.md, Payload structure)."""
    head = _encode({"type": event.type, "timestamp": format_time(event.created_at)})[:-1]
    data = data_member(event.payload, is_json(event.payload))
    return {"content-type": PAYLOAD_TYPE}, b"%b,%b}" % (head, data)


def _structured(event: Event, source: str) -> Formed:
    """Write a CloudEvent in structured mode; one that came in as such goes out as it came."""
    if media_type(event.content_type) == STRUCTURED:
        return _plain(event, source)
    return {"content-type": STRUCTURED}, structured.write(_cloud_event(event, source))


def _binary(event: Event, source: str) -> Formed:
    """Write a CloudEvent in binary mode; one that came in as such is taken apart, and what can't be is structured."""
    is_one = media_type(event.content_type) == STRUCTURED
    try:
        return binary.write(structured.read(event.payload) if is_one else _cloud_event(event, source))
    except ValueError:
        return _structured(event, source)


def _cloud_event(event: Event, source: str) -> CloudEvent:
    """Answer an event as a CloudEvent; ids are unique in their tenant alone, so the source names it too."""
    attributes = {
        "specversion": VERSION,
        "id": event.id,
        "source": source if event.tenant is None else f"{source}/{quote(event.tenant, safe='')}",
        "type": event.type,
        "time": format_time(event.created_at),
        "datacontenttype": event.content_type,
        "tenant": event.tenant or "",
        "partitionkey": event.ordering_key,
    }
    return CloudEvent({name: value for name, value in attributes.items() if value}, event.payload)


FORMATS: Mapping[str, Callable[[Event, str], Formed]] = MappingProxyType(
    {"plain": _plain, "standard": _standard, "cloudevents": _structured, "cloudevents-binary": _binary}
)
"""What each format makes of an event; the second argument is the `source` of CloudEvents."""


def check_format(name: str) -> str:
    """Answer the name of a format; ValueError lists them where it is none."""
    if name not in FORMATS:
        raise ValueError(f"expected a format of {', '.join(FORMATS)}, got {name[:40]!r}")
    return name
