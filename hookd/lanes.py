"""Lanes: each endpoint and handler has its own, with a limit of its own, so that none can hold up another."""

import heapq
import sys
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from hookd.model import Destination, Endpoint, RateLimit
from hookd.policy.rate import Bucket, full, seconds_until, taken, tokens

HOLD = 3
"""How many times as many places as are left over a lane may hold."""


AHEAD = 3
"""How many times its limit a lane may claim ahead."""

MOST_ENDING = 512
"""What it may claim ahead however low its limit is: as many as may end while two claims are committed."""


@dataclass(slots=True)
class Lane:
    """One destination's deliveries: how many are claimed and under way, and when the next that waits is due.

    Of the two counts each has one writer: `started` the store's thread, `finished` the event loop. So their
    difference needs no lock, and is never less than what is really claimed.
    """

    id: str
    limit: int
    """What the destination allows in flight, as the store's thread last saw it."""
    rate: RateLimit | None = None
    """How often it may be sent to, likewise."""
    ahead: bool = False
    """Whether more may be claimed than can be begun, so that its attempts need not wait for the next commit."""
    bucket: Bucket | None = None
    """What its rate allows; None until that is known."""
    known: bool = False
    started: int = 0
    finished: int = 0
    begun: int = 0
    """What was claimed, and has begun or was put back."""
    running: int = 0
    """Attempts under way; what else is claimed waits for one of them to end."""
    mark: int = 0
    """What was finished when the last claim was asked for."""
    pace: int = 0
    """How many attempts end while a claim is being committed, twice over lest the next come late; it falls slowly."""
    due_at: int | None = None
    look_at: int | None = None
    """When the lane is looked at next: when it is due, or when its rate allows more (epoch ms)."""

    @property
    def claimed(self) -> int:
        """Deliveries that are claimed, under way or about to be."""
        return self.started - self.finished

    @property
    def ahead_at_most(self) -> int:
        """How many deliveries may be claimed ahead of their time."""
        return max(AHEAD * self.limit, MOST_ENDING)

    @property
    def soon(self) -> int:
        """How many places will be free, beside those that are, by the time that a claim is committed."""
        return self.pace // 2

    def wait(self, now: float) -> float:
        """Answer the seconds until the rate allows another attempt, beside those that are claimed already."""
        to_begin = self.started - self.begun  # read first: what begins meanwhile counts twice, never not at all
        if self.rate is None or self.bucket is None:
            return 0.0
        return seconds_until(self.bucket, self.rate, to_begin + 1, now)

    def allowance(self, now: float) -> int:
        """Answer how many attempts the rate allows, beside those that are claimed already."""
        to_begin = self.started - self.begun
        if self.rate is None or self.bucket is None:
            return sys.maxsize
        return max(0, int(tokens(self.bucket, self.rate, now)) - to_begin)


