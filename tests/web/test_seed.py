import asyncio
import json
from dataclasses import replace
from typing import Any

import pytest

from hookd.model import Field, Scope
from tests.web.stand import SOURCE, TRIGGER, Stand, token

PURCHASE = {"name": "Ada", "email": "ada@example.com", "course": "Engines"}


async def test_a_webhook_is_registered(stand: Stand) -> None:
    body = {"url": "http://127.0.0.1:9/webhook", "token": "secret", "event": "purchase"}
    told = await stand.call("POST", "/api/register-webhook", body)
    assert told.status == 200
    assert told.json == {"message": "OK", "id": told.json["id"], "secret": told.json["secret"]}
    stored = await stand.store.endpoint(told.json["id"], None)
    assert (stored.url, stored.token, stored.event_types) == (body["url"], "secret", ("purchase",))
    assert told.json["secret"] == stored.secret


@pytest.mark.parametrize(
    ("body", "pointers"),
    [
        ({}, ["#/url", "#/event"]),
        ({"url": "http://10.0.0.1/", "event": "a", "token": "t"}, ["#/url"]),
        ({"url": "http://127.0.0.1:9/", "event": "a b", "token": ""}, ["#/token", "#/event"]),
        ({"url": "http://127.0.0.1:9/", "event": "a", "events": "a"}, ["#/events"]),
    ],
)
async def test_every_fault_of_a_registration_is_named(stand: Stand, body: Any, pointers: list[str]) -> None:
    told = await stand.call("POST", "/api/register-webhook", body)
    assert (told.status, told.pointers) == (422, pointers)


async def test_a_purchase_is_published_in_the_fields_it_requires(stand: Stand) -> None:
    await stand.endpoint(event_types=["purchase"])
    raw = b'{"course":"E\\u006egines", "card":"4111", "email" : "ada@example.com","name":["Ada",1.0]}'
    told = await stand.call("POST", TRIGGER.path, data=raw)
    assert (told.status, told.json["message"]) == (200, "Course purchased successfully")
    identity = told.json["id"]
    event = await stand.store.event(identity, None)
    expected = f'{{"id":"{identity}","name":["Ada",1.0],"email":"ada@example.com","course":"E\\u006egines"}}'
    assert (event.type, event.payload.decode()) == ("purchase", expected)
    [delivery] = (await stand.call("GET", "/api/v1/deliveries")).json["data"]
    assert delivery["event"] == identity


@pytest.mark.parametrize("name", [b'"A\\ud800B"', b'"A\\u0000B"', b"9" * 5000])
async def test_a_purchase_comes_round_byte_for_byte(stand: Stand, name: bytes) -> None:
    source = replace(SOURCE, id=Field("body", "id"), max_body=10_000)
    stand.use(sources={source.path: source})
    body = b'{"name":%b,"email":"a","course":"b"}' % name
    bought = await stand.call("POST", TRIGGER.path, data=body)
    assert bought.status == 200, bought.text
    sent = (await stand.store.event(bought.json["id"], None)).payload
    for _ in range(2):
        told = await stand.call("POST", "/webhook", data=sent, headers={"X-Webhook-Token": "secret"})
        assert told.status == 200, told.text
    [received, _] = (await stand.call("GET", "/api/v1/events")).json["data"]
    assert (await stand.store.event(received["id"], None)).payload == sent


async def test_a_purchase_without_a_required_field_is_refused(stand: Stand) -> None:
    told = await stand.call("POST", TRIGGER.path, {"email": "a", "id": "evt_1"})
    assert (told.status, told.pointers) == (422, ["#/name", "#/course"])
    assert (await stand.call("POST", TRIGGER.path + "?x=1", PURCHASE)).pointers == ["?x"]
    assert (await stand.call("GET", "/api/v1/events")).json["data"] == []


async def test_a_trigger_publishes_for_the_tenant_of_its_caller(stand: Stand) -> None:
    stand.use(tokens=(token("acme", Scope.PUBLISH, tenant="acme"), token("reader", Scope.READ)))
    assert (await stand.call("POST", TRIGGER.path, PURCHASE)).status == 401
    assert (await stand.call("POST", TRIGGER.path, PURCHASE, token="reader")).status == 403
    told = await stand.call("POST", TRIGGER.path, PURCHASE, token="acme")
    assert (await stand.store.event(told.json["id"], None)).tenant == "acme"


async def test_an_open_trigger_needs_no_token(stand: Stand) -> None:
    trigger = replace(TRIGGER, authenticated=False)
    stand.use(tokens=(token("reader", Scope.READ),), triggers={trigger.path: trigger})
    assert (await stand.call("POST", trigger.path, PURCHASE)).status == 200


