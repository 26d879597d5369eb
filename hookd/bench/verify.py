"""Verify: what it takes to check a request by each scheme, beside a bare HMAC over as many bytes."""

import base64
import hmac
import json
import time
from collections.abc import Callable
from typing import Any, Final

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
_KEY: Final = bytes(32)
_CONTENT: Final = bytes(BODY_SIZE)
_ALWAYS_THERE: Final = {
    "host": "hooks.example.com",
    "user-agent": "sender/1.0",
    "accept": "*/*",
    "content-type": "application/json",
    "content-length": str(BODY_SIZE),
}


async def verify(stand: Stand, rounds: int, count: int) -> list[Figure]:
    """Verify so many requests of 1 KiB by each scheme, in each round; each has its own yardstick right before it.

    The machine's speed changes within a round, and so changes for both.
    """
    took: dict[str, list[float]] = {name: [] for name in SCHEMES}
    bare: dict[str, list[float]] = {name: [] for name in SCHEMES}
    calls = {name: _call(scheme) for name, scheme in SCHEMES.items()}
    for _ in range(rounds):
        for name, call in calls.items():
            bare[name].append(_microseconds(lambda: hmac.digest(_KEY, _CONTENT, "sha256"), count))
            took[name].append(_microseconds(call, count))
        stand.advance()
    return [
        Figure(f"verify_{name}", "µs", took[name], "bare HMAC", bare[name], times=TIMES if _is_hmac(scheme) else None)
        for name, scheme in SCHEMES.items()
    ]


def _call(scheme: Scheme) -> Callable[[], object]:
    secret, body = _secret(scheme), _body(scheme)
    url = scheme.address(URL, body, _ALWAYS_THERE["content-type"]) if scheme.signs_url else None
    headers = _ALWAYS_THERE | scheme.sign([secret], body, _ID, _NOW, url=url)
    return lambda: scheme.verify([secret], headers, body, _NOW * 1000, url=url)


def _body(scheme: Scheme) -> bytes:
    """Make a body that says what the scheme looks for in it."""
    told: dict[str, Any] = {}
    for field, value in ((scheme.id, _ID), (scheme.type, "invoice.paid"), (scheme.timestamp, _NOW * 1000)):
        if field is not None and field.place == "body":
            *path, last = field.name.split(".")
            within = told
            for name in path:
                within = within.setdefault(name, {})
            within[last] = value
    empty = json.dumps({"filler": "", **told})
    return json.dumps({"filler": "x" * (BODY_SIZE - len(empty)), **told}).encode()


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
    """Answer the processor time that a call takes: what else runs on the machine does not count."""
    started = time.process_time()
    for _ in range(count):
        call()
    return (time.process_time() - started) / count * 1_000_000
