"""Callers who come in great numbers."""

import asyncio
import os
import resource
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from hookd.web.connections import PATIENCE, Connections, Patience
from hookd.web.door import Door
from tests.callers.raw import WAITING, caller
from tests.crash.waiting import until
from tests.daemons import LOOPBACK, Daemon
from tests.receivers import OK, Connection, Receiver, Request
from tests.web.serving import serve

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
MOST = 5
CROWD = 50


class Watched(Connections):
    """Connections that remember how many there were at the most."""

    peak = 0

    def __setattr__(self, name: str, value: Any) -> None:
        super().__setattr__(name, value)
        if name == "open" and value > self.peak:
            self.peak = value


class Gate:
    """A handler whose requests wait until it is open."""

    def __init__(self) -> None:
        self.open = asyncio.Event()
        self.inside = 0

    async def act(self, _: web.Request) -> web.Response:
        self.inside += 1
        await self.open.wait()
        return web.Response()


@asynccontextmanager
async def serving(connections: Connections, gate: Gate) -> AsyncIterator[str]:
    app = web.Application()
    app.router.add_get("/", gate.act)
    async with serve(app, connections) as url:
        yield url


def hasty(say: float) -> Patience:
    return replace(PATIENCE, say=say)


async def test_there_are_never_more_than_there_may_be_and_the_longest_silent_gives_way() -> None:
    gate, connections = Gate(), Watched(MOST, hasty(0.0))
    gate.open.set()
    async with serving(connections, gate) as url, AsyncExitStack() as crowd:
        silent = [await crowd.enter_async_context(caller(url)) for _ in range(CROWD)]
        async with caller(url) as connection:
            await connection.send(GET)
            assert (await connection.answer()).status == 200
            for earlier in silent[: CROWD + 1 - MOST]:
                assert await earlier.ended() == b""
            for later in silent[CROWD + 1 - MOST :]:
                await later.send(GET)
                assert (await later.answer()).status == 200
    assert connections.peak == MOST


async def test_nobody_gives_way_before_having_had_a_say() -> None:
    gate, connections = Gate(), Watched(MOST, hasty(0.1))
    gate.open.set()
    async with serving(connections, gate) as url, AsyncExitStack() as crowd:
        callers = [await crowd.enter_async_context(caller(url)) for _ in range(3 * MOST)]
        for each in callers:
            await each.send(GET)
        assert [(await each.answer()).status for each in callers] == [200] * 3 * MOST
    assert connections.peak == MOST


async def test_while_each_has_a_request_under_way_others_wait_at_the_door(caplog: pytest.LogCaptureFixture) -> None:
    gate, connections = Gate(), Watched(MOST, hasty(0.0))
    async with serving(connections, gate) as url, AsyncExitStack() as crowd:
        callers = [await crowd.enter_async_context(caller(url)) for _ in range(MOST)]
        for each in callers:
            await each.send(GET)
        await until(lambda: gate.inside == MOST, "each has a request under way")
        callers += [await crowd.enter_async_context(caller(url)) for _ in range(MOST)]
        for each in callers[MOST:]:
            await each.send(GET)
        await until(lambda: bool(caplog.records), "it is full")
        gate.open.set()
        assert [(await each.answer()).status for each in callers] == [200] * 2 * MOST
    assert connections.peak == MOST
    assert [(record.levelname, record.exc_info) for record in caplog.records] == [("WARNING", None)]


# File descriptors.


@contextmanager
def no_descriptors() -> Iterator[None]:
    """Let this process open no more files."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    lowest = os.open(os.devnull, os.O_RDONLY)
    os.close(lowest)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


class Listening(socket.socket):
    """A listening socket that counts how often it was asked."""

    asked = 0

    def accept(self) -> tuple[socket.socket, object]:
        self.asked += 1
        return super().accept()


class Silent(asyncio.Protocol):
    """A protocol that says nothing."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections

    def connection_lost(self, _: Exception | None) -> None:
        self._connections.open -= 1


async def test_where_descriptors_run_out_a_door_neither_dies_nor_spins(caplog: pytest.LogCaptureFixture) -> None:
    rounds = 0
    listening = Listening()
    listening.bind(("127.0.0.1", 0))
    listening.listen(CROWD)
    knocking = [socket.socket() for _ in range(CROWD)]
    connections = Connections(2 * CROWD)
    door = Door(listening, connections, partial(Silent, connections))
    try:
        with no_descriptors():
            for each in knocking:
                each.connect(listening.getsockname())
            while listening.asked < 3:
                rounds += 1
                await asyncio.sleep(0)
        assert rounds > 100
        assert connections.open == 0
        assert [(record.levelname, record.exc_info) for record in caplog.records] == [("WARNING", None)]
        assert "Too many open files" in str(vars(caplog.records[0]))
        await until(lambda: connections.open == CROWD, "all are let in")
    finally:
        door.close()
        for each in knocking:
            each.close()
    await until(lambda: connections.open == 0, "all are gone")


DESCRIPTORS = 300
IN_FLIGHT = 32
ONE_ENDPOINTS = 24
"""How many of these one endpoint may have under way, since others are left some."""
EVENTS = 100
CONFIG = LOOPBACK + f"[delivery]\nmax_in_flight = {IN_FLIGHT}\nper_endpoint = {IN_FLIGHT}\n"


def descriptors(pid: int) -> int:
    """Count what a process has open."""
    return sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir())


class Slow:
    """A receiver's behaviour: no request is answered until so many are there."""

    def __init__(self) -> None:
        self.waiting = 0
        self.peak = 0
        self.go_on = asyncio.Event()

    async def behave(self, connection: Connection, _: Request) -> None:
        self.waiting += 1
        if self.waiting == ONE_ENDPOINTS:
            self.go_on.set()
        await self.go_on.wait()
        await connection.send(OK)


@pytest.mark.asyncio(loop_factories=["uvloop"])
async def test_a_crowd_takes_no_descriptors_from_deliveries_and_the_store(tmp_path: Path) -> None:
    slow = Slow()
    async with (
        Receiver(slow.behave) as receiver,
        Daemon(tmp_path, CONFIG, descriptors=DESCRIPTORS) as daemon,
        AsyncExitStack() as crowd,
        asyncio.timeout(WAITING),
    ):
        await daemon.register(receiver.url())
        for _ in range(2 * DESCRIPTORS):
            await crowd.enter_async_context(caller(daemon.url))
        events = [
            (await daemon.call("POST", "/api/v1/events", {"type": "a", "payload": {}}))["id"] for _ in range(EVENTS)
        ]
        for event in events:
            (delivery,) = await daemon.settled(event, "delivered")
            assert delivery["attempt_count"] == 1
        assert descriptors(daemon.pid) < DESCRIPTORS - IN_FLIGHT
        assert "ERROR" not in daemon.logged()
        assert "Traceback" not in daemon.logged()


@pytest.mark.asyncio(loop_factories=["uvloop"])
async def test_a_limit_that_is_too_low_is_told_at_the_start(tmp_path: Path) -> None:
    async with Daemon(tmp_path, descriptors=DESCRIPTORS) as daemon:
        assert "file descriptors may run out: raise their limit" in daemon.logged()
