"""Hostile receivers: whatever they do is an attempt on record, in bounded time and memory, and harms nobody else."""

import asyncio
import gc
import re
import ssl
import tracemalloc
from collections.abc import Callable, Coroutine, Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import psutil  # type: ignore[import-untyped]
import pytest
import trustme
from hypothesis import given, settings
from hypothesis import strategies as st

from hookd.attempt import Poster
from hookd.egress import Guard, open_session
from hookd.egress.wire import Wire
from hookd.model import Attempt, Outcome
from hookd.process import _loop_factory
from hookd.web.answers import attempt_document
from tests.daemons import LOOPBACK, Daemon
from tests.hostile import (
    ANSWERS,
    CHUNKED,
    FLOODS,
    HEAD,
    HOSTILE,
    SOON,
    Authorities,
    Hostile,
    Tls,
    breaks_in,
    close,
    says,
)
from tests.nouns import delivery_to
from tests.receivers import OK, Receiver, answering
from tests.test_attempt import endpoint_at, poster_of

PATIENCE = 10
"""Seconds after which what should have ended has hung."""

LARGE = b"x" * 8_000_000
PROCESS = psutil.Process()
MIB = 1 << 20

LoopFactory = Callable[[], asyncio.AbstractEventLoop] | None


@pytest.fixture(scope="module")
def authorities() -> Authorities:
    return Authorities(trustme.CA(), trustme.CA())


@pytest.fixture(scope="module")
def client(authorities: Authorities) -> ssl.SSLContext:
    context = ssl.create_default_context()
    authorities.trusted.configure_trust(context)
    return context


def server(tls: Tls | None, authorities: Authorities) -> ssl.SSLContext | None:
    if tls is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.show(context, authorities)
    return context


def receiver_of(hostile: Hostile, tls: ssl.SSLContext | None = None) -> Receiver:
    return Receiver(hostile.manner.behave, talk=hostile.manner.talk, tls=tls)


async def attempt_at(poster: Poster, url: str, hostile: Hostile) -> Attempt:
    delivery = delivery_to(endpoint_at(url, timeout=hostile.timeout), payload=LARGE if hostile.large else b"{}")
    return await poster.attempt(delivery)


def hold_against(hostile: Hostile, port: int, timeout: int, recorded: Mapping[str, Any]) -> None:
    """Hold an attempt, as the API shows it, against what the table says."""
    assert (recorded["outcome"], recorded["status_code"]) == (hostile.outcome, hostile.status), recorded
    error = recorded["error"] or ""
    assert re.fullmatch(hostile.wanted(port, timeout), error), error
    assert error.isprintable()
    assert len(error) <= 500
    assert hostile.body is None or recorded["response_body"] == hostile.body.decode("utf-8", "replace")
    assert hostile.truncated in (None, recorded["truncated"])
    assert hostile.headers.items() <= recorded["response_headers"].items()
    assert all((name + text).isprintable() for name, text in recorded["response_headers"].items())


def run(main: Coroutine[Any, Any, None], loop_factory: LoopFactory = None) -> None:
    """Run a test in an event loop; fail where something broke that nobody waited for."""
    faults: list[dict[str, Any]] = []
    with asyncio.Runner(loop_factory=loop_factory) as runner:
        runner.get_loop().set_exception_handler(lambda _, fault: faults.append(fault))
        runner.run(asyncio.wait_for(main, PATIENCE))
        gc.collect(1)  # a task tells of its exception when it goes
    assert faults == []


named = pytest.mark.parametrize("loop_factory", [None, _loop_factory()], ids=["asyncio", "as_in_the_daemon"])


@named
@pytest.mark.parametrize("hostile", HOSTILE, ids=lambda hostile: hostile.name.replace(" ", "_"))
def test_it_is_an_attempt_on_record_and_harms_nobody_else(
    hostile: Hostile, authorities: Authorities, client: ssl.SSLContext, loop_factory: LoopFactory
) -> None:
    run(meet(hostile, authorities, client), loop_factory)


