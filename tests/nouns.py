"""Example nouns: whole, valid, and different where a test says so."""

from base64 import b64encode
from hashlib import sha256
from typing import Any

from msgspec import structs

from hookd.model import Breaker, Delivery, Destination, Endpoint, EndpointState, Event, Origin

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"

NEW_KEY, OLD_KEY, OTHER_KEY = (sha256(name).digest() for name in (b"new", b"old", b"other"))
"""Keys of a store, as bytes; `in_base64` writes them as a configuration does."""

EVENT = Event(
    id="evt_1",
    tenant=None,
    type="lms.purchase",
    origin=Origin.PUBLISHED,
    payload=b'{"name": "Ada"}',
    content_type="application/json",
    created_at=1_700_000_000_000,
)

ENDPOINT = Endpoint(
    id="ep_1",
    tenant=None,
    url="https://example.com/hook",
    event_types=(),
    description="",
    scheme="standard",
    format="plain",
    token=None,
    secret=SECRET,
    previous_secrets=(),
    headers={},
    rate_limit=None,
    max_in_flight=None,
    ordered=False,
    timeout=None,
    retry=None,
    metadata={},
    state=EndpointState.ACTIVE,
    state_reason=None,
    state_since=1_700_000_000_000,
    failing_since=None,
    failing_attempts=0,
    breaker=Breaker(),
    created_at=1_700_000_000_000,
    updated_at=1_700_000_000_000,
)


def delivery_to(destination: Destination, *, attempt_count: int = 0, **event: Any) -> Delivery:
    """Answer a claimed delivery of the example event, with changes."""
    return Delivery(
        sequence=1,
        id="dlv_1",
        event=structs.replace(EVENT, **event),
        destination=destination,
        attempt_count=attempt_count,
        step=0,
    )


def in_base64(key: bytes) -> str:
    """Write a key as a configuration does."""
    return b64encode(key).decode("ascii")
