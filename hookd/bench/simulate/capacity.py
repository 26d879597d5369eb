"""What so many processes can do: the most events a second at which no line grows, and what is in the way of more."""

from dataclasses import dataclass

from hookd.bench.simulate.cluster import Cluster, Course
from hookd.bench.simulate.costs import MICROSECOND, Costs, Work
from hookd.bench.simulate.world import World

EVENTS = 4000
"""Events a process, in a course that looks whether a rate can be kept up."""
STEPS = 6
"""Halvings of what is between a rate that can be kept up and one that can't: to within 1.6 % of the bound."""
KEPT_UP = 0.97
"""How many of the events that come in the second half of a course must end in it."""
_LATENCIES = 4
_MILLISECOND = 1e-3


@dataclass(frozen=True, slots=True)
class Capacity:
    """What a number of processes can do."""

    processes: int
    events: float
    """A second, with their deliveries."""
    deliveries: float
    """A second."""
    bottleneck: str
    busy: float
    """How much of that was in use, from 0 to 1, at this rate."""


def capacity(world: World, costs: Costs, processes: int) -> Capacity:
    """Search for the highest rate that is kept up."""
    most = min(bounds(world, costs, processes).values())
    low, high = 0.0, most
    course: Course | None = None
    for _ in range(STEPS):
        rate = (low + high) / 2
        if (tried := kept_up(world, costs, processes, rate)) is None:
            high = rate
        else:
            low, course = rate, tried
    busy = {} if course is None else course.busy
    name = max(busy, key=lambda each: busy[each], default="nothing is kept up")
    return Capacity(processes, low, low * fanout(world), name, busy.get(name, 0.0))


def kept_up(world: World, costs: Costs, processes: int, rate: float) -> Course | None:
    """Publish at a rate for a while; answer the course, or None where what is under way grows."""
    cluster = Cluster(world, costs, processes)
    seconds = max(EVENTS * processes / rate, _LATENCIES * _longest(world))
    before = cluster.flow(rate, seconds, until=seconds / 2)
    after = cluster.go_on(seconds)
    arrived, over = after.arrived - before.arrived, after.over - before.over
    return after if over >= KEPT_UP * arrived else None


def _longest(world: World) -> float:
    """Answer the longest seconds for which something waits by nature, and not in a line."""
    receivers = world.receivers
    return max(_longest_latency(world), receivers.retry if receivers.failing or receivers.down else 0.0)


def _longest_latency(world: World) -> float:
    receivers = world.receivers
    return max(receivers.latency, receivers.slowness if receivers.slow else 0.0) * _MILLISECOND


def fanout(world: World) -> int:
    """Answer the deliveries for each event: nobody gets it twice."""
    return min(world.traffic.fanout, world.receivers.endpoints)


def attempts(world: World) -> float:
    """Answer the attempts for each event, of which the endpoints that are down get next to none."""
    receivers = world.receivers
    return fanout(world) * (1 - receivers.down) / (1 - receivers.failing)


def bounds(world: World, costs: Costs, processes: int) -> dict[str, float]:
    """Answer the events a second that each resource allows if it does nothing in vain (the utilisation law).

    What each transaction takes, however much is in it, is left out, and all deliveries are handed over: no course
    comes to more.
    """
    tries, sent = attempts(world), fanout(world)
    steps: Work = costs.event + costs.delivery.times(sent) + costs.record.times(tries)
    loop = costs.accept + costs.attempt * tries + steps.process
    own, limits = world.database.cores, world.machines
    places = limits.per_endpoint * world.receivers.endpoints * max(1e-9, 1 - world.receivers.down)
    machines = -(-processes // world.machines.processes)
    all_cores = machines * limits.cores * limits.speed
    seconds = {
        "event loop": loop / processes / limits.speed,
        "store's one transaction at a time": steps.both / processes,
        "cores of hookd's machines": (loop + (0 if own else steps.database)) / all_cores,
        "cores of the database": steps.database / own if own else 0.0,
        "bytes of the database's log": _bytes(costs, tries) / world.database.megabytes_per_second,
        "attempts in flight": tries * _mean_latency(world) / MICROSECOND / (limits.max_in_flight * processes),
        "attempts in flight for one endpoint": tries * _longest_latency(world) / MICROSECOND / places,
    }
    return {name: 1 / (each * MICROSECOND) for name, each in seconds.items() if each > 0}


def _bytes(costs: Costs, tries: float) -> float:
    return costs.event_bytes + costs.delivery_bytes * (tries - 1)


def _mean_latency(world: World) -> float:
    """Answer the seconds that an attempt waits for its answer, in the mean."""
    receivers = world.receivers
    working = max(1e-9, 1 - receivers.down)
    slow = min(1.0, receivers.slow / working)
    return (slow * receivers.slowness + (1 - slow) * receivers.latency) * _MILLISECOND
