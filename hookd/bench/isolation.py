"""Isolation: what four troubled endpoints cost the ninety-six beside them, under the limits that hookd ships with."""

import asyncio
import contextlib
import socket
from collections.abc import Iterator

from hookd.bench.latency import moments_of, percentile, waits
from hookd.bench.report import Figure
from hookd.bench.stand import Stand, publication
from hookd.bench.subject import Subject
from hookd.bench.worker import Answer, Worker, hire

HEALTHY = 96
RATE = 200
"""Deliveries a second to the healthy, each to one of them; the troubled get as many each."""
WAITING = 10_000
"""Deliveries that wait for the one that never answers."""
TIMES = 1.2
MORE = 5.0
"""Milliseconds."""
_SILENT, _SLOW, _DRIP, _CLOSED = TROUBLED = ("silent", "slow", "drip", "closed")
_PATH = "/api/v1/events"


async def isolation(stand: Stand, rounds: int, events: int) -> list[Figure]:
    """Publish so many events in each run, without the four troubled endpoints and with them."""
    without, beside = [], []
    for seed in range(rounds):
        without.append(await _waits(stand, events, seed, troubled=False))
        stand.advance()
        beside.append(await _waits(stand, events, seed, troubled=True))
        stand.advance()
    return [
        Figure(
            f"isolation_p{percent}",
            "ms",
            [percentile(each, percent) for each in beside],
            "without the four",
            [percentile(each, percent) for each in without],
            times=TIMES if percent == 99 else None,
            more=MORE if percent == 99 else None,
        )
        for percent in (50, 99)
    ]


async def _waits(stand: Stand, events: int, seed: int, *, troubled: bool) -> list[float]:
    """Milliseconds from each publish to the first byte at its receiver."""
    async with stand.fresh_subject(in_flight=None) as hookd:
        await hookd.register_all(
            {"url": url, "event_types": [_type(number)]} for number, url in enumerate(stand.destinations(HEALTHY))
        )
        await _publish(stand, hookd, min(RATE, events), seed)
        if not troubled:
            return await _publish(stand, hookd, events, seed)
        async with hire("sink", stand.directory) as sink, hire("generator", stand.directory) as generator:
            with _refusing() as closed:
                await _trouble(stand, hookd, sink.port, closed, events)
                measured, _ = await asyncio.gather(
                    _publish(stand, hookd, events, seed), _keep_troubled(generator, hookd, events, seed)
                )
                return measured


def _type(name: object) -> str:
    return f"bench.event.{name}"


async def _publish(stand: Stand, hookd: Subject, events: int, seed: int) -> list[float]:
    """Publish to the healthy, in their rhythm."""
    bodies = [publication(_type(number)) for number in range(HEALTHY)]
    await stand.expect(events)
    sent = await stand.generator.ask(
        "timed", port=hookd.port, path=_PATH, bodies=bodies, rate=RATE, count=events, seed=seed
    )
    return waits(await moments_of(stand, sent), "sent")


async def _trouble(stand: Stand, hookd: Subject, sink: int, closed: int, events: int) -> None:
    """Register the four, and let a backlog wait for the one that never answers."""
    ports = {_SILENT: sink, _SLOW: sink, _DRIP: sink, _CLOSED: closed}
    await hookd.register_all(
        {"url": f"http://127.0.0.1:{port}/{name}", "event_types": [_type(name)]} for name, port in ports.items()
    )
    await stand.publish(hookd, min(WAITING, 10 * events), _type(_SILENT))


async def _keep_troubled(generator: Worker, hookd: Subject, events: int, seed: int) -> Answer:
    """Publish to the troubled what they get of their own, for as long as to the healthy."""
    share = len(TROUBLED) / HEALTHY
    bodies = [publication(_type(name)) for name in TROUBLED]
    count = max(len(TROUBLED), round(events * share))
    return await generator.ask(
        "timed", port=hookd.port, path=_PATH, bodies=bodies, rate=RATE * share, count=count, seed=seed
    )


@contextlib.contextmanager
def _refusing() -> Iterator[int]:
    """Hold a port of 127.0.0.1 at which nobody listens, so that connections are refused."""
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        yield int(holder.getsockname()[1])
