"""What the delivery loop has heard of the lanes: breakers by its commits, orders and rates by its answers."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from math import inf
from typing import Generic, TypeVar

from hookd.model import Breaker, Clock
from hookd.policy.breaker import CLOSED
from hookd.store import Changes
from tests.simulation.network import Sending

T = TypeVar("T")


class Breakers:
    """Each endpoint's breaker as the loop knows it, to hold what it begins to."""

    def __init__(self, clock: Clock, read: Callable[[], dict[str, Breaker]]) -> None:
        self._clock = clock
        self._read = read
        self._commit = 0
        self._breakers: dict[str, Breaker] = {}
        self._changed: Counter[str] = Counter()
        """In which commit it came to be what it is."""
        self._claimed: dict[str, int] = {}
        """In which commit each delivery was claimed last."""
        self._trials: dict[str, list[Sending]] = {}

    def hear(self, changes: Changes) -> None:
        """Take in a commit, of which the loop has just been told."""
        self._commit += 1
        self._claimed.update((delivery.id, self._commit) for delivery in changes.claimed)
        for name, breaker in self._read().items():
            if breaker != self._breakers.get(name, CLOSED):
                self._breakers[name], self._changed[name] = breaker, self._commit
            if breaker.opened_at is None:
                self._trials.pop(name, None)

    def judge(self, sending: Sending, delivery: str) -> str | None:
        """Complain of an attempt that the breaker forbids.

        A test is sent whatever it says, and what is claimed in the commit in which it opens was under way by then.
        """
        name, claimed = sending.target, self._claimed.get(delivery)
        breaker, changed = self._breakers.get(name, CLOSED), self._changed[name]
        if claimed is None or claimed == changed:
            return None
        if (breaker.blocked_until or 0) > self._clock():
            return f"{name}: {sending.event} is sent while its breaker is {breaker}"
        if breaker.opened_at is None:
            return None
        trials = self._trials.setdefault(name, [])
        under_way = [each.event for each in trials if each.ended is None and each.life == sending.life]
        trials.append(sending)
        return f"{name}: {sending.event} is tried, and {under_way} as well" if under_way else None


@dataclass(slots=True)
class Span(Generic[T]):
    """For how long something held for certain, in the loop's time."""

    value: T
    since: float
    until: float = inf

    def holds(self, moment: float) -> bool:
        return self.since < moment < self.until


class Setting(Generic[T]):
    """What somebody sets now and then: certain from when the daemon says so until it is asked for something else."""

    def __init__(self, value: T, now: float) -> None:
        self.spans = [Span(value, now)]
        self._asked = 0

    @property
    def now(self) -> T | None:
        """What holds for certain; None where nothing does."""
        return self.spans[-1].value if self.spans[-1].until == inf else None

    @property
    def since(self) -> float:
        return self.spans[-1].since

    def ask(self, now: float) -> None:
        """Know nothing for certain any more."""
        self._asked += 1
        self.spans[-1].until = min(self.spans[-1].until, now)

    def answer(self, value: T, now: float) -> None:
        """Know that it is set."""
        self._asked -= 1
        if not self._asked:
            self.spans.append(Span(value, now))

    def read(self, value: T, now: float) -> None:
        """Know it from the record, after a process died over whatever it was asked for."""
        if self.now is None:
            self._asked = 0
            self.spans.append(Span(value, now))
