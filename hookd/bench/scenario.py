"""The scenarios by name, each bounded in time."""

import asyncio
import signal
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from dataclasses import dataclass
from typing import TypeVar

from hookd.bench.backlog import backlog
from hookd.bench.claims import claims
from hookd.bench.drain import drain
from hookd.bench.endpoints import endpoints
from hookd.bench.fanout import fanout
from hookd.bench.isolation import isolation
from hookd.bench.latency import latency
from hookd.bench.pipeline import pipeline
from hookd.bench.processes import processes
from hookd.bench.rate import rate
from hookd.bench.report import Figure, Report
from hookd.bench.simulate.check import check
from hookd.bench.simulate.costs import Costs
from hookd.bench.simulate.forecast import Forecast, foresee
from hookd.bench.simulate.world import World
from hookd.bench.soak import soak
from hookd.bench.stand import Stand, stand
from hookd.bench.verify import verify
from hookd.bench.wire import BenchError

T = TypeVar("T")

_ROUND = 60.0
_SLOWEST = 100
_ENDURANCE = 300.0

Progress = Callable[[int], AbstractContextManager[Callable[[], object]]]
"""Opens a bar of so many steps; what it answers is called at the end of each."""


@dataclass(frozen=True, slots=True)
class Scenario:
    """A measurement; and by default, how many events a round of it has, and how many rounds there are."""

    measure: Callable[[Stand, int, int], Awaitable[list[Figure]]]
    events: int
    rounds: int = 3
    steps: int = 1
    """In each round."""
    first_steps: int = 0
    """Before the rounds."""


SCENARIOS = {
    "drain": Scenario(drain, 20_000, steps=2),
    "pipeline": Scenario(pipeline, 20_000),
    "fanout": Scenario(fanout, 10),
    "isolation": Scenario(isolation, 3_000, rounds=5, steps=2),
    "backlog": Scenario(backlog, 1_000_000, steps=2, first_steps=1),
    "claims": Scenario(claims, 1_000_000, rounds=1, steps=2),
    "processes": Scenario(processes, 20_000, steps=2, first_steps=1),
    "endpoints": Scenario(endpoints, 10_000, steps=2, first_steps=1),
    "rate": Scenario(rate, 650, rounds=1),
    "latency": Scenario(latency, 300),
    "verify": Scenario(verify, 10_000),
}


def measure(  # what the command is told
    name: str, rounds: int | None, events: int | None, level: str, progress: Progress, server: str | None = None
) -> Report:
    """Run a scenario, at a PostgreSQL server where one is named; BenchError if it gets stuck.

    Everything is cleared away, also after Ctrl-C.
    """
    scenario = SCENARIOS[name]
    count, times = events or scenario.events, rounds or scenario.rounds
    limit = (times + 1) * (_ROUND + count / _SLOWEST)
    with progress(scenario.first_steps + times * scenario.steps) as advance:
        figures = asyncio.run(
            _bounded(stand(level, advance, server), lambda ready: scenario.measure(ready, times, count), limit)
        )
    return Report(name, count, figures, level=level)


def endure(minutes: float, lives: int, level: str, progress: Progress) -> Report:
    """Run the soak for so many minutes, in a number of lives; as `measure` otherwise."""
    limit = 2 * 60 * minutes + _ENDURANCE
    with progress(lives) as advance:
        figures = asyncio.run(_bounded(stand(level, advance), lambda ready: soak(ready, 60 * minutes, lives), limit))
    accepted = next(int(figure.value) for figure in figures if figure.name == "soak_events")
    return Report("soak", accepted, figures, each=f"in {minutes:g} minutes", level=level)


CHECKED = 20_000
"""Events of a round that checks a simulation."""


def simulate(world: World, rounds: int | None, events: int | None, level: str, progress: Progress) -> Forecast:
    """Measure service times, check what they predict, and foresee what a world can do; as `measure` otherwise.

    Where all costs are given, nothing is measured.
    """
    count, times, costs = events or CHECKED, rounds or 3, world.costs
    figures: list[Figure] = []
    with progress(len(world.processes) + (0 if costs else 2 * times)) as advance:
        if costs is None:
            costs, figures = _checked(times, count, level, advance)
        outlooks = foresee(world, costs, advance)
    return Forecast("simulate", count, figures, level=level, world=world, costs=costs, outlooks=outlooks)


def _checked(times: int, count: int, level: str, advance: Callable[[], object]) -> tuple[Costs, list[Figure]]:
    limit = (times + 1) * (_ROUND + count / _SLOWEST)
    return asyncio.run(_bounded(stand(level, advance), lambda ready: check(ready, times, count), limit))


async def _bounded(
    setting_up: AbstractAsyncContextManager[Stand], measured: Callable[[Stand], Awaitable[T]], limit: float
) -> T:
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, signal.raise_signal, signal.SIGINT)
    try:
        async with asyncio.timeout(limit), setting_up as ready:
            return await measured(ready)
    except TimeoutError:
        raise BenchError(f"not done after {limit:.0f} s, given up; try fewer --events or --minutes") from None
