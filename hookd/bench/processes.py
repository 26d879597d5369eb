"""Processes: what a second one adds where the database is not the limit, and what one that idles asks of it."""

import asyncio
import contextlib
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

from hookd.bench.place import NOTE, store_url
from hookd.bench.process import cpu_seconds
from hookd.bench.relay import relayed
from hookd.bench.report import Figure
from hookd.bench.stand import Stand
from hookd.bench.subject import Subject
from hookd.bench.wire import BenchError

TYPES: Final = 16
FANOUT: Final = 4
"""Endpoints that get each event."""
FLOOR: Final = 1.7
QUERIES: Final = 2.0
"""A second, that one process may ask of the database while it has nothing to do."""
_SETTLING: Final = 5.0
_IDLE_SECONDS: Final = 30.0
_PATIENCE: Final = 60.0


async def processes(stand: Stand, rounds: int, events: int) -> list[Figure]:
    """Publish to, and have delivered by, one process and two; a figure is events a second of their processors' time.

    On a machine with few cores, two processes, a database and a receiver get in each other's way. So what counts is
    the time that the processors spend on the processes themselves: what as many cores as there are processes could do,
    if the database and the receivers had cores of their own.
    """
    if stand.places.server is None:
        raise BenchError("processes share a PostgreSQL server: name one with --store")
    idle = await _idle(stand)
    stand.advance()
    one, two = [], []
    for _ in range(rounds):
        one.append(await _rate(stand, 1, events))
        stand.advance()
        two.append(await _rate(stand, 2, events))
        stand.advance()
    return [
        Figure("two_processes", "events/s of processor time", two, "one", one, floor=FLOOR, more_is_better=True),
        Figure("idle_queries", "queries/s", [idle], ceiling=QUERIES),
    ]


async def _rate(stand: Stand, count: int, events: int) -> float:
    """Answer how many events a second so many processes could do, each on a processor of its own."""
    directory = await stand.fresh_directory()
    async with _running(stand, directory, count) as subjects:
        await subjects[0].register_all(
            {"url": url, "event_types": [f"bench.{number % TYPES}"]}
            for number, url in enumerate(stand.destinations(TYPES * FANOUT))
        )
        each = events // TYPES // count
        total = each * count * TYPES
        await stand.expect(total * FANOUT)
        before = _spent(subjects)
        for number in range(TYPES):
            for subject in subjects:
                await stand.publish(subject, each, f"bench.{number}")
        await subjects[0].settled(_PATIENCE)
        return count * total / (_spent(subjects) - before)


async def _idle(stand: Stand) -> float:
    """Answer how many queries a second a process asks that has nothing to do."""
    directory = await stand.fresh_directory()
    async with relayed(store_url(directory)) as relay:
        (directory / NOTE).write_text(relay.url)
        async with stand.run(directory):
            await asyncio.sleep(_SETTLING)
            before = relay.requests
            await asyncio.sleep(_IDLE_SECONDS)
            return (relay.requests - before) / _IDLE_SECONDS


def _spent(subjects: list[Subject]) -> float:
    spent = [cpu_seconds(subject.pid) for subject in subjects]
    if None in spent:
        raise BenchError("this system does not tell what processor time a process has used; run this on Linux")
    return sum(filter(None, spent))


@contextlib.asynccontextmanager
async def _running(stand: Stand, directory: Path, count: int) -> AsyncIterator[list[Subject]]:
    """Run so many processes on the store of a directory."""
    async with contextlib.AsyncExitStack() as stack:
        subjects = []
        for number in range(count):
            own = directory / str(number)
            own.mkdir()
            shutil.copy(directory / NOTE, own / NOTE)
            subjects.append(await stack.enter_async_context(stand.run(own)))
        yield subjects
