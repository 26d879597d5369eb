import asyncio
import logging
import random
import socket
import ssl
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from ipaddress import ip_address

import pytest
import trustme
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

import hookd
from hookd.attempt import Poster, check_header
from hookd.attempt.answer import HEADERS_KEPT, READ, parse_retry_after
from hookd.config.schemes import SchemeTable
from hookd.egress import Guard, Session, open_session
from hookd.egress.wire import BEFORE_ANSWER
from hookd.ids import IdFactory
from hookd.model import Attempt, Endpoint, Handler, Outcome, PreviousSecret, wall_clock
from hookd.signing import SCHEMES
from hookd.version import VERSION
from tests.nouns import ENDPOINT, EVENT, SECRET, delivery_to
from tests.receivers import OK, Behaviour, Connection, Receiver, Request, answering
from tests.signing.examples import SECRETS as EXAMPLES

KEPT = 4096
SOON = 300
"""A timeout, in milliseconds, for receivers that never finish."""

SECRETS = [f"whsec_{letter * 32}" for letter in "ABC"]


def poster_of(session: Session, **schemes: SchemeTable) -> Poster:
    ids = IdFactory(wall_clock, random.Random(1))
    rows = dict(SCHEMES) | {name: table.noun(name) for name, table in schemes.items()}
    return Poster(session, timeout=5000, response_kept=KEPT, clock=wall_clock, ids=ids, schemes=rows)


@pytest.fixture
async def poster() -> AsyncIterator[Poster]:
    async with open_session(Guard(["loopback"])) as session:
        yield poster_of(session)


def endpoint_at(url: str, **changes: object) -> Endpoint:
    return replace(ENDPOINT, url=url, **changes)  # type: ignore[arg-type]


def status(code: int, *headers: str) -> bytes:
    lines = [f"HTTP/1.1 {code} Whatever", "Content-Length: 0", *headers]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


async def answered(poster: Poster, behave: Behaviour, **changes: object) -> Attempt:
    async with Receiver(behave) as receiver:
        return await poster.attempt(delivery_to(endpoint_at(receiver.url(), **changes)))


async def test_the_request_is_as_the_contract_says(poster: Poster) -> None:
    payload = b'{"name":  "Ada",\n "b": 1, "a": 2}\xff\x00'
    async with Receiver() as receiver:
        endpoint = endpoint_at(receiver.url("/hook?a=b"), token="t0ken", headers={"X-Own": "mine"})
        delivery = delivery_to(endpoint, attempt_count=2, payload=payload, content_type="text/x")
        attempt = await poster.attempt(delivery)
        [request] = receiver.requests
    assert request.line == "POST /hook?a=b HTTP/1.1"
    assert request.body == payload
    assert request.headers.pop("webhook-timestamp") == str(attempt.started_at // 1000)
    assert request.headers.pop("webhook-signature").startswith("v1,")
    assert request.headers == {
        "host": f"127.0.0.1:{receiver.port}",
        "content-length": str(len(payload)),
        "content-type": "text/x",
        "user-agent": f"hookd/{VERSION}",
        "webhook-id": EVENT.id,
        "x-webhook-token": "t0ken",
        "x-webhook-event": EVENT.type,
        "x-webhook-attempt": "3",
        "x-own": "mine",
    }


async def test_a_success_is_recorded(poster: Poster) -> None:
    attempt = await answered(poster, answering(b"HTTP/1.1 201 Fine\r\nX-A: 1\r\nContent-Length: 2\r\n\r\nok"))
    assert attempt.id.startswith("att_")
    assert attempt.number == 1
    assert attempt.duration > 0
    assert attempt.outcome is Outcome.SUCCESS
    assert attempt.status_code == 201
    assert attempt.error is None
    assert attempt.response_headers == {"x-a": "1", "content-length": "2"}
    assert (attempt.response_body, attempt.truncated) == (b"ok", False)
    assert attempt.retry_after is None


@pytest.mark.parametrize("name", sorted(set(SCHEMES) - {"token"}))
@pytest.mark.parametrize("content_type", ["application/json", "application/x-www-form-urlencoded"])
async def test_an_endpoint_can_be_sent_any_scheme(poster: Poster, name: str, content_type: str) -> None:
    now = wall_clock()
    payload = b'a=1&b={"webhookTimestamp":%d}' % now if "form" in content_type else b'{"webhookTimestamp":%d}' % now
    if name == "linear":
        payload = b'{"webhookTimestamp":%d}' % now
    async with Receiver() as receiver:
        endpoint = endpoint_at(receiver.url("/hook?a=b"), scheme=name, secret=EXAMPLES[name])
        attempt = await poster.attempt(delivery_to(endpoint, payload=payload, content_type=content_type))
        [request] = receiver.requests
    assert attempt.outcome is Outcome.SUCCESS
    url = f"http://127.0.0.1:{receiver.port}{request.line.split(' ')[1]}"
    verified = hookd.verify(name, EXAMPLES[name], request.headers, request.body, url=url)
    assert verified.body == payload
    field = SCHEMES[name].id
    assert verified.id == (EVENT.id if field is not None and field.place == "header" else None)


@pytest.mark.parametrize("name", ["square", "twilio", "rfc9421"])
@pytest.mark.parametrize("target", ["", "/", "/?a=b", "/a"])
async def test_the_address_that_is_signed_is_the_one_that_is_requested(poster: Poster, name: str, target: str) -> None:
    async with Receiver() as receiver:
        endpoint = endpoint_at(f"http://127.0.0.1:{receiver.port}{target}", scheme=name, secret=EXAMPLES[name])
        await poster.attempt(delivery_to(endpoint))
        [request] = receiver.requests
    url = f"http://127.0.0.1:{receiver.port}{request.line.split(' ')[1]}"
    assert hookd.verify(name, EXAMPLES[name], request.headers, request.body, url=url)


@pytest.mark.parametrize(("name", "header"), [("gitlab", "X-Gitlab-Token"), ("basic", "Authorization")])
async def test_a_secret_that_a_scheme_shows_is_masked(poster: Poster, name: str, header: str) -> None:
    async def echo(connection: Connection, request: Request) -> None:
        shown = request.headers[header.lower()].removeprefix("Basic ").encode()
        await connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(shown), shown))

    attempt = await answered(poster, echo, scheme=name, secret=EXAMPLES[name])
    assert attempt.request_headers[header] == "***"
    assert attempt.response_body == b"***"


