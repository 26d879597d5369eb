"""Filters of endpoints and handlers, from the API to the outbox."""

from typing import Any

import pytest

from hookd.model import Handler
from hookd.policy.declare import declared
from hookd.store.replay import FILTERED_AT_ONCE
from tests.web.stand import Stand

PATH = "/api/v1/endpoints"
LARGE = {"body": {"amount": [{"numeric": [">=", 100]}]}}


async def got(stand: Stand, **wanted: str) -> list[Any]:
    """List deliveries, oldest first."""
    query = "&".join(f"{name}={value}" for name, value in {"limit": 250, **wanted}.items())
    listed: list[Any] = (await stand.call("GET", f"/api/v1/deliveries?{query}")).json["data"]
    return listed[::-1]


async def receive(stand: Stand, body: bytes) -> None:
    headers = {"X-Webhook-Token": "secret"}
    assert (await stand.call("POST", "/webhook", data=body, headers=headers)).status == 200


async def test_an_event_that_does_not_pass_gets_no_delivery(stand: Stand) -> None:
    filtered = await stand.endpoint(event_types=["order.*"], filter=LARGE)
    other = await stand.endpoint(event_types=["order.*"])
    small, large = [await stand.publish(payload={"amount": amount}) for amount in (99, 100)]
    assert (small["deliveries"], large["deliveries"]) == (1, 2)
    assert [each["event"] for each in await got(stand, endpoint=filtered["id"])] == [large["id"]]
    assert [each["event"] for each in await got(stand, endpoint=other["id"])] == [small["id"], large["id"]]
    assert (await stand.publish(type="invoice.paid", payload={"amount": 100}))["deliveries"] == 0


async def test_where_no_filter_lets_an_event_pass_the_producer_is_told(stand: Stand) -> None:
    await stand.endpoint(filter=LARGE)
    told = await stand.publish(id="small", payload={"amount": 1})
    assert told["deliveries"] == 0
    assert "subscribes to order.created, or its filter does not let this event pass" in told["note"]
    again = await stand.call(
        "POST", "/api/v1/events", {"type": "order.created", "payload": {"amount": 1}, "id": "small"}
    )
    assert (again.status, again.json) == (200, told)


async def test_a_filter_over_the_type(stand: Stand) -> None:
    await stand.endpoint(filter={"$not": {"type": [{"prefix": "order.draft."}, "order.test"]}})
    types = ("order.paid", "order.test", "order.draft.new", "order.drafted")
    assert [(await stand.publish(type=each))["deliveries"] for each in types] == [1, 0, 0, 1]


async def test_what_is_named_in_a_publish_is_sent_past_the_filter(stand: Stand) -> None:
    filtered = await stand.endpoint(event_types=["invoice.paid"], filter=LARGE)
    told = await stand.publish(payload={"amount": 1}, endpoints=[filtered["id"]])
    assert told["deliveries"] == 1
    assert [each["event"] for each in await got(stand)] == [told["id"]]


async def test_a_change_of_a_filter_is_effective_at_once_and_null_removes_it(stand: Stand) -> None:
    made = await stand.endpoint(filter=LARGE)
    path = f"{PATH}/{made['id']}"
    assert (await stand.publish(payload={"amount": 5}))["deliveries"] == 0
    lower = {"filter": {"body": {"amount": [{"numeric": [">=", 5]}]}}}
    assert (await stand.call("PATCH", path, lower)).json["filter"] == lower["filter"]
    assert (await stand.publish(payload={"amount": 5}))["deliveries"] == 1
    merged = (await stand.call("PATCH", path, {"filter": {"body": {"country": ["DE"]}}})).json["filter"]
    assert merged == {"body": {"amount": [{"numeric": [">=", 5]}], "country": ["DE"]}}, "as a merge patch does"
    assert (await stand.publish(payload={"amount": 5}))["deliveries"] == 0
    assert (await stand.call("PATCH", path, {"description": "x"})).json["filter"] == merged
    assert (await stand.call("PATCH", path, {"filter": None})).json["filter"] is None
    assert (await stand.call("GET", path)).json["filter"] is None
    assert (await stand.publish(payload={"amount": 4}))["deliveries"] == 1


async def test_a_faulty_change_of_a_filter_changes_nothing(stand: Stand) -> None:
    made = await stand.endpoint(filter=LARGE)
    path = f"{PATH}/{made['id']}"
    told = await stand.call("PATCH", path, {"filter": {"body": {"country": "DE"}}})
    assert (told.status, told.pointers) == (422, ["#/filter/body/country"])
    assert (await stand.call("GET", path)).json["filter"] == LARGE
    told = await stand.call("PATCH", path, {"filter": {"body": {"amount": None}}})
    assert (told.status, told.pointers) == (422, ["#/filter/body"])


