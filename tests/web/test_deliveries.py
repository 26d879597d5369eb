from typing import Any

import pytest
from aiohttp import web

from hookd.model import Scope
from tests.web.serving import serve
from tests.web.stand import Stand, token

PATH = "/api/v1/deliveries"


async def deliveries(stand: Stand, query: str = "") -> list[Any]:
    told = await stand.call("GET", PATH + query)
    assert told.status == 200, told.text
    data: list[Any] = told.json["data"]
    return data


async def test_deliveries_are_listed_newest_first(stand: Stand) -> None:
    endpoint = await stand.endpoint()
    events = [await stand.publish(type="a.b"), await stand.publish(type="a.c")]
    found = await deliveries(stand)
    assert [each["event"] for each in found] == [events[1]["id"], events[0]["id"]]
    assert found[0] == {
        "id": found[0]["id"],
        "event": events[1]["id"],
        "type": "a.c",
        "tenant": None,
        "endpoint": endpoint["id"],
        "status": "pending",
        "reason": None,
        "attempt_count": 0,
        "next_attempt_at": "2026-01-02T03:04:05.000Z",
        "last_error": None,
        "created_at": "2026-01-02T03:04:05.000Z",
    }
    read = (await stand.call("GET", f"{PATH}/{found[0]['id']}")).json
    assert read == {**found[0], "attempts": []}


async def test_filters_let_through_what_they_name(stand: Stand) -> None:
    one, two = await stand.endpoint(tenant="acme"), await stand.endpoint()
    event = await stand.publish(type="a.b", tenant="acme")
    stand.clock[0] += 3_600_000
    await stand.publish(type="a.c")
    [newer, older] = await deliveries(stand)
    for query, expected in [
        (f"?endpoint={one['id']}", [older]),
        (f"?endpoint={two['id']}", [newer]),
        (f"?event={event['id']}", [older]),
        ("?type=a.c", [newer]),
        ("?tenant=acme", [older]),
        ("?since=30m", [newer]),
        ("?until=30m", [older]),
        ("?since=2026-01-02T04:04:05%2B01:00&until=2026-01-02T03:04:06Z", [older]),
        ("?status=pending", [newer, older]),
        ("?status=failed", []),
        ("?type=a.c&tenant=acme", []),
        ("?event=evt_none", []),
    ]:
        assert await deliveries(stand, query) == expected, query


@pytest.mark.parametrize(
    ("query", "pointers"),
    [
        ("status=dead", ["?status"]),
        ("type=a.*", ["?type"]),
        ("tenant=", ["?tenant"]),
        ("endpoint=", ["?endpoint"]),
        ("event=%00", ["?event"]),
        ("since=2026-01-02T03:04:05", ["?since"]),
        ("until=yesterday&since=1x&status=", ["?until", "?since", "?status"]),
        ("limit=999&status=x&tenant=%00&cursor=1&zzz=&zzz=", ["?limit", "?status", "?tenant", "?cursor", "?zzz"]),
        ("colour=red", ["?colour"]),
    ],
)
async def test_every_fault_of_a_filter_is_named(stand: Stand, query: str, pointers: list[str]) -> None:
    told = await stand.call("GET", f"{PATH}?{query}")
    assert (told.status, told.pointers) == (422, pointers), told.text


async def test_of_many_attempts_the_latest_are_shown(stand: Stand) -> None:
    endpoint = await stand.endpoint()
    await stand.call("POST", f"/api/v1/endpoints/{endpoint['id']}/test")
    await stand.publish()  # committed after the attempt, so that this is on record
    [failed] = await deliveries(stand, "?status=failed")
    await stand.repeat_attempts(failed["id"], 140)
    read = (await stand.call("GET", f"{PATH}/{failed['id']}")).json
    assert [attempt["number"] for attempt in read["attempts"]] == list(range(41, 141))
    assert read["attempt_count"] == 140


async def test_attempts_are_shown_with_their_delivery(stand: Stand) -> None:
    async def hook(request: web.Request) -> web.Response:
        return web.Response(status=500, body=b"\x00oops", headers={"X-Answer": "1"})

    receiver = web.Application()
    receiver.router.add_post("/", hook)
    async with serve(receiver) as url:
        endpoint = await stand.endpoint(url=url)
        attempt = (await stand.call("POST", f"/api/v1/endpoints/{endpoint['id']}/test")).json
    await stand.publish()  # committed after the attempt, so that this is on record
    [failed] = await deliveries(stand, "?status=failed")
    assert (failed["type"], failed["attempt_count"]) == ("hookd.test", 1)
    read = (await stand.call("GET", f"{PATH}/{failed['id']}")).json
    assert read["attempts"] == [attempt]
    assert (attempt["outcome"], attempt["status_code"], attempt["response_body"]) == ("http_5xx", 500, "\0oops")


async def test_a_delivery_is_cancelled_and_retried(stand: Stand) -> None:
    endpoint = await stand.endpoint()
    await stand.publish()
    [delivery] = await deliveries(stand)
    path = f"{PATH}/{delivery['id']}"
    cancelled = await stand.call("POST", path + "/cancel")
    assert (cancelled.status, cancelled.json["status"], cancelled.json["next_attempt_at"]) == (200, "cancelled", None)
    assert await deliveries(stand, "?status=cancelled") == [cancelled.json]
    retried = await stand.call("POST", path + "/retry", {})
    assert (retried.status, retried.json["status"]) == (200, "pending")
    await stand.call("PATCH", f"/api/v1/endpoints/{endpoint['id']}", {"state": "disabled"})
    refused = await stand.call("POST", path + "/retry")
    assert refused.status == 409
    assert "disabled" in refused.json["detail"]
    assert (await stand.call("POST", path + "/retry", {"force": True})).pointers == ["#/force"]


async def test_a_tenant_sees_its_own_deliveries_alone(stand: Stand) -> None:
    for tenant in ("acme", "other", None):
        await stand.endpoint(tenant=tenant)
        await stand.publish(tenant=tenant)
    stand.use(tokens=(token("acme", *Scope, tenant="acme"), token("all", *Scope)))
    everything = (await stand.call("GET", PATH, token="all")).json["data"]
    assert [each["tenant"] for each in everything] == [None, "other", "acme"]
    listed = (await stand.call("GET", PATH, token="acme")).json["data"]
    assert listed == everything[2:]
    assert (await stand.call("GET", PATH + "?tenant=other", token="acme")).status == 403
    for delivery in everything[:2]:
        for method, action in [("GET", ""), ("POST", "/retry"), ("POST", "/cancel")]:
            assert (await stand.call(method, f"{PATH}/{delivery['id']}{action}", token="acme")).status == 404
