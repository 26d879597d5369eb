"""Sequences of a file as they are at a server, where they carry their day: in the same order, on days that were."""

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

BITS: Final = 36
"""Of a sequence at a server, so many are the number within all days; what is in front of them is the day."""


class Made(NamedTuple):
    """The first and the last sequence that were made on a day, by the clock of the time; days count from 1970."""

    day: int
    first: int
    last: int


class Renumbering:
    """Puts a day in front of each sequence: that of its making, but none before that of an earlier sequence.

    A clock may have been wrong: no day is later than today, nor before 1970.
    """

    def __init__(self, today: int) -> None:
        self._today = today
        self._firsts: list[int] = []
        self._days: list[int] = []
        self.known = 0
        """Up to which sequence the days are known. What is known stays."""

    def learn(self, made: Iterable[Made]) -> Sequence[int]:
        """Know the days of all sequences beyond those that are known; answer which days are new."""
        before = len(self._days)
        for day, first in sorted(self._begun(made)):
            if not self._days or day > self._days[-1]:
                self._days.append(day)
                self._firsts.append(first)
        return self._days[before:]

    def _begun(self, made: Iterable[Made]) -> Iterable[tuple[int, int]]:
        """Answer days with their first sequences, from which on none is before that day."""
        lowest: int | None = None
        for day, first, last in sorted(made, reverse=True):
            self.known = max(self.known, last)
            if lowest is None or first < lowest:
                lowest = first
                yield min(max(day, 0), self._today), first

    def __call__(self, sequence: int) -> int:
        """Answer what a sequence is at the server."""
        day = self._days[max(0, bisect_right(self._firsts, sequence) - 1)] if self._days else 0
        return day << BITS | sequence