async def meet(hostile: Hostile, authorities: Authorities, client: ssl.SSLContext) -> None:
    """Make an attempt at a hostile receiver, then at two good ones, one of them at the same port."""
    async with Receiver() as good:
        tasks, files = len(asyncio.all_tasks()), PROCESS.num_fds()
        tls = server(hostile.tls, authorities)
        async with (
            receiver_of(hostile, tls) as receiver,
            open_session(Guard(["loopback"]), trusted=client, keep_alive=3600) as session,
        ):
            poster, idle = poster_of(session), PROCESS.num_fds()
            attempt = await attempt_at(poster, hostile.url(receiver.port), hostile)
            hold_against(hostile, receiver.port, hostile.timeout, attempt_document(attempt))
            while PROCESS.num_fds() != idle + len(receiver._serving) + hostile.kept:  # noqa: ASYNC110
                await asyncio.sleep(0)  # what is to end has not ended
            receiver.behave, receiver.talk = answering(OK), receiver.listen
            if tls is not None:
                Tls().show(tls, authorities)
            for url in (good.url(), receiver.url(host=hostile.host)):
                assert (await poster.attempt(delivery_to(endpoint_at(url)))).outcome is Outcome.SUCCESS
            assert len(session._connector._acquired) == session._count == 2
        while (len(asyncio.all_tasks()), PROCESS.num_fds()) != (tasks, files):  # noqa: ASYNC110
            await asyncio.sleep(0)


BOMBS = [hostile for hostile in ANSWERS if "bomb" in hostile.name]


@pytest.mark.parametrize("hostile", FLOODS + BOMBS, ids=lambda hostile: hostile.name.replace(" ", "_"))
async def test_a_flood_takes_no_memory(hostile: Hostile) -> None:
    async with Receiver() as good, receiver_of(hostile) as receiver, open_session(Guard(["loopback"])) as session:
        poster = poster_of(session)
        await poster.attempt(delivery_to(endpoint_at(good.url())))
        tracemalloc.start()
        try:
            async with asyncio.timeout(PATIENCE):
                await attempt_at(poster, hostile.url(receiver.port), hostile)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert peak < 8 * MIB


# Where an answer is cut.

BODIED = b"HTTP/1.1 201 Fine\r\nX-A: 1\r\nX-A: 2\r\nContent-Length: 11\r\n\r\nhello there"


@pytest.mark.parametrize(
    "data",
    [
        BODIED,
        BODIED.replace(b"\r", b""),
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Hints\r\nLink: x\r\n\r\n" + BODIED,
        CHUNKED + b"5;x=y\r\nhello\r\n6\r\n there\r\n0\r\nX-Trailer: x\r\n\r\n",
        CHUNKED + b"zz\r\n",
        b"HTTP/1.1 503 No\r\nRetry-After: 7\r\nTransfer-Encoding: chunked\r\n\r\n\r\n",
        HEAD + b"Content-Length: 0\r\n\r\n\r\n",
        HEAD + b"Content-Length: 1\r\n\r\nxyz",
        b"HTTP/1.1 204 None\r\nContent-Length: 9\r\n\r\n" + OK,
        b"HTTP/1.1 101 Go\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n" + OK,
        OK + b"HTTP/1.1 500 Oh\r\nContent-Length: 0\r\n\r\n",
        HEAD + b"Content-Length: -1\r\n\r\n",
        HEAD + b"Folded: a\r\n b\r\nContent-Length: 0\r\n\r\n",
        b"<html>\r\n\r\n</html>",
    ],
    ids=range(14),
)
async def test_an_answer_means_the_same_wherever_it_is_cut(data: bytes) -> None:
    spoken = asyncio.Event()
    async with asyncio.timeout(PATIENCE), Receiver() as receiver, open_session(Guard(["loopback"])) as session:
        poster, delivery = poster_of(session), delivery_to(endpoint_at(receiver.url()))
        meanings = set()
        for cut in range(len(data)):
            receiver.behave = says(data[:cut], data[cut:], end=lambda _: spoken.set()).behave or receiver.behave
            attempt = await poster.attempt(delivery)
            recorded = (attempt.response_body, attempt.truncated, *attempt.response_headers.items())
            meanings.add((attempt.outcome, attempt.status_code, attempt.retry_after, *recorded))
            await spoken.wait()  # what comes while nobody has asked again is not taken for the next answer
            spoken.clear()
        assert len(meanings) == 1


