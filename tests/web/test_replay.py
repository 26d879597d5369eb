from typing import Any

import pytest

from tests.web.stand import Stand

PATH = "/api/v1/endpoints"


async def test_an_endpoint_is_sent_what_was_published_before_it_was_there(stand: Stand) -> None:
    event = await stand.publish(type="a.b")
    stand.clock[0] += 1000
    endpoint = await stand.endpoint()
    path = f"{PATH}/{endpoint['id']}/replay"
    told = await stand.call("POST", path, {"since": "1h", "dry_run": True})
    assert (told.status, told.json) == (200, {"deliveries": 1, "dry_run": True})
    assert (await stand.call("GET", "/api/v1/deliveries")).json["data"] == []
    told = await stand.call("POST", path, {"since": "2026-01-02T03:04:05Z", "status": ["failed", "delivered"]})
    assert told.json == {"deliveries": 1, "dry_run": False}
    (delivery,) = (await stand.call("GET", "/api/v1/deliveries")).json["data"]
    assert (delivery["event"], delivery["status"]) == (event["id"], "pending")


@pytest.mark.parametrize(
    ("body", "pointers"),
    [
        ({}, ["#/since"]),
        ({"since": 5}, ["#/since"]),
        ({"since": "2026-01-02T03:04:05"}, ["#/since"]),
        ({"since": "9999-01-02T03:04:05Z"}, ["#/since"]),
        ({"since": "1h", "until": "soon"}, ["#/until"]),
        ({"since": "1h", "until": "2h"}, ["#/until"]),
        ({"since": "1h", "until": "1h"}, ["#/until"]),
        ({"since": "1h", "status": "pending"}, ["#/status"]),
        ({"since": "1h", "status": []}, ["#/status"]),
        ({"since": "1h", "status": [["failed"]]}, ["#/status"]),
        ({"since": "1h", "event_types": []}, ["#/event_types"]),
        ({"since": "1h", "dry_run": 1}, ["#/dry_run"]),
        ({"since": "1h", "limit": 1}, ["#/limit"]),
    ],
)
async def test_every_fault_is_named(stand: Stand, body: Any, pointers: list[str]) -> None:
    endpoint = await stand.endpoint()
    told = await stand.call("POST", f"{PATH}/{endpoint['id']}/replay", body)
    assert (told.status, told.pointers) == (422, pointers), told.text


async def test_an_endpoint_that_is_not_there(stand: Stand) -> None:
    assert (await stand.call("POST", f"{PATH}/ep_none/replay", {"since": "1h"})).status == 404
