import asyncio
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hookd.model import Scope
from hookd.web.fields import idempotency_key
from tests.web.stand import NOW, SOURCE, Stand, token

PATH = "/api/v1/events"


async def test_an_event_is_accepted_with_the_bytes_of_its_payload(stand: Stand) -> None:
    await stand.endpoint(event_types=["order.*"])
    payload = '{ "b": 1.0,\t"a": [1e2, "\\u00e9é\\ud800", 123456789012345678901234567890] }'
    told = await stand.call("POST", PATH, data=f' {{"payload" : {payload} , "type":"order.created"}}\n'.encode())
    assert told.status == 202
    assert told.json == {"id": told.json["id"], "deliveries": 1}
    assert (await stand.store.event(told.json["id"], None)).payload == payload.encode()
    read = await stand.call("GET", f"{PATH}/{told.json['id']}")
    assert payload in read.text
    assert {name: value for name, value in read.json.items() if name not in ("payload", "deliveries")} == {
        "id": told.json["id"],
        "type": "order.created",
        "tenant": None,
        "origin": "published",
        "ordering_key": None,
        "content_type": "application/json",
        "created_at": "2026-01-02T03:04:05.000Z",
    }
    [delivery] = read.json["deliveries"]
    assert (delivery["event"], delivery["status"]) == (told.json["id"], "pending")


async def test_an_ordering_key_is_part_of_what_was_published(stand: Stand) -> None:
    first = await stand.publish(id="once", ordering_key="customer 42: é")
    assert (await stand.call("GET", f"{PATH}/{first['id']}")).json["ordering_key"] == "customer 42: é"
    body = {"type": "order.created", "payload": {}, "id": "once"}
    assert (await stand.call("POST", PATH, body)).status == 409


@pytest.mark.parametrize("key", ["", "k" * 129, "a\0b", 7, ["a"]])
async def test_what_is_no_ordering_key(stand: Stand, key: object) -> None:
    told = await stand.call("POST", PATH, {"type": "a", "payload": 1, "ordering_key": key})
    assert (told.status, told.pointers) == (422, ["#/ordering_key"]), told.text


@pytest.mark.parametrize("payload", ["null", "0", '""', "[]", "true", "[" * 200 + "]" * 200, "9" * 5000])
async def test_any_json_value_is_a_payload(stand: Stand, payload: str) -> None:
    told = await stand.call("POST", PATH, data=f'{{"type":"a","payload":{payload}}}'.encode())
    assert told.status == 202
    assert (await stand.store.event(told.json["id"], None)).payload == payload.encode()


async def test_without_a_match_the_answer_says_so(stand: Stand) -> None:
    told = await stand.publish(type="order.created")
    assert told["deliveries"] == 0
    assert "order.created" in told["note"]


@pytest.mark.parametrize(
    ("body", "pointers"),
    [
        ({}, ["#/type", "#/payload"]),
        ({"type": None, "payload": 1}, ["#/type"]),
        ({"type": "a b", "payload": 1}, ["#/type"]),
        ({"type": "a.*", "payload": 1}, ["#/type"]),
        ({"type": "a.", "payload": 1}, ["#/type"]),
        ({"type": "é", "payload": 1}, ["#/type"]),
        ({"type": "a\n", "payload": 1}, ["#/type"]),
        ({"type": "a" * 129, "payload": 1}, ["#/type"]),
        ({"type": "hookd.test", "payload": 1}, ["#/type"]),
        ({"type": "hookd", "payload": 1}, ["#/type"]),
        ({"type": "automator.purchase", "payload": 1}, ["#/type"]),
        ({"type": "a", "payload": 1, "id": "a.b"}, ["#/id"]),
        ({"type": "a", "payload": 1, "id": ""}, ["#/id"]),
        ({"type": "a", "payload": 1, "id": "a\n"}, ["#/id"]),
        ({"type": "a", "payload": 1, "id": "a" * 129}, ["#/id"]),
        ({"type": "a", "payload": 1, "id": 7}, ["#/id"]),
        ({"type": "a", "payload": 1, "tenant": "\ud800"}, ["#/tenant"]),
        ({"type": "a", "payload": 1, "tenant": "\0"}, ["#/tenant"]),
        ({"type": "a", "payload": 1, "endpoints": "ep_1"}, ["#/endpoints"]),
        ({"type": "a", "payload": 1, "endpoints": []}, ["#/endpoints"]),
        ({"type": "a", "payload": 1, "endpoints": ["ep_1"]}, ["#/endpoints/0"]),
        ({"type": "a", "payload": 1, "endpoints": ["ep_\0", 1]}, ["#/endpoints/0", "#/endpoints/1"]),
        ({"type": "a", "payload": 1, "deliver_at": "1h", "to/o": None}, ["#/deliver_at", "#/to~1o"]),
    ],
)
async def test_every_fault_of_an_event_is_named(stand: Stand, body: Any, pointers: list[str]) -> None:
    told = await stand.call("POST", PATH, body)
    assert (told.status, told.pointers) == (422, pointers), told.text
    assert (await stand.call("GET", PATH)).json["data"] == []


