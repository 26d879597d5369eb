"""An example of every scheme: a secret, and a body that says what its senders' bodies do."""

import base64
import json
from typing import Final

from hookd.signing import SCHEMES, scheme

NOW: Final = 1_700_000_000
URL: Final = "https://hooks.example.com/from/them"
SEED: Final = "whsk_" + base64.b64encode(bytes(range(32))).decode()
SHARED: Final = "whsec_" + base64.b64encode(bytes(range(32))).decode()

BODY: Final = json.dumps(
    {
        "id": "evt_1",
        "event_id": "evt_1",
        "type": "order.paid",
        "event_type": "order.paid",
        "object": "page",
        "event": {"type": "order.paid"},
        "webhookTimestamp": NOW * 1000,
    }
).encode()

SECRETS: Final = {name: {"discord": SEED, "basic": "ada:sesame"}.get(name, SHARED) for name in SCHEMES}
"""Text schemes take the whole of `whsec_…` as it is."""

UNSIGNED: Final = {name for name, row in SCHEMES.items() if not row.signed}
DATED: Final = {name for name, row in SCHEMES.items() if row.timestamp is not None or name == "rfc9421"}


def address(name: str, body: bytes = BODY, content_type: str = "application/json") -> str:
    """Where a request of a scheme is sent."""
    return scheme(name).address(URL, body, content_type)


def signed(name: str, *secrets: str, body: bytes = BODY, at: int = NOW, event_id: str = "evt_1") -> dict[str, str]:
    """The headers of an example."""
    own = secrets or (SECRETS[name],)
    return scheme(name).sign(own, body, event_id, at, url=address(name, body), event_type="order.paid")
