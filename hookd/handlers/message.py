"""What a handler gets."""

from dataclasses import dataclass
from typing import Any

from hookd.model import Delivery
from hookd.parse import parse


@dataclass(frozen=True, slots=True)
class Message:
    """The event, and the number of the attempt."""

    id: str
    type: str
    tenant: str | None
    payload: bytes
    content_type: str
    attempt: int

    def json(self) -> Any:
        """Answer the payload as JSON; ValueError where it is none."""
        return parse(self.payload)


def message_of(delivery: Delivery) -> Message:
    """Answer what the handler of a delivery gets."""
    event = delivery.event
    return Message(
        id=event.id,
        type=event.type,
        tenant=event.tenant,
        payload=event.payload,
        content_type=event.content_type,
        attempt=delivery.attempt_count + 1,
    )