@pytest.mark.parametrize("prefix", ["", "Bearer ", "key="])
async def test_tokens_of_a_scheme_of_ones_own_are_masked_without_their_prefix_too(prefix: str) -> None:
    said = b"neither a-present-token nor an-earlier-token"
    data = b"HTTP/1.1 401 No\r\nX-Echo: an-earlier-token\r\nContent-Length: %d\r\n\r\n%b" % (len(said), said)
    table = SchemeTable(header="Authorization", algorithm="token", prefix=prefix, separator=", ")
    earlier = (PreviousSecret("an-earlier-token", wall_clock() + 60_000),)
    changes = {"scheme": "own", "secret": "a-present-token", "previous_secrets": earlier}
    async with open_session(Guard(["loopback"])) as session:
        attempt = await answered(poster_of(session, own=table), answering(data), **changes)
    assert attempt.request_headers["Authorization"] == "***"
    assert attempt.response_body == b"neither *** nor ***"
    assert attempt.response_headers["x-echo"] == "***"


async def test_an_endpoints_own_header_never_stands_in_for_one_of_its_scheme() -> None:
    async with open_session(Guard(["loopback"])) as session, Receiver() as receiver:
        endpoint = endpoint_at(receiver.url(), scheme="own", headers={"x-proof": "forged", "X-Own": "mine"})
        await poster_of(session, own=SchemeTable(header="X-Proof")).attempt(delivery_to(endpoint))
        [request] = receiver.requests
    assert hookd.verify("github", SECRET, {"X-Hub-Signature-256": f"sha256={request.headers['x-proof']}"}, request.body)
    assert request.headers["x-own"] == "mine"


async def test_secrets_are_masked_in_the_record(poster: Poster) -> None:
    headers = {"Authorization": "Bearer s3cret", "Cookie": "a=s3cret", "X-Own": "s3cret"}
    attempt = await answered(poster, answering(OK), token="s3cret", headers=headers)
    masked = ("X-Webhook-Token", "Authorization", "Cookie", "X-Own")
    assert [attempt.request_headers[name] for name in masked] == ["***"] * 4
    assert attempt.request_headers["webhook-id"] == EVENT.id
    assert "s3cret" not in repr(attempt)
    assert SECRET not in repr(attempt)


async def test_secrets_that_come_back_are_masked_in_the_record_too(poster: Poster) -> None:
    said = b"t0ken-long, Bearer t0ken-long; short" + b"." * 4056 + b"t0ken-long"
    data = b"HTTP/1.1 200 OK\r\nX-Echo: <t0ken-long>\r\nContent-Length: %d\r\n\r\n%b" % (len(said), said)
    headers = {"Authorization": "Bearer t0ken-long", "X-Own": "short"}
    attempt = await answered(poster, answering(data), token="t0ken-long", headers=headers)
    assert attempt.response_headers["x-echo"] == "<***>"
    assert attempt.response_body.startswith(b"***, ***; short....")
    assert b"t0k" not in attempt.response_body


