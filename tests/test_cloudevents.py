"""CloudEvents taken in: from their own library, from anybody, and from who sends nonsense."""

import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from cloudevents.core.base import BaseCloudEvent
from cloudevents.core.bindings.http import (
    HTTPMessage,
    from_http_event,
    from_structured_event,
    to_binary_event,
    to_structured_event,
)
from cloudevents.core.v1.event import CloudEvent
from hypothesis import given
from hypothesis import strategies as st

from hookd import cloudevents, sign
from hookd.cloudevents import Taken
from hookd.errors import SignatureError, Unreadable
from hookd.metrics import Metrics
from hookd.model import EMPTY, Field, Source
from hookd.receive import Receiver
from hookd.store import Accepted
from tests import receivers
from tests.daemons import LOOPBACK, Daemon
from tests.nouns import SECRET
from tests.store.stand import Stand, sqlite, stand_on
from tests.test_receive import SIGNED, SOURCE, TOKEN, receiver_on
from tests.web import stand as web

GRID = replace(SOURCE, name="grid", format="cloudevents", id=None, type=None)
SIGNED_GRID = replace(GRID, scheme=SIGNED.scheme, secrets=SIGNED.secrets)
STRUCTURED = "application/cloudevents+json"
MINIMAL = {"specversion": "1.0", "id": "7", "source": "/grid", "type": "com.example.sold"}
IN_HEADERS = {f"ce-{name}": value for name, value in MINIMAL.items()}

Text = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=30)
Zone = st.integers(-12 * 60, 12 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))
Attributes = st.fixed_dictionaries(
    {
        "id": Text,
        "source": Text.filter(lambda text: not any(map(str.isspace, text))),
        "type": Text,
        "time": st.datetimes(datetime(1970, 1, 1), datetime(2100, 1, 1), timezones=Zone | st.just(UTC)),
    },
    optional={"subject": Text, "ext1": Text, "dataschema": st.just("https://example.com/%20a")},
)
Values = st.recursive(st.none() | st.booleans() | st.integers() | Text, st.lists, max_leaves=5)
JsonData = st.dictionaries(Text, Values, max_size=3)


def taken(message: HTTPMessage) -> Taken:
    headers = {name.lower(): [value] for name, value in message.headers.items()}
    return cloudevents.take(headers, message.headers.get("content-type", "application/octet-stream"), message.body)


def binary_of(kept: bytes) -> HTTPMessage:
    """Answer a kept CloudEvent in binary mode."""
    return HTTPMessage(*cloudevents.binary.write(cloudevents.structured.read(kept)))


def told(event: BaseCloudEvent) -> dict[str, Any]:
    return {name: value for name, value in event.get_attributes().items() if name != "datacontenttype"}


# From the library, and back to it.


@given(Attributes, JsonData, st.sampled_from(["application/json", "application/a+json"]), st.booleans())
def test_what_the_library_sends_it_reads_again(
    attributes: dict[str, Any], data: dict[str, Any], content_type: str, structured: bool
) -> None:
    sent = CloudEvent({**attributes, "datacontenttype": content_type}, data)
    message = to_structured_event(sent) if structured else to_binary_event(sent)
    kept = taken(message)
    assert (kept.key, kept.type) == (f"{attributes['source']} {attributes['id']}", attributes["type"])
    assert kept.content_type == STRUCTURED
    assert not structured or kept.body == message.body
    for read in (from_structured_event(HTTPMessage({}, kept.body)), from_http_event(binary_of(kept.body))):
        assert told(read) == told(sent)
        assert read.get_datacontenttype() == content_type
        assert (read.get_data() or {}) == data


@given(Attributes, st.binary(min_size=1), st.sampled_from(["text/plain", "image/png", "application/json"]))
def test_data_of_any_bytes_comes_through(attributes: dict[str, Any], data: bytes, content_type: str) -> None:
    sent = CloudEvent({**attributes, "datacontenttype": content_type}, data)
    in_headers = to_binary_event(sent)
    assert in_headers.body == data
    for message in (in_headers, to_structured_event(sent)):
        kept = taken(message)
        again = binary_of(kept.body)
        assert (again.body, again.headers["content-type"]) == (data, content_type)
        assert told(from_http_event(again)) == told(sent)
        assert taken(again).key == kept.key


