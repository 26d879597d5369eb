"""Verify: what it takes to check a request by each scheme, beside a bare HMAC over as many bytes."""

import base64
import hmac
import json
import time
from collections.abc import Callable
from typing import Final

from hookd.bench.report import Figure
from hookd.bench.stand import Stand
from hookd.signing import SCHEMES, Scheme
from hookd.signing.proof import HmacKey

TIMES = 3
BODY_SIZE: Final = 1024
URL: Final = "https://hooks.example.com/in"

_RAW: Final = base64.b64encode(bytes(range(32))).decode()
_SECRETS: Final = (f"whsec_{_RAW}", "user:password", f"whsk_{_RAW}")
"""One of these suits any scheme."""
_NOW: Final = 1_800_000_000
_ID: Final = "evt_01kexample0000000000000000"
_NAMES: Final = dict.fromkeys(("id", "event_id", "type", "event_type", "object", "webhookTimestamp"), _ID)
_WITHOUT_FILLER: Final = {**_NAMES, "webhookTimestamp": _NOW * 1000, "event": {"type": "a.b"}, "filler": ""}
_BODY: Final = json.dumps(_WITHOUT_FILLER | {"filler": "x" * (BODY_SIZE - len(json.dumps(_WITHOUT_FILLER)))}).encode()
_ALWAYS_THERE: Final = {
    "host": "hooks.example.com",
    "user-agent": "sender/1.0",
    "accept": "*/*",
    "content-type": "application/json",
    "content-length": str(BODY_SIZE),
}


async def verify(stand: Stand, rounds: int, count: int) -> list[Figure]:
    """Verify so many requests of 1 KiB by each scheme, in each round."""
    took: dict[str, list[float]] = {name: [] for name in SCHEMES}
    bare: list[float] = []
    calls = {name: _call(scheme) for name, scheme in SCHEMES.items()}
    for _ in range(rounds):
        bare.append(_microseconds(lambda: hmac.digest(bytes(32), _BODY, "sha256"), count))
        for name, call in calls.items():
            took[name].append(_microseconds(call, count))
        stand.advance()
    return [
        Figure(f"verify_{name}", "µs", took[name], "bare HMAC", bare, times=TIMES if _is_hmac(scheme) else None)
        for name, scheme in SCHEMES.items()
    ]


def _call(scheme: Scheme) -> Callable[[], object]:
    secret = _secret(scheme)
    headers = _ALWAYS_THERE | scheme.sign([secret], _BODY, _ID, _NOW, url=URL)
    return lambda: scheme.verify([secret], headers, _BODY, _NOW * 1000, url=URL)


def _secret(scheme: Scheme) -> str:
    """Choose a secret that is one of this scheme, and can sign."""
    for secret in _SECRETS:
        try:
            scheme.key(secret).prove(b"")
        except ValueError:
            continue
        return secret
    raise AssertionError(f"no secret for the scheme {scheme.name}")


def _is_hmac(scheme: Scheme) -> bool:
    """Say whether a scheme is a row of the table that proves by an HMAC: what has code of its own takes its time."""
    return type(scheme) is Scheme and isinstance(scheme.key(_secret(scheme)), HmacKey)


def _microseconds(call: Callable[[], object], count: int) -> float:
    started = time.perf_counter()
    for _ in range(count):
        call()
    return (time.perf_counter() - started) / count * 1_000_000
