"""What is told of a simulation: the points that were checked, the service times, and what so many processes can do."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from hookd.bench.latency import percentile
from hookd.bench.report import Report, Row, number, table
from hookd.bench.simulate.capacity import Capacity, capacity
from hookd.bench.simulate.cluster import Cluster
from hookd.bench.simulate.costs import Costs, Work
from hookd.bench.simulate.world import World

HALF = 0.5
"""The load at which latencies are told where the world has no rate, as a share of what can be done."""
_MILLISECOND = 1e-3

Pair = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Outlook:
    """What a number of processes can do, and how long an event takes at a rate, in milliseconds: p50 and p99."""

    capacity: Capacity
    rate: float
    answered: Pair | None
    """From the publish to its answer; None where nothing is answered."""
    delivered: Pair | None
    """From the publish to the receiver."""

    def plain(self) -> dict[str, Any]:
        """Answer it for JSON."""
        capacity = asdict(self.capacity)
        return capacity | {"rate": self.rate, "answered_ms": self.answered, "delivered_ms": self.delivered}


@dataclass(frozen=True, slots=True)
class Forecast(Report):
    """A report that tells what was simulated, beside what was measured."""

    world: World = field(default_factory=World)
    costs: Costs | None = None
    outlooks: Sequence[Outlook] = ()

    def plain(self) -> dict[str, Any]:
        """Answer everything there is to say, for JSON."""
        return Report.plain(self) | {
            "world": self.world.model_dump(exclude={"costs"}),
            "costs": None if self.costs is None else self.costs.model_dump(),
            "forecast": [each.plain() for each in self.outlooks],
        }

    def as_table(self) -> str:
        """Write tables for people."""
        checked = Report.as_table(self) if self.figures else "nothing was measured: all costs are given"
        costs = "" if self.costs is None else f"µs of a step, {self.costs.source}:\n{table(_cost_rows(self.costs))}"
        return f"{checked}\n\n{costs}\n\n{self._supposed()}:\n{table(self._rows())}"

    def _supposed(self) -> str:
        world = self.world
        own = world.database.cores
        database = f"a database with {own} cores" if own else "the database in the process"
        return (
            f"simulated: {world.machines.processes} to each machine with {world.machines.cores} cores, {database}, "
            f"{world.receivers.endpoints} endpoints, {world.traffic.fanout} deliveries an event"
        )

    def _rows(self) -> list[Row]:
        heading = (
            "processes",
            "events/s",
            "deliveries/s",
            "limit",
            "in use",
            "at events/s",
            "answered ms",
            "delivered ms",
        )
        rows: list[Row] = [heading]
        for each in self.outlooks:
            able = each.capacity
            told = (able.bottleneck, f"{able.busy:.0%}", number(each.rate), _pair(each.answered), _pair(each.delivered))
            rows.append((str(able.processes), number(able.events), number(able.deliveries), *told))
        return rows


def _cost_rows(costs: Costs) -> list[Row]:
    rows: list[Row] = [("step", "process", "database")]
    for name, cost in costs:
        if isinstance(cost, Work):
            rows.append((name, f"{cost.process:.1f}", f"{cost.database:.1f}"))
        elif isinstance(cost, float):
            rows.append((name, f"{cost:,.0f}", ""))
    return rows


def _pair(pair: Pair | None) -> str:
    return "" if pair is None else f"p50 {pair[0]:.1f}, p99 {pair[1]:.1f}"


def foresee(world: World, costs: Costs, advance: Callable[[], object]) -> list[Outlook]:
    """Look for what each number of processes can do."""
    outlooks = []
    for processes in world.processes:
        able = capacity(world, costs, processes)
        outlooks.append(_outlook(world, costs, able))
        advance()
    return outlooks


def _outlook(world: World, costs: Costs, able: Capacity) -> Outlook:
    rate = world.traffic.rate or HALF * able.events
    if not rate:
        return Outlook(able, 0.0, None, None)
    cluster = Cluster(world, costs, able.processes)
    seconds = world.events * able.processes / rate
    cluster.flow(rate, seconds, seconds)
    return Outlook(able, rate, _percentiles(cluster.ledger.answers), _percentiles(cluster.ledger.receptions))


def _percentiles(seconds: Sequence[float]) -> Pair | None:
    if len(seconds) < 2:
        return None
    return percentile(seconds, 50) / _MILLISECOND, percentile(seconds, 99) / _MILLISECOND
