"""Endpoints: whether publishing to a few subscribers costs the same however many others there are."""

from pathlib import Path

from hookd.bench.report import Figure
from hookd.bench.stand import Stand
from hookd.bench.stock import stocked
from hookd.bench.subject import EVENT_TYPE

MANY = 100_000
FEW = 100
SUBSCRIBERS = 10
TIMES = 1.3
_MICROSECOND = 1e-6


async def endpoints(stand: Stand, rounds: int, events: int) -> list[Figure]:
    """Publish so many events in each round, among many endpoints and among few."""
    many = await _prepared(stand, min(MANY, 100 * events))
    few = await _prepared(stand, FEW)
    stand.advance()
    ours, yardsticks = [], []
    for _ in range(rounds):
        yardsticks.append(await _cost(stand, few, events))
        stand.advance()
        ours.append(await _cost(stand, many, events))
        stand.advance()
    return [Figure("endpoints_publish", "µs", ours, f"among {FEW}", yardsticks, times=TIMES)]


async def _prepared(stand: Stand, count: int) -> Path:
    """Make a store with so many endpoints.

    The subscribers are paused, so that the publishing alone is measured, and not the deliveries that follow.
    """
    directory = await stand.fresh_directory()
    url = f"http://127.0.0.1:{stand.sink.port}/hook"
    async with stand.run(directory) as hookd:
        subscribers = await hookd.register_all({"url": url, "event_types": [EVENT_TYPE]} for _ in range(SUBSCRIBERS))
        for subscriber in subscribers:
            await hookd.set_state(subscriber, "paused")
    async with stocked(directory) as stock:
        await stock.multiply(subscribers[0], count - SUBSCRIBERS)
    return directory


async def _cost(stand: Stand, directory: Path, events: int) -> float:
    """Microseconds for each event, published over many connections at once."""
    async with stand.run(directory) as hookd:
        await stand.publish(hookd, min(events, 1000))
        published = await stand.publish(hookd, events)
    return float(published["ended"] - published["started"]) / events / _MICROSECOND
