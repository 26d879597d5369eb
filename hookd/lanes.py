"""Lanes: each endpoint and handler has its own, with a limit of its own, so that none can hold up another."""

import heapq
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass

from hookd.model import Destination


@dataclass(slots=True)
class Lane:
    """One destination's deliveries: how many are in flight, and when the next that waits is due.

    Of the two counts each has one writer: `started` the store's thread, `finished` the event loop. So their
    difference needs no lock, and is never less than what is really in flight.
    """

    id: str
    limit: int
    """What the destination allows in flight, as the store's thread last saw it."""
    started: int = 0
    finished: int = 0
    due_at: int | None = None

    @property
    def in_flight(self) -> int:
        """Attempts under way."""
        return self.started - self.finished


class Lanes:
    """Every lane that has been heard of, and the room that is left in each and in all together."""

    def __init__(self, max_in_flight: int, per_endpoint: int) -> None:
        self._per_endpoint = per_endpoint
        self._all = Lane("", max_in_flight)
        self._lanes: dict[str, Lane] = {}
        self._timers: list[tuple[int, str]] = []
        self._timed: set[tuple[int, str]] = set()  # the same, so that no timer is set twice
        self._share = max_in_flight  # of all the room there is: what one lane may claim beside others
        self._ready: OrderedDict[str, Lane] = OrderedDict()

    @property
    def in_flight(self) -> int:
        """Attempts under way, in all lanes."""
        return self._all.in_flight

    def _lane(self, identity: str) -> Lane:
        return self._lanes.get(identity) or self._lanes.setdefault(identity, Lane(identity, self._per_endpoint))

    # On the store's thread.

    def claimable(self, destination: Destination) -> int:
        """Say how many deliveries of a destination may be claimed."""
        lane = self._lane(destination.id)
        lane.limit = destination.max_in_flight or self._per_endpoint
        return max(0, min(lane.limit - lane.in_flight, self._all.limit - self._all.in_flight, self._share))

    def take(self, destination: Destination, now: int) -> bool:
        """Take a place for a new delivery, unless older ones are due or the lane is full."""
        due_at = self._lane(destination.id).due_at
        if (due_at is not None and due_at <= now) or not self.claimable(destination):
            return False
        self.hold(destination, 1)
        return True

    def hold(self, destination: Destination, count: int) -> None:
        """Take the places of claimed deliveries."""
        self._lane(destination.id).started += count
        self._all.started += count

    def give_back(self, destination: Destination) -> None:
        """Undo a take: nothing was committed."""
        self.hold(destination, -1)

    # In the event loop.

    def finish(self, identity: str) -> bool:
        """Free the place of an attempt that has ended; answer whether something may be waiting for it."""
        lane = self._lane(identity)
        lane.finished += 1
        self._all.finished += 1
        if lane.due_at is not None:
            self._ready[identity] = lane
        return bool(self._ready)

    def make_due(self, identity: str, at: int) -> None:
        """Note that something waits in a lane, due at `at` (epoch ms)."""
        lane = self._lane(identity)
        if lane.due_at is None or at < lane.due_at:
            self.set_due(identity, at)

    def set_due(self, identity: str, at: int | None) -> None:
        """Note when a lane is due next; None where nothing waits in it."""
        self._lane(identity).due_at = at
        self._ready.pop(identity, None)
        if at is not None and (at, identity) not in self._timed:
            self._timed.add((at, identity))
            heapq.heappush(self._timers, (at, identity))

    def reconfigure(self, max_in_flight: int, per_endpoint: int) -> None:
        """Take new limits; what is in flight beyond them ends first."""
        self._all.limit = max_in_flight
        self._per_endpoint = per_endpoint

    def next_due(self) -> int | None:
        """Answer when the next lane falls due (epoch ms); None while none will."""
        return self._timers[0][0] if self._timers else None

    def pick(self, now: int, most: int) -> list[str]:
        """Name lanes, longest ready first, that are due and have room.

        A full lane costs nothing here: it is dropped, and comes back when one of its attempts ends. Where all lanes
        together are nearly full, what is left is shared, so that no backlog takes everything, again and again.
        """
        self._ready.update(self._fallen_due(now))
        picked: list[str] = []
        room = self._all.limit - self._all.in_flight
        while self._ready and len(picked) < min(most, room):
            identity, lane = self._ready.popitem(last=False)
            if lane.due_at is not None and lane.due_at <= now and lane.in_flight < lane.limit:
                picked.append(identity)
        if picked:
            self._share = room // len(picked)
        return picked

    def _fallen_due(self, now: int) -> Iterator[tuple[str, Lane]]:
        while self._timers and self._timers[0][0] <= now:
            timer = heapq.heappop(self._timers)
            self._timed.discard(timer)
            at, identity = timer
            lane = self._lanes[identity]
            if lane.due_at == at:
                yield identity, lane