@given(Attributes)
def test_without_data(attributes: dict[str, Any]) -> None:
    sent = CloudEvent(attributes)
    for message in (to_binary_event(sent), to_structured_event(sent)):
        kept = taken(message)
        assert "data" not in json.loads(kept.body)
        assert binary_of(kept.body).body == b""
        assert from_structured_event(HTTPMessage({}, kept.body)).get_data() is None


# From anybody.


def structured(body: str | bytes) -> Taken:
    return cloudevents.take({}, STRUCTURED, body.encode() if isinstance(body, str) else body)


def in_headers(headers: Mapping[str, str | list[str]] = EMPTY, body: bytes = b"", kind: str | None = None) -> Taken:
    """Take in a minimal CloudEvent in binary mode, with these attributes besides or in place of its own."""
    own = {**MINIMAL, **headers}
    given = {f"ce-{name}": value if isinstance(value, list) else [value] for name, value in own.items()}
    if kind is not None:
        given["content-type"] = [kind]
    return cloudevents.take(given, kind or "application/octet-stream", body)


@pytest.mark.parametrize(
    ("said", "means"),
    [
        ("Euro%20%E2%82%AC%20%F0%9F%98%80", "Euro € 😀"),  # the example of http-protocol-binding.md, 3.1.3.2
        ('"a \\"b\\" \\\\ %20"', 'a "b" \\  '),
        ("%e2%82%ac %41%", "€ A%"),
        ("100%", "100%"),
        ("%2520", "%20"),
        ('"', '"'),
        ("\xe2\x82\xac", "€"),  # as some older libraries write it
    ],
)
def test_values_in_headers_are_unquoted_and_decoded_once(said: str, means: str) -> None:
    assert json.loads(in_headers({"subject": said}).body)["subject"] == means


@pytest.mark.parametrize("said", ["%C0%A0", "%ff", "\xff", "%ED%A0%80", "%00", "€"])
def test_what_is_no_utf_8_in_a_header_is_refused(said: str) -> None:
    with pytest.raises(ValueError, match="subject"):
        in_headers({"subject": said})


@pytest.mark.parametrize(
    ("content_type", "body", "member"),
    [
        ("application/json; charset=utf-8", b'{"b":1.0,  "a":2}\n', b'"data":{"b":1.0,  "a":2}\n}'),
        ("application/json", b"\xff", b'"data_base64":"/w=="}'),
        ("text/plain", b"{}", b'"data_base64":"e30="}'),
        (None, b"{}", b'"type":"com.example.sold","data_base64":"e30="}'),
        ("text/plain", b"", b'"datacontenttype":"text/plain"}'),
    ],
)
def test_what_comes_in_binary_mode_is_kept_as_one_object(content_type: str | None, body: bytes, member: bytes) -> None:
    kept = in_headers(EMPTY, body, content_type)
    assert kept.body.startswith(b'{"specversion":"1.0","id":"7","source":"/grid","type":"com.example.sold"')
    assert kept.body.endswith(member)
    again = binary_of(kept.body)
    assert (again.body, again.headers.get("content-type")) == (body.strip(), content_type)


