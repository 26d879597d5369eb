"""Claims: what they cost the database, however much waits, and after as many as there were deliveries."""

import itertools
import random
import time
from collections.abc import Sequence
from typing import Final

from hookd.bench.report import Figure
from hookd.bench.stand import Stand
from hookd.bench.stock import Stock, stocked
from hookd.lanes import Lanes
from hookd.model import Attempt, Delivery, Outcome, wall_clock
from hookd.policy.retry import decide
from hookd.store import Committed, Result

FEWER: Final = 100
"""How many times fewer wait in the yardstick."""
ENDPOINTS: Final = 100
LANES: Final = 16
"""Lanes that one claim asks."""
OF_EACH: Final = 16
"""Deliveries that one claim takes of each."""
MEASURED: Final = 60
"""Claims that are measured at a time."""
STEP: Final = 5_000
"""Deliveries that come, and as many that go, in turns."""
TIMES: Final = 1.3
_DISABLE_AFTER = 5 * 24 * 60 * 60 * 1000
_MICROSECOND = 1e-6


class Claimer:
    """Claims and records in a daemon's place, without sending anything."""

    def __init__(self, stock: Stock, endpoints: Sequence[str]) -> None:
        self._store = stock.store
        self._turns = itertools.cycle(endpoints)
        self._ids = stock.ids
        self._claimed: list[Delivery] = []
        self._lanes = Lanes(LANES * OF_EACH, OF_EACH)
        self._store.on_commit = self._note

    def _note(self, committed: Committed) -> None:
        self._claimed += committed.changes.claimed

    async def claim(self) -> float:
        """Claim once; answer the microseconds for each delivery, the commit among them."""
        self._store.room = self._lanes
        began = time.perf_counter()
        await self._store.claim(list(itertools.islice(self._turns, LANES)))
        seconds = time.perf_counter() - began
        self._store.room = None
        return seconds / len(self._claimed) / _MICROSECOND

    async def record(self) -> int:
        """Record all that was claimed as delivered; answer how many."""
        claimed, self._claimed = self._claimed, []
        for delivery in claimed:
            self._lanes.finish(delivery.destination.id)
            attempt = Attempt(self._ids("att"), 1, wall_clock(), 1.0, Outcome.SUCCESS, 200)
            decision = decide(attempt, 0, (), 0.0, wall_clock(), random.Random(0))  # noqa: S311 - nothing is drawn
            self._store.record(Result(delivery, attempt, decision, _DISABLE_AFTER))
        await self._store.flush()
        return len(claimed)

    async def measured(self) -> list[float]:
        """Measure claims, each recorded before the next."""
        costs = []
        for _ in range(MEASURED):
            costs.append(await self.claim())
            await self.record()
        return costs

    async def cycle(self, count: int) -> None:
        """Claim and record so many."""
        while count > 0:
            await self.claim()
            count -= await self.record()


async def claims(stand: Stand, rounds: int, events: int) -> list[Figure]:
    """Measure with a hundredth of so many waiting, with all, and after as many have gone and come."""
    few: list[float] = []
    many: list[float] = []
    worn: list[float] = []
    for _ in range(rounds):
        few += (await _measured(stand, events // FEWER, 0))[0]
        stand.advance()
        fresh, after = await _measured(stand, events, events)
        many += fresh
        worn += after
        stand.advance()
    name = f"{FEWER} times fewer"
    return [
        Figure("claim", "µs", many, name, few, times=TIMES),
        Figure("claim_after_cycles", "µs", worn, name, few, times=TIMES),
    ]


async def _measured(stand: Stand, events: int, cycles: int) -> tuple[list[float], list[float]]:
    """Measure with so many waiting, and once more after as many cycles as are asked for."""
    directory = await stand.fresh_directory()
    async with stand.run(directory) as hookd:
        endpoints = await hookd.register_all({"url": url} for url in stand.destinations(ENDPOINTS))
    async with stocked(directory) as stock:
        await stock.publish(endpoints, events + 2 * MEASURED * LANES * OF_EACH)
        claimer = Claimer(stock, endpoints)
        fresh = await claimer.measured()
        for _ in range(cycles // STEP):
            await stock.publish(endpoints, STEP)
            await claimer.cycle(STEP)
        return fresh, await claimer.measured()
