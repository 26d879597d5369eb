"""Random requests on every route, trigger and source: nothing breaks, and what is refused leaves nothing behind."""

import json
import logging
from typing import Any
from urllib.parse import quote

import pytest
from aiohttp import ClientSession
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from yarl import URL

from hookd.model import Status
from hookd.store import DeliveryFilter, Page
from hookd.web.routes import ROUTES
from tests.web.stand import SOURCE, TRIGGER, Stand

PLACES = [(route.method, route.path) for route in ROUTES if not route.path.endswith("/test")]
PLACES += 8 * [("POST", "/api/v1/events"), ("POST", "/api/v1/endpoints"), ("POST", TRIGGER.path), ("POST", SOURCE.path)]
PLACES += [("GET", "/nowhere"), ("POST", "/api/v1/nowhere")]

MEMBERS = st.sampled_from(
    ["url", "type", "payload", "id", "tenant", "endpoints", "event_types", "headers", "metadata", "retry", "timeout",
     "secret", "overlap", "state", "scheme", "token", "event", "max_in_flight", "description", "name", "email",
     "course", "filter", "deliver_at"]
)  # fmt: skip
TELLING = st.sampled_from(
    ["http://127.0.0.1:9/", "http://10.0.0.1/", "a.b", "a.*", "*", "active", "disabled", "15s", "-1s", "standard",
     "token", "ep_nobody", "hookd.x", "", "\0", "\ud800", "é", "1h", "2026-01-01T00:00:00Z", "2026-01-01T00:00:00"]
)  # fmt: skip
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | TELLING | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(MEMBERS | st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
USUAL: dict[str, dict[str, object]] = {
    "/api/v1/events": {"type": "a.b", "payload": {"a": 1}},
    "/api/v1/endpoints": {"url": "http://127.0.0.1:9/", "event_types": ["a.*"]},
    "/api/register-webhook": {"url": "http://127.0.0.1:9/", "token": "t", "event": "a.b"},
    TRIGGER.path: dict.fromkeys(TRIGGER.required, "x"),
    SOURCE.path: {"id": "1", "type": "x"},
}
"""What a route expects; others expect less."""
DOCUMENTS = st.dictionaries(MEMBERS | st.text(max_size=5), VALUES, max_size=6).map(
    lambda body: json.dumps(body).encode()
)
BODIES = DOCUMENTS | VALUES.map(lambda value: json.dumps(value).encode()) | st.binary(max_size=40)
QUERIES = st.dictionaries(
    st.sampled_from(["limit", "cursor", "status", "endpoint", "event", "type", "tenant", "since", "until"])
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=5),
    st.sampled_from(["1", "250", "251", "-1", "failed", "pending", "1h", "2026-01-01T00:00:00Z", "bnVsbA", "0"])
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=9),
    max_size=3,
)
VISIBLE = st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=20)
HEADERS = st.fixed_dictionaries(
    {},
    optional={
        "Content-Type": st.sampled_from(["application/json", "text/plain", "", "application/json; charset=x"])
        | VISIBLE,
        "Content-Encoding": st.sampled_from(["identity", "gzip", "x"]),
        "Authorization": VISIBLE,
        "Origin": VISIBLE,
        "X-Forwarded-For": VISIBLE,
    },
)
WELCOME = st.fixed_dictionaries({}, optional={"Idempotency-Key": VISIBLE, "X-Webhook-Token": st.just("secret")})
"""Headers with which a request gets further."""


def usual(path: str) -> st.SearchStrategy[bytes]:
    """What a route expects, or nearly so."""
    changes: st.SearchStrategy[dict[str, object]] = st.just({}) | st.dictionaries(MEMBERS, VALUES, max_size=1)
    return changes.map(lambda change: json.dumps({**USUAL.get(path, {}), **change}).encode())


EVERYTHING = Page(10_000)
PUZZLED = (500, 501, 502, 504, 505)


async def census(stand: Stand) -> tuple[int, ...]:
    """Count the rows of all that a request could leave behind."""
    endpoints = await stand.store.endpoints(None, EVERYTHING)
    events = await stand.store.events(None, EVERYTHING)
    deliveries = await stand.store.deliveries(DeliveryFilter(), EVERYTHING)
    cancelled = await stand.store.deliveries(DeliveryFilter(status=Status.CANCELLED), EVERYTHING)
    return len(endpoints.items), len(events.items), len(deliveries.items), len(cancelled.items)


async def identity(stand: Stand, kind: str) -> str:
    """Answer the id of something that is there, where there is such a thing."""
    listed = (await stand.call("GET", f"/api/v1/{kind}?limit=1")).json["data"]
    return str(listed[0]["id"]) if listed else "ep_nobody"


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
async def test_no_request_breaks_anything(stand: Stand, caplog: pytest.LogCaptureFixture, data: st.DataObject) -> None:
    caplog.clear()
    caplog.set_level(logging.ERROR, "hookd")
    method, path = data.draw(st.sampled_from(PLACES))
    method = data.draw(st.sampled_from([method] * 6 + ["POST", "GET", "PATCH", "DELETE", "PUT"]))
    known = data.draw(st.sampled_from(["endpoints", "events", "deliveries"]))
    path = path.replace("{id}", data.draw(st.just(await identity(stand, known)) | TELLING.map(_quoted)))
    query = "&".join(f"{quote(name)}={quote(value)}" for name, value in data.draw(st.just({}) | QUERIES).items())
    body = data.draw(st.one_of(usual(path), usual(path), BODIES))
    headers = (
        {"Content-Type": "application/json"}
        | data.draw(WELCOME)
        | data.draw(st.one_of(st.just({}), st.just({}), HEADERS))
    )
    before = await census(stand)
    async with (
        ClientSession() as session,
        session.request(
            method, URL(f"{stand.url}{path}?{query}", encoded=True), data=body, headers=headers
        ) as response,
    ):
        text = await response.text("utf-8", "replace")
    assert response.status not in PUZZLED, (method, path, query, body, text)
    if response.status >= 400:
        _expect_explained(response.status, response.headers["Content-Type"], text)
        assert await census(stand) == before, (method, path, query, body, text)
    assert caplog.records == []


def _quoted(text: str) -> str:
    return quote(text, safe="", errors="replace")


def _expect_explained(status: int, content_type: str, text: str) -> None:
    """A source says `message`, as its sender expects; everything else is a problem, with a place for each fault."""
    document: Any = json.loads(text)
    if content_type.startswith("application/json"):
        assert (status, list(document)) == (401, ["message"])
        return
    assert content_type.startswith("application/problem+json")
    assert document["status"] == status
    assert document["detail"].isprintable()
    if status == 422:
        assert document["errors"]
        assert all(fault["pointer"] and fault["detail"] for fault in document["errors"])
