"""Two libraries that others run judge our signatures, and we theirs."""

import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
import standardwebhooks
import svix.webhooks
from standardwebhooks.webhooks import WebhookVerificationError

from hookd.errors import SignatureError
from hookd.signing import scheme

STANDARD = scheme("standard")
BODIES = [
    b"{}",
    b'{"name":"Ada"}',
    '{"name":"Zoë 🎓"}'.encode(),
    b'{"nul":"\\u0000"}',
    b'"\x00"',
    b'"\xef\xbf\xbd"',
]
JUDGES: list[Callable[[str], Any]] = [standardwebhooks.Webhook, svix.webhooks.Webhook]


def now() -> int:
    return int(time.time())  # the libraries have no other clock


def judged(judge: Any, body: bytes, headers: dict[str, str]) -> None:
    if isinstance(judge, standardwebhooks.Webhook):
        judge.verify(body, headers, json_parse=False)
    else:
        judge.verify(body, headers)


def theirs(judge: Any, body: bytes, timestamp: int) -> dict[str, str]:
    signature = judge.sign("msg_1", datetime.fromtimestamp(timestamp, UTC), body.decode())
    return {"webhook-id": "msg_1", "webhook-timestamp": str(timestamp), "webhook-signature": signature}


@pytest.mark.parametrize("library", JUDGES)
@pytest.mark.parametrize("body", [*BODIES, b""])
def test_they_accept_ours_and_we_theirs(library: Callable[[str], Any], body: bytes, secret: str) -> None:
    judge = library(secret)
    judged(judge, body, STANDARD.sign([secret], body, "evt_1", now()))
    assert STANDARD.verify([secret], theirs(judge, body, now()), body, now() * 1000).id == "msg_1"


@pytest.mark.parametrize("library", JUDGES)
def test_rotation_three_keys_deep(
    library: Callable[[str], Any], secret: str, other_secret: str, third_secret: str
) -> None:
    keys = (secret, other_secret, third_secret)
    ours = STANDARD.sign(keys, BODIES[1], "evt_1", now())
    for key in keys:
        judged(library(key), BODIES[1], ours)
        headers = theirs(library(key), BODIES[1], now())
        assert STANDARD.verify(keys, headers, BODIES[1], now() * 1000).id == "msg_1"
    both = theirs(library(secret), BODIES[1], now())
    both["webhook-signature"] += " " + theirs(library(other_secret), BODIES[1], now())["webhook-signature"]
    with pytest.raises(SignatureError):
        STANDARD.verify([third_secret], both, BODIES[1], now() * 1000)


@pytest.mark.parametrize("library", JUDGES)
def test_both_refuse_tampered_old_new_and_foreign(
    library: Callable[[str], Any], secret: str, other_secret: str
) -> None:
    judge = library(secret)
    bad = [
        (STANDARD.sign([secret], BODIES[1], "evt_1", now()), BODIES[2]),
        (STANDARD.sign([secret], BODIES[1], "evt_1", now() - 400), BODIES[1]),
        (STANDARD.sign([secret], BODIES[1], "evt_1", now() + 400), BODIES[1]),
        (STANDARD.sign([other_secret], BODIES[1], "evt_1", now()), BODIES[1]),
    ]
    for headers, body in bad:
        with pytest.raises(WebhookVerificationError):
            judged(judge, body, headers)
        with pytest.raises(SignatureError):
            STANDARD.verify([secret], headers, body, now() * 1000)


@pytest.mark.parametrize("library", JUDGES)
def test_svix_named_headers_are_not_ours(library: Callable[[str], Any], secret: str) -> None:
    headers = {
        name.replace("webhook", "svix"): value for name, value in theirs(library(secret), BODIES[1], now()).items()
    }
    with pytest.raises(SignatureError) as caught:
        STANDARD.verify([secret], headers, BODIES[1], now() * 1000)
    assert caught.value.reason == "missing_header"
