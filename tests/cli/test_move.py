"""`hookd migrate --from`, as a person uses it: a busy daemon moves from its file to a server, and loses nothing."""

import asyncio
import sqlite3
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import closing
from itertools import count
from pathlib import Path

import aiohttp
import pytest

from hookd.store.parts import TABLES
from tests.cli.upkeep import command
from tests.daemons import LOOPBACK, Daemon, clean_environment
from tests.postgres import run
from tests.receivers import OK, Connection, Receiver, Request

PATIENCE = 60.0
"""Seconds after which what should have happened fails the test."""
PUBLISHERS = 4
BEFORE, AFTER = 150, 50
"""Events that are published before the move begins, and once it has ended."""
RETRIES = "[delivery]\nretry = ['2s', '2s', '2s', '2s']\nbreaker = 'off'\n"
ERROR = b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n"
MISCOUNTED = """
SELECT count(*) FROM hookd.outbox
WHERE attempt_count <> (SELECT count(*) FROM hookd.attempts WHERE delivery = outbox.sequence)
"""
DELIVERED = "SELECT events.id, endpoint FROM outbox JOIN events ON events.sequence = event WHERE status = 'delivered'"


async def behave(connection: Connection, request: Request) -> None:
    """Answer at `/flaky` to second attempts alone, and at `/dead` to none."""
    path = request.line.split()[1]
    fails = path == "/dead" or (path == "/flaky" and request.headers["x-webhook-attempt"] == "1")
    await connection.send(ERROR if fails else OK)


class Publishers:
    """They publish one event after another under ids of their own, each again and again until it is acknowledged."""

    def __init__(self, url: str) -> None:
        self.told: list[str] = []
        self.told_at: list[float] = []
        self.stop = False
        self._url = url
        self._numbers = count()

    async def run(self) -> None:
        async with aiohttp.ClientSession(self._url) as self._session, asyncio.TaskGroup() as publishing:
            for _ in range(PUBLISHERS):
                publishing.create_task(self._publish())

    async def _publish(self) -> None:
        while not self.stop:
            number = next(self._numbers)
            while True:
                if await self.send(self._session, number) in (200, 202):
                    break
                await asyncio.sleep(0.01)
            self.told.append(f"order_{number}")
            self.told_at.append(time.monotonic())

    async def send(self, session: aiohttp.ClientSession, number: int, **more: object) -> int:
        body = {"type": "order", "id": f"order_{number}", "payload": {"number": number}, **more}
        try:
            async with session.post("/api/v1/events", json=body) as response:
                await response.read()
                return response.status
        except (aiohttp.ClientError, OSError):
            return 0

    async def reach(self, more: int) -> None:
        """Wait until so many more are acknowledged."""
        wanted = len(self.told) + more
        async with asyncio.timeout(PATIENCE):
            while True:
                if len(self.told) >= wanted:
                    return
                await asyncio.sleep(0.01)


Stop = Callable[[Daemon], Awaitable[object]]
"""How a daemon is stopped."""


