"""The rhythm of single events: irregular, so that it can't fall in with a timer of the daemon."""

import random
from collections.abc import Iterator

_SHORTEST = 0.005
_LONGEST = 0.035


def pauses(chance: random.Random) -> Iterator[float]:
    """Answer pauses in seconds, without end."""
    while True:
        yield chance.uniform(_SHORTEST, _LONGEST)
