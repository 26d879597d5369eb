"""Three daemons that share a PostgreSQL server, the receivers they send to, and what can befall them."""

import asyncio
import json
import os
import random
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from typing import Any

import aiohttp
import asyncpg

from hookd.store.membership import slot_of
from tests.crash.waiting import until_answered
from tests.crash.witness import response
from tests.daemons import Daemon
from tests.postgres import Server, database
from tests.receivers import Connection, Receiver, Request
from tests.wire import Wire

PROCESSES = 3
LEASE = 2.0
"""Seconds; the processes are told of it below."""

MAX_IN_FLIGHT = 48
PATIENCE = 2.0
"""Seconds that a client waits for an answer before it asks another process."""

CONFIG = f"""\
[store]
url = "{{address}}"
lease = "{LEASE:g}s"

[delivery]
timeout = "10s"
max_in_flight = {MAX_IN_FLIGHT}
per_endpoint = 8
breaker = "off"
cloudevents_source = "{{number}}"
retry = ["50ms", "100ms", {", ".join(['"200ms"'] * 40)}]

[network]
allow = ["loopback"]
"""

PREFIX = "/of/"


@dataclass(slots=True)
class Arrival:
    """A request as a receiver saw it; times are seconds of the monotonic clock."""

    sender: int
    """The process that sent it."""
    event: str
    attempt: int
    at: float
    answer: int | None = None
    answered_at: float | None = None
    """When the last byte of the answer was written; None where nobody was there to read it."""
    over_at: float = float("inf")
    """When it was answered, or its sender had gone."""


Temper = Callable[[Connection, Arrival], Awaitable[int | None]]
"""Decides on the status to answer; it may take its time. None where the sender is gone by then."""


class Watcher(Receiver):
    """A receiver that keeps what arrived, in order, with who sent it and when."""

    def __init__(self, temper: Temper) -> None:
        super().__init__(self._attend)
        self._temper = temper
        self.arrivals: list[Arrival] = []
        self.seen: dict[str, asyncio.Event] = {}
        self.under_way: list[tuple[float, int]] = []
        """How many requests were under way, from which time on."""
        self._count = 0

    async def _attend(self, connection: Connection, request: Request) -> None:
        headers = request.headers
        sender = int(headers["ce-source"].removeprefix(PREFIX))
        arrival = Arrival(sender, headers["webhook-id"], int(headers["x-webhook-attempt"]), monotonic())
        self.arrivals.append(arrival)
        self._now(+1)
        try:
            arrival.answer = await self._temper(connection, arrival)
            if arrival.answer is None:
                connection.close()
            else:
                await connection.send(response(arrival.answer))
                arrival.answered_at = monotonic()
        finally:
            arrival.over_at = monotonic()
            self._now(-1)
        if arrival.answer == 200:
            self.event_seen(arrival.event).set()

    def _now(self, change: int) -> None:
        self._count += change
        self.under_way.append((monotonic(), self._count))

    def event_seen(self, event: str) -> asyncio.Event:
        """Answer what is set once an event was taken here."""
        return self.seen.setdefault(event, asyncio.Event())


async def steady(_: Connection, __: Arrival) -> int:
    """Take everything at once."""
    return 200


async def failing(_: Connection, arrival: Arrival) -> int:
    """Refuse the first attempt at each event."""
    return 503 if arrival.attempt == 1 else 200


def slow(seconds: float) -> Temper:
    """Take everything, after a while."""

    async def take(connection: Connection, _: Arrival) -> int | None:
        try:
            async with asyncio.timeout(seconds):
                await connection.ended()
        except TimeoutError:
            return 200
        return None

    return take


@dataclass(frozen=True, slots=True)
class Trouble:
    """What befell some processes, and from when to when."""

    kind: str
    processes: frozenset[int]
    began: float
    ended: float