async def test_a_webhook_with_the_right_token_is_taken_in(stand: Stand) -> None:
    told = await stand.call("POST", "/webhook", PURCHASE, headers={"X-Webhook-Token": "secret"})
    assert (told.status, told.json) == (200, {"message": "OK"})
    [event] = (await stand.call("GET", "/api/v1/events")).json["data"]
    assert (event["type"], event["origin"]) == ("automator.received", "inbound")
    stored = await stand.store.event(event["id"], None)
    assert json.loads(stored.payload) == PURCHASE


@pytest.mark.parametrize("headers", [{}, {"X-Webhook-Token": "Secret"}, {"X-Webhook-Token": ""}])
async def test_a_webhook_with_a_wrong_token_is_not(stand: Stand, headers: dict[str, str]) -> None:
    told = await stand.call("POST", "/webhook", PURCHASE, headers=headers)
    assert (told.status, told.json) == (401, {"message": "token mismatch"})
    assert (await stand.call("GET", "/api/v1/events")).json["data"] == []
    assert stand.metrics.inbound_requests == {("automator", "unauthorized"): 1}


async def test_a_source_asks_for_nothing_but_its_own_proof(stand: Stand) -> None:
    headers = {"Host": "hooks.example", "X-Forwarded-For": "a", "Origin": "https://a", "Content-Type": "text/plain"}
    for tokens in ((), (token("all", *Scope),)):
        stand.use(tokens=tokens)
        told = await stand.call("POST", "/webhook?any=1", PURCHASE, headers={**headers, "X-Webhook-Token": "secret"})
        assert told.status == 200


async def test_a_repeated_webhook_is_one_event(stand: Stand) -> None:
    source = replace(SOURCE, id=Field("body", "id"))
    stand.use(sources={source.path: source})
    headers = {"X-Webhook-Token": "secret"}
    body = {"id": "evt_1", **PURCHASE}
    told = await asyncio.gather(*(stand.call("POST", "/webhook", body, headers=headers) for _ in range(5)))
    assert [each.status for each in told] == [200] * 5
    assert len((await stand.call("GET", "/api/v1/events")).json["data"]) == 1


@pytest.mark.parametrize("identity", ["a\ud800b", "a\0b", "é" * 300])
async def test_a_webhook_with_an_odd_id_is_no_mishap(stand: Stand, identity: str) -> None:
    source = replace(SOURCE, id=Field("body", "id"), max_body=10_000)
    stand.use(sources={source.path: source})
    headers = {"X-Webhook-Token": "secret"}
    told = await stand.call("POST", "/webhook", {"id": identity}, headers=headers)
    assert told.status in (200, 400)


async def test_a_header_that_is_not_utf_8_is_no_mishap(stand: Stand) -> None:
    source = replace(SOURCE, id=Field("header", "X-Id"))
    stand.use(sources={source.path: source})
    host, port = stand.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(
        b"POST /webhook HTTP/1.1\r\nHost: a\r\nX-Webhook-Token: secret\r\nX-Id: \xff\xfe\r\n"
        b"Content-Type: \xff\r\nContent-Length: 2\r\n\r\n{}"
    )
    assert b" 200 " in await reader.readuntil(b"\r\n")
    writer.close()


async def test_a_source_says_which_method_and_how_much_it_takes(stand: Stand) -> None:
    wrong = await stand.call("GET", "/webhook")
    assert (wrong.status, wrong.headers["Allow"]) == (405, "POST")
    headers = {"X-Webhook-Token": "secret"}
    assert (await stand.call("POST", "/webhook", data=b"x" * 1001, headers=headers)).status == 413
    assert stand.metrics.inbound_requests == {("automator", "wrong_method"): 1, ("automator", "unreadable"): 1}


async def test_a_body_that_must_be_json_and_is_not_is_unreadable(stand: Stand) -> None:
    source = replace(SOURCE, id=Field("body", "id"))
    stand.use(sources={source.path: source})
    told = await stand.call("POST", "/webhook", data=b"id=1", headers={"X-Webhook-Token": "secret"})
    assert (told.status, told.headers["Content-Type"]) == (400, "application/problem+json")


async def test_a_purchase_repeated_under_its_key_is_one_event(stand: Stand) -> None:
    key = {"Idempotency-Key": '"order-1"'}
    first, again = [await stand.call("POST", "/api/purchase", PURCHASE, headers=key) for _ in range(2)]
    assert (first.status, first.json) == (again.status, again.json)
    told = await stand.call("POST", "/api/purchase", {**PURCHASE, "name": "Eve"}, headers=key)
    assert (told.status, told.pointers) == (422, ["Idempotency-Key"])
    assert (await stand.call("POST", "/api/purchase", PURCHASE)).json["id"] != first.json["id"]
