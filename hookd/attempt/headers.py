"""The headers of an attempt: what goes out, what is recorded of it, and what an endpoint may add."""

import re
from typing import Final

from hookd.model import Delivery, Endpoint
from hookd.signing import scheme
from hookd.version import VERSION

MASK: Final = "***"
"""Stands in the record for a value that is secret, or may be."""

SHORTEST_MASKED: Final = 8
"""Characters of a secret that is masked in an answer too."""

CREDENTIAL: Final = "X-Webhook-Token"
USER_AGENT: Final = f"hookd/{VERSION}"

_TOKEN: Final = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_VISIBLE: Final = re.compile(r"[!-~](?:[ -~]*[!-~])?")
_RESERVED: Final = frozenset(
    {
        *("connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "proxy-connection"),
        *("te", "trailer", "transfer-encoding", "upgrade", "expect", "http2-settings"),
        *("host", "content-length", "content-type", "content-encoding", "user-agent"),
    }
)
"""What concerns one hop (RFC 9110, 7.6.1), and what hookd sets itself."""


def compose(delivery: Delivery, endpoint: Endpoint, headers: dict[str, str], body: bytes, now: int) -> None:
    """Add to the headers of a body those of an attempt that begins at `now` (ms since 1970), signatures included."""
    event = delivery.event
    headers["user-agent"] = USER_AGENT
    headers["webhook-id"] = event.id
    headers["X-Webhook-Event"] = event.type
    headers["X-Webhook-Attempt"] = str(delivery.attempt_count + 1)
    if endpoint.scheme != "token":
        secrets = [endpoint.secret]
        if endpoint.previous_secrets:
            secrets += [previous.secret for previous in endpoint.previous_secrets if previous.expires_at > now]
        headers |= scheme(endpoint.scheme).sign(secrets, body, event.id, now // 1000)
    if endpoint.token is not None:
        headers[CREDENTIAL] = endpoint.token
    if endpoint.headers:
        headers |= endpoint.headers


def masked(headers: dict[str, str], endpoint: Endpoint) -> dict[str, str]:
    """Hide the token and the values of the endpoint's own headers, credentials among them."""
    if CREDENTIAL in headers:
        headers[CREDENTIAL] = MASK
    for name in endpoint.headers:
        headers[name] = MASK
    return headers


def secrets_shown(endpoint: Endpoint) -> tuple[str, ...]:
    """Answer what an endpoint is shown and might send back, the longest first; shorter ones stand in any text."""
    if endpoint.token is None and not endpoint.headers:
        return ()
    shown = {endpoint.token or "", *endpoint.headers.values()}
    return tuple(sorted((each for each in shown if len(each) >= SHORTEST_MASKED), key=len, reverse=True))


def check_header(name: str, value: str) -> None:
    """Return for a header that an endpoint may add to its requests; ValueError says why another can't be."""
    lower = name.lower()
    if not _TOKEN.fullmatch(name):
        raise ValueError("expected a header name of letters, digits and hyphens")
    if lower in _RESERVED or lower.startswith(("webhook-", "x-webhook-", "ce-")):
        raise ValueError(f"{name} is reserved: expected a header that hookd does not set itself")
    if not _VISIBLE.fullmatch(value):
        raise ValueError(f"expected visible ASCII characters as the value of {name}")
