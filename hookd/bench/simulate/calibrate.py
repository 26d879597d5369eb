"""Service times as they are on this machine: each step by itself, and none from the rates that are to be predicted."""

import asyncio
import os
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hookd.bench.process import thread_seconds
from hookd.bench.simulate.costs import MICROSECOND, Costs, Work
from hookd.bench.simulate.store import Steps, measure_store
from hookd.bench.simulate.surroundings import Company
from hookd.bench.stand import Stand
from hookd.bench.subject import Subject
from hookd.bench.wire import BenchError

INTERPRETED = 0.4
"""The share of the store's time on SQLite in which its thread holds the interpreter's lock, as a profile found it:
10 to 15 µs of 30, see docs/performance.md, "Where the time goes"."""

SOURCE = f"measured here; but {INTERPRETED:.0%} of the store's time hold the interpreter's lock, by docs/performance.md"
_FLUSHES = 50
_PAGE = bytes(4096)


async def calibrate(stand: Stand, events: int) -> tuple[Costs, Company]:
    """Measure what each step takes, and what the bench's own processes take beside it."""
    fsync = await asyncio.to_thread(_fsync, stand.directory)
    steps = await measure_store(await stand.fresh_directory())
    loop = await _loop(stand, events)
    return _costs(fsync, steps, loop), Company(loop.publish, loop.receive)


def _costs(fsync: float, steps: Steps, loop: "Loop") -> Costs:
    return Costs(
        source=SOURCE,
        accept=loop.accept,
        attempt=loop.attempt,
        commit=_shared(steps.commit),
        event=_shared(steps.event),
        delivery=_shared(steps.delivery),
        claim=_shared(steps.claim),
        record=_shared(steps.record),
        fsync=fsync,
        event_bytes=steps.event_bytes,
        delivery_bytes=steps.delivery_bytes,
    )


def _shared(microseconds: float) -> Work:
    return Work(process=INTERPRETED * microseconds, database=(1 - INTERPRETED) * microseconds)


def _fsync(directory: Path) -> float:
    """Answer the microseconds until a page is on disk that is written anew, as those of a log in use are."""
    took = []
    with (directory / "fsync").open("wb", buffering=0) as file:
        for _ in range(_FLUSHES + 1):
            file.seek(0)
            file.write(_PAGE)
            began = time.perf_counter()
            os.fdatasync(file.fileno())
            took.append(time.perf_counter() - began)
    return statistics.median(took[1:]) / MICROSECOND


@dataclass(frozen=True, slots=True)
class Loop:
    """Microseconds of processor time: of the daemon's event loop, and of the bench's own processes."""

    accept: float
    attempt: float
    publish: float
    receive: float


async def _loop(stand: Stand, events: int) -> Loop:
    """Publish events to an endpoint that is paused, and then have them delivered."""
    async with stand.fresh_subject() as hookd:
        endpoint, _ = await stand.warm_up(hookd, events)
        await hookd.set_state(endpoint, "paused")
        await stand.expect(events)
        began = _used(stand, hookd)
        await stand.publish(hookd, events)
        accepted = _used(stand, hookd)
        await hookd.set_state(endpoint, "active")
        await stand.arrived(events)
        delivered = _used(stand, hookd)
    first, second = _between(began, accepted), _between(accepted, delivered)
    each = events * MICROSECOND
    return Loop(first[0] / each, second[0] / each, first[1] / each, second[2] / each)


def _used(stand: Stand, hookd: Subject) -> list[float]:
    """Answer the seconds that the event loop, the generator and the sink have used."""
    used = [thread_seconds(pid) for pid in (hookd.pid, stand.generator.pid, stand.sink.pid)]
    told = [each[0] for each in used if each is not None]
    if len(told) < len(used):
        raise BenchError("this system does not tell what a thread uses; give all [costs] with --world, or run on Linux")
    return told


def _between(before: Sequence[float], after: Sequence[float]) -> list[float]:
    return [later - earlier for earlier, later in zip(before, after, strict=True)]
