"""Soak: whether hookd stays as it is over many minutes at half its capacity, with failures and restarts.

Every event goes to two endpoints, one of which refuses each first attempt. Beside the flow of events, single ones
are published and timed. What the last life uses is held against the first.
"""

import asyncio
import contextlib
import statistics
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from hookd.bench.latency import percentile
from hookd.bench.process import open_files, resident_bytes
from hookd.bench.report import Figure
from hookd.bench.stand import PUBLISH, Stand
from hookd.bench.subject import EVENT_TYPE, Subject
from hookd.bench.wire import BenchError
from hookd.bench.worker import Answer, Worker, hire

_CALIBRATION = 2_000
_LONGEST_RATE = 4_000
_PROBES_A_SECOND = 40
_MEBIBYTE = 1 << 20
_PATIENCE = 120.0
_PROBE_TYPE = "bench.probe"
_PROBE = '{"type":"' + _PROBE_TYPE + '","payload":{}}'


@dataclass(frozen=True, slots=True)
class Sample:
    """What the daemon uses at one moment."""

    memory: float
    """MiB."""
    files: float
    size: float
    """Bytes of the database and its log."""


@dataclass(frozen=True, slots=True)
class Life:
    """One run of the daemon, from start to stop."""

    accepted: int
    samples: Sequence[Sample]
    latencies: Sequence[float]
    """From published to the first byte at the receiver, in milliseconds."""
    grown: float
    """Bytes by which the file grew for each event."""


@dataclass(frozen=True, slots=True)
class Crew:
    """The processes around the daemon: the steady receiver, the flaky one, that of single events, and its source."""

    steady: Worker
    flaky: Worker
    probed: Worker
    prober: Worker


async def soak(stand: Stand, seconds: float, lives: int) -> list[Figure]:
    """Run for so many seconds, in a number of lives on one store."""
    directory = await stand.fresh_directory()
    async with _crew(stand) as crew:
        rate = await _half_capacity(stand, crew, directory)
        lived = [await _live(stand, crew, directory, rate, seconds / lives) for _ in range(lives)]
        arrived = [await _distinct(sink) for sink in (crew.steady, crew.flaky)]
    accepted = _CALIBRATION + sum(life.accepted for life in lived)
    return [
        Figure("soak_rate", "events/s", [rate], more_is_better=True),
        Figure("soak_events", "accepted", [accepted], more_is_better=None),
        Figure("soak_missing", "deliveries", [2 * accepted - sum(arrived)], ceiling=0),
        *_figures(lived[0], lived[-1]),
    ]


@contextlib.asynccontextmanager
async def _crew(stand: Stand) -> AsyncIterator[Crew]:
    async with contextlib.AsyncExitStack() as stack:

        async def hired(name: str) -> Worker:
            return await stack.enter_async_context(hire(name, stand.directory))

        yield Crew(stand.sink, await hired("sink"), await hired("sink"), await hired("generator"))


async def _half_capacity(stand: Stand, crew: Crew, directory: Path) -> int:
    """Register the receivers, and find half of the rate at which events go all the way."""
    async with stand.run(directory) as hookd:
        await hookd.register(crew.steady.port, event_types=[EVENT_TYPE])
        await hookd.register(crew.flaky.port, path="/flaky", event_types=[EVENT_TYPE], retry=["1s"] * 3)
        await hookd.register(crew.probed.port, event_types=[_PROBE_TYPE])
        for sink in (crew.steady, crew.flaky):
            await sink.ask("expect", count=_CALIBRATION)
        published = await stand.publish(hookd, _CALIBRATION)
        ended = await stand.arrived(_CALIBRATION)
        await hookd.settled(_PATIENCE)
    return min(_LONGEST_RATE, int(_CALIBRATION / (ended - published["started"]) / 2))


async def _live(stand: Stand, crew: Crew, directory: Path, rate: int, seconds: float) -> Life:
    """Start the daemon, let it do its work for a while, and stop it once nothing waits."""
    before = _size(directory)
    count = max(2, int(seconds * _PROBES_A_SECOND))
    samples: list[Sample] = []
    async with stand.run(directory) as hookd:
        await crew.probed.ask("expect", count=count)
        watching = asyncio.create_task(_watch(hookd, directory, samples.append))
        flowed, probed = await asyncio.gather(
            stand.generator.ask(
                "flow", port=hookd.port, path="/api/v1/events", body=PUBLISH, rate=rate, seconds=seconds
            ),
            crew.prober.ask("paced", port=hookd.port, path="/api/v1/events", body=_PROBE, count=count, seed=1),
        )
        await hookd.settled(_PATIENCE)
        watching.cancel()
        latencies = await _latencies(crew.probed, probed, count)
    accepted = int(flowed["answered"])
    stand.advance()
    return Life(accepted, samples, latencies, (_size(directory) - before) / (accepted + count))


async def _watch(hookd: Subject, directory: Path, take: Callable[[Sample], None]) -> None:
    while True:
        memory, files = resident_bytes(hookd.pid), open_files(hookd.pid)
        if memory is None or files is None:
            raise BenchError("this system does not tell what a process uses; run the soak on Linux")
        take(Sample(memory / _MEBIBYTE, files, _size(directory)))
        await asyncio.sleep(1)


def _size(directory: Path) -> float:
    return float(sum(path.stat().st_size for path in directory.glob("hookd.db*")))


async def _latencies(sink: Worker, probed: Answer, count: int) -> list[float]:
    seen = await sink.ask("wait", seconds=_PATIENCE)
    if seen["distinct"] != count:
        raise BenchError(f"{seen['distinct']} of {count} single events arrived, then time was up")
    arrived = await sink.ask("moments")
    return [(arrived[event_id] - moments["sent"]) * 1000 for event_id, moments in probed.items()]


async def _distinct(sink: Worker) -> int:
    return int((await sink.ask("wait", seconds=0))["distinct"])


def _figures(first: Life, last: Life) -> list[Figure]:
    return [
        Figure(name, unit, [of(last)], "the first life", [of(first)])
        for name, unit, of in (
            ("soak_memory", "MiB", lambda life: _settled(life, "memory")),
            ("soak_open_files", "files", lambda life: _settled(life, "files")),
            ("soak_latency_p50", "ms", lambda life: percentile(life.latencies, 50)),
            ("soak_latency_p99", "ms", lambda life: percentile(life.latencies, 99)),
            ("soak_file_growth", "bytes/event", lambda life: life.grown),
        )
    ]


def _settled(life: Life, name: str) -> float:
    """Answer what a life uses in its second half."""
    half = life.samples[len(life.samples) // 2 :]
    return statistics.median(float(getattr(sample, name)) for sample in half)
