"""Callers who keep hookd waiting, and callers who come in great numbers."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import pytest
from aiohttp import web

from hookd.web.body import Bodies, read_body
from hookd.web.connection import LONGEST_HEAD
from hookd.web.connections import Connections, Patience
from hookd.web.problems import Handler
from tests.callers.raw import WAITING, Answer, Caller, caller
from tests.crash.waiting import GLANCE, until
from tests.web.serving import PLENTY, serve

SHORT = 0.1
LONG = 3600.0
"""Seconds of a patience that ends, and of one that does not."""

LARGE = 20_000_000
"""Bytes of an answer that no kernel takes at once."""

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
HEAD = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10000\r\n\r\n"
FIVE = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n"
CHUNKED = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"


def patience(**seconds: float) -> Patience:
    """A patience without end but for what is named."""
    return Patience(**{"head": LONG, "body": LONG, "idle": LONG, "answer": LONG, "say": 0.0} | seconds)


async def read(request: web.Request) -> web.Response:
    return web.Response(body=b"%d" % len(await read_body(request, LARGE, Bodies())))


async def talk(request: web.Request) -> web.Response:
    return web.Response(body=b"x" * LARGE)


@asynccontextmanager
async def serving(connections: Connections, act: Handler = read) -> AsyncIterator[str]:
    app = web.Application()
    app.router.add_route("*", "/", act)
    async with serve(app, connections) as url:
        yield url


async def drip(connection: Caller, what: bytes) -> list[Answer]:
    """Send the same again and again, a little at a time, until the other side has had enough."""
    told = asyncio.create_task(connection.answers())
    while not told.done():
        await connection.send(what)
        await asyncio.wait((told,), timeout=0.005)
    return await told


def expect_timeout(answers: list[Answer], what: str) -> None:
    (answer,) = answers
    assert (answer.status, answer.headers["content-type"]) == (408, "application/problem+json")
    assert answer.headers["connection"] == "close"
    assert f"{what} did not arrive within {SHORT:g} s" in answer.json["detail"]


# Slow callers.


async def test_a_connection_on_which_nothing_comes_is_closed(caplog: pytest.LogCaptureFixture) -> None:
    async with serving(Connections(PLENTY, patience(head=SHORT))) as url, caller(url) as connection:
        assert await connection.ended() == b""
    assert caplog.records == []


@pytest.mark.parametrize("begun", [b"G", b"GET / HTTP/1.1\r\n", b"GET / HTTP/1.1\r\nHost: a\r\nX-A: "])
async def test_a_head_that_drips_is_given_up(begun: bytes, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    async with serving(Connections(PLENTY, patience(head=SHORT))) as url, caller(url) as connection:
        await connection.send(begun)
        drop = b"a" if begun.endswith(b" ") else b""
        expect_timeout(await drip(connection, drop), "the request's head")
    assert [(record.levelname, record.exc_info) for record in caplog.records] == [("INFO", None)]


async def test_a_head_that_drips_behind_another_request_is_given_up_as_soon() -> None:
    async with serving(Connections(PLENTY, patience(head=SHORT))) as url, caller(url) as connection:
        await connection.send(GET)
        assert (await connection.answer()).status == 200
        await connection.send(b"GET / HTTP/1.1\r\nX-A: ")
        expect_timeout(await drip(connection, b"a"), "the request's head")


@pytest.mark.parametrize(("head", "drop"), [(HEAD, b"a"), (CHUNKED, b"1\r\na\r\n"), (CHUNKED + b"1;", b"extension")])
async def test_a_body_that_drips_is_given_up(head: bytes, drop: bytes) -> None:
    async with serving(Connections(PLENTY, patience(body=SHORT))) as url, caller(url) as connection:
        await connection.send(head)
        expect_timeout(await drip(connection, drop), "the body")


async def test_a_body_that_nobody_reads_is_given_up() -> None:
    async def refuse(request: web.Request) -> web.Response:
        return web.Response(status=401)

    connections = Connections(PLENTY, patience(body=SHORT, idle=SHORT))
    async with serving(connections, refuse) as url, caller(url) as connection:
        await connection.send(HEAD)
        assert [answer.status for answer in await drip(connection, b"a")] == [401]


async def test_an_idle_connection_is_closed() -> None:
    async with serving(Connections(PLENTY, patience(idle=SHORT))) as url, caller(url) as connection:
        for _ in range(3):
            await connection.send(GET[:10])
            await asyncio.sleep(0)
            await connection.send(GET[10:])
            assert (await connection.answer()).status == 200
        assert await connection.ended() == b""


@pytest.mark.parametrize("parts", [[GET], [HEAD, b"a" * 10_000], [HEAD[:20], HEAD[20:] + b"a", b"a" * 9999]])
async def test_while_it_is_the_turn_of_hookd_no_caller_is_waited_for(parts: list[bytes]) -> None:
    begun, taken, go_on = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def linger(request: web.Request) -> web.Response:
        begun.set()
        await read_body(request, LARGE, Bodies())
        taken.set()
        await go_on.wait()
        return web.Response()

    connections = Connections(PLENTY, patience())
    async with serving(connections, linger) as url, caller(url) as connection:
        *first, last = parts
        for part in first:
            await connection.send(part)
        if first:
            await begun.wait()
        await connection.send(last)
        await taken.wait()
        assert not connections.give_way()
        go_on.set()
        assert (await connection.answer()).status == 200
        assert connections.give_way()


async def test_a_body_that_drips_behind_another_request_is_given_up() -> None:
    go_on = asyncio.Event()

    async def linger(request: web.Request) -> web.Response:
        await go_on.wait()
        return await read(request)

    async with serving(Connections(PLENTY, patience(body=SHORT)), linger) as url, caller(url) as connection:
        await connection.send(GET + HEAD)
        asyncio.get_running_loop().call_later(3 * SHORT, go_on.set)
        (answer,) = await drip(connection, b"a")
        assert (answer.status, answer.headers["connection"]) == (200, "close")


async def test_the_rest_of_a_body_that_was_not_wanted_is_no_head() -> None:
    async def refuse(request: web.Request) -> web.Response:
        return web.Response(status=401)

    async with serving(Connections(PLENTY), refuse) as url, caller(url) as connection:
        size = 4 * LONGEST_HEAD
        await connection.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % size)
        assert (await connection.answer()).status == 401
        await connection.send(b"a" * size)
        await connection.send(GET)
        assert (await connection.answer()).status == 401


async def test_a_head_is_no_longer_than_its_limit_however_short_its_lines_are() -> None:
    async with serving(Connections(PLENTY)) as url, caller(url) as connection:
        await connection.send(GET[:-2])
        (answer,) = await drip(connection, b"X-A: %b\r\n" % (b"a" * 8000))
        assert (answer.status, answer.headers["connection"]) == (431, "close")
        assert "longer than 65536 bytes" in answer.json["detail"]


@pytest.mark.parametrize(
    ("asked", "more"),
    [
        (GET, b""),
        (GET * 5, b""),
        (GET.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"), b""),
        (GET, GET),
        (GET, b"GET"),
        (GET + FIVE, b"12345" + FIVE),
    ],
)
async def test_a_caller_who_does_not_read_the_answer_is_given_up(asked: bytes, more: bytes) -> None:
    connections = Connections(PLENTY, patience(answer=SHORT))
    async with serving(connections, talk) as url, caller(url) as connection:
        connection.writer.transport.pause_reading()  # type: ignore[attr-defined] # it is an asyncio.Transport
        await connection.send(asked)
        await until(lambda: connections.open == 1, "the connection is there")
        async with asyncio.timeout(WAITING):
            while connections.open:
                await connection.send(more)
                await asyncio.sleep(GLANCE)


async def test_a_caller_who_has_read_is_not_waited_for() -> None:
    written, go_on = asyncio.Event(), asyncio.Event()

    async def stream(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": str(LARGE + 1)})
        await response.prepare(request)
        await response.write(b"x" * LARGE)
        written.set()
        await go_on.wait()
        await response.write(b"x")
        return response

    connections = Connections(PLENTY, patience())
    async with serving(connections, stream) as url, caller(url) as connection:
        await connection.send(GET)
        told = asyncio.create_task(connection.answer())
        await written.wait()
        assert not connections.give_way()
        go_on.set()
        assert len((await told).body) == LARGE + 1


async def test_nobody_waits_for_a_caller_who_has_gone() -> None:
    begun, gone = asyncio.Event(), asyncio.Event()

    async def linger(request: web.Request) -> web.Response:
        begun.set()
        await gone.wait()
        return web.Response()

    connections = Connections(PLENTY, patience())
    async with serving(connections, linger) as url:
        async with caller(url):
            await until(lambda: connections.open == 1, "a connection is there, and idle")
        async with caller(url) as connection:
            await connection.send(GET)
            await begun.wait()
        await until(lambda: connections.open == 0, "the connection is lost")
        gone.set()
        async with caller(url) as connection:
            await connection.send(GET)
            assert (await connection.answer()).status == 200
            assert connections.give_way()
            assert not connections.give_way()
            assert await connection.ended() == b""


async def test_nothing_is_left_of_a_caller_who_goes_before_the_end_of_a_body(caplog: pytest.LogCaptureFixture) -> None:
    async def refuse(request: web.Request) -> web.Response:
        return web.Response(status=401)

    connections = Connections(PLENTY)
    async with serving(connections, refuse) as url:
        before = len(asyncio.all_tasks())
        async with caller(url) as connection:
            await connection.send(HEAD + b"a")
            assert (await connection.answer()).status == 401
            assert len(asyncio.all_tasks()) > before
        async with asyncio.timeout(WAITING / 2):
            await until(lambda: len(asyncio.all_tasks()) == before, "nobody waits for the rest of the body")
    assert connections.open == 0
    assert caplog.records == []


async def test_slow_callers_hold_up_nobody() -> None:
    async with serving(Connections(PLENTY, patience())) as url, AsyncExitStack() as slow:
        for begun in (b"", b"POST / HT", HEAD, CHUNKED + b"5\r\n12") * 25:
            await (await slow.enter_async_context(caller(url))).send(begun)
        async with caller(url) as connection:
            for _ in range(10):
                await connection.send(GET)
                assert (await connection.answer()).status == 200
