"""Handshakes and vendors' requests, over HTTP: answered as their senders expect, and never an event."""

import hmac
import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from hookd import sign
from hookd.handshake import ANSWERS
from hookd.model import Source
from hookd.signing import SCHEMES
from tests.signing.examples import BODY, SECRETS, SEED, URL, address
from tests.store.stand import Open, sqlite
from tests.web.stand import NOW, SOURCE, Answer, Stand


@pytest.fixture
def open_in() -> Open:
    """What is asked here is HTTP's matter, whatever the store."""
    return sqlite


def source(scheme: str, *secrets: str, **more: Any) -> Source:
    url = URL if SCHEMES[scheme].signs_url else None
    secrets = secrets or (SECRETS[scheme],)
    return replace(SOURCE, scheme=scheme, secrets=secrets, reply=None, tolerance=10**15, url=url, **more)


async def post(
    stand: Stand, scheme: str, body: bytes, secret: str | None = None, headers: Mapping[str, str] | None = None
) -> Answer:
    own = SECRETS[scheme] if secret is None else secret
    url = address(scheme, body)
    signed = sign(scheme, own, body, id="evt_1", now=NOW // 1000, url=url, type="order.paid")
    return await stand.call(
        "POST", "/webhook" + url.removeprefix(URL), data=body, headers={**signed, **(headers or {})}
    )


async def events(stand: Stand) -> list[str]:
    return [event["type"] for event in (await stand.call("GET", "/api/v1/events")).json["data"]]


def use(stand: Stand, scheme: str, *secrets: str, **more: Any) -> None:
    stand.use(sources={"/webhook": source(scheme, *secrets, **more)})


@pytest.mark.parametrize("scheme", SCHEMES)
async def test_every_scheme_receives(stand: Stand, scheme: str) -> None:
    use(stand, scheme)
    first = await post(stand, scheme, BODY)
    if SCHEMES[scheme].silent:
        assert (first.status, first.text) == (204, "")
    else:
        assert (first.status, first.json) == (200, {"message": "OK"})
    await post(stand, scheme, BODY)
    times = 1 if SCHEMES[scheme].id else 2
    named = {"meta": "page", "razorpay": "received", "zoom": "received"}.get(scheme, "order.paid")
    named = named if SCHEMES[scheme].type else "received"
    assert await events(stand) == [f"automator.{named}"] * times
    refused = await stand.call("POST", "/webhook", data=BODY)
    assert (refused.status, refused.json) == (401, {"message": "token mismatch"})


async def test_a_silent_scheme_says_what_the_source_says(stand: Stand) -> None:
    stand.use(sources={"/webhook": replace(source("slack"), reply="thanks")})
    assert (await post(stand, "slack", BODY)).json == {"message": "thanks"}


async def test_slack_asks_for_its_challenge(stand: Stand) -> None:
    use(stand, "slack")
    body = b'{"type":"url_verification","challenge":"3eZbrw"}'
    answer = await post(stand, "slack", body)
    assert (answer.status, answer.json) == (200, {"challenge": "3eZbrw"})
    assert (await post(stand, "slack", body, "another")).status == 401
    assert await events(stand) == []
    assert stand.metrics.inbound_requests["automator", "handshake"] == 1


async def test_zoom_validates_with_the_secret_that_it_signs_with(stand: Stand) -> None:
    use(stand, "zoom", "newer", "older")
    body = json.dumps({"event": "endpoint.url_validation", "payload": {"plainToken": "qgg8"}}).encode()
    for secret in ("newer", "older"):
        answer = await post(stand, "zoom", body, secret)
        proof = hmac.digest(secret.encode(), b"qgg8", "sha256").hex()
        assert (answer.status, answer.json) == (200, {"plainToken": "qgg8", "encryptedToken": proof})
    assert (await post(stand, "zoom", body, "another")).status == 401
    assert await events(stand) == []


async def test_discord_pings(stand: Stand) -> None:
    use(stand, "discord")
    ping = await post(stand, "discord", b'{"type":1,"token":"x"}')
    assert (ping.status, ping.json) == (200, {"type": 1})
    of_events = await post(stand, "discord", b'{"version":1,"type":0}')
    assert (of_events.status, of_events.text) == (204, "")
    other = SEED[:-4] + "AAA="
    assert (await post(stand, "discord", b'{"type":1}', other)).status == 401
    assert await events(stand) == []
    await post(stand, "discord", b'{"type":1,"event":{"type":"ENTITLEMENT_CREATE"}}')
    assert await events(stand) == ["automator.ENTITLEMENT_CREATE"]


ASKED = "hub.mode=subscribe&hub.challenge=1158201444&hub.verify_token=sesame"


async def test_meta_asks_whether_the_path_is_ours(stand: Stand, caplog: pytest.LogCaptureFixture) -> None:
    use(stand, "meta", verify_token="sesame")
    answer = await stand.call("GET", f"/webhook?{ASKED}")
    assert (answer.status, answer.text) == (200, "1158201444")
    assert answer.headers["Content-Type"].startswith("text/plain")
    for wrong in (
        ASKED.replace("sesame", "guess"),
        ASKED.replace("subscribe", "unsubscribe"),
        ASKED.replace("1158201444", ""),
        ASKED + "&hub.verify_token=guess",
        ASKED.replace("sesame", ""),
        "",
    ):
        refused = await stand.call("GET", f"/webhook?{wrong}")
        assert (refused.status, refused.json) == (403, {"message": "token mismatch"})
    logged = [vars(record)["fields"] for record in caplog.records if record.name == "hookd.handshake"]
    assert {fields["source"] for fields in logged} == {"automator"}
    word, mode = "hub.verify_token is another", "hub.mode is not subscribe, or there is no hub.challenge"
    assert [fields["cause"].partition(": ")[2] for fields in logged] == [word, mode, mode, word, word, word]
    assert await events(stand) == []


async def test_without_a_word_meta_is_refused(stand: Stand) -> None:
    use(stand, "meta")
    for word in ("", "sesame", "None"):
        assert (await stand.call("GET", f"/webhook?{ASKED.replace('sesame', word)}")).status == 403


async def test_senders_of_cloudevents_ask_for_permission(stand: Stand) -> None:
    asking = {"WebHook-Request-Origin": "eventemitter.example.com", "WebHook-Request-Rate": "120"}
    answer = await stand.call("OPTIONS", "/webhook", headers=asking)
    assert answer.status == 200
    assert answer.headers["WebHook-Allowed-Origin"] == "eventemitter.example.com"
    assert answer.headers["WebHook-Allowed-Rate"] == "*"
    assert (await stand.call("OPTIONS", "/webhook")).status == 405
    use(stand, "github")
    assert (await stand.call("OPTIONS", "/webhook", headers=asking)).status == 405
    assert await events(stand) == []


@pytest.mark.parametrize("scheme", ["slack", "zoom", "discord"])
@pytest.mark.parametrize("body", [b"", b"[]", b"\xff", b'{"type":"url_verification","challenge":1}', b'{"type":true}'])
async def test_what_asks_nothing_is_an_event(stand: Stand, scheme: str, body: bytes) -> None:
    use(stand, scheme)
    assert (await post(stand, scheme, body)).status in (200, 204)
    assert len(await events(stand)) == 1


@pytest.mark.parametrize("challenge", ["\ud800", "a\n"])
async def test_a_challenge_that_can_not_be_written_is_none(stand: Stand, challenge: str) -> None:
    use(stand, "slack")
    body = json.dumps({"type": "url_verification", "challenge": challenge}).encode()
    assert (await post(stand, "slack", body)).status == 204
    assert await events(stand) == ["automator.received"]


@pytest.mark.parametrize("token", ["\ud800", "", "ä", "a\n", "v0:1767225600:{}", "a" * 65])
async def test_zoom_has_nothing_signed_but_its_token(stand: Stand, token: str) -> None:
    use(stand, "zoom")
    body = json.dumps({"event": "endpoint.url_validation", "payload": {"plainToken": token}}).encode()
    answer = await post(stand, "zoom", body)
    assert (answer.status, answer.json) == (200, {"message": "OK"})
    assert await events(stand) == ["automator.endpoint.url_validation"]


def test_every_handshake_has_an_answer() -> None:
    named = {row.handshake for row in SCHEMES.values()} - {None}
    assert named == {*ANSWERS, "meta", "cloudevents"}
