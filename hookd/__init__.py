"""hookd: a webhook daemon, and the library that signs and verifies as it does.

Here times and durations are in seconds, as they are on the wire.
"""

import random
from collections.abc import Iterable, Sequence

from hookd import signing
from hookd.errors import SignatureError
from hookd.ids import IdFactory
from hookd.model import wall_clock
from hookd.signing import Headers, Verified

__all__ = ["SignatureError", "Verified", "sign", "verify"]

_new_id = IdFactory(wall_clock, random.SystemRandom())


def sign(
    scheme: str,
    secrets: str | Sequence[str],
    body: bytes,
    *,
    id: str | None = None,  # noqa: A002 - the name that the headers and the API use
    now: float | None = None,
    url: str | None = None,
    method: str = "POST",
    type: str | None = None,  # noqa: A002 - as above
) -> dict[str, str]:
    """Answer the headers that prove `body`, under a scheme of docs/signatures.md.

    Several secrets, the newest first, all sign where the scheme has room, as in a rotation. `id` is a fresh
    one unless given; `now`, in seconds since 1970, is the clock's. `url` is the whole address for the schemes
    that sign it (square, twilio, rfc9421), and `method` what it is sent with; `type` stands in the header that
    a scheme such as github has for it. A ValueError tells of a scheme, a secret, an id or a type that can't be
    used, or of a url that is missing or no address.

        headers = hookd.sign("standard", "whsec_…", b'{"name": "Ada"}', id="evt_1")
    """
    seconds = wall_clock() // 1000 if now is None else int(now)
    row = signing.scheme(scheme)
    _check_address(row, url)
    if row.signs_url and url is not None and not (url.isascii() and url.isprintable() and " " not in url):
        raise ValueError("url: expected visible ASCII characters, all others percent-encoded")
    return row.sign(
        _several(secrets), _raw(body), id or _new_id("evt"), seconds, url=url, method=method, event_type=type
    )


def verify(
    scheme: str,
    secrets: str | Sequence[str],
    headers: Headers,
    body: bytes,
    *,
    url: str | None = None,
    method: str = "POST",
    now: float | None = None,
    tolerance: float | None = None,
) -> Verified:
    """Answer what an authentic request says; a SignatureError, with its `reason`, for any other.

    `body` is the bytes as they came, before any parsing. One of the secrets must fit. `now`, in seconds since
    1970, is the clock's unless given; `tolerance`, in seconds, is the scheme's own unless given. `url` is the
    whole address as the sender knows it, its query included, for the schemes that sign it (square, twilio,
    rfc9421). A ValueError tells of a scheme or a secret that can't be used, or of a url that is missing or
    no address.

        verified = hookd.verify("standard", "whsec_…", request.headers, await request.read())
    """
    row = signing.scheme(scheme)
    _check_address(row, url)
    return row.verify(
        _several(secrets),
        _pairs(headers),
        _raw(body),
        wall_clock() if now is None else int(now * 1000),
        None if tolerance is None else int(tolerance * 1000),
        url=url,
        method=method,
    )


def _check_address(row: signing.Scheme, url: str | None) -> None:
    if row.signs_url and url is not None and not signing.is_address(url):
        raise ValueError("url: expected a whole address such as https://example.com/hooks?a=b")


def _several(secrets: str | Sequence[str]) -> Sequence[str]:
    return (secrets,) if isinstance(secrets, str) else secrets


def _pairs(headers: Headers) -> Headers:
    """Refuse what are no headers, such as None of a server that has none, or their text."""
    if isinstance(headers, str | bytes) or not (isinstance(headers, Iterable) or hasattr(headers, "items")):
        raise TypeError(f"headers: expected a mapping or pairs of names and values, got {type(headers).__name__}")
    return headers


def _raw(body: bytes) -> bytes:
    """Refuse a parsed body where the bytes as sent are needed: once parsed, they can't be had back."""
    if not isinstance(body, bytes):
        raise TypeError(f"body: expected the raw bytes as they came, got {type(body).__name__}")
    return body
