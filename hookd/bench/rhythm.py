"""The rhythm of events: irregular, so that it can't fall in with a timer of the daemon."""

import random
from collections.abc import Iterator

_SHORTEST = 0.005
_LONGEST = 0.035


def pauses(chance: random.Random) -> Iterator[float]:
    """Answer the pauses between single events, in seconds, without end."""
    while True:
        yield chance.uniform(_SHORTEST, _LONGEST)


def steady(chance: random.Random, rate: float) -> Iterator[float]:
    """Answer the pauses of a rate in events a second, without end: each between none and twice the mean."""
    while True:
        yield chance.uniform(0, 2 / rate)