@pytest.mark.parametrize(
    ("members", "content_type", "body"),
    [
        ('"data": null', "application/json", b"null"),
        ('"data": "a"', "application/json", b'"a"'),
        ('"data": {"a" : "\\ud800"}', "application/json", b'{"a" : "\\ud800"}'),
        ('"datacontenttype": "text/x", "data": "\\u20ac"', "text/x", "€".encode()),
        ('"datacontenttype": "text/x;charset=ISO-8859-1", "data": "é"', "text/x;charset=ISO-8859-1", b"\xe9"),
        ('"datacontenttype": "a/b", "data_base64": "/w=="', "a/b", b"\xff"),
        ('"data_base64": "/w=="', None, b"\xff"),
        ('"data_base64": null, "subject": null', None, b""),
    ],
)
def test_structured_data_means_these_bytes(members: str, content_type: str | None, body: bytes) -> None:
    text = f"{json.dumps(MINIMAL)[:-1]}, {members}}}"
    kept = structured(text)
    assert kept.body == text.encode()
    again = binary_of(kept.body)
    assert (again.body, again.headers.pop("content-type", None)) == (body, content_type)
    assert again.headers == IN_HEADERS


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"specversion": "0.3"}, "specversion"),
        ({"specversion": None}, "specversion"),
        ({"id": None}, "id"),
        ({"id": ""}, "id"),
        ({"id": 7}, "id"),
        ({"source": ""}, "source"),
        ({"source": "/a b"}, "source"),
        ({"type": None}, "type"),
        ({"type": ["a"]}, "type"),
        ({"time": "yesterday"}, "time"),
        ({"time": "1h"}, "time"),
        ({"time": "2026-02-30T00:00:00Z"}, "time"),
        ({"time": "2026-01-02T03:04:05"}, "time"),
        ({"datacontenttype": ""}, "datacontenttype"),
        ({"datacontenttype": "a\r\nb: c"}, "datacontenttype"),
        ({"Upper": "a"}, "Upper"),
        ({"a\n": "a"}, "a"),
        ({"number": 1.5}, "number"),
        ({"nested": {}}, "nested"),
        ({"half": "\ud800"}, "half"),
        ({"long": "x" * 17_000}, "16384 characters"),
        ({"data": 1, "data_base64": "AA=="}, "either"),
        ({"data_base64": "A"}, "base64"),
        ({"data_base64": 1}, "base64"),
        ({"data_base64": "é"}, "base64"),
        ({"data": 1, "datacontenttype": "text/plain"}, "data"),
        ({"data": "é", "datacontenttype": "text/plain; charset=us-ascii"}, "us-ascii"),
        ({"data": "é", "datacontenttype": "text/plain; charset=punycode"}, "data_base64"),
        ({"data": "\ud800", "datacontenttype": "text/plain"}, "data"),
    ],
)
def test_what_is_wrong_is_named(changes: dict[str, object], fault: str) -> None:
    with pytest.raises(ValueError, match=fault):
        structured(json.dumps({**MINIMAL, **changes}))


@pytest.mark.parametrize(
    "body", ["", "[]", "1", "{", b"\xff", "[" * 100_000, '{"id":' + "[" * 100_000, '{"id":"1","id":"2"}']
)
def test_what_is_no_object_is_none(body: str | bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - whichever it is, it is told
        structured(body)


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"id": ["1", "2"]}, "2 times"),
        ({"datacontenttype": "text/plain"}, "content-type"),
        ({"data": "1"}, "data"),
        ({"my_ext": "1"}, "my_ext"),
        ({"": "1"}, "lower-case"),
    ],
)
def test_what_is_wrong_in_headers_is_named(changes: Mapping[str, str | list[str]], fault: str) -> None:
    with pytest.raises(ValueError, match=fault):
        in_headers(changes)


@pytest.mark.parametrize("kind", ["application/cloudevents-batch+json", "application/cloudevents+avro", "text/plain"])
def test_batches_other_formats_and_other_things_are_refused(kind: str) -> None:
    with pytest.raises(ValueError, match=r"application/cloudevents\+json"):
        cloudevents.take({"content-type": [kind]}, kind, b"[]")


Names = st.sampled_from([*MINIMAL, "time", "datacontenttype", "data", "data_base64", "ext"]) | st.text(max_size=5)
Anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=3,
)


@given(st.dictionaries(Names, Anything, max_size=4), st.booleans())
def test_whatever_is_sent_structured_is_taken_or_refused(members: dict[str, object], valid: bool) -> None:
    try:
        kept = structured(json.dumps({**(MINIMAL if valid else {}), **members}))
    except ValueError:
        return
    headers, body = cloudevents.binary.write(cloudevents.structured.read(kept.body))
    assert all(text.isascii() and text.isprintable() for pair in headers.items() for text in pair)
    assert taken(HTTPMessage(headers, body)).key == kept.key


@given(st.dictionaries(Names, st.lists(st.text(st.characters(max_codepoint=255)), min_size=1)), st.binary())
def test_whatever_is_sent_in_headers_is_taken_or_refused(changes: Mapping[str, list[str]], body: bytes) -> None:
    try:
        kept = in_headers(changes, body)
    except ValueError:
        return
    assert cloudevents.structured.read(kept.body).data == (body or None)


# Through a source.