class Lanes:
    """Every lane that has been heard of, and the room that is left in each and in all together."""

    def __init__(
        self,
        max_in_flight: int,
        per_endpoint: int,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._per_endpoint = per_endpoint
        self._monotonic = monotonic
        self._began = monotonic()
        self.holds: Callable[[], bool] = lambda: True
        """Whether what is claimed may be begun; not while another process may have taken it over."""
        self.crowded = False
        """Whether what is claimed ahead takes so much memory that no more may be."""
        self._all = Lane("", max_in_flight)
        self._lanes: dict[str, Lane] = {}
        self._timers: list[tuple[int, str]] = []
        self._timed: set[tuple[int, str]] = set()  # the same, so that no timer is set twice
        self._ready: OrderedDict[str, Lane] = OrderedDict()
        self._short: OrderedDict[str, Lane] = OrderedDict()  # due, but the attempts of others leave them no room

    @property
    def in_flight(self) -> int:
        """Deliveries that are claimed, in all lanes."""
        return self._all.claimed

    def busy(self) -> list[str]:
        """Name the lanes of which something is claimed or under way."""
        return [lane.id for lane in list(self._lanes.values()) if lane.claimed]

    def begin_anew(self) -> None:
        """Know nothing more of the lanes of which nothing is claimed: another process may have sent to them."""
        self._began = self._monotonic()
        for lane in list(self._lanes.values()):
            if not lane.claimed:
                lane.bucket, lane.known = None, False

    def _lane(self, identity: str) -> Lane:
        return self._lanes.get(identity) or self._lanes.setdefault(identity, Lane(identity, self._per_endpoint))

    # On the store's thread.

    @property
    def left(self) -> int:
        """How many more deliveries may be claimed, in all lanes together."""
        return max(0, self._all.limit + self._ahead(self._all) - self._all.claimed)

    def claimable(self, destination: Destination) -> int:
        """Say how many deliveries of a destination may be claimed, as far as its own lane goes.

        An endpoint's may be claimed a little ahead, so that its attempts need not wait for the next commit; a
        handler's never, since what is claimed counts as running where the process crashes.
        """
        lane = self.learn(destination)
        return max(0, min(self._room(lane), lane.allowance(self._monotonic())))

    def knows(self, lane: str) -> bool:
        """Say whether a lane has been heard of."""
        return lane in self._lanes

    def learn(self, destination: Destination) -> Lane:
        """Note what a destination says of its lane, which may have changed."""
        lane = self._lane(destination.id)
        broken = isinstance(destination, Endpoint) and destination.breaker.opened_at is not None
        exact = broken or destination.ordered or destination.rate_limit is not None
        lane.limit = 1 if broken else destination.max_in_flight or self._per_endpoint
        lane.ahead = isinstance(destination, Endpoint) and not exact
        if destination.rate_limit is not None and lane.bucket is None:
            lane.bucket = self._bucket(lane, destination.rate_limit)
        lane.rate = destination.rate_limit
        lane.known = True
        return lane

    def welcome(self, destination: Destination) -> None:
        """Know a destination that has just been made, so that no earlier process can have sent to it."""
        self._lane(destination.id).known = True

    def _bucket(self, lane: Lane, limit: RateLimit) -> Bucket:
        """Fill a bucket, but for a destination to which an earlier process may have sent a moment ago."""
        return full(limit, self._monotonic()) if lane.known else Bucket(0.0, self._began)

    def take(self, destination: Destination, now: int) -> bool:
        """Take a place for a new delivery, unless older ones are due or the lane is full.

        Where all together are full, and nothing else is due, it is taken ahead of its time.
        """
        lane = self.learn(destination)
        waiting = lane.due_at is not None and lane.due_at <= now
        others = bool(self._ready or self._short)
        ahead = self._all.ahead_at_most if lane.ahead and not (others or self.crowded) else 0
        if waiting or lane.claimed >= self._share(lane) or self._all.claimed >= self._all.limit + ahead:
            return False
        if not lane.allowance(self._monotonic()):
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

    # On either.

    def _share(self, lane: Lane) -> int:
        """Answer how many attempts of a lane may be under way: no more than some times what is left to all others.

        So whoever hangs, even without a limit, leaves places to a lane that has none: a dynamic threshold, after
        Choudhury and Hahne, "Dynamic queue length thresholds for shared-memory packet switches" (1998).
        """
        return min(lane.limit, max(1, HOLD * (self._all.limit - self._all.running)))

    def _room(self, lane: Lane) -> int:
        """Answer how many places of a lane are free, or will be by the time a claim is committed."""
        return self._share(lane) + lane.ahead * self._ahead(lane) - lane.claimed

    def _ahead(self, lane: Lane) -> int:
        """Answer how many deliveries of a lane may be claimed ahead now."""
        return 0 if self.crowded else lane.pace

    # In the event loop.

    def start(self, identity: str) -> bool:
        """Begin an attempt of a claimed delivery, if there is room for it now."""
        lane = self._lane(identity)
        if lane.running >= self._share(lane) or self.full or not self.holds():
            return False
        lane.running += 1
        self._all.running += 1
        if lane.rate is not None and lane.bucket is not None:
            lane.bucket = taken(lane.bucket, lane.rate, self._monotonic())
        lane.begun += 1
        return True

    @property
    def full(self) -> bool:
        """Whether as many attempts are under way as may be, all together."""
        return self._all.running >= self._all.limit

    @property
    def squeezed(self) -> bool:
        """Whether a lane is due and has room, and nothing but what others have claimed ahead keeps it from it."""
        if self.full or self.left:
            return False
        return any(lane.claimed < self._share(lane) for lane in self._ready.values())

    def end(self, identity: str) -> bool:
        """End an attempt, and free its place; answer whether something may be waiting for it."""
        lane = self._lanes[identity]
        lane.running -= 1
        self._all.running -= 1
        return self._finish(lane)

    def finish(self, identity: str) -> None:
        """Free the place of a claimed delivery of which no attempt was begun, so that it tells nothing of the pace."""
        lane = self._lane(identity)
        lane.begun += 1
        lane.mark += 1
        self._all.mark += 1
        self._finish(lane)

    def _finish(self, lane: Lane) -> bool:
        lane.finished += 1
        self._all.finished += 1
        if lane.due_at is not None:
            self._ready[lane.id] = lane
        return bool(self._ready or self._short)

    def is_short(self, identity: str) -> bool:
        """Say whether a lane has room by its own limit, and only the attempts of others leave it none."""
        lane = self._lane(identity)
        return self._share(lane) <= lane.running < lane.limit

    def scanned(self, found: Mapping[str, int | None], now: int) -> None:
        """Note what a claim found: when each lane is due next. The pace is how many attempts ended meanwhile."""
        lanes = [lane for lane in map(self._lane, found) if lane.ahead]
        for lane in [*lanes, self._all] if lanes else ():
            pace = max(2 * (lane.finished - lane.mark), lane.pace * 3 // 4)
            lane.pace = min(pace, lane.ahead_at_most)
        for identity, due_at in found.items():
            if due_at is not None and due_at <= now:
                lane = self._ready[identity] = self._lane(identity)
                lane.due_at = due_at
            else:
                self.set_due(identity, due_at)

    def make_due(self, identity: str, at: int) -> None:
        """Note that something waits in a lane, due at `at` (epoch ms)."""
        lane = self._lane(identity)
        if lane.due_at is None or at < lane.due_at:
            self.set_due(identity, at)

    def set_due(self, identity: str, at: int | None) -> None:
        """Note when a lane is due next; None where nothing waits in it."""
        lane = self._lane(identity)
        lane.due_at = at
        self._ready.pop(identity, None)
        self._look(lane, at)

    def _look(self, lane: Lane, at: int | None) -> None:
        """Look at a lane at a time (epoch ms), and not before."""
        lane.look_at = at
        if at is not None and (at, lane.id) not in self._timed:
            self._timed.add((at, lane.id))
            heapq.heappush(self._timers, (at, lane.id))

    def reconsider(self, identity: str) -> None:
        """Look at a lane at once, since it may allow more than before."""
        lane = self._lane(identity)
        if lane.due_at is not None:
            self._ready[identity] = lane

    def ask_first(self, identities: Sequence[str]) -> None:
        """Have lanes picked before all others: nothing was left for them when it was their turn."""
        for identity in reversed(identities):
            self.reconsider(identity)
            if identity in self._ready:
                self._ready.move_to_end(identity, last=False)

    def reconfigure(self, max_in_flight: int, per_endpoint: int) -> None:
        """Take new limits; what is in flight beyond them ends first."""
        self._all.limit = max_in_flight
        self._per_endpoint = per_endpoint

    def next_due(self) -> int | None:
        """Answer when the next lane falls due (epoch ms); None while none will."""
        return self._timers[0][0] if self._timers else None

    def pick(self, now: int, most: int, *, later: bool = False) -> list[str]:
        """Name lanes, longest ready first, that are due and have room; `later`: or will have when they are claimed.

        A full lane costs nothing here: it is dropped, and comes back when one of its attempts ends. Where all lanes
        together are nearly full, what is left is shared, so that no backlog takes everything, again and again; one
        that is only short of that comes back when any attempt ends.
        """
        self._ready.update(self._fallen_due(now))
        picked: list[str] = []
        soon = later and not self.crowded
        most = min(most, self.left + (soon and self._all.soon))
        for _ in range(min(most, len(self._short))):  # the others have their turn at the next claim
            identity, lane = self._short.popitem(last=False)
            self._ready.setdefault(identity, lane)
        while self._ready and len(picked) < most:
            identity, lane = self._ready.popitem(last=False)
            if lane.due_at is None:
                continue
            if self._room(lane) + (soon and lane.ahead and lane.soon) <= 0:
                if lane.claimed < lane.limit:
                    self._short[identity] = lane
            elif lane.due_at > now:
                self.set_due(identity, lane.due_at)  # its timer may be spent: the clock was set back
            elif (wait := lane.wait(self._monotonic())) > 0:
                self._look(lane, now + int(wait * 1000) + 1)
            else:
                lane.mark = lane.finished
                picked.append(identity)
        if picked:
            self._all.mark = self._all.finished
        return picked

    def revive(self, now: int) -> bool:
        """Look through all lanes for work that nothing would wake: the safety net. Answer whether there is some."""
        for lane in list(self._lanes.values()):
            if lane.due_at is None:
                continue
            if lane.due_at > now:
                self.set_due(lane.id, lane.due_at)
            elif self._room(lane) > 0:
                self._ready.setdefault(lane.id, lane)
        return bool(self._ready)

    def _fallen_due(self, now: int) -> Iterator[tuple[str, Lane]]:
        while self._timers and self._timers[0][0] <= now:
            timer = heapq.heappop(self._timers)
            self._timed.discard(timer)
            at, identity = timer
            lane = self._lanes[identity]
            if lane.look_at == at:
                yield identity, lane