PIECES = [
    *(b"HTTP/1.1 ", b"HTTP/1.0 ", b"HTTP/", b"RTSP/1.0 ", b"200 OK", b"204 ", b"304 ", b"101 ", b"103 ", b"503", b"-1"),
    *(
        b"\r\n",
        b"\n",
        b"\r",
        b"\r\n\r\n",
        b": ",
        b" ",
        b"\t",
        b";",
        b"\0",
        b"\xff",
        b"\xc3\xa9",
        b"ok",
        b"0",
        b"2",
        b"g",
    ),
    *(b"Content-Length: ", b"Transfer-Encoding: ", b"chunked", b"gzip", b"Connection: ", b"close", b"keep-alive"),
    *(b"upgrade", b"Upgrade: websocket", b"Content-Encoding: gzip", b"Sec-WebSocket-Key1: x", b"Retry-After: 9e9"),
    *(b"0\r\n\r\n", b"2\r\nok\r\n", b"5;x=y\r\nhello\r\n", b"ffffffffffffffff\r\n", OK, HEAD, CHUNKED),
]


@settings(deadline=None, max_examples=200)
@given(st.lists(st.lists(st.sampled_from(PIECES), max_size=6).map(b"".join), min_size=1, max_size=4))
def test_whatever_is_said_is_an_outcome_of_one_line(parts: list[bytes]) -> None:
    async def ask() -> None:
        manner = says(*parts, end=close)
        async with Receiver(manner.behave) as receiver, open_session(Guard(["loopback"])) as session:
            attempt = await poster_of(session).attempt(delivery_to(endpoint_at(receiver.url())))
            assert len(session._connector._acquired) == session._count
        assert (attempt.outcome is Outcome.SUCCESS) == (attempt.error is None)
        assert "could not be asked" not in (attempt.error or "")
        assert (attempt.error or "").isprintable()
        assert all((name + text).isprintable() for name, text in attempt.response_headers.items())

    run(ask())


async def test_what_came_before_a_request_is_no_answer_to_it(monkeypatch: pytest.MonkeyPatch) -> None:
    async with Receiver(talk=breaks_in(OK).talk) as receiver, open_session(Guard(["loopback"])) as session:
        connect = session._connector.connect

        async def late(*args: Any) -> Any:
            connection = await connect(*args)
            assert isinstance(connection.protocol, Wire)
            while not connection.protocol._tail:  # noqa: ASYNC110 - until the answer is there
                await asyncio.sleep(0)
            return connection

        monkeypatch.setattr(session._connector, "connect", late)
        attempt = await poster_of(session).attempt(delivery_to(endpoint_at(receiver.url())))
    assert attempt.outcome is Outcome.PROTOCOL
    assert attempt.error == f"protocol: 127.0.0.1:{receiver.port} did not answer in HTTP: it spoke before it was asked"


# All of them at once.

GENEROUS = 2000
"""The timeout (ms) of what nothing else ends, where a hundred receivers share this process."""
EVENTS = 4


def patience_with(hostile: Hostile) -> int:
    return GENEROUS if hostile.timeout == SOON else hostile.timeout


async def test_all_of_them_at_once_hold_up_nobody_and_are_on_record(tmp_path: Path, authorities: Authorities) -> None:
    table = [hostile for hostile in HOSTILE if not hostile.large]
    authorities.trusted.cert_pem.write_to_path(str(tmp_path / "authority.pem"))
    async with AsyncExitStack() as stack:
        good = await stack.enter_async_context(Receiver())
        receivers = [receiver_of(each, server(each.tls, authorities)) for each in table]
        ports = [(await stack.enter_async_context(each)).port for each in receivers]
        daemon = await stack.enter_async_context(
            Daemon(tmp_path, LOOPBACK + "[delivery]\nretry = []\n", SSL_CERT_FILE=str(tmp_path / "authority.pem"))
        )
        await daemon.register(good.url())
        endpoints = [
            await daemon.register(hostile.url(port), timeout=f"{patience_with(hostile)}ms")
            for hostile, port in zip(table, ports, strict=True)
        ]
        before = psutil.Process(daemon.pid).memory_info().rss
        for _ in range(EVENTS):
            await daemon.call("POST", "/api/v1/events", {"type": "order.created", "payload": {}})
        await daemon.quiet()
        assert psutil.Process(daemon.pid).memory_info().rss - before < 64 * MIB
        assert len(good.requests) == EVENTS
        for hostile, port, endpoint in zip(table, ports, endpoints, strict=True):
            deliveries = (await daemon.call("GET", f"/api/v1/deliveries?endpoint={endpoint}"))["data"]
            assert [each["attempt_count"] for each in deliveries] == [1] * EVENTS
            told = await daemon.call("GET", f"/api/v1/deliveries/{deliveries[0]['id']}")
            hold_against(hostile, port, patience_with(hostile), told["attempts"][0])
        assert await daemon.stop() == 0
        assert "Traceback" not in daemon.logged()
