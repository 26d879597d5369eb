"""Text that not every database keeps: NUL is refused where a person sends it, whichever store there is."""

from typing import Any

import pytest

from hookd.web.routes import ROUTES
from tests.web.stand import SOURCE, TRIGGER, Stand

NUL = "a\0b"
EVENT = {"type": "order.created", "payload": {}}
ENDPOINT = {"url": "http://127.0.0.1:9/"}
TOLD = {"url": "http://127.0.0.1:9/", "event": "purchase", "token": "t"}
EVENTS, ENDPOINTS, REGISTER = "/api/v1/events", "/api/v1/endpoints", "/api/register-webhook"

BODIES: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    *((EVENTS, EVENT, {name: NUL}) for name in ("type", "id", "tenant", "ordering_key")),
    (EVENTS, EVENT, {"endpoints": [NUL]}),
    (EVENTS, EVENT, {NUL: "x"}),
    *((ENDPOINTS, ENDPOINT, {name: NUL}) for name in ("url", "scheme", "description", "token", "secret", "tenant")),
    *((ENDPOINTS, ENDPOINT, {name: NUL}) for name in ("format", "rate_limit", "timeout")),
    (ENDPOINTS, ENDPOINT, {"event_types": [NUL]}),
    (ENDPOINTS, ENDPOINT, {"headers": {"X-A": NUL}}),
    (ENDPOINTS, ENDPOINT, {"headers": {NUL: "x"}}),
    (ENDPOINTS, ENDPOINT, {"metadata": {"a": NUL}}),
    (ENDPOINTS, ENDPOINT, {"metadata": {NUL: "x"}}),
    *((REGISTER, TOLD, {name: NUL}) for name in TOLD),
]


@pytest.mark.parametrize(("path", "body", "changes"), BODIES)
async def test_no_body_brings_it_in(stand: Stand, path: str, body: Any, changes: dict[str, Any]) -> None:
    told = await stand.call("POST", path, {**body, **changes})
    assert (told.status, len(told.pointers)) == (422, 1)


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("PATCH", "", {"description": NUL}),
        ("PATCH", "", {"metadata": {"a": NUL}}),
        ("POST", "/secret/rotate", {"secret": NUL}),
        ("POST", "/secret/rotate", {"scheme": NUL}),
        ("POST", "/replay", {"since": NUL}),
        ("POST", "/replay", {"since": "1h", "event_types": [NUL]}),
    ],
)
async def test_no_change_brings_it_in(stand: Stand, method: str, path: str, body: Any) -> None:
    made = await stand.endpoint()
    assert (await stand.call(method, f"{ENDPOINTS}/{made['id']}{path}", body)).status == 422


@pytest.mark.parametrize("route", [each for each in ROUTES if "{id}" in each.path], ids=lambda it: it.method + it.path)
async def test_nothing_has_such_an_id(stand: Stand, route: Any) -> None:
    told = await stand.call(route.method, route.path.format(id="a%00b"), data=b'{"since": "1h"}')
    if told.status == 422:  # no body was expected
        told = await stand.call(route.method, route.path.format(id="a%00b"))
    assert told.status == 404
    assert told.json["detail"] == "there is nothing at " + route.path.format(id=r"a\x00b")


@pytest.mark.parametrize(
    ("path", "name"),
    sorted({(each.path, name) for each in ROUTES if each.path.startswith("/api") for name in each.parameters}),
)
async def test_no_list_is_asked_for_it(stand: Stand, path: str, name: str) -> None:
    told = await stand.call("GET", f"{path}?{name}=a%00b")
    assert (told.status, told.pointers) == (422, [f"?{name}"])


async def test_a_payload_may_hold_it_as_any_other_bytes(stand: Stand) -> None:
    payload = {"text": NUL}
    published = await stand.publish(payload=payload)
    assert (await stand.call("GET", f"{EVENTS}/{published['id']}")).json["payload"] == payload
    purchase = {"name": NUL, "email": NUL, "course": NUL}
    assert (await stand.call("POST", TRIGGER.path, purchase)).status < 300
    told = await stand.call("POST", SOURCE.path, purchase, headers={"X-Webhook-Token": "secret"})
    assert told.status == 200
    assert len((await stand.call("GET", EVENTS)).json["data"]) == 3
