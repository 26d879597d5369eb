"""Drain: how fast a backlog is delivered once it may be, for one endpoint, and spread over a thousand."""

from hookd.bench.report import Figure
from hookd.bench.stand import Stand
from hookd.bench.stock import stocked
from hookd.bench.worker import Worker, hire

FLOOR = 0.8
FLOOR_AT_A_SERVER = 0.6
DESTINATIONS = 1000


async def drain(stand: Stand, rounds: int, events: int) -> list[Figure]:
    """Deliver so many waiting events in each round, beside a bare client that posts as many."""
    one, bare_one, many, bare_many = [], [], [], []
    async with hire("client", stand.directory) as client:
        await stand.bare_client_rate(client, events)
        for _ in range(rounds):
            one.append(await backlog_rate(stand, events))
            bare_one.append(await stand.bare_client_rate(client, events))
            stand.advance()
            many.append(await _spread_rate(stand, events))
            bare_many.append(await _bare_spread_rate(stand, client, events))
            stand.advance()
    floor = FLOOR if stand.places.server is None else FLOOR_AT_A_SERVER
    return [
        Figure("drain_rate", "deliveries/s", one, "bare client", bare_one, floor=floor, more_is_better=True),
        Figure("spread_drain_rate", "deliveries/s", many, "bare client", bare_many, floor=floor, more_is_better=True),
    ]


async def backlog_rate(stand: Stand, events: int) -> float:
    """Measure deliveries a second, to one endpoint, of a backlog of so many."""
    async with stand.fresh_subject() as hookd:
        endpoint, before = await stand.warm_up(hookd, events)
        await hookd.set_state(endpoint, "paused")
        await stand.expect(events)
        await stand.publish(hookd, events)
        started = await hookd.set_state(endpoint, "active")
        arrived = await stand.arrived(events)
        await hookd.delivered(before + events)
        return events / (arrived - started)


async def _spread_rate(stand: Stand, events: int) -> float:
    """Start on a backlog of one event more for each destination; those that come first warm it up."""
    urls = stand.destinations(min(DESTINATIONS, events))
    directory = await stand.fresh_directory()
    async with stand.run(directory) as hookd:
        endpoints = await hookd.register_all({"url": url} for url in urls)
    async with stocked(directory) as stock:
        await stock.publish(endpoints, len(urls) + events)
    await stand.expect(len(urls) + events, skipped=len(urls))
    async with stand.run(directory) as hookd:
        span = await stand.span(len(urls) + events)
        await hookd.delivered(len(urls) + events)
    return events / (span.ended - span.began)


async def _bare_spread_rate(stand: Stand, client: Worker, events: int) -> float:
    urls = stand.destinations(min(DESTINATIONS, events))
    await stand.expect(len(urls) + events, skipped=len(urls))
    await stand.flood(client, urls, len(urls) + events)
    span = await stand.span(len(urls) + events)
    return events / (span.ended - span.began)
