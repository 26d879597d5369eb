"""What so many processes can do: the most events a second at which no line grows, and what is in the way of more."""

from dataclasses import dataclass

from hookd.bench.simulate.cluster import Cluster
from hookd.bench.simulate.costs import MICROSECOND, Costs, Work
from hookd.bench.simulate.world import World

UNDER_WAY = 2
"""How many events are kept under way, as a multiple of the attempts that may be: more than any resource needs to be in
use all the time, and yet no backlog, since a loop that accepts without end delivers nothing."""
_ROUNDS = 8
"""How many events end for each that is kept under way, at the least."""
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
    """Look how fast events end, where a new one is published for each: of what no line grows, that is the most."""
    under_way = UNDER_WAY * world.machines.max_in_flight * processes
    events = max(world.events * processes, _ROUNDS * under_way)
    course = Cluster(world, costs, processes).circle(under_way, events)
    rate = course.over / course.seconds
    name = max(course.busy, key=lambda each: course.busy[each])
    return Capacity(processes, rate, rate * fanout(world), name, course.busy[name])


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
    cores = machines * limits.left
    seconds = {
        "event loop": loop / processes / limits.speed,
        "store's one transaction at a time": steps.both / processes,
        "cores of hookd's machines": (loop + (0 if own else steps.database)) / cores,
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