async def test_the_own_headers_of_an_endpoint_are_not_changed_by_masking(poster: Poster) -> None:
    headers = {"X-Own": "mine"}
    await answered(poster, answering(OK), headers=headers)
    assert headers == {"X-Own": "mine"}


async def test_every_secret_that_has_not_expired_signs(poster: Poster) -> None:
    new, old, expired = SECRETS
    now = wall_clock()
    previous = (PreviousSecret(old, now + 60_000), PreviousSecret(expired, now - 1))
    async with Receiver() as receiver:
        endpoint = endpoint_at(receiver.url(), secret=new, previous_secrets=previous)
        await poster.attempt(delivery_to(endpoint))
        [request] = receiver.requests
    assert len(request.headers["webhook-signature"].split(" ")) == 2
    for secret in (new, old):
        assert Webhook(secret).verify(request.body, request.headers) == {"name": "Ada"}
    first = {**request.headers, "webhook-signature": request.headers["webhook-signature"].split(" ")[0]}
    Webhook(new).verify(request.body, first)
    with pytest.raises(WebhookVerificationError):
        Webhook(expired).verify(request.body, request.headers)


@pytest.mark.parametrize("token", ["t0ken", None])
async def test_the_scheme_token_signs_nothing(poster: Poster, token: str | None) -> None:
    async with Receiver() as receiver:
        await poster.attempt(delivery_to(endpoint_at(receiver.url(), scheme="token", token=token)))
        [request] = receiver.requests
    sent = {name: value for name, value in request.headers.items() if "webhook" in name}
    expected = {"webhook-id": EVENT.id, "x-webhook-event": EVENT.type, "x-webhook-attempt": "1"}
    assert sent == expected | ({"x-webhook-token": token} if token else {})


@pytest.mark.parametrize(
    ("code", "outcome", "error"),
    [
        (200, Outcome.SUCCESS, None),
        (204, Outcome.SUCCESS, None),
        (299, Outcome.SUCCESS, None),
        (300, Outcome.HTTP_3XX, "answered 300 Multiple Choices; redirects are not followed"),
        (304, Outcome.HTTP_3XX, "answered 304 Not Modified; redirects are not followed"),
        (400, Outcome.HTTP_4XX, "answered 400 Bad Request"),
        (404, Outcome.HTTP_4XX, "answered 404 Not Found"),
        (410, Outcome.HTTP_4XX, "answered 410 Gone"),
        (499, Outcome.HTTP_4XX, "answered 499"),
        (500, Outcome.HTTP_5XX, "answered 500 Internal Server Error"),
        (599, Outcome.HTTP_5XX, "answered 599"),
        (999, Outcome.HTTP_5XX, "answered 999"),
    ],
)
async def test_the_status_decides(poster: Poster, code: int, outcome: Outcome, error: str | None) -> None:
    attempt = await answered(poster, answering(status(code)))
    assert (attempt.outcome, attempt.status_code, attempt.error) == (outcome, code, error)


@pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
async def test_a_redirect_is_never_followed(poster: Poster, code: int) -> None:
    async with Receiver() as target, Receiver(answering(status(code, f"Location: {target.url()}"))) as receiver:
        attempt = await poster.attempt(delivery_to(endpoint_at(receiver.url())))
        assert target.connections == 0
        assert len(receiver.requests) == 1
    assert attempt.outcome is Outcome.HTTP_3XX
    assert attempt.response_headers["location"] == target.url()


async def test_an_interim_answer_is_passed_over(poster: Poster) -> None:
    attempt = await answered(poster, answering(b"HTTP/1.1 102 Processing\r\n\r\n" + OK))
    assert attempt.outcome is Outcome.SUCCESS


async def test_a_switch_of_protocols_is_no_answer(poster: Poster) -> None:
    data = b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n"
    attempt = await answered(poster, answering(data), timeout=SOON)
    assert attempt.outcome is Outcome.PROTOCOL


# What ends without an answer


async def test_a_receiver_that_says_nothing_times_out(poster: Poster) -> None:
    async def behave(connection: Connection, request: Request) -> None:
        await connection.ended()

    async with Receiver(behave) as receiver:
        attempt = await poster.attempt(delivery_to(endpoint_at(receiver.url(), timeout=SOON)))
    assert attempt.outcome is Outcome.TIMEOUT
    assert attempt.error == f"timeout: no answer from 127.0.0.1:{receiver.port} within 0.3 s"


