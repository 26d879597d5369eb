"""The outbox of a simulation: what waits in each lane, and whose lane it is."""

import heapq
import itertools
from collections.abc import Iterable
from typing import Protocol

from hookd.bench.simulate.ledger import Delivery


class Owner(Protocol):
    """The one process that claims from a lane."""

    def hear(self, delivery: Delivery, due_at: int) -> None:
        """Note what waits in a lane, due at a moment in ms."""


class Outbox:
    """Deliveries by lane, each with the moment at which it is due, in ms."""

    def __init__(self, lanes: Iterable[str]) -> None:
        self.owners: dict[str, Owner] = {}
        self._waiting: dict[str, list[tuple[int, int, Delivery]]] = {lane: [] for lane in lanes}
        self._numbers = itertools.count()

    def put(self, delivery: Delivery, due_at: int) -> None:
        """Let a delivery wait until it is due, and claimed."""
        heapq.heappush(self._waiting[delivery.lane], (due_at, next(self._numbers), delivery))

    def next_due(self, lane: str) -> int | None:
        """Answer when the next delivery of a lane is due; None where none waits."""
        waiting = self._waiting[lane]
        return waiting[0][0] if waiting else None

    def take(self, lane: str, most: int, now: int) -> list[Delivery]:
        """Claim what is due in a lane, no more than so many."""
        waiting, found = self._waiting[lane], list[Delivery]()
        while len(found) < most and waiting and waiting[0][0] <= now:
            found.append(heapq.heappop(waiting)[2])
        return found

    def empty(self, lane: str) -> list[Delivery]:
        """Take all that waits in a lane."""
        waiting, self._waiting[lane] = self._waiting[lane], []
        return [delivery for _, _, delivery in waiting]
