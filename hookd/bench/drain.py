"""Drain: how fast a backlog for one endpoint is delivered once it may be."""

from hookd.bench.report import Figure
from hookd.bench.stand import Stand
from hookd.bench.worker import hire

FLOOR = 0.6


async def drain(stand: Stand, rounds: int, events: int) -> list[Figure]:
    """Deliver so many waiting events in each round, beside a bare client that posts as many."""
    rates, yardsticks = [], []
    async with hire("client", stand.directory) as client:
        await stand.bare_client_rate(client, events)
        for _ in range(rounds):
            rates.append(await _backlog_rate(stand, events))
            yardsticks.append(await stand.bare_client_rate(client, events))
    return [Figure("drain_rate", "deliveries/s", rates, "bare client", yardsticks, floor=FLOOR)]


async def _backlog_rate(stand: Stand, events: int) -> float:
    async with stand.fresh_subject() as hookd:
        endpoint, before = await stand.warm_up(hookd, events)
        await hookd.set_state(endpoint, "paused")
        await stand.expect(events)
        await stand.publish(hookd, events)
        started = await hookd.set_state(endpoint, "active")
        arrived = await stand.arrived(events)
        await hookd.delivered(before + events)
        return events / (arrived - started)