@dataclass(slots=True)
class Cluster:
    """Who is there."""

    server: Server
    address: str
    """The URL of the database."""
    wires: Sequence[Wire]
    """The way of each process to the server."""
    daemons: Sequence[Daemon]
    session: aiohttp.ClientSession
    rng: random.Random
    troubles: list[Trouble] = field(default_factory=list)

    async def query(self, sql: str, *values: object) -> list[tuple[Any, ...]]:
        """Ask the database, beside all processes."""
        connection = await asyncpg.connect(self.address)
        try:
            return [tuple(row) for row in await connection.fetch(sql, *values)]
        finally:
            await connection.close()

    async def publish(self, event: str, **more: object) -> int:
        """Publish an event until somebody acknowledges it; answer how often that was in vain."""
        body = {"id": event, "type": "order.placed", "payload": {"of": event}} | more
        refusals = 0
        while True:
            status, headers = await self.post(self.rng.choice(self.daemons), body)
            if status in (200, 202):
                return refusals
            assert status in (0, 503), (event, status)
            assert not status or "Retry-After" in headers
            refusals += 1
            await asyncio.sleep(0.05)  # a client does

    async def post(self, daemon: Daemon, body: object) -> tuple[int, dict[str, str]]:
        """Publish at one process; answer its status, 0 where none comes, and the headers."""
        try:
            async with self.session.post(
                f"{daemon.url}/api/v1/events", data=json.dumps(body), headers={"Content-Type": "application/json"}
            ) as answer:
                await answer.read()
                return answer.status, dict(answer.headers)
        except (aiohttp.ClientError, OSError, TimeoutError):
            return 0, {}

    async def register(self, watcher: Watcher, **more: object) -> str:
        """Register a receiver, and answer its endpoint's id."""
        definition = {"event_types": ["order.placed"], "format": "cloudevents-binary"} | more
        return await self.daemons[0].register(watcher.url(), **definition)

    async def waiting(self) -> int:
        """Count the deliveries that have not ended."""
        ((count,),) = await self.query("SELECT count(*) FROM hookd.outbox WHERE status IN ('pending', 'sending')")
        return int(count)

    async def mended(self) -> None:
        """Wait until every process is ready, and the lanes are shared out among just these."""
        for daemon in self.daemons:
            await until_answered(lambda: self._is_ready(daemon), f"{daemon.directory.name} is ready")  # noqa: B023
        await until_answered(self._is_shared_out, "the lanes are shared out")

    async def _is_ready(self, daemon: Daemon) -> bool:
        try:
            async with self.session.get(f"{daemon.url}/readyz") as answer:
                return answer.status == 200
        except (aiohttp.ClientError, OSError, TimeoutError):
            return False

    async def _is_shared_out(self) -> bool:
        found = await self.query(
            "SELECT owner, count(*) FROM hookd.slots LEFT JOIN hookd.processes ON number = owner "
            "WHERE number IS NOT NULL GROUP BY owner"
        )
        counts = [count for _, count in found]
        return len(counts) == PROCESSES and sum(counts) == 128 and max(counts) <= 43

    async def owner_of(self, endpoint: str) -> int:
        """Wait until somebody has an endpoint's lane, and answer which process that is."""
        pids = [f":{daemon.pid}" for daemon in self.daemons]

        async def named() -> str:
            sql = "SELECT name FROM hookd.slots JOIN hookd.processes ON number = owner WHERE slot = $1"
            return str((await self.query(sql, slot_of(endpoint)) or [("",)])[0][0])

        async def is_known() -> bool:
            return (await named()).endswith(tuple(pids))

        await until_answered(is_known, f"somebody has the lane of {endpoint}")
        name = await named()
        return next(number for number, pid in enumerate(pids) if name.endswith(pid))

    # What can befall them.

    async def kill(self, number: int) -> None:
        """End a process between two instructions, and start another in its place."""
        began = monotonic()
        await self.daemons[number].kill()
        self._note("kill", {number}, began)
        await self._pass(self.rng.uniform(0, 1.5 * LEASE))
        await self.daemons[number].start()

    async def hang(self, number: int) -> None:
        """Let a process hang for a while, shorter than a lease or longer."""
        began = monotonic()
        os.kill(self.daemons[number].pid, signal.SIGSTOP)
        await self._pass(self.rng.choice((0.3, 1.0, 2.0)) * LEASE)
        os.kill(self.daemons[number].pid, signal.SIGCONT)
        self._note("hang", {number}, began)

    async def restart(self, number: int) -> None:
        """Tell a process to end as an operator would, and start it again."""
        assert await self.daemons[number].stop() == 0
        await self.daemons[number].start()

    async def cut(self, number: int) -> None:
        """Cut a process off from the database for longer than a lease; it can still reach the receivers."""
        began = monotonic()
        self.wires[number].cut()
        await self._pass(self.rng.choice((1.5, 2.5)) * LEASE)
        if self.rng.random() < 0.5:
            self.wires[number].break_off()
        self.wires[number].mend()
        self._note("cut", {number}, began)

    async def break_off(self, number: int) -> None:
        """End a process's connections to the database."""
        began = monotonic()
        self.wires[number].break_off()
        self._note("break off", {number}, began)

    async def crash_the_database(self, _: int) -> None:
        """Let the database crash, and come back."""
        await self._without_database(self.server.crash)

    async def stop_the_database(self, _: int) -> None:
        """Stop the database in order, and start it again."""
        await self._without_database(self.server.stop)

    async def _without_database(self, end: Callable[[], None]) -> None:
        began = monotonic()
        await asyncio.to_thread(end)
        for daemon in self.daemons:
            status, headers = await self.post(daemon, {"type": "order.lost", "payload": {}})
            assert (status, "Retry-After" in headers) == (503, True), f"{daemon.directory.name} answered {status}"
        await self._pass(self.rng.choice((0.2, 1.5)) * LEASE)
        await asyncio.to_thread(self.server.start)
        self._note("database", set(range(PROCESSES)), began)

    async def _pass(self, seconds: float) -> None:
        """Let time pass: what is to show is what happens in it."""
        await asyncio.sleep(seconds)

    def _note(self, kind: str, processes: set[int], began: float) -> None:
        self.troubles.append(Trouble(kind, frozenset(processes), began, monotonic()))


@asynccontextmanager
async def cluster(folder: Path, rng: random.Random) -> AsyncIterator[Cluster]:
    """Start a server and three daemons on it, each with a way of its own to the server."""
    async with AsyncExitStack() as stack:
        server = stack.enter_context(Server())
        address = stack.enter_context(database(migrated=False, address=server.address))
        wires = [await stack.enter_async_context(Wire(address)) for _ in range(PROCESSES)]
        session = await stack.enter_async_context(
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=PATIENCE), trust_env=False)
        )
        daemons = [_daemon(folder / f"process-{number}", wire, number) for number, wire in enumerate(wires)]
        async with asyncio.TaskGroup() as starting:
            for daemon in daemons:
                starting.create_task(stack.enter_async_context(daemon))
        for daemon in daemons:
            stack.callback(_go_on, daemon)
        yield Cluster(server, address, wires, daemons, session, rng)


def _daemon(folder: Path, wire: Wire, number: int) -> Daemon:
    folder.mkdir()
    return Daemon(folder, CONFIG.format(address=wire.address, number=f"{PREFIX}{number}"))


def _go_on(daemon: Daemon) -> None:
    if daemon.process.returncode is None:
        os.kill(daemon.pid, signal.SIGCONT)
