"""Simulated time: what happens when, one thing after another."""

import heapq
import itertools
from collections.abc import Callable

Action = Callable[[], object]


class Calendar:
    """The actions to come, in the order of their time, and of their entry where two have the same."""

    def __init__(self) -> None:
        self.now = 0.0
        """Seconds since the beginning."""
        self._numbers = itertools.count()
        self._entries: list[tuple[float, int, Action]] = []
        self._stopped = False

    def after(self, seconds: float, action: Action) -> None:
        """Let something happen so many seconds from now."""
        heapq.heappush(self._entries, (self.now + seconds, next(self._numbers), action))

    def stop(self) -> None:
        """Let nothing more happen until it is run again."""
        self._stopped = True

    def run(self, until: float) -> None:
        """Go on to a moment, or until stopped, or to the end, where nothing is left to happen."""
        self._stopped = False
        while self._entries and self._entries[0][0] <= until and not self._stopped:
            self.now, _, action = heapq.heappop(self._entries)
            action()
