"""Backlog: whether a daemon is as quick, and as small, with a million deliveries waiting as with ten thousand."""

from dataclasses import dataclass
from pathlib import Path

from hookd.bench.process import peak_bytes
from hookd.bench.report import Figure
from hookd.bench.stand import Stand
from hookd.bench.stock import stocked
from hookd.bench.subject import DELIVERED

FEWER = 100
"""How many times fewer wait in the yardstick; as many are delivered as wait there."""
ENDPOINTS = 100
TIMES = 1.2
SECONDS = 2.0
MEBIBYTES = 30.0
_COMMITTING = "hookd_commit_seconds_sum"
_MICROSECOND = 1e-6
_MEBIBYTE = 1 << 20


@dataclass(frozen=True, slots=True)
class Run:
    """What one run of a daemon took on a backlog."""

    starting: float
    """Seconds until it was ready."""
    delivery: float
    """Microseconds from one arrival to the next."""
    commit: float
    """Microseconds of the store for each delivery: to claim it, and to record what came of it."""
    memory: float | None
    """MiB at the most, where the system tells."""


async def backlog(stand: Stand, rounds: int, events: int) -> list[Figure]:
    """Deliver a hundredth of so many waiting deliveries in each round, and of a backlog as small as that."""
    count = max(2, events // FEWER)
    large, endpoints = await _prepared(stand)
    await _wait(large, endpoints, events + rounds * 2 * count)
    stand.advance()
    few, many = [], []
    for _ in range(rounds):
        small, endpoints = await _prepared(stand)
        await _wait(small, endpoints, 2 * count + ENDPOINTS)
        few.append(await _run(stand, small, count))
        stand.advance()
        many.append(await _run(stand, large, count))
        stand.advance()
    return _figures(few, many)


async def _prepared(stand: Stand) -> tuple[Path, list[str]]:
    """Make a store with the endpoints; answer its directory, and them."""
    directory = await stand.fresh_directory()
    async with stand.run(directory) as hookd:
        return directory, await hookd.register_all({"url": url} for url in stand.destinations(ENDPOINTS))


async def _wait(directory: Path, endpoints: list[str], count: int) -> None:
    async with stocked(directory) as stock:
        await stock.publish(endpoints, count)


async def _run(stand: Stand, directory: Path, count: int) -> Run:
    """Start a daemon on what waits, and stop it once so many came after the first, which warm it up."""
    await stand.expect(ENDPOINTS + count, skipped=ENDPOINTS)
    async with stand.run(directory) as hookd:
        span = await stand.span(ENDPOINTS + count)
        samples, memory = await hookd.metrics(), peak_bytes(hookd.pid)
        return Run(
            hookd.started_in,
            (span.ended - span.began) / count / _MICROSECOND,
            samples[_COMMITTING] / samples[DELIVERED] / _MICROSECOND,
            None if memory is None else memory / _MEBIBYTE,
        )


def _figures(few: list[Run], many: list[Run]) -> list[Figure]:
    memory = [run.memory for run in many if run.memory is not None]
    beside = [run.memory for run in few if run.memory is not None]
    name = f"{FEWER} times fewer"
    figures = [
        Figure(
            "backlog_delivery", "µs", [run.delivery for run in many], name, [run.delivery for run in few], times=TIMES
        ),
        Figure("backlog_commit", "µs", [run.commit for run in many], name, [run.commit for run in few], times=TIMES),
        Figure("backlog_start", "s", [run.starting for run in many], name, [run.starting for run in few], more=SECONDS),
    ]
    if memory and beside:
        figures.append(Figure("backlog_memory", "MiB", memory, name, beside, more=MEBIBYTES))
    return figures
