"""Ids that sort by time: a prefix, ten characters of milliseconds, ten of randomness."""

import random

from hookd.model import Clock

ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
"""Crockford's base 32, in lower case: no letter that is easily misread."""

_PAIRS = [first + second for first in ALPHABET for second in ALPHABET]
_TAIL_LIMIT = 1 << 50


def _encode(number: int) -> str:
    """Write a number below 2**50 as ten characters."""
    return (
        _PAIRS[number >> 40]
        + _PAIRS[number >> 30 & 1023]
        + _PAIRS[number >> 20 & 1023]
        + _PAIRS[number >> 10 & 1023]
        + _PAIRS[number & 1023]
    )


class IdFactory:
    """Makes ids such as `evt_01k9…`, each greater than the one before, even where the clock stands or steps back."""

    def __init__(self, clock: Clock, rng: random.Random) -> None:
        self._clock = clock
        self._rng = rng
        self._time = 0
        self._head = ""
        self._tail = 0

    def __call__(self, prefix: str) -> str:
        """Make an id that begins with `prefix` and an underscore."""
        now = self._clock()
        if now > self._time:
            self._begin(now)
        else:
            self._tail += 1 + self._rng.getrandbits(24)
            if self._tail >= _TAIL_LIMIT:
                self._begin(self._time + 1)
        return f"{prefix}_{self._head}{_encode(self._tail)}"

    def _begin(self, millisecond: int) -> None:
        self._time = millisecond
        self._head = _encode(millisecond)
        self._tail = self._rng.getrandbits(49)  # the upper half is left for what follows in the same millisecond


def first_id(prefix: str, time: int) -> str:
    """The least id that can have been made at `time` (milliseconds since 1970)."""
    return f"{prefix}_{_encode(min(max(time, 0), _TAIL_LIMIT - 1))}"
