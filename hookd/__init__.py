"""hookd: a webhook daemon, and the library that signs and verifies as it does.

Here times and durations are in seconds, as they are on the wire.
"""

import random
from collections.abc import Sequence

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
    url: str | None = None,  # noqa: ARG001 - no scheme of the table signs it yet
) -> dict[str, str]:
    """Answer the headers that prove `body`, under the scheme `standard` or `token`.

    Several secrets, the newest first, all sign where the scheme has room, as in a rotation. `id` is a fresh
    one unless given; `now`, in seconds since 1970, is the clock's. A ValueError tells of a scheme, a secret
    or an id that can't be used.

        headers = hookd.sign("standard", "whsec_…", b'{"name": "Ada"}', id="evt_1")
    """
    seconds = wall_clock() // 1000 if now is None else int(now)
    return signing.scheme(scheme).sign(_several(secrets), _raw(body), id or _new_id("evt"), seconds)


def verify(
    scheme: str,
    secrets: str | Sequence[str],
    headers: Headers,
    body: bytes,
    *,
    url: str | None = None,  # noqa: ARG001 - no scheme of the table signs it yet
    method: str = "POST",  # noqa: ARG001 - nor this
    now: float | None = None,
    tolerance: float | None = None,
) -> Verified:
    """Answer what an authentic request says; a SignatureError, with its `reason`, for any other.

    `body` is the bytes as they came, before any parsing. One of the secrets must fit. `now`, in seconds since
    1970, is the clock's unless given; `tolerance`, in seconds, is the scheme's own (300) unless given. A
    ValueError tells of a scheme or a secret that can't be used.

        verified = hookd.verify("standard", "whsec_…", request.headers, await request.read())
    """
    return signing.scheme(scheme).verify(
        _several(secrets),
        headers,
        _raw(body),
        wall_clock() if now is None else int(now * 1000),
        None if tolerance is None else int(tolerance * 1000),
    )


def _several(secrets: str | Sequence[str]) -> Sequence[str]:
    return (secrets,) if isinstance(secrets, str) else secrets


def _raw(body: bytes) -> bytes:
    """Refuse a parsed body where the bytes as sent are needed: once parsed, they can't be had back."""
    if not isinstance(body, bytes):
        raise TypeError(f"body: expected the raw bytes as they came, got {type(body).__name__}")
    return body
