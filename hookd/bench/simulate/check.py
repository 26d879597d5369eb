"""What is predicted held against what is measured: two rates and a latency, out of service times measured apart."""

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from hookd.bench.drain import backlog_rate
from hookd.bench.latency import moments_of, percentile, waits
from hookd.bench.pipeline import pipeline_rates
from hookd.bench.process import busy_seconds, cpu_seconds
from hookd.bench.report import Figure
from hookd.bench.simulate.calibrate import calibrate
from hookd.bench.simulate.cluster import Cluster
from hookd.bench.simulate.costs import Costs
from hookd.bench.simulate.surroundings import Company
from hookd.bench.simulate.world import Database, Machines, Receivers, Traffic, World
from hookd.bench.stand import CONNECTIONS, PUBLISH, Stand
from hookd.bench.subject import IN_FLIGHT

FLOOR, TIMES = 0.8, 1.25
"""Between what multiples of the prediction the rates should be."""
LOAD = 0.3
"""The load at which the latency is looked at, as a share of the rate of the pipeline that is predicted."""
PERCENTS = (50, 99)
_SHARE = 4
"""How many times fewer events the service times are measured with, and the latency."""
_MILLISECOND = 1e-3


@dataclass(frozen=True, slots=True)
class Point:
    """A rate of drain, one of the pipeline, and a latency at a load: measured, or predicted."""

    drain: float
    pipeline: float
    latency: tuple[float, ...]
    """Milliseconds from the publish to the first byte at the receiver, for each of the percents."""


async def check(stand: Stand, rounds: int, events: int) -> tuple[Costs, list[Figure]]:
    """In each round, measure service times, predict the points out of these alone, and measure the points."""
    found: list[Costs] = []
    predicted, measured, others = [], [], []
    for seed in range(rounds):
        costs, company = await calibrate(stand, max(2, events // _SHARE))
        stand.advance()
        before = _others(stand)
        rate = LOAD * predict(costs, company, events, 0.0).pipeline
        measured.append(await _measure(stand, events, rate, seed))
        taken = _taken(before, _others(stand))
        predicted.append(predict(costs, company, events, taken, rate))
        found.append(costs)
        others.append(taken)
        stand.advance()
    return middle(found), [*figures(measured, predicted), Figure("taken_by_others", "cores", others)]


def _others(stand: Stand) -> tuple[float, float]:
    """Answer the moment, and the processor time that was used by then by whatever is no part of the bench."""
    ours = sum(os.times()[:4]) + sum(cpu_seconds(each.pid) or 0.0 for each in (stand.sink, stand.generator))
    return time.monotonic(), (busy_seconds() or ours) - ours


def _taken(before: tuple[float, float], after: tuple[float, float]) -> float:
    """Answer how many cores others have used between two moments."""
    return max(0.0, (after[1] - before[1]) / (after[0] - before[0]))


def predict(costs: Costs, company: Company, events: int, taken: float, rate: float | None = None) -> Point:
    """Simulate the daemon of the bench, with the generator and the sink on this machine, and others on `taken` cores.

    `rate` is at which events are published where the latency is looked at; None: at a share of the pipeline's.
    """
    here = Machines(cores=os.cpu_count() or 1, taken=taken, max_in_flight=IN_FLIGHT, per_endpoint=IN_FLIGHT)
    world = World(
        machines=here,
        database=Database(cores=0),
        receivers=Receivers(endpoints=1, latency=0.0),
        traffic=Traffic(pattern="steady"),
    )
    draining = Cluster(world, costs, 1, company)
    draining.drain(events)
    pipeline = events / Cluster(world, costs, 1, company).burst(events, CONNECTIONS).seconds
    loaded = Cluster(world, costs, 1, company)
    rate = rate or LOAD * pipeline
    loaded.flow(rate, events / rate, events / rate)
    receptions = [each / _MILLISECOND for each in loaded.ledger.receptions]
    latency = tuple(percentile(receptions, percent) for percent in PERCENTS)
    return Point(events / draining.ledger.last_reception, pipeline, latency)


async def _measure(stand: Stand, events: int, rate: float, seed: int) -> Point:
    drain = await backlog_rate(stand, events)
    async with stand.fresh_subject() as hookd:
        pipeline, _ = await pipeline_rates(stand, hookd, events)
        count = max(2, events // _SHARE)
        await stand.expect(count)
        published = await stand.generator.ask(
            "timed", port=hookd.port, path="/api/v1/events", bodies=[PUBLISH], rate=rate, count=count, seed=seed
        )
        took = waits(await moments_of(stand, published), "sent")
    return Point(drain, pipeline, tuple(percentile(took, percent) for percent in PERCENTS))


def figures(measured: Sequence[Point], predicted: Sequence[Point]) -> list[Figure]:
    """Set each point as it was measured beside its prediction."""

    def figure(name: str, unit: str, of: Any, **bounds: Any) -> Figure:
        return Figure(name, unit, [*map(of, measured)], "predicted", [*map(of, predicted)], **bounds)

    bounds = {"floor": FLOOR, "times": TIMES, "more_is_better": None}
    return [
        figure("drain_rate", "deliveries/s", lambda point: point.drain, **bounds),
        figure("pipeline_rate", "events/s", lambda point: point.pipeline, **bounds),
        *(
            figure(f"loaded_latency_p{percent}", "ms", lambda point, at=at: point.latency[at], more_is_better=None)
            for at, percent in enumerate(PERCENTS)
        ),
    ]


def middle(found: Sequence[Costs]) -> Costs:
    """Answer the medians of each cost."""
    return Costs.model_validate(_middle([each.model_dump() for each in found]))


def _middle(values: Sequence[Any]) -> Any:
    first = values[0]
    if isinstance(first, dict):
        return {name: _middle([each[name] for each in values]) for name in first}
    return first if isinstance(first, str) else median(values)
