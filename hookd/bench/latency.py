"""Latency: how soon a single event reaches its receiver while hookd is idle, and what idling costs."""

import asyncio
import statistics
from collections.abc import Mapping, Sequence

from hookd.bench.process import cpu_seconds, resident_bytes
from hookd.bench.report import Figure
from hookd.bench.stand import PAYLOAD, PUBLISH, Stand
from hookd.bench.subject import Subject
from hookd.bench.worker import Worker, hire

IDLE_MEMORY = 90.0
"""The ceiling, in MiB."""
CEILINGS = {50: 5.0, 99: 20.0}
"""What the percentiles must not exceed, in milliseconds."""
_IDLE_SECONDS = 3.0
_MEBIBYTE = 1 << 20
_SECOND = 1000.0

Moments = dict[str, float]
"""When one event was sent, answered and received, in seconds of the machine's monotonic clock."""


async def latency(stand: Stand, rounds: int, events: int) -> list[Figure]:
    """Publish so many single events in each round, beside a bare client that posts straight to the sink."""
    answered, published, bare = [], [], []
    async with stand.fresh_subject() as hookd, hire("client", stand.directory) as client:
        idle = await _idle(hookd)
        await stand.warm_up(hookd, events)
        for seed in range(rounds):
            moments = await _publish(stand, hookd, events, seed)
            answered.append(waits(moments, "answered"))
            published.append(waits(moments, "sent"))
            bare.append(waits(await _post(stand, client, events, seed), "sent"))
            stand.advance()
    return [
        *_figures("latency", answered, bare),
        *_figures("publish_latency", published, bare),
        *idle,
    ]


async def _idle(hookd: Subject) -> list[Figure]:
    """Memory and processor time of a daemon that nobody asks for anything, where the system tells them."""
    before = cpu_seconds(hookd.pid)
    await asyncio.sleep(_IDLE_SECONDS)
    after, resident = cpu_seconds(hookd.pid), resident_bytes(hookd.pid)
    if before is None or after is None or resident is None:
        return []
    return [
        Figure("idle_memory", "MiB", [resident / _MEBIBYTE], ceiling=IDLE_MEMORY),
        Figure("idle_processor", "% of a core", [(after - before) / _IDLE_SECONDS * 100]),
    ]


async def _publish(stand: Stand, hookd: Subject, events: int, seed: int) -> list[Moments]:
    await stand.expect(events)
    published = await stand.generator.ask(
        "paced", port=hookd.port, path="/api/v1/events", body=PUBLISH, count=events, seed=seed
    )
    return await moments_of(stand, published)


async def _post(stand: Stand, client: Worker, events: int, seed: int) -> list[Moments]:
    await stand.expect(events)
    url = f"http://127.0.0.1:{stand.sink.port}/hook"
    return await moments_of(stand, await client.ask("singles", url=url, body=PAYLOAD, count=events, seed=seed))


async def moments_of(stand: Stand, sent: Mapping[str, dict[str, float]]) -> list[Moments]:
    """Put together when each event was sent and arrived; all processes of a machine share the clock."""
    await stand.arrived(len(sent))
    arrived = await stand.sink.ask("moments")
    return [{**moments, "arrived": arrived[event_id]} for event_id, moments in sent.items()]


def waits(moments: Sequence[Moments], since: str) -> list[float]:
    """Milliseconds to the first byte at the sink; below 0 where it overtook the answer to its publisher."""
    return [(moment["arrived"] - moment[since]) * _SECOND for moment in moments]


def _figures(name: str, ours: Sequence[Sequence[float]], bare: Sequence[Sequence[float]]) -> list[Figure]:
    return [
        Figure(
            f"{name}_p{percent}",
            "ms",
            [percentile(each, percent) for each in ours],
            "bare client",
            [percentile(each, percent) for each in bare],
            ceiling=ceiling,
        )
        for percent, ceiling in CEILINGS.items()
    ]


def percentile(values: Sequence[float], percent: int) -> float:
    """Answer the value below which so many percent of the values lie."""
    return statistics.quantiles(values, n=100, method="inclusive")[percent - 1]
