"""The session: which connections it keeps, and how a request looks on them."""

import asyncio
import base64
import socket
import ssl
from collections.abc import AsyncIterator

import pytest
import trustme

from hookd.egress import Guard, Session, open_session
from hookd.egress.wire import LARGE
from tests.receivers import OK, Connection, Receiver, Request, answering

OPEN = Guard(["loopback"])


async def ask(session: Session, url: str, body: bytes = b"x") -> bytes:
    answer = await session.post(url, {"content-type": "text/plain"}, body)
    try:
        return await answer.content.read()
    finally:
        answer.end()


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with Receiver() as receiver:
        yield receiver


async def test_a_request_is_as_rfc_9112_says(receiver: Receiver) -> None:
    async with open_session(OPEN) as session:
        assert await ask(session, receiver.url("/a%20b?c=%C3%BC#not-sent")) == b"ok"
    assert receiver.requests == [
        Request(
            "POST /a%20b?c=%C3%BC HTTP/1.1",
            {"host": f"127.0.0.1:{receiver.port}", "content-type": "text/plain", "content-length": "1"},
            b"x",
        )
    ]


async def test_an_empty_body_has_a_length_too(receiver: Receiver) -> None:
    async with open_session(OPEN) as session:
        await ask(session, receiver.url(), b"")
    assert receiver.requests[0].headers["content-length"] == "0"


@pytest.mark.parametrize("value", ["a\r\nX-Injected: b", "a\nb", "a\rb", "a\0b", "\xe9"])
async def test_a_value_never_breaks_out_of_its_header(receiver: Receiver, value: str) -> None:
    async with open_session(OPEN) as session:
        with pytest.raises(ValueError, match=r"break|ascii"):
            await session.post(receiver.url(), {"X-Own": value}, b"")
    assert receiver.connections == 0


async def test_connections_at_once_are_kept_side_by_side(receiver: Receiver) -> None:
    async with open_session(OPEN) as session:
        for _ in range(3):
            answers = [await session.post(receiver.url(), {}, b"") for _ in range(4)]
            for answer in answers:
                await answer.content.read()
                answer.end()
    assert receiver.connections == 4


async def test_no_more_connections_are_kept_than_allowed(receiver: Receiver) -> None:
    async with open_session(OPEN, kept=1) as session:
        for _ in range(2):
            answers = [await session.post(receiver.url(), {}, b"") for _ in range(3)]
            for answer in answers:
                await answer.content.read()
                answer.end()
    assert receiver.connections == 3 + 2


async def test_a_connection_that_was_idle_for_too_long_is_closed() -> None:
    closed = asyncio.Event()

    async def talk(connection: Connection) -> None:
        await connection.reader.readuntil(b"\r\n\r\nx")
        await connection.send(OK)
        await connection.ended()
        closed.set()

    async with Receiver(talk=talk) as receiver, open_session(OPEN, keep_alive=0.01) as session:
        await ask(session, receiver.url())
        async with asyncio.timeout(10):
            await closed.wait()


async def test_a_connection_that_is_too_old_is_not_used_again(receiver: Receiver) -> None:
    async with open_session(OPEN, keep_alive=-1) as session:
        for _ in range(2):
            await ask(session, receiver.url())
    assert receiver.connections == 2


async def test_a_connection_that_the_receiver_closes_is_not_used_again() -> None:
    async with Receiver(answering(OK, close=True)) as receiver, open_session(OPEN) as session:
        for _ in range(2):
            answer = await session.post(receiver.url(), {}, b"")
            await answer.content.read()
            answer.end()
            await asyncio.gather(*receiver._serving)
            await asyncio.sleep(0)  # the session shares this loop, and hears of it now
    assert receiver.connections == 2


async def test_a_receiver_that_answers_but_does_not_read_is_not_asked_again_there() -> None:
    async def talk(connection: Connection) -> None:
        for _ in range(2):
            await connection.reader.readuntil(b"\r\n\r\nx")
            await connection.send(OK)
        await asyncio.Event().wait()

    async with Receiver(talk=talk) as receiver, open_session(OPEN) as session:
        await ask(session, receiver.url())
        [(_, connection)] = session._kept[next(iter(session._kept))]
        assert connection.transport is not None
        narrow(connection.transport)
        await ask(session, receiver.url(), b"x" * LARGE)
        assert session._count == 0, "what it has not read would grow with every request"


def narrow(transport: asyncio.Transport) -> None:
    """Have the kernel take as little as it can of what is written."""
    transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1)


async def test_closing_closes_what_is_kept_and_what_is_in_use() -> None:
    ends = asyncio.Semaphore(0)

    async def talk(connection: Connection) -> None:
        await connection.reader.readuntil(b"\r\n\r\nx")
        await connection.send(OK)
        await connection.ended()
        ends.release()

    async with Receiver(talk=talk) as receiver:
        session = open_session(OPEN)
        in_use = await session.post(receiver.url(), {}, b"x")
        await ask(session, receiver.url())
        await session.close()
        async with asyncio.timeout(10):
            await ends.acquire()
            await ends.acquire()
        in_use.end()
        assert session._count == 0


async def test_closing_ends_a_body_that_is_being_read() -> None:
    async def behave(connection: Connection, request: Request) -> None:
        await connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nsome")

    async with asyncio.timeout(10), Receiver(behave) as receiver:
        session = open_session(OPEN)
        answer = await session.post(receiver.url(), {}, b"x")
        reading = asyncio.create_task(answer.content.read())
        await asyncio.sleep(0)
        await session.close()
        assert (await reading, answer.whole) == (b"some", False)
        answer.end()


async def test_a_proxy_is_told_the_whole_url_and_its_own_credentials(receiver: Receiver) -> None:
    proxy = receiver.url("").replace("//", "//user:pa%20ss@")
    async with open_session(Guard(), proxy=proxy) as session:
        await ask(session, "http://far.invalid/hook?a=b")
    [request] = receiver.requests
    assert request.line == "POST http://far.invalid/hook?a=b HTTP/1.1"
    assert request.headers["host"] == "far.invalid"
    assert request.headers["proxy-authorization"] == "Basic " + base64.b64encode(b"user:pa ss").decode()


async def test_through_a_tunnel_the_proxy_sees_nothing_of_the_request() -> None:
    authority = trustme.CA()
    server, client = trusting(authority, "far.invalid")
    async with Receiver(tls=server) as receiver:
        tunnelled: list[bytes] = []

        async def talk(connection: Connection) -> None:
            tunnelled.append(await connection.reader.readuntil(b"\r\n\r\n"))
            inner, outer = await asyncio.open_connection("127.0.0.1", receiver.port)
            await connection.send(b"HTTP/1.1 200 OK\r\n\r\n")
            try:
                await asyncio.gather(pour(connection.reader, outer), pour(inner, connection.writer))
            finally:
                outer.close()

        async with (
            Receiver(talk=talk) as proxy,
            open_session(Guard(), proxy=proxy.url(""), trusted=client) as session,
        ):
            for _ in range(2):
                assert await ask(session, "https://far.invalid/hook") == b"ok"
        assert [request.line for request in receiver.requests] == ["POST /hook HTTP/1.1"] * 2
        assert [head.split(b"\r\n")[0] for head in tunnelled] == [b"CONNECT far.invalid:443 HTTP/1.1"]


async def pour(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)
    writer.close()


def trusting(authority: trustme.CA, name: str) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    server, client = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context()
    authority.issue_cert(name).configure_cert(server)
    authority.configure_trust(client)
    return server, client