@pytest.mark.parametrize(("state", "status"), [("paused", "pending"), ("disabled", "cancelled")])
async def test_whatever_its_state_an_endpoint_gets_only_what_passes(stand: Stand, state: str, status: str) -> None:
    made = await stand.endpoint(filter=LARGE)
    await stand.call("PATCH", f"{PATH}/{made['id']}", {"state": state})
    _, large = [await stand.publish(payload={"amount": amount}) for amount in (99, 100)]
    assert [(each["event"], each["status"]) for each in await got(stand)] == [(large["id"], status)]


async def test_an_ordered_endpoint_with_a_filter_keeps_the_order_of_what_passes(stand: Stand) -> None:
    await stand.endpoint(filter=LARGE, ordered=True)
    events = [await stand.publish(payload={"amount": amount}, ordering_key="a") for amount in (100, 1, 101)]
    assert [each["event"] for each in await got(stand)] == [events[0]["id"], events[2]["id"]]


async def test_a_filter_sees_its_tenants_events_alone(stand: Stand) -> None:
    await stand.endpoint(filter=LARGE, tenant="acme")
    assert (await stand.publish(payload={"amount": 100}))["deliveries"] == 0
    assert (await stand.publish(payload={"amount": 100}, tenant="acme"))["deliveries"] == 1


async def test_what_a_source_takes_in_passes_too_or_not(stand: Stand) -> None:
    present = await stand.endpoint(event_types=["automator.*"], filter={"body": {"amount": [{"exists": True}]}})
    absent = await stand.endpoint(event_types=["automator.*"], filter={"body": {"amount": [{"exists": False}]}})
    for body in (b'{"amount": 1}', b"{}", b"amount=1", b"\xff"):
        await receive(stand, body)
    assert [len(await got(stand, endpoint=each["id"])) for each in (present, absent)] == [1, 3]


async def test_a_handler_gets_only_what_passes(stand: Stand) -> None:
    handler = Handler("large", ("*",), "log:{amount}", filter=declared(LARGE))
    await stand.store.set_handlers({handler.id: handler})
    _, large = [await stand.publish(payload={"amount": amount}) for amount in (99, 100)]
    assert [(each["event"], each["endpoint"]) for each in await got(stand)] == [(large["id"], "handler:large")]


async def test_a_test_is_sent_past_the_filter(stand: Stand) -> None:
    made = await stand.endpoint(filter=LARGE)
    told = await stand.call("POST", f"{PATH}/{made['id']}/test", {})
    assert (told.status, told.json["outcome"]) == (200, "connect")


async def test_a_replay_makes_only_those_that_pass(stand: Stand) -> None:
    amounts = [99, 100] * FILTERED_AT_ONCE
    events = [await stand.publish(payload={"amount": amount}) for amount in amounts]
    made = await stand.endpoint(filter=LARGE)
    path = f"{PATH}/{made['id']}/replay"
    for dry_run in (True, False):
        told = await stand.call("POST", path, {"since": "1h", "dry_run": dry_run})
        assert told.json["deliveries"] == FILTERED_AT_ONCE
    assert [each["event"] for each in await got(stand)] == [each["id"] for each in events[1::2]]
    assert (await stand.call("POST", path, {"since": "1h"})).json["deliveries"] == 0


async def test_a_replay_queues_again_what_was_made_before_there_was_a_filter(stand: Stand) -> None:
    made = await stand.endpoint()
    small = await stand.publish(payload={"amount": 99})
    (delivery,) = await got(stand)
    assert (await stand.call("POST", f"/api/v1/deliveries/{delivery['id']}/cancel", {})).status == 200
    await stand.call("PATCH", f"{PATH}/{made['id']}", {"filter": LARGE})
    told = await stand.call("POST", f"{PATH}/{made['id']}/replay", {"since": "1h"})
    assert told.json["deliveries"] == 1
    assert [(each["event"], each["status"]) for each in await got(stand)] == [(small["id"], "pending")]


async def test_a_filter_whose_type_is_never_sent_is_refused(stand: Stand) -> None:
    asked = {"url": "http://127.0.0.1:9/", "event_types": ["order.*", "user.created"]}
    for types in (["invoice.paid"], ["order"], ["user.created.twice", "user"]):
        told = await stand.call("POST", "/api/v1/endpoints", {**asked, "filter": {"type": types}})
        assert (told.status, told.pointers) == (422, ["#/filter"])
    for fitting in (["order.paid"], ["invoice.paid", "user.created"], [{"prefix": "x"}]):
        made = await stand.endpoint(**asked, filter={"type": fitting})
    path = f"/api/v1/endpoints/{made['id']}"
    assert (await stand.call("PATCH", path, {"filter": {"type": ["invoice.paid"]}})).pointers == ["#/filter"]
    assert (await stand.call("PATCH", path, {"event_types": None, "filter": {"type": ["a.b"]}})).status == 200
