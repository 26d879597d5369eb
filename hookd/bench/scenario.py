"""The scenarios by name, each bounded in time."""

import asyncio
import signal
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from hookd.bench.drain import drain
from hookd.bench.latency import latency
from hookd.bench.pipeline import pipeline
from hookd.bench.report import Figure, Report
from hookd.bench.stand import Stand, stand
from hookd.bench.wire import BenchError

_ROUND = 60.0
_SLOWEST = 100


@dataclass(frozen=True, slots=True)
class Scenario:
    """A measurement, and how many events a round of it has by default."""

    measure: Callable[[Stand, int, int], Awaitable[list[Figure]]]
    events: int


SCENARIOS = {
    "drain": Scenario(drain, 20_000),
    "pipeline": Scenario(pipeline, 20_000),
    "latency": Scenario(latency, 300),
}


def measure(name: str, rounds: int, events: int | None) -> Report:
    """Run a scenario; BenchError if it gets stuck. Everything is cleared away, also after Ctrl-C."""
    scenario = SCENARIOS[name]
    count = events or scenario.events
    figures = asyncio.run(_bounded(scenario, rounds, count))
    return Report(name, count, figures)


async def _bounded(scenario: Scenario, rounds: int, events: int) -> list[Figure]:
    limit = (rounds + 1) * (_ROUND + events / _SLOWEST)
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, signal.raise_signal, signal.SIGINT)
    try:
        async with asyncio.timeout(limit), stand() as ready:
            return await scenario.measure(ready, rounds, events)
    except TimeoutError:
        raise BenchError(f"not done after {limit:.0f} s, given up; try fewer --events") from None
