import asyncio
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hookd.model import Scope
from hookd.web.routes import ROUTES, Route
from tests.store.stand import Open, sqlite
from tests.web.stand import SOURCE, TRIGGER, Stand, token


@pytest.fixture
def open_in() -> Open:
    """What is asked here is HTTP's matter, whatever the store."""
    return sqlite


def path_of(template: str) -> str:
    return template.replace("{id}", "ep_none")


PATHS = sorted({path_of(route.path) for route in ROUTES})


@pytest.mark.parametrize("path", PATHS)
async def test_a_wrong_method_is_told_the_right_ones(stand: Stand, path: str) -> None:
    methods = {route.method for route in ROUTES if path_of(route.path) == path}
    told = await stand.call("PUT", path)
    assert (told.status, told.headers["Content-Type"]) == (405, "application/problem+json")
    assert set(told.headers["Allow"].split(", ")) == methods | ({"HEAD"} if "GET" in methods else set())


async def test_a_trigger_takes_a_post_alone(stand: Stand) -> None:
    told = await stand.call("GET", TRIGGER.path)
    assert (told.status, told.headers["Allow"]) == (405, "POST")


@pytest.mark.parametrize("path", ["/api/v1/nothing", "/api/v1/endpoints/", "/api", "/favicon.ico", "//", "/é"])
async def test_a_path_that_nothing_has_is_a_problem(stand: Stand, path: str) -> None:
    told = await stand.call("GET", path)
    assert (told.status, told.headers["Content-Type"]) == (404, "application/problem+json")


async def test_a_head_is_answered_as_a_get_without_its_body(stand: Stand) -> None:
    told = await stand.call("HEAD", "/healthz")
    assert (told.status, told.text, told.headers["Content-Length"]) == (200, "", "16")


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{route.method} {route.path}")
async def test_every_route_asks_for_its_scope(stand: Stand, route: Route) -> None:
    others = token("others", *(scope for scope in Scope if scope is not route.scope))
    stand.use(tokens=(others,))
    path = path_of(route.path)
    if route.scope is None:
        assert (await stand.call(route.method, path)).status == 200
        return
    assert (await stand.call(route.method, path)).status == 401
    refused = await stand.call(route.method, path, token="others")
    assert refused.status == 403
    assert f"'{route.scope.value}'" in refused.json["detail"]


async def test_a_reload_adds_and_takes_away_paths(stand: Stand) -> None:
    source, trigger = replace(SOURCE, path="/hooks/new"), replace(TRIGGER, path="/api/new")
    headers = {"X-Webhook-Token": "secret"}
    assert (await stand.call("POST", source.path, {}, headers=headers)).status == 404
    stand.use(sources={source.path: source}, triggers={trigger.path: trigger})
    assert (await stand.call("POST", source.path, {}, headers=headers)).status == 200
    assert (await stand.call("POST", trigger.path, {})).status == 422
    assert (await stand.call("POST", SOURCE.path, {}, headers=headers)).status == 404
    assert (await stand.call("POST", TRIGGER.path, {})).status == 404


async def test_the_second_address_has_the_sources_alone(stand: Stand) -> None:
    stand.url = stand.inbound_url
    assert (await stand.call("POST", SOURCE.path, {}, headers={"X-Webhook-Token": "secret"})).status == 200
    for path in [*PATHS, TRIGGER.path]:
        assert (await stand.call("POST", path, {})).status == 404


async def test_health_and_readiness(stand: Stand) -> None:
    assert (await stand.call("GET", "/healthz")).status == 200
    assert (await stand.call("GET", "/readyz")).status == 200
    stand.unready.append("the disk is full")
    told = await stand.call("GET", "/readyz")
    assert (told.status, told.json["detail"]) == (503, "the disk is full")
    assert int(told.headers["Retry-After"]) > 0
    assert (await stand.call("GET", "/healthz")).status == 200