@pytest.fixture
async def stand(tmp_path: Path) -> AsyncIterator[Stand]:
    async with stand_on(sqlite, tmp_path) as opened:
        yield opened


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


@pytest.fixture
def receiver(stand: Stand, metrics: Metrics) -> Receiver:
    return receiver_on(stand, metrics)


async def repeated(
    receiver: Receiver, source: Source, headers: Mapping[str, str], content_type: str, body: bytes
) -> bool:
    """Have a request received, and say whether its event was there before."""
    accepted = await receiver.receive(source, headers, content_type, body)
    assert isinstance(accepted, Accepted)
    return accepted.repeated


def minimal(**changes: str) -> bytes:
    return json.dumps(MINIMAL | changes).encode()


async def test_source_and_id_together_are_remembered_whatever_the_mode(stand: Stand, receiver: Receiver) -> None:
    async def send(**changes: str) -> bool:
        return await repeated(receiver, GRID, TOKEN, STRUCTURED, minimal(**changes))

    assert [await send() for _ in range(2)] == [False, True]
    assert [await send(id="8"), await send(source="/gri"), await send(id="d 7", source="/gri")] == [False] * 3
    assert await repeated(receiver, GRID, TOKEN | IN_HEADERS, "a/b", b"")
    assert await stand.types() == ["grid.com.example.sold"] * 4


