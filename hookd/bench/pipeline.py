"""Pipeline: how many events a second go all the way, published over HTTP, stored, delivered and recorded."""

from hookd.bench.report import Figure
from hookd.bench.stand import Stand
from hookd.bench.subject import Subject
from hookd.bench.worker import Worker, hire

FLOOR = 0.6


async def pipeline(stand: Stand, rounds: int, events: int) -> list[Figure]:
    """Publish so many events in each round, beside what bare aiohttp takes to receive and to send as many."""
    rates, intakes, servers, clients = [], [], [], []
    async with hire("server", stand.directory) as server, hire("client", stand.directory) as client:
        await _bare_server_rate(stand, server, events)
        await stand.bare_client_rate(client, events)
        for _ in range(rounds):
            async with stand.fresh_subject() as hookd:
                rate, intake = await pipeline_rates(stand, hookd, events)
            rates.append(rate)
            intakes.append(intake)
            servers.append(await _bare_server_rate(stand, server, events))
            clients.append(await stand.bare_client_rate(client, events))
            stand.advance()
    limits = [1 / (1 / received + 1 / sent) for received, sent in zip(servers, clients, strict=True)]
    return [
        Figure("pipeline_rate", "events/s", rates, "server, then client", limits, floor=FLOOR, more_is_better=True),
        Figure("intake_rate", "events/s", intakes, "bare server", servers, more_is_better=True),
        Figure("bare_server_rate", "requests/s", servers, more_is_better=True),
        Figure("bare_client_rate", "deliveries/s", clients, more_is_better=True),
    ]


async def pipeline_rates(stand: Stand, hookd: Subject, events: int) -> tuple[float, float]:
    """From the first request until all are recorded as delivered; and until all are accepted."""
    _, before = await stand.warm_up(hookd, events)
    await stand.expect(events)
    published = await stand.publish(hookd, events)
    await stand.arrived(events)
    recorded = await hookd.delivered(before + events)
    return events / (recorded - published["started"]), events / (published["ended"] - published["started"])


async def _bare_server_rate(stand: Stand, server: Worker, events: int) -> float:
    answered = await stand.load(server.port, "/", events)
    return events / float(answered["ended"] - answered["started"])
