"""What an endpoint is sent, with other people's libraries as judges of it."""

import base64
import json
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import unquote

import pytest
from cloudevents.core.base import BaseCloudEvent
from cloudevents.core.bindings.http import HTTPMessage, from_binary_event, from_http_event, from_structured_event
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs
from standardwebhooks.webhooks import Webhook

from hookd.attempt import FORMATS, Poster, check_header
from hookd.egress import Guard, open_session
from hookd.model import Event, Outcome
from hookd.units import format_time
from tests.nouns import EVENT, SECRET, delivery_to
from tests.receivers import Receiver
from tests.test_attempt import endpoint_at, poster_of

SOURCE = "https://example.com/hooks?a=%20b"

CLOUD_EVENT = (
    b'{ "specversion" : "1.0", "id":"7", "source":"/grid", "type":"com.example.sold", "shard":3, "hot":true,'
    b' "subject":"\\u20ac 5", "unset":null, "data": {"b": 1.0,  "a":"\\u0041"} }'
)

Text = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=40)
Values = st.recursive(st.none() | st.booleans() | st.integers() | st.text(), st.lists, max_leaves=5)
Json = st.builds(
    lambda value, escaped, indent: json.dumps(value, ensure_ascii=escaped, indent=indent).encode("utf-8", "replace"),
    Values,
    st.booleans(),
    st.sampled_from([None, 1]),
)
ContentType = st.sampled_from(
    ["application/json", "application/problem+json; a=b", "text/plain; charset=utf-8", "application/octet-stream"]
)
Events = st.builds(
    Event,
    id=st.text("abcXYZ019_-", min_size=1, max_size=128),
    tenant=st.none() | Text.filter(lambda name: bool(name) and name.isprintable()),
    type=st.text("abc_.", min_size=1, max_size=20),
    origin=st.just(EVENT.origin),
    payload=Json | st.binary(max_size=100),
    content_type=ContentType,
    created_at=st.integers(0, 4_000_000_000_000),
    ordering_key=Text,
)


@pytest.fixture
async def poster() -> AsyncIterator[Poster]:
    async with open_session(Guard(["loopback"])) as session:
        yield poster_of(session)


def formed(name: str, event: Event = EVENT, **changes: Any) -> HTTPMessage:
    headers, body = FORMATS[name](structs.replace(event, **changes), SOURCE)
    return HTTPMessage(headers, body)


def data_of(event: BaseCloudEvent) -> bytes:
    """Answer the data of an event as the library read it from a body of bytes."""
    data: Any = event.get_data()
    if isinstance(data, bytes):
        return data
    return b"" if data is None else str(data).encode()


# On the wire.


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("content_type", ["application/json", "text/plain"])
async def test_the_signature_covers_what_is_sent(poster: Poster, name: str, content_type: str) -> None:
    async with Receiver() as receiver:
        endpoint = endpoint_at(receiver.url(), format=name, token="t0ken")
        attempt = await poster.attempt(delivery_to(endpoint, content_type=content_type, tenant="acme"))
        [request] = receiver.requests
    assert attempt.outcome is Outcome.SUCCESS
    headers, body = FORMATS[name](structs.replace(EVENT, content_type=content_type, tenant="acme"), "/hookd")
    assert request.body == body
    assert request.headers.items() >= headers.items()
    assert (request.headers["webhook-id"], request.headers["x-webhook-event"]) == (EVENT.id, EVENT.type)
    Webhook(SECRET).verify(request.body, request.headers)
    assert attempt.request_headers.items() >= headers.items()
    assert attempt.request_headers["X-Webhook-Token"] == "***"


async def test_attributes_of_any_text_go_through_as_headers(poster: Poster) -> None:
    key = '"50 %"\r\nx: €😀'
    async with Receiver() as receiver:
        endpoint = endpoint_at(receiver.url(), format="cloudevents-binary")
        await poster.attempt(delivery_to(endpoint, ordering_key=key, tenant="Ada & Söhne"))
        [request] = receiver.requests
    assert request.headers["ce-partitionkey"] == "%2250%20%25%22%0D%0Ax:%20%E2%82%AC%F0%9F%98%80"
    read = from_http_event(HTTPMessage(request.headers, request.body))
    assert read.get_extension("partitionkey") == key
    assert read.get_extension("tenant") == "Ada & Söhne"


async def test_a_cloud_event_without_data_has_no_content_type(poster: Poster) -> None:
    payload = b'{"specversion":"1.0","id":"1","source":"/a","type":"b"}'
    async with Receiver() as receiver:
        endpoint = endpoint_at(receiver.url(), format="cloudevents-binary")
        delivery = delivery_to(endpoint, payload=payload, content_type="application/cloudevents+json")
        attempt = await poster.attempt(delivery)
        [request] = receiver.requests
    assert (attempt.outcome, request.body) == (Outcome.SUCCESS, b"")
    assert (request.headers["content-length"], request.headers.get("content-type")) == ("0", None)


def test_headers_of_cloud_events_are_hookds_own() -> None:
    with pytest.raises(ValueError, match="reserved"):
        check_header("Ce-Id", "1")


# Plain and standard.


@given(Events)
def test_plain_is_the_payload(event: Event) -> None:
    assert formed("plain", event) == HTTPMessage({"content-type": event.content_type}, event.payload)


@given(Events)
def test_standard_holds_every_payload(event: Event) -> None:
    message = formed("standard", event)
    assert message.headers == {"content-type": "application/json"}
    read = json.loads(message.body)
    assert (read.pop("type"), read.pop("timestamp")) == (event.type, format_time(event.created_at))
    assert list(read) in (["data"], ["data_base64"])
    if "data" in read:
        assert message.body.endswith(b'"data":%b}' % event.payload)
        assert read["data"] == json.loads(event.payload)
    else:
        assert base64.b64decode(read["data_base64"], validate=True) == event.payload
        assert not parses(event.payload)