async def test_a_type_may_begin_like_a_source_without_being_its(stand: Stand) -> None:
    assert (await stand.publish(type=SOURCE.name + "s.purchase"))["id"]


async def test_endpoints_are_addressed_once_each(stand: Stand) -> None:
    made = (await stand.endpoint(event_types=["other"]))["id"]
    assert (await stand.publish(endpoints=[made, made]))["deliveries"] == 1


async def test_the_same_again_is_answered_as_before(stand: Stand) -> None:
    body = {"type": "order.created", "payload": {"n": 1}, "id": "order-1"}
    first = await stand.call("POST", PATH, body)
    again = await stand.call("POST", PATH, body)
    assert (first.status, first.json["id"]) == (202, "order-1")
    assert (again.status, again.json["id"]) == (200, "order-1")
    other = await stand.call("POST", PATH, {**body, "payload": {"n": 2}})
    assert (other.status, other.headers["Content-Type"]) == (409, "application/problem+json")


async def test_concurrent_repeats_become_one_event(stand: Stand) -> None:
    body = {"type": "order.created", "payload": {"n": 1}}
    told = await asyncio.gather(
        *(stand.call("POST", PATH, body, headers={"Idempotency-Key": key}) for key in ['"k1"', "k1"] * 4)
    )
    assert sorted(each.status for each in told) == [200] * 7 + [202]
    assert len({each.json["id"] for each in told}) == 1
    other = await stand.call("POST", PATH, {**body, "type": "order.changed"}, headers={"Idempotency-Key": "k1"})
    assert (other.status, other.pointers) == (422, ["Idempotency-Key"])


@pytest.mark.parametrize("key", ["", '""', "a b", "é", "x" * 256, '"' + "x" * 256 + '"', "a\tb"])
async def test_an_idempotency_key_that_is_none_is_refused(stand: Stand, key: str) -> None:
    body = {"type": "a", "payload": 1}
    told = await stand.call("POST", PATH, body, headers={"Idempotency-Key": key})
    assert (told.status, told.pointers) == (422, ["Idempotency-Key"])


@given(st.text(st.characters(min_codepoint=33, max_codepoint=126, exclude_characters='"'), min_size=1, max_size=255))
def test_a_key_means_the_same_quoted_or_bare(key: str) -> None:
    assert idempotency_key(key) == idempotency_key(f'"{key}"') == key


async def test_events_are_listed_without_payloads(stand: Stand) -> None:
    ids = [(await stand.publish(type=f"order.n{number}", payload={"secret": number}))["id"] for number in range(3)]
    listed = await stand.call("GET", PATH + "?limit=2")
    assert [each["id"] for each in listed.json["data"]] == ids[:0:-1]
    assert "payload" not in listed.text
    rest = await stand.call("GET", f"{PATH}?cursor={listed.json['next_cursor']}")
    assert [each["id"] for each in rest.json["data"]] == ids[:1]


