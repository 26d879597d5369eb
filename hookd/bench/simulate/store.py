"""What the store takes for each step, without a daemon: transactions of one row, and of many.

Its thread's processor time counts, not the clock: what it waits for is simulated.
"""

import asyncio
import contextlib
import os
import random
import statistics
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from hookd.accept import Acceptor
from hookd.bench.process import thread_seconds, written_bytes
from hookd.bench.simulate.costs import MICROSECOND
from hookd.bench.simulate.receivers import endpoint
from hookd.bench.stand import PAYLOAD
from hookd.bench.subject import EVENT_TYPE
from hookd.ids import IdFactory
from hookd.lanes import Lanes
from hookd.metrics import Metrics
from hookd.model import Attempt, Delivery, Outcome, Publication, Status, wall_clock
from hookd.policy.retry import Decision
from hookd.store import Committed, Result, Store, open_store

BATCH = 64
"""Rows of a large transaction: what comes together over as many connections as the other scenarios have."""
TIMES = 40
FANOUT = 16
"""Endpoints that get the same event, where a fan-out is measured."""
_HOUR = 3_600_000
_HEADERS = {
    "content-type": "application/json",
    "user-agent": "hookd/0",
    "webhook-id": "evt_00000000000000000000",
    "webhook-timestamp": "1800000000",
    "webhook-signature": "v1," + "x" * 44,
    "X-Webhook-Event": EVENT_TYPE,
    "X-Webhook-Attempt": "1",
}


@dataclass(frozen=True, slots=True)
class Steps:
    """Microseconds of a transaction for each row, and for itself; and bytes written."""

    commit: float
    event: float
    delivery: float
    claim: float
    record: float
    event_bytes: float
    delivery_bytes: float


@dataclass(frozen=True, slots=True)
class Sample:
    """What a transaction of one row took, what one of `rows` took, in microseconds; and bytes for each row of that."""

    one: float
    many: float
    bytes: float
    rows: int = BATCH

    @property
    def each(self) -> float:
        """Microseconds that a further row takes."""
        return max(0.0, (self.many - self.one) / (self.rows - 1))

    @property
    def alone(self) -> float:
        """Microseconds that a transaction takes whatever is in it."""
        return max(0.0, self.one - self.each)


async def measure_store(directory: Path) -> Steps:
    """Accept, claim and record in a store of its own, as often as it takes to know what each costs."""
    async with _opened(directory) as bench:
        accepted = await bench.sample(bench.accept)
        fanned = await bench.sample(bench.fan_out)
        claimed = await bench.sample(bench.claim)
        recorded = await bench.sample(bench.record)
    row = max(0.0, (fanned.each - accepted.each) / (FANOUT - 1))
    row_bytes = max(0.0, (fanned.bytes - accepted.bytes) / (FANOUT - 1))
    further = row_bytes + claimed.bytes + recorded.bytes
    return Steps(
        commit=statistics.mean(each.alone for each in (accepted, claimed, recorded)),
        event=max(0.0, accepted.each - row),
        delivery=row,
        claim=claimed.each,
        record=recorded.each,
        event_bytes=accepted.bytes - row_bytes + further,
        delivery_bytes=further,
    )


class StoreBench:
    """A store in which nothing runs but what is being measured."""

    def __init__(self, store: Store, endpoints: Sequence[str]) -> None:
        self._store = store
        self._endpoints = endpoints
        self._acceptor = Acceptor(store, Metrics(), wall_clock, _ids())
        self._claimed: list[Delivery] = []
        store.on_commit = self._note

    def _note(self, committed: Committed) -> None:
        self._claimed += committed.changes.claimed

    async def sample(self, step: Callable[[int], Awaitable[object]]) -> Sample:
        """Measure a step for one row and for many."""
        await self._take(step, BATCH)
        one = statistics.median([await self._take(step, 1) for _ in range(TIMES)])
        before = written_bytes(os.getpid()) or 0
        many = statistics.mean([await self._take(step, BATCH) for _ in range(TIMES)])
        written = (written_bytes(os.getpid()) or 0) - before
        return Sample(one, many, written / (TIMES * BATCH))

    async def _take(self, step: Callable[[int], Awaitable[object]], rows: int) -> float:
        before = _used()
        await step(rows)
        return (_used() - before) / MICROSECOND

    async def accept(self, count: int) -> None:
        """Accept so many events for one endpoint."""
        await self._publish(self._endpoints[:1], count)

    async def fan_out(self, count: int) -> None:
        """Accept so many events for many endpoints each."""
        await self._publish(self._endpoints[1:], count)

    async def _publish(self, endpoints: Sequence[str], count: int) -> None:
        publication = Publication(EVENT_TYPE, PAYLOAD.encode(), endpoints=tuple(endpoints))
        await asyncio.gather(*(self._acceptor.publish(publication) for _ in range(count)))

    async def claim(self, count: int) -> None:
        """Claim so many that wait for one endpoint."""
        self._store.room = Lanes(count, count)
        await self._store.claim(self._endpoints[:1])
        self._store.room = None

    async def record(self, count: int) -> None:
        """Record so many successes."""
        delivered, self._claimed = self._claimed[:count], self._claimed[count:]
        for delivery in delivered:
            self._store.record(_result(delivery))
        await self._store.flush()


def _used() -> float:
    """Answer the seconds that the store's threads have used; 0 where the system does not tell."""
    used = thread_seconds(os.getpid())
    return 0.0 if used is None else used[1]


def _result(delivery: Delivery) -> Result:
    attempt = Attempt(
        f"att_{delivery.sequence:020}", 1, wall_clock(), 1.0, Outcome.SUCCESS, 200, None, _HEADERS, _HEADERS, b"ok"
    )
    return Result(delivery, attempt, Decision(Status.DELIVERED), _HOUR)


def _ids() -> IdFactory:
    return IdFactory(wall_clock, random.SystemRandom())


@contextlib.asynccontextmanager
async def _opened(directory: Path) -> AsyncIterator[StoreBench]:
    async with open_store(directory / "hookd.db", wall_clock, _ids(), _HOUR) as store:
        running = asyncio.create_task(store.run())
        try:
            made = [replace(endpoint(number), event_types=("none",)) for number in range(FANOUT + 1)]
            await asyncio.gather(*map(store.create_endpoint, made))
            yield StoreBench(store, [each.id for each in made])
        finally:
            store.stop()
            await running
