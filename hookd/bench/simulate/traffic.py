"""When events are published."""

import random
from collections.abc import Iterator

from hookd.bench.rhythm import steady
from hookd.bench.simulate.world import Traffic


def arrivals(traffic: Traffic, rate: float, chance: random.Random) -> Iterator[tuple[float, int]]:
    """Answer seconds until the next arrival, and how many events come at once, without end; `rate` is of events."""
    if traffic.pattern == "steady":
        yield from ((pause, 1) for pause in steady(chance, rate))
    together = traffic.burst if traffic.pattern == "bursts" else 1
    while True:
        yield chance.expovariate(rate / together), together