async def test_an_event_shows_all_its_deliveries(stand: Stand) -> None:
    endpoints = await asyncio.gather(*(stand.endpoint() for _ in range(251)))
    event = await stand.publish()
    read = (await stand.call("GET", f"{PATH}/{event['id']}")).json
    assert {each["endpoint"] for each in read["deliveries"]} == {each["id"] for each in endpoints}
    assert len(read["deliveries"]) == event["deliveries"] == 251


async def test_a_payload_that_is_no_json_is_shown_as_text(stand: Stand) -> None:
    raw = b"name=\xff\xfe"
    headers = {"X-Webhook-Token": "secret", "Content-Type": "application/x-www-form-urlencoded"}
    assert (await stand.call("POST", SOURCE.path, data=raw, headers=headers)).status == 200
    [event] = (await stand.call("GET", PATH)).json["data"]
    assert (event["origin"], event["content_type"]) == ("inbound", "application/x-www-form-urlencoded")
    assert (await stand.call("GET", f"{PATH}/{event['id']}")).json["payload"] == "name=\ufffd\ufffd"


async def test_tenants_keep_to_themselves(stand: Stand) -> None:
    stand.use(tokens=(token("all", *Scope), token("acme", *Scope, tenant="acme")))
    for tenant in ("acme", "other", None):
        await stand.call("POST", "/api/v1/endpoints", {"url": "http://127.0.0.1:9/", "tenant": tenant}, token="all")
        body = {"type": "a", "payload": tenant, "id": "same", "tenant": tenant}
        assert (await stand.call("POST", PATH, body, token="all")).json["deliveries"] == 1
    newest = (await stand.call("GET", f"{PATH}/same", token="all")).json
    assert (newest["tenant"], [each["tenant"] for each in newest["deliveries"]]) == (None, [None])
    told = await stand.call("POST", PATH, {"type": "b", "payload": 1}, token="acme")
    own = (await stand.call("GET", f"{PATH}/{told.json['id']}", token="acme")).json
    assert (own["tenant"], len(own["deliveries"])) == ("acme", 1)
    listed = (await stand.call("GET", PATH, token="acme")).json["data"]
    assert [(each["id"], each["tenant"]) for each in listed] == [(own["id"], "acme"), ("same", "acme")]
    assert (await stand.call("GET", f"{PATH}/same", token="acme")).json["payload"] == "acme"
    refused = await stand.call("POST", PATH, {"type": "b", "payload": 1, "tenant": "other"}, token="acme")
    assert refused.status == 403


@pytest.mark.parametrize(
    ("data", "status"),
    [(b"", 400), (b"{", 400), (b"\xff", 400), (b'{"type":NaN}', 400), (b"[]", 422), (b'{"type":"a","type":"a"}', 422)],
)
async def test_what_is_no_object_is_refused(stand: Stand, data: bytes, status: int) -> None:
    assert (await stand.call("POST", PATH, data=data)).status == status


async def test_a_payload_that_is_too_large_is_refused(stand: Stand) -> None:
    body = {"type": "a", "payload": "x" * stand.box.site.max_body}
    assert (await stand.call("POST", PATH, body)).status == 413


async def test_a_compressed_body_is_refused(stand: Stand) -> None:
    told = await stand.call("POST", PATH, data=b"\x1f\x8b", headers={"Content-Encoding": "gzip"})
    assert told.status == 415


async def test_a_token_needs_the_scope_publish(stand: Stand) -> None:
    stand.use(tokens=(token("publisher", Scope.PUBLISH), token("reader", Scope.READ)))
    body = {"type": "a", "payload": 1}
    assert (await stand.call("POST", PATH, body)).status == 401
    assert (await stand.call("POST", PATH, body, token="reader")).status == 403
    told = await stand.call(
        "POST", PATH, data=json.dumps(body).encode(), token="publisher", headers={"Content-Type": "text/plain"}
    )
    assert told.status == 202
    assert (await stand.call("GET", PATH, token="publisher")).status == 403
    assert (await stand.call("GET", PATH, token="reader")).status == 200


async def test_the_time_of_an_event_is_the_clocks(stand: Stand) -> None:
    event = await stand.publish()
    assert (await stand.store.event(event["id"], None)).created_at == NOW
