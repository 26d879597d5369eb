"""The headers of an attempt: what goes out, what is recorded of it, and what an endpoint may add."""

import re
from collections.abc import Mapping
from typing import Final, NamedTuple

from hookd.errors import HookdError
from hookd.model import Delivery, Endpoint
from hookd.signing import TOKEN, Scheme, scheme, shared_keys
from hookd.version import VERSION

MASK: Final = "***"
"""Stands in the record for a value that is secret, or may be."""

SHORTEST_MASKED: Final = 8
"""Characters of a secret that is masked in an answer too."""

CREDENTIAL: Final = "X-Webhook-Token"
USER_AGENT: Final = f"hookd/{VERSION}"

_TOKEN: Final = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_VISIBLE: Final = re.compile(r"[!-~](?:[ -~]*[!-~])?")
RESERVED: Final = frozenset(
    {
        *("connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "proxy-connection"),
        *("te", "trailer", "transfer-encoding", "upgrade", "expect", "http2-settings"),
        *("host", "content-length", "content-type", "content-encoding", "user-agent"),
    }
)
"""What concerns one hop (RFC 9110, 7.6.1), and what hookd sets itself."""


class Unsigned(HookdError):
    """An attempt can't be signed: its scheme is not configured any more, or its secret does not suit it."""


class Request(NamedTuple):
    """What an attempt sends."""

    url: str
    headers: dict[str, str]
    body: bytes
    credentials: tuple[str, ...]
    """The headers that show a secret, or may: the token's, the endpoint's own, and a scheme's that signs nothing."""
    shown: tuple[str, ...]
    """The secrets that a scheme shows that signs nothing: as they are, and as its header has them behind its prefix."""

    def secrets(self) -> tuple[str, ...]:
        """Answer what the endpoint is shown and might send back, the longest first; shorter ones stand in any text."""
        shown = {*self.shown, *(self.headers.get(name, "") for name in self.credentials)}
        return tuple(sorted((each for each in shown if len(each) >= SHORTEST_MASKED), key=len, reverse=True))

    def recorded(self) -> dict[str, str]:
        """Answer the headers with the secrets in them masked."""
        return self.headers | {name: MASK for name in self.credentials if name in self.headers}


def compose(
    delivery: Delivery,
    endpoint: Endpoint,
    headers: dict[str, str],
    body: bytes,
    schemes: Mapping[str, Scheme],
    now: int,
) -> Request:
    """Answer the request of an attempt that begins at `now` (ms since 1970), signatures included; else Unsigned.

    `headers` are those of the body, the content type among them; the others are added. The endpoint's own never stand
    in for those that its scheme sets.
    """
    event = delivery.event
    headers["user-agent"] = USER_AGENT
    headers["webhook-id"] = event.id
    headers["X-Webhook-Event"] = event.type
    headers["X-Webhook-Attempt"] = str(delivery.attempt_count + 1)
    try:
        row = scheme(endpoint.scheme, schemes=schemes)
        url = row.address(_requested(endpoint.url), body, headers.get("content-type", ""))
        secrets = [] if row is TOKEN else _signing(endpoint, now)
        signed = row.sign(secrets, body, event.id, now // 1000, url=url, event_type=event.type) if secrets else {}
    except ValueError as error:
        raise Unsigned(f"it can't be signed: {error}") from None
    if endpoint.token is not None:
        headers[CREDENTIAL] = endpoint.token
    if endpoint.headers:
        taken = {name.lower() for name in signed}  # which it may be since a reload alone
        headers |= {name: value for name, value in endpoint.headers.items() if name.lower() not in taken}
    headers |= signed
    return Request(url, headers, body, _credentials(endpoint, row), _shown(row, secrets))


def _requested(url: str) -> str:
    """Answer the address as the request names it: its path is never empty (RFC 9112, 3.2.1)."""
    return url if "/" in url.partition("://")[2] else f"{url}/"


def _signing(endpoint: Endpoint, now: int) -> list[str]:
    secrets = [endpoint.secret]
    if endpoint.previous_secrets:
        secrets += [previous.secret for previous in endpoint.previous_secrets if previous.expires_at > now]
    return secrets


def _credentials(endpoint: Endpoint, row: Scheme) -> tuple[str, ...]:
    if endpoint.token is None and not endpoint.headers and row.signed:
        return ()
    return (CREDENTIAL, *endpoint.headers, *(() if row.signed else (row.header,)))


def _shown(row: Scheme, secrets: list[str]) -> tuple[str, ...]:
    keys = None if row.signed else shared_keys(row.key)
    return () if keys is None else (*secrets, *(keys.decode(secret).decode("ascii") for secret in secrets))


def check_header(name: str, value: str) -> None:
    """Return for a header that an endpoint may add to its requests; ValueError says why another can't be."""
    lower = name.lower()
    if not _TOKEN.fullmatch(name):
        raise ValueError("expected a header name of letters, digits and hyphens")
    if lower in RESERVED or lower.startswith(("webhook-", "x-webhook-", "ce-")):
        raise ValueError(f"{name} is reserved: expected a header that hookd does not set itself")
    if not _VISIBLE.fullmatch(value):
        raise ValueError(f"expected visible ASCII characters as the value of {name}")