async def test_headers_that_drip_time_out(poster: Poster) -> None:
    async def behave(connection: Connection, request: Request) -> None:
        await connection.send(b"HTTP/1.1 200 OK\r\nX-")
        await connection.ended()

    attempt = await answered(poster, behave, timeout=SOON)
    assert attempt.outcome is Outcome.TIMEOUT


INTERIM = b"HTTP/1.1 103 Early\r\nlink: x\r\n\r\n"
FLOOD = INTERIM * (1 + BEFORE_ANSWER // len(INTERIM))
"""Interim answers, one more than there is room for."""
SHOWER = INTERIM * ((BEFORE_ANSWER - 1000) // len(INTERIM))
"""As many as there is room for, and a head."""


async def test_a_flood_of_interim_answers_is_a_breach_of_the_protocol(poster: Poster) -> None:
    async def behave(connection: Connection, request: Request) -> None:
        while True:
            await connection.send(INTERIM * 10)

    async with Receiver(behave) as receiver:
        attempt = await poster.attempt(delivery_to(endpoint_at(receiver.url())))
    where = f"127.0.0.1:{receiver.port}"
    text = f"protocol: {where} did not answer in HTTP: more than 64 KiB came before its answer"
    assert (attempt.outcome, attempt.error) == (Outcome.PROTOCOL, text)


async def test_an_answer_behind_a_flood_is_not_read(poster: Poster) -> None:
    attempt = await answered(poster, answering(FLOOD + OK))
    assert attempt.outcome is Outcome.PROTOCOL


async def test_a_large_body_behind_interim_answers_is_read(poster: Poster) -> None:
    body = b"x" * READ
    data = SHOWER + b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body
    async with Receiver(answering(data)) as receiver:
        for _ in range(3):  # each answer has the whole room
            attempt = await poster.attempt(delivery_to(endpoint_at(receiver.url())))
            assert (attempt.outcome, attempt.response_body) == (Outcome.SUCCESS, body[:KEPT])
        assert receiver.connections == 1


async def test_a_flood_after_an_answer_ends_the_connection(poster: Poster) -> None:
    connections: list[Connection] = []

    async def behave(connection: Connection, request: Request) -> None:
        connections.append(connection)
        await connection.send(OK)

    async def pour(connection: Connection) -> None:
        for _ in range(100):
            await connection.send(FLOOD)
            await asyncio.sleep(0)  # the poster shares this loop

    async with Receiver(behave) as receiver:
        await poster.attempt(delivery_to(endpoint_at(receiver.url())))
        with pytest.raises(ConnectionError):
            await pour(connections[0])


async def test_a_refused_connection(poster: Poster) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    attempt = await poster.attempt(delivery_to(endpoint_at(f"http://127.0.0.1:{port}/?key=s3cret")))
    assert attempt.outcome is Outcome.CONNECT
    assert attempt.error == f"connect: 127.0.0.1:{port} refused the connection"


async def test_a_name_that_does_not_resolve(poster: Poster) -> None:
    attempt = await poster.attempt(delivery_to(endpoint_at("http://nowhere.invalid/?key=s3cret")))
    assert attempt.outcome is Outcome.DNS
    assert attempt.error is not None
    assert attempt.error.startswith("dns: nowhere.invalid does not resolve (")


@pytest.mark.parametrize("host", ["a" * 64 + ".invalid", "a..invalid"])
async def test_a_name_that_can_not_be_asked_for(poster: Poster, host: str) -> None:
    attempt = await poster.attempt(delivery_to(endpoint_at(f"http://{host}/")))
    assert attempt.outcome is Outcome.DNS


MAPPED = ip_address("::ffff:127.0.0.1")  # which Pythons write in two ways


@pytest.mark.parametrize(
    ("host", "error"),
    [
        ("127.0.0.1", "blocked: 127.0.0.1 is loopback; add it to [network] allow"),
        ("0x7f.1", "blocked: 0x7f.1 → 127.0.0.1 is loopback; add it to [network] allow"),
        (f"[{MAPPED}]", f"blocked: [{MAPPED}] → 127.0.0.1 is loopback; add it to [network] allow"),
        ("[::1]", "blocked: ::1 is loopback; add it to [network] allow"),
        ("10.0.0.1", "blocked: 10.0.0.1 is private; add it to [network] allow"),
    ],
)
async def test_a_blocked_address_is_an_outcome(host: str, error: str) -> None:
    async with Receiver() as receiver, open_session(Guard()) as session:
        attempt = await poster_of(session).attempt(delivery_to(endpoint_at(receiver.url(host=host))))
        assert receiver.connections == 0
    assert attempt.outcome is Outcome.BLOCKED
    assert attempt.error == error


async def test_a_name_is_named_beside_its_blocked_address() -> None:
    async with open_session(Guard()) as session:
        attempt = await poster_of(session).attempt(delivery_to(endpoint_at("http://localhost/?key=s3cret")))
    loopback = ["blocked: localhost → 127.0.0.1 is loopback", "blocked: localhost → ::1 is loopback"]
    assert attempt.outcome is Outcome.BLOCKED
    assert attempt.error in [f"{text}; add it to [network] allow" for text in loopback]


@pytest.mark.parametrize(
    "data",
    [
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01",
        b"HTTP/1.1 abc OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"a" * 100_000,
        b"HTTP/1.1 200 OK\r\n" + b"X-A: 1\r\n" * 10_000 + b"\r\n",
        b"\x00" * 100,
        b"HTTP/1.1 100 Continue\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: 1\r\n",
        b"",
    ],
    ids=range(12),
)
async def test_what_is_not_http_is_a_breach_of_the_protocol(poster: Poster, data: bytes) -> None:
    attempt = await answered(poster, answering(data, close=True))
    assert attempt.outcome is Outcome.PROTOCOL
    assert attempt.status_code is None
    assert attempt.error is not None
    assert attempt.error.startswith("protocol: 127.0.0.1:")
    assert attempt.error.isprintable()
    assert len(attempt.error) <= 500


async def test_a_reset_amid_the_headers_is_a_breach_of_the_protocol(poster: Poster) -> None:
    async def behave(connection: Connection, request: Request) -> None:
        await connection.send(b"HTTP/1.1 200 OK\r\nX:")
        connection.reset()

    attempt = await answered(poster, behave)
    assert attempt.outcome is Outcome.PROTOCOL


# The body


async def test_a_body_is_kept_up_to_the_limit(poster: Poster) -> None:
    for length in (0, KEPT - 1, KEPT, KEPT + 1, READ):
        head = f"HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n".encode()
        attempt = await answered(poster, answering(head + b"x" * length))
        assert attempt.outcome is Outcome.SUCCESS
        assert attempt.response_body == b"x" * min(length, KEPT)
        assert attempt.truncated is (length > KEPT)


async def test_an_endless_body_is_cut_and_its_connection_closed(poster: Poster) -> None:
    closed = asyncio.Event()

    async def behave(connection: Connection, request: Request) -> None:
        try:
            await connection.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            while True:
                await connection.send(b"1000\r\n" + b"x" * 4096 + b"\r\n")
        finally:
            closed.set()

    async with Receiver(behave) as receiver:
        attempt = await poster.attempt(delivery_to(endpoint_at(receiver.url())))
        await closed.wait()
    assert attempt.outcome is Outcome.SUCCESS
    assert (attempt.response_body, attempt.truncated) == (b"x" * KEPT, True)


@pytest.mark.parametrize(("code", "outcome"), [(200, Outcome.SUCCESS), (503, Outcome.HTTP_5XX)])
async def test_a_body_that_drips_changes_nothing(poster: Poster, code: int, outcome: Outcome) -> None:
    async def behave(connection: Connection, request: Request) -> None:
        await connection.send(f"HTTP/1.1 {code} X\r\nContent-Length: 100\r\n\r\nsome".encode())
        await connection.ended()

    attempt = await answered(poster, behave, timeout=SOON)
    assert (attempt.outcome, attempt.status_code) == (outcome, code)
    assert (attempt.response_body, attempt.truncated) == (b"some", True)


@pytest.mark.parametrize(
    "data",
    [
        b"Content-Length: 100\r\n\r\nsome",
        b"Transfer-Encoding: chunked\r\n\r\n4\r\nsome\r\n",
        b"Transfer-Encoding: chunked\r\n\r\n4\r\nsome\r\nzz\r\n",
    ],
)
async def test_a_body_that_breaks_changes_nothing(poster: Poster, data: bytes) -> None:
    async def behave(connection: Connection, request: Request) -> None:
        head, _, rest = data.partition(b"some")
        await connection.send(b"HTTP/1.1 200 OK\r\n" + head + b"some")
        for _ in range(20):  # the poster shares this loop: now it has seen the headers
            await asyncio.sleep(0)
        await connection.send(rest)
        connection.close()

    attempt = await answered(poster, behave, timeout=SOON)
    assert attempt.outcome is Outcome.SUCCESS
    assert (attempt.response_body, attempt.truncated) == (b"some", True)


async def test_a_reset_amid_the_body_changes_nothing(poster: Poster) -> None:
    async def behave(connection: Connection, request: Request) -> None:
        await connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nsome")
        for _ in range(20):  # the poster shares this loop: now it has seen the headers
            await asyncio.sleep(0)
        connection.reset()

    attempt = await answered(poster, behave)
    assert (attempt.outcome, attempt.truncated) == (Outcome.SUCCESS, True)


async def test_a_body_is_not_decoded(poster: Poster) -> None:
    body = b"\x1f\x8b not gzip"
    head = f"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    attempt = await answered(poster, answering(head + body))
    assert (attempt.outcome, attempt.response_body) == (Outcome.SUCCESS, body)


# The headers of an answer


async def test_the_headers_of_an_answer_are_printable_and_cookies_masked(poster: Poster) -> None:
    data = b"HTTP/1.1 200 OK\r\nX-A: \xff\xc3\xa9\x7f\r\nx-b: 1\r\nX-B: 2\r\nSet-Cookie: a=s3cret\r\n"
    attempt = await answered(poster, answering(data + b"Content-Length: 0\r\n\r\n"))
    assert attempt.response_headers["x-b"] == "1, 2"
    assert attempt.response_headers["set-cookie"] == "***"
    assert attempt.response_headers["x-a"].isprintable()
    assert "é" in attempt.response_headers["x-a"]


async def test_the_headers_of_an_answer_are_bounded(poster: Poster) -> None:
    many = [f"X-{number}: {'a' * 1000}" for number in range(50)]
    attempt = await answered(poster, answering(status(200, *many)))
    assert attempt.outcome is Outcome.SUCCESS
    size = sum(len(name) + len(value) for name, value in attempt.response_headers.items())
    assert HEADERS_KEPT - 1100 < size <= HEADERS_KEPT


# The connection


async def test_a_connection_is_used_again(poster: Poster) -> None:
    async with Receiver() as receiver:
        for _ in range(3):
            await poster.attempt(delivery_to(endpoint_at(receiver.url())))
        assert (receiver.connections, len(receiver.requests)) == (1, 3)


@pytest.mark.parametrize(
    "bad",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx" + status(404),
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nxxxx",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n" + b"x" * 1_000_000,
        b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nx",
        b"HTTP/1.1 404 Not Found\r\nTransfer-Encoding: chunked\r\n\r\nzz",
        b"garbage\r\n\r\n",
        b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n",
    ],
    ids=range(7),
)
async def test_after_a_bad_answer_the_next_attempt_gets_its_own(poster: Poster, bad: bytes) -> None:
    async with Receiver(answering(bad)) as receiver:
        delivery = delivery_to(endpoint_at(receiver.url(), timeout=SOON))
        await poster.attempt(delivery)
        receiver.behave = answering(b"HTTP/1.1 202 Accepted\r\nContent-Length: 3\r\n\r\nown")
        attempt = await poster.attempt(delivery)
        assert (attempt.status_code, attempt.response_body) == (202, b"own")
        assert receiver.connections == 2


@pytest.mark.parametrize("late", [status(500), b"HTTP/1.1 500 X\r\nContent-Length: 9\r\n\r\n", b"garbage\r\n\r\n"])
async def test_an_answer_that_nobody_asked_for_is_not_taken_for_the_next(poster: Poster, late: bytes) -> None:
    connections: list[Connection] = []

    async def behave(connection: Connection, request: Request) -> None:
        connections.append(connection)
        await connection.send(OK)

    async with Receiver(behave) as receiver:
        delivery = delivery_to(endpoint_at(receiver.url()))
        await poster.attempt(delivery)
        await connections[0].send(late)
        for _ in range(20):  # the poster shares this loop: now it has seen the bytes
            await asyncio.sleep(0)
        attempt = await poster.attempt(delivery)
        assert (attempt.outcome, attempt.response_body) == (Outcome.SUCCESS, b"ok")
        assert receiver.connections == 2


async def test_a_large_payload_arrives_whole(poster: Poster) -> None:
    payload = random.Random(1).randbytes(5_000_000)
    async with Receiver() as receiver:
        attempt = await poster.attempt(delivery_to(endpoint_at(receiver.url()), payload=payload))
        assert attempt.outcome is Outcome.SUCCESS
        assert receiver.requests[0].body == payload
        assert receiver.requests[0].headers["content-length"] == str(len(payload))


async def test_a_large_payload_may_be_refused_before_it_is_read(poster: Poster) -> None:
    async def refuse(connection: Connection) -> None:
        await connection.reader.readuntil(b"\r\n\r\n")
        await connection.send(status(413))
        await connection.ended()

    async with Receiver(talk=refuse) as receiver:
        delivery = delivery_to(endpoint_at(receiver.url()), payload=b"x" * 5_000_000)
        attempt = await poster.attempt(delivery)
    assert (attempt.outcome, attempt.status_code) == (Outcome.HTTP_4XX, 413)


# TLS


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


async def shaken(authority: trustme.CA, certificate: trustme.LeafCert, trusted: bool = True) -> Attempt:
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(server)
    client = ssl.create_default_context()
    if trusted:
        authority.configure_trust(client)
    async with Receiver(tls=server) as receiver, open_session(Guard(["loopback"]), trusted=client) as session:
        url = receiver.url(host="localhost", path="/?key=s3cret")
        return await poster_of(session).attempt(delivery_to(endpoint_at(url)))


async def test_a_trusted_certificate(authority: trustme.CA) -> None:
    attempt = await shaken(authority, authority.issue_cert("localhost"))
    assert attempt.outcome is Outcome.SUCCESS


async def test_an_unknown_authority(authority: trustme.CA) -> None:
    attempt = await shaken(authority, authority.issue_cert("localhost"), trusted=False)
    assert attempt.outcome is Outcome.TLS
    assert attempt.error is not None
    assert attempt.error.startswith("tls: localhost: ")


async def test_another_name(authority: trustme.CA) -> None:
    attempt = await shaken(authority, authority.issue_cert("other.example"))
    assert attempt.outcome is Outcome.TLS
    assert attempt.error is not None
    assert "certificate is not valid for 'localhost'" in attempt.error


async def test_an_expired_certificate(authority: trustme.CA) -> None:
    past = datetime.now(UTC) - timedelta(days=1)
    attempt = await shaken(authority, authority.issue_cert("localhost", not_after=past))
    assert attempt.outcome is Outcome.TLS
    assert attempt.error == "tls: localhost: certificate has expired"


async def test_plain_http_where_tls_was_asked_for(poster: Poster) -> None:
    async def garble(connection: Connection) -> None:
        await connection.reader.read(100)
        await connection.send(status(400))

    async with Receiver(talk=garble) as receiver:
        url = receiver.url().replace("http:", "https:")
        attempt = await poster.attempt(delivery_to(endpoint_at(url)))
    assert attempt.outcome is Outcome.TLS


# Through a proxy


async def test_a_proxy_that_refuses() -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    async with open_session(Guard(), proxy=f"http://127.0.0.1:{port}") as session:
        attempt = await poster_of(session).attempt(delivery_to(endpoint_at("http://far.invalid/")))
    assert (attempt.outcome, attempt.error) == (Outcome.CONNECT, "connect: the proxy refused the connection")


async def test_a_proxy_that_declines_a_tunnel() -> None:
    async with (
        Receiver(answering(status(403))) as proxy,
        open_session(Guard(), proxy=proxy.url("")) as session,
    ):
        attempt = await poster_of(session).attempt(delivery_to(endpoint_at("https://far.invalid/")))
    assert attempt.outcome is Outcome.CONNECT
    assert attempt.error == "connect: the proxy answered 403 for far.invalid:443"


# Whatever else


async def test_cancellation_is_raised_and_closes_the_connection(poster: Poster) -> None:
    arrived, closed = asyncio.Event(), asyncio.Event()

    async def behave(connection: Connection, request: Request) -> None:
        arrived.set()
        await connection.ended()
        closed.set()

    async with Receiver(behave) as receiver:
        task = asyncio.create_task(poster.attempt(delivery_to(endpoint_at(receiver.url()))))
        await arrived.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await closed.wait()


@pytest.mark.parametrize("changes", [{"scheme": "gone"}, {"secret": "whsec_short"}, {"scheme": "discord"}])
async def test_what_can_not_be_signed_is_not_sent(poster: Poster, changes: dict[str, str]) -> None:
    async with Receiver() as receiver:
        attempt = await poster.attempt(delivery_to(endpoint_at(receiver.url(), **changes)))
        assert receiver.connections == 0
    assert attempt.outcome is Outcome.PROTOCOL
    assert (attempt.error or "").startswith("protocol: it can't be signed: ")
    assert "short" not in (attempt.error or "")


async def test_what_nobody_expected_is_an_outcome_and_is_logged(
    poster: Poster, caplog: pytest.LogCaptureFixture
) -> None:
    async with Receiver() as receiver:
        with caplog.at_level(logging.ERROR, "hookd.attempt"):
            attempt = await poster.attempt(delivery_to(endpoint_at(receiver.url(), timeout="soon")))
        assert receiver.connections == 0
    assert attempt.outcome is Outcome.PROTOCOL
    assert attempt.error is not None
    assert attempt.error.startswith("protocol: ")
    assert ENDPOINT.id in caplog.text


async def test_only_endpoints_are_posted_to(poster: Poster) -> None:
    with pytest.raises(TypeError, match="handler:x"):
        await poster.attempt(delivery_to(Handler(name="x", event_types=("a",), run="log:x")))


# Retry-After

NOW = 784_111_777_000
"""Sun, 06 Nov 1994 08:49:37 GMT, the example of RFC 9110, 5.6.7."""


@pytest.mark.parametrize(
    ("text", "wait"),
    [
        ("0", 0),
        ("120", 120_000),
        (" 120 ", 120_000),
        ("Sun, 06 Nov 1994 08:49:37 GMT", 0),
        ("Sun, 06 Nov 1994 08:50:37 GMT", 60_000),
        ("Sunday, 06-Nov-94 08:50:37 GMT", 60_000),
        ("Sun Nov  6 08:50:37 1994", 60_000),
        ("Sun, 06 Nov 1993 08:49:37 GMT", 0),
        ("-1", None),
        ("1.5", None),
        ("+3", None),
        ("", None),
        ("soon", None),
        ("\u0663", None),
        ("Sun, 06 Nov 99999 08:49:37 GMT", None),
    ],
)
def test_retry_after(text: str, wait: int | None, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as elsewhere:
        elsewhere.setenv("TZ", "Asia/Tokyo")  # a date without a zone is still UTC
        time.tzset()
        assert parse_retry_after(text, NOW) == wait
    time.tzset()


@given(st.integers(min_value=0, max_value=10**9))
def test_retry_after_in_seconds(seconds: int) -> None:
    assert parse_retry_after(str(seconds), NOW) == seconds * 1000


@given(st.integers(min_value=10**9, max_value=10**300))
def test_a_retry_after_beyond_all_reason_stays_long_and_small_enough_to_store(seconds: int) -> None:
    wait = parse_retry_after(str(seconds), NOW)
    assert wait is not None
    assert 10**12 <= wait < 2**53


@given(st.datetimes(min_value=datetime(1970, 1, 1), max_value=datetime(2999, 1, 1)))
def test_retry_after_as_a_date(moment: datetime) -> None:
    moment = moment.replace(microsecond=0, tzinfo=UTC)
    expected = max(0, int(moment.timestamp()) * 1000 - NOW)
    assert parse_retry_after(format_datetime(moment, usegmt=True), NOW) == expected


@given(st.text())
def test_any_retry_after_is_read_or_ignored(text: str) -> None:
    wait = parse_retry_after(text, NOW)
    assert wait is None or wait >= 0


@pytest.mark.parametrize("code", [301, 404, 429, 503])
async def test_retry_after_counts_on_whatever_is_no_success(poster: Poster, code: int) -> None:
    attempt = await answered(poster, answering(status(code, "Retry-After: 7")))
    assert attempt.retry_after == 7000


async def test_retry_after_is_ignored_on_success_and_where_it_is_nonsense(poster: Poster) -> None:
    assert (await answered(poster, answering(status(200, "Retry-After: 7")))).retry_after is None
    assert (await answered(poster, answering(status(503, "Retry-After: soon")))).retry_after is None


# The endpoint's own headers


@pytest.mark.parametrize(
    ("name", "value"),
    [("X-Own", "a"), ("Authorization", "Bearer a b"), ("Cookie", "a=b; c=d"), ("x_y.z", "!~")],
)
def test_a_header_of_its_own(name: str, value: str) -> None:
    check_header(name, value)


@pytest.mark.parametrize(
    "name",
    [
        *("", " ", "X Own", "X:Own", "X-Öwn", "X\n", "X\x00"),
        *("Host", "CONTENT-LENGTH", "content-type", "transfer-encoding", "Connection", "Keep-Alive", "TE"),
        *("Upgrade", "Trailer", "Proxy-Authorization", "Proxy-Connection", "User-Agent", "Expect"),
        *("Webhook-Id", "webhook-signature", "X-Webhook-Token", "x-webhook-anything"),
    ],
)
def test_a_header_that_can_not_be_its_own(name: str) -> None:
    with pytest.raises(ValueError, match=r"\Aexpected .+|\A[\w-]+ is reserved: .+\Z"):
        check_header(name, "a")


@pytest.mark.parametrize("value", ["", " a", "a ", "a\r\nb", "a\tb", "\x00", "é", "\u2028"])
def test_a_value_that_is_not_visible(value: str) -> None:
    with pytest.raises(ValueError, match=r"\Aexpected visible ASCII .+ X-Own\Z"):
        check_header("X-Own", value)