def parses(body: bytes) -> bool:
    try:
        json.loads(body.decode(), parse_constant=bytes.fromhex)  # ValueError for NaN and the infinities
    except ValueError:
        return False
    return True


@pytest.mark.parametrize(
    ("payload", "member"),
    [
        (b'{"b": 1.0,\n "a": "\\ud800"}', b'"data":{"b": 1.0,\n "a": "\\ud800"}'),
        (b"9" * 5000, b'"data":' + b"9" * 5000),
        (b"a=1&b=2", b'"data_base64":"YT0xJmI9Mg=="'),
        (b"NaN", b'"data_base64":"TmFO"'),
        (b'1,"type":2', b'"data_base64":"MSwidHlwZSI6Mg=="'),
        (b'"\xff"', b'"data_base64":"Iv8i"'),
        (b"", b'"data_base64":""'),
    ],
)
def test_json_stays_as_it_is_and_all_else_is_in_base64(payload: bytes, member: bytes) -> None:
    head = b'{"type":"lms.purchase","timestamp":"2023-11-14T22:13:20.000Z",'
    assert formed("standard", payload=payload).body == head + member + b"}"
    body = formed("cloudevents", payload=payload).body
    assert body.endswith(b"," + member + b"}")


# CloudEvents.


@given(Events)
def test_structured_cloud_events_are_read_by_their_own_library(event: Event) -> None:
    message = formed("cloudevents", event)
    assert message.headers == {"content-type": "application/cloudevents+json"}
    read = from_structured_event(message)
    check_attributes(read, event)
    if b'"data_base64":' in message.body and not parses(event.payload):
        assert data_of(read) == event.payload
    elif event.content_type.endswith(("json", "a=b")):
        assert message.body.endswith(b'"data":%b}' % event.payload)
        assert read.get_data() == json.loads(event.payload)
    else:
        assert data_of(read) == event.payload


@given(Events)
def test_binary_cloud_events_are_read_by_their_own_library(event: Event) -> None:
    message = formed("cloudevents-binary", event)
    assert message.body == event.payload
    assert all(value.isascii() and value.isprintable() for value in message.headers.values())
    check_attributes(from_binary_event(message), event)


def check_attributes(read: BaseCloudEvent, event: Event) -> None:
    source, _, tenant = (read.get_source() + "/").removeprefix(SOURCE).partition("/")
    assert (source, unquote(tenant.removesuffix("/"))) == ("", event.tenant or "")
    assert (read.get_id(), read.get_type(), read.get_specversion()) == (event.id, event.type, "1.0")
    assert read.get_datacontenttype() == event.content_type
    time = read.get_time()
    assert time is not None
    assert round(time.timestamp() * 1000) == event.created_at
    expected = {"tenant": event.tenant, "partitionkey": event.ordering_key}
    known = {"specversion", "id", "source", "type", "time", "datacontenttype"}
    extensions = {name: value for name, value in read.get_attributes().items() if name not in known}
    assert extensions == {name: value for name, value in expected.items() if value}


def test_a_text_that_happens_to_be_json_is_no_json() -> None:
    body = formed("cloudevents", payload=b"42", content_type="text/plain").body
    assert body.endswith(b'"datacontenttype":"text/plain","data_base64":"NDI="}')


@pytest.mark.parametrize("name", ["plain", "cloudevents"])
def test_a_cloud_event_goes_out_as_it_came(name: str) -> None:
    content_type = "application/CloudEvents+json; charset=utf-8"
    message = formed(name, payload=CLOUD_EVENT, content_type=content_type)
    assert message == HTTPMessage({"content-type": content_type}, CLOUD_EVENT)


def test_a_cloud_event_is_taken_apart_for_binary_mode() -> None:
    message = formed("cloudevents-binary", payload=CLOUD_EVENT, content_type="application/cloudevents+json")
    assert message.body == b'{"b": 1.0,  "a":"\\u0041"}'
    assert message.headers == {
        "content-type": "application/json",
        "ce-specversion": "1.0",
        "ce-id": "7",
        "ce-source": "/grid",
        "ce-type": "com.example.sold",
        "ce-shard": "3",
        "ce-hot": "true",
        "ce-subject": "%E2%82%AC%205",
    }


@pytest.mark.parametrize("payload", [b"", b"{}", b'{"specversion":"1.0"}', b"\xff", b"[" * 100_000])
def test_what_only_calls_itself_a_cloud_event_goes_out_as_it_came(payload: bytes) -> None:
    content_type = "application/cloudevents+json"
    message = formed("cloudevents-binary", payload=payload, content_type=content_type)
    assert message == HTTPMessage({"content-type": content_type}, payload)


def test_a_cloud_event_of_cloud_events_stays_structured() -> None:
    inner = b'"datacontenttype":"application/cloudevents+json","data":{}}'
    payload = b'{"specversion":"1.0","id":"1","source":"/a","type":"b",' + inner
    message = formed("cloudevents-binary", payload=payload, content_type="application/cloudevents+json")
    assert message == HTTPMessage({"content-type": "application/cloudevents+json"}, payload)


def test_what_binary_mode_would_belie_is_structured() -> None:
    content_type = "application/cloudevents-batch+json"
    message = formed("cloudevents-binary", payload=b"[]", content_type=content_type)
    assert message.headers == {"content-type": "application/cloudevents+json"}
    read = from_structured_event(message)
    data: Any = read.get_data()
    assert (read.get_datacontenttype(), data) == (content_type, [])