async def move(daemon: Daemon, folder: Path, stop: Stop) -> str:
    """Run the command beside the daemon, and stop that when it is told to; answer what is said in the end."""
    arguments = command("migrate", folder, "--from", f"sqlite:{daemon.directory}/hookd.db")
    process = await asyncio.create_subprocess_exec(
        *arguments, env=clean_environment(), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(PATIENCE):
            told = (await process.stdout.readline()).decode()
            assert "copied; stop the hookd that runs on it" in told
            await stop(daemon)
            said = (await process.stdout.read()).decode()
            assert await process.wait() == 0, said
            return said
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


class Scene:
    """A daemon on a file, and its endpoints at one receiver."""

    def __init__(self, daemon: Daemon, receiver: Receiver) -> None:
        self.daemon = daemon
        self.receiver = receiver
        self.paths: dict[str, str] = {}
        """Of each endpoint."""

    async def register(self, path: str, **definition: object) -> str:
        identity = await self.daemon.register(self.receiver.url(path), event_types=["order"], **definition)
        self.paths[identity] = path
        return identity

    def arrived(self, first: int = 0) -> list[tuple[str, str]]:
        """Answer the path and event of all requests from one on."""
        requests = self.receiver.requests[first:]
        return [(each.line.split()[1], each.headers["webhook-id"]) for each in requests]

    def delivered_on_file(self) -> set[tuple[str, str]]:
        with closing(sqlite3.connect(self.daemon.directory / "hookd.db")) as raw:
            return {(self.paths[endpoint], event) for event, endpoint in raw.execute(DELIVERED)}

    def counted_on_file(self) -> str:
        with closing(sqlite3.connect(self.daemon.directory / "hookd.db")) as raw:
            counts = {table: raw.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in TABLES}
        return ", ".join(f"{table} {count}" for table, count in counts.items())


@pytest.mark.parametrize("stop", [Daemon.stop, Daemon.kill])
async def test_a_busy_daemon_moves_and_loses_nothing(tmp_path: Path, postgres: str, stop: Stop) -> None:
    there = tmp_path / "there"
    there.mkdir()
    config = f'[store]\nurl = "{postgres}"\n{RETRIES}{LOOPBACK}'
    (there / "config.toml").write_text(config, "utf-8")
    async with Receiver(behave) as receiver, Daemon(tmp_path, RETRIES + LOOPBACK) as daemon:
        scene = Scene(daemon, receiver)
        for path in ("/fast", "/ordered", "/flaky", "/slow"):
            await scene.register(path, ordered=path == "/ordered", rate_limit="200/s" if path == "/slow" else None)
        await scene.register("/dead", retry=[])
        publishers = Publishers(daemon.url)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(publishers.run())
            await publishers.reach(BEFORE)
            said = await move(daemon, there, stop)
            until = len(receiver.requests)
            delivered, counted = scene.delivered_on_file(), scene.counted_on_file()
            daemon.config.write_text(config, "utf-8")
            await daemon.start()
            await publishers.reach(AFTER)
            publishers.stop = True
        assert f"counted in both: {counted};" in said
        await expect_all(scene, publishers, postgres)
        again = set(scene.arrived(until)) & delivered
        assert again == set(), "what is on record as delivered is not sent again"
        await expect_known(daemon, publishers)
    pauses = [b - a for a, b in zip(publishers.told_at, publishers.told_at[1:], strict=False)]
    print(f"the longest time without an acknowledgement: {max(pauses):.2f} s")


async def expect_all(scene: Scene, publishers: Publishers, store: str) -> None:
    """Everything that was acknowledged is there once, and reaches everybody, in order where that is kept."""
    async with asyncio.timeout(PATIENCE):
        await scene.daemon.quiet()
    events = [str(row[0]) for row in run(store, "SELECT id FROM hookd.events WHERE type = 'order' ORDER BY sequence")]
    assert Counter(events) == Counter(dict.fromkeys(publishers.told, 1))
    deliveries = Counter(run(store, "SELECT endpoint, status FROM hookd.outbox WHERE type = 'order'"))
    assert deliveries == {
        (endpoint, "failed" if path == "/dead" else "delivered"): len(events) for endpoint, path in scene.paths.items()
    }
    arrived = scene.arrived()
    for path in scene.paths.values():
        assert {event for at, event in arrived if at == path} == set(events)
    ordered = list(dict.fromkeys(event for at, event in arrived if at == "/ordered"))
    assert ordered == events
    assert run(store, MISCOUNTED) == [(0,)]


async def expect_known(daemon: Daemon, publishers: Publishers) -> None:
    """What was accepted on the file is known at the server."""
    async with aiohttp.ClientSession(daemon.url) as session:
        assert await publishers.send(session, 0) == 200
        assert await publishers.send(session, 0, payload={"other": True}) == 409