async def test_a_signature_is_verified_over_what_came(stand: Stand, receiver: Receiver) -> None:
    for number, identity in enumerate(("msg_1", "msg_2")):  # the event's id counts, not the message's
        headers = sign("standard", [SECRET], minimal(), id=identity, now=stand.now // 1000)
        assert await repeated(receiver, SIGNED_GRID, headers, STRUCTURED, minimal()) is bool(number)
        with pytest.raises(SignatureError):
            await receiver.receive(SIGNED_GRID, headers, STRUCTURED, minimal(id="8"))


async def test_no_signed_event_is_taken_by_headers_that_are_not_signed(stand: Stand, receiver: Receiver) -> None:
    github = replace(SIGNED_GRID, scheme="github", secrets=("k",))
    for source, secret in ((SIGNED_GRID, SECRET), (github, "k")):
        headers = sign(source.scheme, secret, minimal(), id="msg_1", now=stand.now // 1000) | IN_HEADERS
        with pytest.raises(Unreadable, match="no signature covers the headers of binary mode"):
            await receiver.receive(source, headers, "application/json", minimal())
    assert await stand.types() == []


async def test_a_signed_id_tells_a_repetition_where_both_modes_are_taken(stand: Stand, receiver: Receiver) -> None:
    source = replace(SIGNED_GRID, format="cloudevents-binary")
    headers = sign("standard", [SECRET], minimal(), id="msg_1", now=stand.now // 1000)
    assert not await repeated(receiver, source, headers, STRUCTURED, minimal())
    for number in range(2):
        forged = headers | IN_HEADERS | {"ce-id": f"forged{number}", "ce-type": "refunded"}
        assert await repeated(receiver, source, forged, "application/json", minimal())
    headers = sign("standard", [SECRET], minimal(), id="msg_2", now=stand.now // 1000)
    assert not await repeated(receiver, source, headers | IN_HEADERS, "application/json", minimal())
    assert await repeated(receiver, source, headers, STRUCTURED, minimal())
    unsigned = replace(source, scheme="github", secrets=("k",))  # no id is signed: the event's own counts
    headers = sign("github", "k", b"{}") | IN_HEADERS | {"ce-id": "9"}
    assert [await repeated(receiver, unsigned, headers, "application/json", b"{}") for _ in range(2)] == [False, True]


async def test_an_id_and_a_type_may_be_looked_for_elsewhere(stand: Stand, receiver: Receiver) -> None:
    source = replace(GRID, id=Field("body", "subject"), type=Field("header", "X-Type"))
    for identity, known in (("7", False), ("8", True)):
        body = minimal(id=identity, subject="a")
        assert await repeated(receiver, source, TOKEN | {"x-type": "odd"}, STRUCTURED, body) is known
    assert await stand.types() == ["grid.odd"]


async def test_what_is_no_cloud_event_is_unreadable_and_what_is_not_authentic_comes_first(
    stand: Stand, receiver: Receiver, metrics: Metrics
) -> None:
    with pytest.raises(Unreadable, match="no CloudEvent: specversion"):
        await receiver.receive(GRID, TOKEN, STRUCTURED, b"{}")
    with pytest.raises(SignatureError):
        await receiver.receive(GRID, {}, STRUCTURED, b"{}")
    assert await stand.types() == []
    assert metrics.inbound_requests == {("grid", "unreadable"): 1, ("grid", "unauthorized"): 1}


async def test_over_http_a_fault_is_one_line(tmp_path: Path) -> None:
    source = replace(web.SOURCE, format="cloudevents")
    async with web.open_stand(sqlite, tmp_path) as stand:
        stand.use(sources={source.path: source})
        headers = {"X-Webhook-Token": "secret", "Content-Type": STRUCTURED}
        for body in (b"", b"\xff", b'{"id":"\\u000a' + b"x" * 900, b'{"\\n":1}', b"[" * 900):
            answer = await stand.call("POST", source.path, data=body, headers=headers)
            assert (answer.status, answer.headers["Content-Type"]) == (400, "application/problem+json")
            assert answer.json["detail"].startswith("this is no CloudEvent: ")
            assert answer.json["detail"].isprintable()
        assert (await stand.call("POST", source.path, data=minimal(), headers=headers)).json == {"message": "OK"}
        [event] = (await stand.call("GET", "/api/v1/events")).json["data"]
        shown = (await stand.call("GET", f"/api/v1/events/{event['id']}")).json
        assert (shown["content_type"], shown["payload"]) == (STRUCTURED, MINIMAL)


CONFIG = f"""\
{LOOPBACK}
[delivery]
cloudevents_source = "https://hooks.example"

[[sources]]
name = "grid"
path = "/grid"
scheme = "token"
secrets = ["s3cret"]
format = "cloudevents"

[[handlers]]
name = "greet"
event_types = ["grid.*"]
run = "log:Greetings to {{data.name}} from {{source}}"
"""


async def test_cloud_events_go_through_the_daemon_in_every_format(tmp_path: Path) -> None:
    attributes = {"source": "/grid", "type": "sold", "subject": "50 %", "datacontenttype": "application/json"}
    async with receivers.Receiver() as receiver, Daemon(tmp_path, CONFIG) as daemon:
        for name in ("plain", "standard", "cloudevents", "cloudevents-binary"):
            await daemon.register(receiver.url(f"/{name}"), event_types=["grid.*", "hello"], format=name)

        async def came() -> dict[str, receivers.Request]:
            await daemon.quiet()
            found = {request.line.split()[1][1:]: request for request in receiver.requests}
            assert len(receiver.requests) == len(found) == 4
            receiver.requests.clear()
            return found

        for write in (to_structured_event, to_binary_event):
            sent = CloudEvent({"id": f"ü/{write}", **attributes}, {"name": "Ada"})
            message = write(sent)
            for _ in range(2):
                await post(f"{daemon.url}/grid", message)
            found = await came()
            data = json.loads(found.pop("standard").body)["data"]
            assert whole(from_structured_event(HTTPMessage({}, json.dumps(data).encode()))) == whole(sent)
            for request in found.values():
                assert whole(from_http_event(HTTPMessage(request.headers, request.body))) == whole(sent)
                assert request.headers["x-webhook-event"] == "grid.sold"
            assert found["plain"].body == found["cloudevents"].body
            assert write is to_binary_event or found["plain"].body == message.body
        await daemon.logs("Greetings to Ada from /grid")

        await daemon.call("POST", "/api/v1/events", {"type": "hello", "id": "1", "payload": {"a": 1}})
        bodies = {name: json.loads(request.body) for name, request in (await came()).items()}
        assert bodies["plain"] == bodies["standard"]["data"] == bodies["cloudevents"]["data"] == {"a": 1}
        assert bodies["cloudevents"]["source"] == "https://hooks.example"


def whole(event: BaseCloudEvent) -> tuple[dict[str, Any], Any]:
    return event.get_attributes(), event.get_data()


async def post(url: str, message: HTTPMessage) -> None:
    headers = {**message.headers, "X-Webhook-Token": "s3cret"}
    async with aiohttp.ClientSession() as session, session.post(url, data=message.body, headers=headers) as answer:
        assert answer.status == 200, await answer.text()
