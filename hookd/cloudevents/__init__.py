"""CloudEvents 1.0 over HTTP, read and written in two modes: structured (one JSON object) and binary (headers).

Names and rules are those of github.com/cloudevents/spec, v1.0.2: spec.md, formats/json-format.md and
bindings/http-protocol-binding.md. Whatever can't be read is a ValueError in one line.
"""

from hookd.cloudevents import binary, structured
from hookd.cloudevents.attributes import STRUCTURED, VERSION, CloudEvent, media_type
from hookd.cloudevents.structured import data_member
from hookd.cloudevents.taking import Taken, take

__all__ = [
    "STRUCTURED",
    "VERSION",
    "CloudEvent",
    "Taken",
    "binary",
    "data_member",
    "media_type",
    "structured",
    "take",
]