async def test_metrics_are_in_the_text_format(stand: Stand) -> None:
    await stand.endpoint()
    await stand.publish()
    stand.clock[0] += 2000
    told = await stand.call("GET", "/metrics")
    assert told.headers["Content-Type"].startswith("text/plain; version=0.0.4")
    lines = told.text.splitlines()
    assert 'hookd_outbox_depth{status="pending"} 1.0' in lines
    assert 'hookd_endpoints{state="active"} 1.0' in lines
    assert "hookd_outbox_oldest_due_seconds 2.0" in lines


async def test_what_waits_for_a_paused_endpoint_is_not_overdue(stand: Stand) -> None:
    endpoint = await stand.endpoint()
    await stand.call("PATCH", f"/api/v1/endpoints/{endpoint['id']}", {"state": "paused"})
    await stand.publish()
    stand.clock[0] += 2000
    lines = (await stand.call("GET", "/metrics")).text.splitlines()
    assert 'hookd_outbox_depth{status="pending"} 1.0' in lines
    assert "hookd_outbox_oldest_due_seconds 0.0" in lines


async def test_metrics_are_of_all_tenants_and_for_no_token_that_is_bound_to_one(stand: Stand) -> None:
    stand.use(tokens=(token("acme", *Scope, tenant="acme"), token("all", Scope.READ)))
    assert (await stand.call("GET", "/metrics", token="all")).status == 200
    told = await stand.call("GET", "/metrics", token="acme")
    assert (told.status, told.headers["Content-Type"]) == (403, "application/problem+json")
    assert "a token without a tenant" in told.json["detail"]


hostile = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
names = st.sampled_from(
    ["url", "type", "payload", "id", "tenant", "endpoints", "event_types", "headers", "metadata", "retry", "timeout",
     "secret", "overlap", "state", "scheme", "token", "event", "max_in_flight", "description", "name", "email",
     "course"]
)  # fmt: skip
WRITES = [(route.method, route.path) for route in ROUTES if route.method != "GET"] + [("POST", TRIGGER.path)]


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
async def test_no_body_is_a_mishap(stand: Stand, data: st.DataObject) -> None:
    method, path = data.draw(st.sampled_from(WRITES))
    body = data.draw(st.dictionaries(names, hostile, max_size=6))
    body.setdefault("url", "http://127.0.0.1:9/")
    body.setdefault("type", "a")
    listed = (await stand.call("GET", "/api/v1/endpoints?limit=1")).json["data"]
    identity = listed[0]["id"] if listed else (await stand.endpoint())["id"]
    if path.endswith("/test"):
        return
    told = await stand.call(method, path.replace("{id}", identity), body)
    assert told.status < 500, (method, path, body, told.text)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    method=st.sampled_from([b"GET", b"POST", b"PATCH", b"DELETE", b"BREW"]),
    path=st.sampled_from([path.encode() for path in PATHS]),
    tail=st.binary(max_size=12)
    | st.sampled_from([b"?%", b"?%zz=%ff", b"?limit=%00", b"?=&==", b"/%ff", b"#?", b"?\xff"]),
    body=st.binary(max_size=12),
)
async def test_no_request_is_a_mishap(stand: Stand, method: bytes, path: bytes, tail: bytes, body: bytes) -> None:
    host, port = stand.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    head = b"Host: localhost\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: %d" % len(body)
    writer.write(b"%b %b%b HTTP/1.1\r\n%b\r\n\r\n%b" % (method, path, tail, head, body))
    writer.write_eof()
    line = await reader.readline()
    writer.close()
    assert line == b"" or line.split(b" ")[1] in (b"200", b"400", b"404", b"405", b"422"), line


async def test_while_it_stops_it_says_so_and_takes_nothing_in(stand: Stand) -> None:
    stand.unready.append("stopping")
    assert (await stand.call("GET", "/healthz")).status == 200
    for method, path in (
        ("GET", "/readyz"),
        ("POST", "/api/v1/events"),
        ("POST", "/api/purchase"),
        ("POST", "/webhook"),
    ):
        told = await stand.call(method, path, {} if method == "POST" else None)
        assert told.status == 503, path
        assert "stopping" in told.json["detail"]
        assert told.headers["Retry-After"]
