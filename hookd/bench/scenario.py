"""The scenarios by name, each bounded in time."""

import asyncio
import signal
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from hookd.bench.drain import drain
from hookd.bench.latency import latency
from hookd.bench.pipeline import pipeline
from hookd.bench.report import Figure, Report
from hookd.bench.soak import soak
from hookd.bench.stand import Stand, stand
from hookd.bench.wire import BenchError

_ROUND = 60.0
_SLOWEST = 100
_ENDURANCE = 300.0


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
    limit = (rounds + 1) * (_ROUND + count / _SLOWEST)
    figures = asyncio.run(_bounded(lambda ready: scenario.measure(ready, rounds, count), limit))
    return Report(name, count, figures)


def endure(minutes: float, lives: int) -> Report:
    """Run the soak for so many minutes, in a number of lives; as `measure` otherwise."""
    limit = 2 * 60 * minutes + _ENDURANCE
    figures = asyncio.run(_bounded(lambda ready: soak(ready, 60 * minutes, lives), limit))
    accepted = next(int(figure.value) for figure in figures if figure.name == "soak_events")
    return Report("soak", accepted, figures, each=f"in {minutes:g} minutes")


async def _bounded(measured: Callable[[Stand], Awaitable[list[Figure]]], limit: float) -> list[Figure]:
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, signal.raise_signal, signal.SIGINT)
    try:
        async with asyncio.timeout(limit), stand() as ready:
            return await measured(ready)
    except TimeoutError:
        raise BenchError(f"not done after {limit:.0f} s, given up; try fewer --events or --minutes") from None
