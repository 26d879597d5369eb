"""Rate: whether an endpoint's rate limit holds, over every stretch of time, and is made use of."""

import asyncio
import contextlib
from collections.abc import Sequence
from dataclasses import dataclass

from hookd.bench.report import Figure
from hookd.bench.stand import Stand
from hookd.bench.wire import BenchError
from hookd.bench.worker import Worker, hire

TOLERANCE = 0.02
"""How far the pace may be from the rate, as a share of it."""
INTERVALS = 100
"""Between arrivals after the burst, at the least: one arrival more or less must be no more than 1 % of the pace."""
ON_THE_WAY = 1
"""Deliveries by which a stretch may hold more: one that was under way for longer than the next."""


@dataclass(frozen=True, slots=True)
class Limit:
    """A rate limit as its endpoint has it, and what that means."""

    name: str
    text: str
    rate: int
    """Deliveries a second, and as many at once after a rest."""


LIMITS = (Limit("50_per_s", "50/s", 50), Limit("600_per_min", "600/min", 10))

FEWEST = max(-(-LIMITS[0].rate * (limit.rate + 1 + INTERVALS) // limit.rate) for limit in LIMITS)
"""Events with which the pace of every limit is measured over enough intervals."""


async def rate(stand: Stand, rounds: int, events: int) -> list[Figure]:
    """Let so many events wait for an endpoint with the first limit, and as many seconds' worth for the other."""
    if events < FEWEST:
        raise BenchError(f"too few events: a single one would be more than 1 % of the pace; try --events {FEWEST}")
    counts = [events * limit.rate // LIMITS[0].rate for limit in LIMITS]
    seen = []
    for _ in range(rounds):
        seen.append(await _run(stand, counts))
        stand.advance()
    return [
        figure
        for limit, arrivals in zip(LIMITS, zip(*seen, strict=True), strict=True)
        for figure in _figures(limit, arrivals)
    ]


async def _run(stand: Stand, counts: Sequence[int]) -> list[list[float]]:
    """Answer, for each limit, the moments at which its deliveries came."""
    async with contextlib.AsyncExitStack() as stack:
        hookd = await stack.enter_async_context(stand.fresh_subject())
        sinks = [await stack.enter_async_context(hire("sink", stand.directory)) for _ in LIMITS]
        for limit, sink, count in zip(LIMITS, sinks, counts, strict=True):
            await sink.ask("expect", count=count)
            event_type = f"bench.event.{limit.name}"
            await hookd.register(sink.port, event_types=[event_type], rate_limit=limit.text)
            await stand.publish(hookd, count, event_type)
        return await asyncio.gather(*map(_arrivals, sinks, LIMITS, counts))


async def _arrivals(sink: Worker, limit: Limit, count: int) -> list[float]:
    seen = await sink.ask("wait", seconds=60 + 2 * count / limit.rate)
    if seen["distinct"] < count:
        raise BenchError(f"{seen['distinct']} of {count} events arrived at {limit.text}, then time was up")
    return sorted((await sink.ask("moments")).values())


def _figures(limit: Limit, rounds: Sequence[Sequence[float]]) -> list[Figure]:
    return [
        Figure(
            f"rate_{limit.name}_burst",
            "deliveries",
            [surplus(arrivals, limit.rate) for arrivals in rounds],
            ceiling=limit.rate + ON_THE_WAY,
            more_is_better=None,
        ),
        Figure(
            f"rate_{limit.name}_pace",
            "deliveries/s",
            [pace(arrivals, limit.rate) for arrivals in rounds],
            "the limit",
            [float(limit.rate)] * len(rounds),
            floor=1 - TOLERANCE,
            times=1 + TOLERANCE,
            more_is_better=None,
        ),
    ]


def surplus(arrivals: Sequence[float], rate: float) -> float:
    """Answer the most arrivals of any stretch of time beyond the rate times its length.

    `arrivals` are ascending moments in seconds. A stretch begins and ends with an arrival and holds both.
    """
    most, least_before = 0.0, float("inf")
    for number, moment in enumerate(arrivals):
        least_before = min(least_before, number - rate * moment)
        most = max(most, number + 1 - rate * moment - least_before)
    return most


def pace(arrivals: Sequence[float], burst: int) -> float:
    """Answer the arrivals a second once the burst is over; at least two have to follow it."""
    after = arrivals[burst:]
    return (len(after) - 1) / (after[-1] - after[0])
