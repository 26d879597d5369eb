"""Where one request ends and the next begins: there is one way to read it, or it is refused and nothing follows."""

import asyncio

import pytest

from tests.callers.echo import NEXT, Echo, chunked, get, post
from tests.callers.raw import Answer, Caller, caller

pytestmark = pytest.mark.asyncio(loop_factories=["uvloop"])

CHUNK = b"2\r\n12\r\n0\r\n\r\n"
UPGRADE = (b"Connection: Upgrade", b"Upgrade: websocket")

AMBIGUOUS = {
    "a length and chunks": post(b"Content-Length: 6", b"Transfer-Encoding: chunked", body=CHUNK),
    "chunks and a length": post(b"Transfer-Encoding: chunked", b"Content-Length: 6", body=CHUNK),
    "two lengths": post(b"Content-Length: 2", b"Content-Length: 3", body=b"123"),
    "the same length twice": post(b"Content-Length: 2", b"Content-Length: 2", body=b"12"),
    "a list of lengths": post(b"Content-Length: 2, 2", body=b"12"),
    "a length with a sign": post(b"Content-Length: +2", body=b"12"),
    "a length below nothing": post(b"Content-Length: -2", body=b"12"),
    "a length beyond all numbers": post(b"Content-Length: 99999999999999999999", body=b"12"),
    "no length in its header": post(b"Content-Length:", body=b"12"),
    "a folded header": post(b"X-A: 1\r\n Content-Length: 2", body=b"12"),
    "a fold before any header": b"GET / HTTP/1.1\r\n Host: a\r\n\r\n",
    "a space before the colon": post(b"Content-Length : 2", body=b"12"),
    "a tab before the colon": post(b"Content-Length\t: 2", body=b"12"),
    "no colon": get(b"X-A"),
    "no name": get(b": 1"),
    "a bare LF": post(b"X-A: 1\nContent-Length: 2", body=b"12"),
    "bare LFs alone": b"GET / HTTP/1.1\nHost: a\n\n",
    "a bare LF at the end": b"GET / HTTP/1.1\r\nHost: a\r\n\n",
    "a bare CR": post(b"X-A: 1\rContent-Length: 2", body=b"12"),
    "two CRs": get(b"X-A: 1\r"),
    "NUL in a value": get(b"X-A: 1\x002"),
    "NUL in a name": get(b"X\0A: 1"),
    "NUL in the target": get(target=b"/\0"),
    "a control character": get(b"X-A: \x01"),
    "a chunk's size beyond all numbers": chunked(b"FFFFFFFFFFFFFFFFF\r\n" + CHUNK),
    "a chunk's size that begins anew": chunked(b"10000000000000002\r\n12\r\n0\r\n\r\n"),
    "a chunk's size with a prefix": chunked(b"0x2\r\n12\r\n0\r\n\r\n"),
    "a chunk's size with a sign": chunked(b"+" + CHUNK),
    "a chunk's size with a space": chunked(b"2 \r\n12\r\n0\r\n\r\n"),
    "a chunk without a size": chunked(b"\r\n12\r\n0\r\n\r\n"),
    "a chunk longer than its size": chunked(b"2\r\n123\r\n0\r\n\r\n"),
    "chunks with bare LFs": chunked(CHUNK.replace(b"\r", b"")),
    "an extension with a bare LF": chunked(b"2;a\nb\r\n12\r\n0\r\n\r\n"),
    "a length in a trailer": chunked(b"2\r\n12\r\n0\r\nContent-Length: 2\r\n\r\n"),
    "identity, chunked": post(b"Transfer-Encoding: identity, chunked", body=CHUNK),
    "gzip, chunked": post(b"Transfer-Encoding: gzip, chunked", body=CHUNK),
    "chunked, identity": post(b"Transfer-Encoding: chunked, identity", body=CHUNK),
    "chunked twice": post(b"Transfer-Encoding: chunked, chunked", body=CHUNK),
    "chunked in two headers": post(b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked", body=CHUNK),
    "xchunked": post(b"Transfer-Encoding: xchunked", body=CHUNK),
    "identity": post(b"Transfer-Encoding: identity", b"Content-Length: 2", body=b"12"),
    "no coding in its header": post(b"Transfer-Encoding:", b"Content-Length: 2", body=b"12"),
    "chunked after a control character": post(b"Transfer-Encoding: \x0bchunked", body=CHUNK),
    "chunks in HTTP/1.0": chunked(CHUNK).replace(b"HTTP/1.1\r\n", b"HTTP/1.0\r\nConnection: keep-alive\r\n"),
    "HTTP/0.9": b"GET /\r\n\r\n",
    "HTTP/0.9 that says so": get(b"Connection: keep-alive").replace(b"/1.1", b"/0.9"),
    "HTTP/2.0 in words": get(b"Connection: keep-alive").replace(b"/1.1", b"/2.0"),
    "HTTP/1.2": get().replace(b"/1.1", b"/1.2"),
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "another host in the target": get(target=b"http://b/"),
    "a user in the target": get(target=b"http://u@a/"),
    "another scheme in the target": get(target=b"ftp://a/"),
    "a host alone as the target": get(target=b"a:80"),
    "a fragment in the target": get(target=b"/#a"),
    "a target that is neither": get(target=b"*"),
    "CONNECT": get(target=b"a:80").replace(b"GET", b"CONNECT"),
    "CONNECT to a path": get().replace(b"GET", b"CONNECT"),
    "CONNECT with a body": post(b"Content-Length: 2", body=b"12").replace(b"POST /", b"CONNECT a:80"),
    "a method in lower case": get().replace(b"GET", b"get"),
    "a tab in the first line": get().replace(b"GET ", b"GET\t"),
}


async def in_pieces(connection: Caller, *pieces: bytes) -> list[Answer]:
    """Send pieces that arrive one after the other, and read what is answered until the end."""
    told = asyncio.create_task(connection.answers())
    for piece in pieces:
        await connection.send(piece)
        await asyncio.wait((told,), timeout=0.01)
    return await told


def head_and_rest(request: bytes) -> tuple[bytes, bytes]:
    end = request.index(b"\n\r\n") + 3 if b"\n\r\n" in request else len(request)
    return request[:end], request[end:]


@pytest.mark.parametrize("request_", AMBIGUOUS.values(), ids=AMBIGUOUS)
async def test_what_could_be_read_in_two_ways_is_refused_and_nothing_follows(echo: Echo, request_: bytes) -> None:
    head, rest = head_and_rest(request_)
    for pieces in ([request_ + NEXT], [head, rest + NEXT], [request_, NEXT]):
        async with caller(echo.url) as connection:
            (answer,) = await in_pieces(connection, *pieces)
            assert answer.status == answer.json["status"] == 400
            assert answer.headers["content-type"] == "application/problem+json"
            assert answer.headers["connection"] == "close"
    assert echo.seen == []


UPGRADES = {
    "to a WebSocket": get(*UPGRADE, b"Sec-WebSocket-Version: 13", b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="),
    "to a WebSocket, with a body": post(*UPGRADE, b"Content-Length: 2", body=b"12"),
    "to a WebSocket, with chunks": post(*UPGRADE, b"Transfer-Encoding: chunked", body=CHUNK),
    "to HTTP/2": get(b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: h2c", b"HTTP2-Settings: AAMAAABkAAQAAP__"),
    "to HTTP/2, with a body": post(b"Connection: Upgrade", b"Upgrade: h2c", b"Content-Length: 2", body=b"12"),
}


@pytest.mark.parametrize("request_", UPGRADES.values(), ids=UPGRADES)
async def test_who_asks_for_another_protocol_is_answered_in_this_one_and_nothing_follows(
    echo: Echo, request_: bytes
) -> None:
    """RFC 9110 section 7.8: a server may ignore it. What follows may be the other protocol already."""
    head, rest = head_and_rest(request_)
    for pieces in ([request_ + NEXT], [head, rest + NEXT], [request_, NEXT]):
        async with caller(echo.url) as connection:
            (answer,) = await in_pieces(connection, *pieces)
            assert (answer.status, answer.headers["connection"]) == (200, "close")
    assert set(echo.seen) == {answer.body.decode()}


READ = {
    "a length": (post(b"Content-Length: 2", body=b"12"), "POST / 12"),
    "chunks": (chunked(CHUNK), "POST / 12"),
    "CHUNKED": (post(b"Transfer-Encoding: CHUNKED", body=CHUNK), "POST / 12"),
    "a chunk's extension": (chunked(b"2;a=b;c\r\n12\r\n0\r\n\r\n"), "POST / 12"),
    "a trailer": (chunked(b"2\r\n12\r\n0\r\nX-A: b\r\n\r\n"), "POST / 12"),
    "a long extension": (chunked(b"2;" + b"a" * 500_000 + b"\r\n12\r\n0\r\n\r\n"), "POST / 12"),
    "a body of a GET": (get(b"Content-Length: 2") + b"12", "GET / 12"),
    "a header that only looks like a length": (post(b"Content_Length: 2"), "POST / "),
    "the host in the target": (get(target=b"http://A/x"), "GET /x "),
    "empty lines before": (b"\r\n\r\n" + get(), "GET / "),
    "a query": (get(target=b"/x?y=z"), "GET /x "),
}


@pytest.mark.parametrize(("request_", "asked"), READ.values(), ids=READ)
async def test_what_can_be_read_in_one_way_is_answered_and_so_is_what_follows(
    echo: Echo, request_: bytes, asked: str
) -> None:
    async with caller(echo.url) as connection:
        await connection.send(request_ + NEXT)
        for expected in (asked, "GET /next "):
            answer = await connection.answer()
            assert (answer.status, answer.body.decode()) == (200, expected)


async def test_who_waits_to_be_told_to_go_on_is_told(echo: Echo) -> None:
    async with caller(echo.url) as connection:
        await connection.send(post(b"Expect: 100-continue", b"Content-Length: 2"))
        assert (await connection.answer()).status == 100
        await connection.send(b"12")
        assert (await connection.answer()).body == b"POST / 12"


# Pipelines.


async def test_pipelined_requests_are_answered_in_order(echo: Echo) -> None:
    count = 500
    asked = [b"POST /%d HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n12" % number for number in range(count)]
    async with caller(echo.url) as connection:
        await connection.send(b"".join(asked))
        for number in range(count):
            assert (await connection.answer()).body == b"POST /%d 12" % number
    assert len(echo.seen) == count


async def test_what_is_refused_in_a_pipeline_comes_after_what_was_answered(echo: Echo) -> None:
    async with caller(echo.url) as connection:
        first, last = await in_pieces(connection, get(), get(b"X : 1") + NEXT)
    assert [first.status, last.status] == [200, 400]
    assert echo.seen == ["GET / "]


FLOOD = 16_000_000
"""Bytes that no pipeline holds, the kernel's part of it included."""


async def test_a_pipeline_behind_a_request_that_takes_long_is_read_no_further_than_it_holds(echo: Echo) -> None:
    echo.go_on.clear()
    request = get(*[b"X-%d: %b" % (number, b"a" * 4000) for number in range(8)])
    sent = 0
    async with caller(echo.url) as connection:
        while sent < FLOOD:
            try:
                async with asyncio.timeout(0.5):
                    await connection.send(request)
            except TimeoutError:
                break
            sent += len(request)
        echo.go_on.set()
        assert (await connection.answer()).status == 200
    assert sent < FLOOD
