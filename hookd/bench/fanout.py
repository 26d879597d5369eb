"""Fanout: how fast one event reaches a thousand endpoints, each on a host of its own."""

from collections.abc import Sequence

from hookd.bench.report import Figure
from hookd.bench.stand import Stand
from hookd.bench.subject import Subject
from hookd.bench.worker import Worker, hire

FLOOR = 0.85
ENDPOINTS = 1000


async def fanout(stand: Stand, rounds: int, events: int) -> list[Figure]:
    """Publish so many events in each round, one when the one before has arrived everywhere."""
    urls = stand.destinations(ENDPOINTS)
    rates, yardsticks = [], []
    async with hire("client", stand.directory) as client:
        for _ in range(rounds):
            async with stand.fresh_subject() as hookd:
                await hookd.register_all({"url": url} for url in urls)
                rates.append(await _rate(stand, hookd, events))
            yardsticks.append(await _bare_rate(stand, client, urls, events))
            stand.advance()
    return [Figure("fanout_rate", "deliveries/s", rates, "bare client", yardsticks, floor=FLOOR, more_is_better=True)]


async def _rate(stand: Stand, hookd: Subject, events: int) -> float:
    await _publish(stand, hookd)
    seconds = sum([await _publish(stand, hookd) for _ in range(events)])
    return events * ENDPOINTS / seconds


async def _publish(stand: Stand, hookd: Subject) -> float:
    """Answer the seconds from the publish until the event has arrived everywhere."""
    await stand.expect(ENDPOINTS)
    published = await stand.publish(hookd, 1)
    return await stand.arrived(ENDPOINTS) - float(published["started"])


async def _bare_rate(stand: Stand, client: Worker, urls: Sequence[str], events: int) -> float:
    await _post(stand, client, urls)
    seconds = sum([await _post(stand, client, urls) for _ in range(events)])
    return events * ENDPOINTS / seconds


async def _post(stand: Stand, client: Worker, urls: Sequence[str]) -> float:
    await stand.expect(ENDPOINTS)
    began = await stand.flood(client, urls, ENDPOINTS)
    return await stand.arrived(ENDPOINTS) - began
