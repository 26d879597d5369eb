"""Lanes: limits, shares and rates are kept, no lane is forgotten, and none keeps another from its turn."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from hypothesis import given
from hypothesis import strategies as st

from hookd.ahead import MOST_BYTES, Ahead
from hookd.lanes import HOLD, Lanes
from hookd.model import Breaker, Endpoint, RateLimit
from hookd.policy.rate import Bucket, full, seconds_until, taken
from tests.nouns import ENDPOINT

ALL, EACH = 6, 3
MOST = 4
NAMES = ("a", "b", "c", "d")
LATE = 2
"""Milliseconds by which a timer is late at most, since it has whole ones."""


@dataclass
class World:
    """Lanes beside the truth: when each waiting delivery is due, which are in flight, which are claimed ahead.

    It plays the parts of the store and of the delivery loop: what it claims, begins and puts back is what they do.
    """

    all: int = ALL
    each: int = EACH
    is_new: bool = True
    """Whether the endpoints are younger than the process."""
    now: int = 0
    lanes: Lanes = field(init=False)
    ahead: Ahead[str] = field(init=False)
    waiting: dict[str, list[int]] = field(default_factory=lambda: {name: [] for name in NAMES})
    in_flight: Counter[str] = field(default_factory=Counter)
    claimed_ahead: Counter[str] = field(default_factory=Counter)
    asked: list[str] = field(default_factory=list)
    limits: dict[str, int | None] = field(default_factory=lambda: dict.fromkeys(NAMES))
    rates: dict[str, RateLimit] = field(default_factory=dict)
    buckets: dict[str, Bucket] = field(default_factory=dict)
    """What each rate allows, in truth."""
    begun: dict[str, list[int]] = field(default_factory=lambda: {name: [] for name in NAMES})
    """When attempts were begun under the present rate."""
    blocked: dict[str, int] = field(default_factory=dict)
    """Until when the breakers that are not closed let nothing through."""

    def __post_init__(self) -> None:
        self.lanes = Lanes(self.all, self.each, monotonic=lambda: self.now / 1000)
        for name in NAMES if self.is_new else ():
            self.lanes.welcome(self.endpoint(name))
        self.ahead = Ahead(self.lanes, len)
        self.buckets = {name: self.fresh(name, rate) for name, rate in self.rates.items()}

    def add(self, name: str, delay: int) -> None:
        """Accept a delivery: handed over at once where there is a place, and left to wait otherwise."""
        if delay == 0 and self.is_able(name) and self.lanes.take(self.endpoint(name), self.now):
            self.begin(name)
        else:
            self.wait(name, self.now + delay)

    def wait(self, name: str, at: int) -> None:
        self.waiting[name] = sorted([*self.waiting[name], at])
        self.lanes.make_due(name, max(at, self.blocked.get(name, 0)))

    def is_able(self, name: str) -> bool:
        return self.blocked.get(name, 0) <= self.now

    def endpoint(self, name: str) -> Endpoint:
        breaker = Breaker(0, 1, self.blocked[name]) if name in self.blocked else Breaker()
        return replace(
            ENDPOINT, id=name, max_in_flight=self.limits[name], rate_limit=self.rates.get(name), breaker=breaker
        )

    def block(self, name: str, wait: int) -> None:
        """Open a breaker, or close it where that is known to be open; what is claimed ahead waits as well."""
        if name in self.blocked:
            del self.blocked[name]
        else:
            self.blocked[name] = self.now + wait
        self.change(name)

    def limit_rate(self, name: str, rate: RateLimit | None) -> None:
        """Change a rate; of what was begun before nothing is known but what its bucket tells."""
        if rate is None:
            self.rates.pop(name, None)
        else:
            self.rates[name] = rate
            if name not in self.buckets:
                self.buckets[name] = self.fresh(name, rate)
        self.begun[name].clear()
        self.change(name)

    def fresh(self, name: str, rate: RateLimit) -> Bucket:
        """Answer what a rate allows at first: nothing, where a process before may have sent a moment ago."""
        is_known = self.is_new or self.lanes._lane(name).known
        return full(rate, self.now / 1000) if is_known else Bucket(0.0, 0.0)

    def change(self, name: str) -> None:
        """Let what has become of an endpoint be effective at once."""
        self.lanes.learn(self.endpoint(name))
        self.put_back(name)
        if self.waiting[name]:
            self.lanes.make_due(name, max(self.waiting[name][0], self.blocked.get(name, 0)))
        self.lanes.reconsider(name)

    def ask(self) -> None:
        """Pick lanes to claim from; attempts may end before the claim is on disk."""
        self.asked = self.asked or self.lanes.pick(self.now, MOST)
        if not self.asked and self.lanes.squeezed:
            for name in self.ahead.lanes:
                self.put_back(name)
            self.asked = self.lanes.pick(self.now, MOST)

    def commit(self) -> list[str]:
        """Claim from the lanes that were picked, and begin the attempts."""
        picked, self.asked = self.asked, []
        claimed: list[str] = []
        for among, name in zip(range(len(picked), 0, -1), picked, strict=True):
            if not self.is_able(name):
                continue
            room = min(self.lanes.left // among, self.lanes.claimable(self.endpoint(name)))
            due = [at for at in self.waiting[name] if at <= self.now][:room]
            self.lanes.hold(self.endpoint(name), len(due))
            self.waiting[name] = self.waiting[name][len(due) :]
            claimed += [name] * len(due)
        self.lanes.scanned({name: self.due_at(name) for name in picked}, self.now)
        for name in claimed:
            self.begin(name)
        return picked

    def claim(self) -> list[str]:
        self.ask()
        return self.commit()

    def rest(self) -> None:
        """Claim until there is nothing to be claimed."""
        for _ in range(200):
            if not self.claim():
                return
        raise AssertionError("it never rests")

    def due_at(self, name: str) -> int | None:
        if not self.is_able(name):
            return self.blocked[name]
        return min(self.waiting[name], default=None)

    def started(self, name: str) -> None:
        """An attempt has begun: there was room for it."""
        assert self.in_flight[name] < self.room(name)
        self.in_flight[name] += 1
        if name in self.rates:
            self.begun[name].append(self.now)
            self.buckets[name] = taken(self.buckets[name], self.rates[name], self.now / 1000)

    def begin(self, name: str) -> None:
        if self.lanes.start(name):
            self.started(name)
        else:
            self.ahead.add(name, name)
            self.claimed_ahead[name] += 1

    def put_back(self, name: str) -> None:
        """Put back what was claimed ahead, since its endpoint has changed."""
        for _ in self.ahead.withdraw(name):
            self.claimed_ahead[name] -= 1
            self.lanes.finish(name)
            self.wait(name, self.now)

    def end(self, name: str) -> None:
        """End an attempt, and go on with what was claimed ahead."""
        if not self.in_flight[name]:
            return
        self.in_flight[name] -= 1
        self.lanes.end(name)
        following = self.ahead.following(name)
        if following is not None:
            self.claimed_ahead[following] -= 1
            self.started(following)

    def limit(self, name: str) -> int:
        return 1 if name in self.blocked else self.limits[name] or self.each

    def room(self, name: str) -> int:
        """Answer how many may be under way: the more is left to others, the more."""
        left = self.all - self.in_flight.total()
        return min(self.limit(name), max(1, HOLD * left)) if left else 0

    def allowed_at(self, name: str) -> float:
        """Answer since when the rate allows another attempt, or when it will (ms)."""
        if name not in self.rates:
            return 0
        bucket = self.buckets[name]
        return 1000 * (bucket.at + seconds_until(bucket, self.rates[name], 1, bucket.at))

    def idle(self) -> list[str]:
        """Name the lanes that have something due and room for it, and had so a moment ago."""
        due = [name for name in NAMES if self.waiting[name] and self.waiting[name][0] <= self.now]
        able = [name for name in due if self.is_able(name) and self.in_flight[name] < self.room(name)]
        return [name for name in able if self.allowed_at(name) <= self.now - LATE]

    def beyond(self, name: str) -> float:
        """Answer the most that was begun in any window beyond the rate times its length."""
        rate = self.rates[name].per_second / 1000
        begun = list(enumerate(self.begun[name]))
        return max((j - i + 1 - rate * (end - start) for i, start in begun for j, end in begun[i:]), default=0.0)


names = st.sampled_from(NAMES)
rates = st.sampled_from([None, RateLimit(100, 1000, 1), RateLimit(250, 1000, 8), RateLimit(1000, 1000, 25)])
steps = st.one_of(
    st.builds(lambda name, delay: lambda world: world.add(name, delay), names, st.integers(0, 5)),
    st.builds(lambda name: lambda world: world.end(name), names),
    st.builds(lambda name: lambda world: world.put_back(name), names),
    st.builds(lambda name, wait: lambda world: world.block(name, wait), names, st.integers(0, 6)),
    st.builds(lambda name, rate: lambda world: world.limit_rate(name, rate), names, rates),
    st.builds(lambda by: lambda world: setattr(world, "now", world.now + by), st.integers(0, 4)),
    st.just(World.ask),
    st.just(World.commit),
)
limits = st.fixed_dictionaries({name: st.none() | st.integers(1, 6) for name in NAMES})
limited = st.fixed_dictionaries(dict.fromkeys(NAMES, rates)).map(
    lambda found: {name: rate for name, rate in found.items() if rate is not None}
)
worlds = st.builds(World, is_new=st.booleans(), limits=limits, rates=limited)


@given(st.lists(steps, max_size=80), worlds)
def test_limits_are_kept_and_no_lane_is_forgotten(course: list[Callable[[World], object]], world: World) -> None:
    for step in course:
        step(world)
        assert world.in_flight.total() <= ALL
        assert world.lanes.in_flight == world.in_flight.total() + world.claimed_ahead.total()
        for name in world.ahead.lanes:
            assert world.in_flight[name] >= world.room(name)
    world.rest()
    assert world.idle() == []


@given(st.lists(steps, max_size=80), worlds)
def test_no_window_holds_more_attempts_than_its_rate_and_burst(
    course: list[Callable[[World], object]], world: World
) -> None:
    for step in course:
        step(world)
        for name, rate in world.rates.items():
            assert world.beyond(name) <= rate.burst + 1e-6


@given(st.lists(steps, max_size=80), worlds)
def test_everything_is_sent_in_the_end(course: list[Callable[[World], object]], world: World) -> None:
    for step in course:
        step(world)
    due = {name: len(world.waiting[name]) for name in NAMES}
    for _ in range(sum(due.values()) + 1):
        world.now += 20
        world.claim()
        for name in NAMES:
            world.end(name)
    assert all(not waiting for waiting in world.waiting.values())
    assert not world.ahead.lanes


@given(st.lists(steps, max_size=80), worlds)
def test_the_next_time_is_never_later_than_what_is_due_next(
    course: list[Callable[[World], object]], world: World
) -> None:
    """A lane is due next when its first delivery is, its breaker lets that through, and its rate allows it."""
    for step in course:
        step(world)
    world.rest()
    room = [name for name in NAMES if world.waiting[name] and world.in_flight[name] < world.room(name)]
    able = [max(world.waiting[name][0], world.blocked.get(name, 0), world.allowed_at(name)) for name in room]
    coming = [at for at in able if at > world.now]
    found = world.lanes.next_due()
    assert not coming or (found is not None and found <= min(coming) + LATE)


def test_a_backlog_keeps_no_other_lane_waiting() -> None:
    world = World(4, 4)
    for _ in range(200):
        world.waiting["a"].append(0)
    world.lanes.make_due("a", 0)
    world.claim()
    world.now = 1
    for name in ("b", "c"):
        world.waiting[name].append(1)
        world.lanes.make_due(name, 1)
    world.claim()
    for _ in range(world.in_flight["a"]):
        world.end("a")
    world.claim()
    assert world.in_flight["b"] == world.in_flight["c"] == 1


def test_backlogs_share_what_there_is() -> None:
    world = World(4, 4, waiting={name: [0] * 100 for name in NAMES})
    for name in NAMES:
        world.lanes.make_due(name, 0)
    sent: Counter[str] = Counter()
    for _ in range(20):
        world.claim()
        sent += world.in_flight
        for name in NAMES:
            while world.in_flight[name]:
                world.end(name)
    assert max(sent.values()) - min(sent[name] for name in NAMES) <= 4, sent


def test_what_one_lane_has_claimed_ahead_keeps_no_other_from_a_place() -> None:
    world = World(4, 2)
    world.waiting["a"] = [0] * 100
    world.lanes.make_due("a", 0)
    world.claim()
    while world.lanes.in_flight < 4:
        world.ask()
        world.end("a")
        world.commit()
    assert (world.in_flight["a"], world.claimed_ahead["a"]) == (2, 2)
    while world.lanes.left:  # claims that come upon nothing, while all attempts hang
        world.lanes.make_due("c", 0)
        world.claim()
    world.add("b", 0)
    world.claim()
    assert world.in_flight["b"] == 1


def test_a_lane_that_others_leave_too_little_comes_back_when_one_of_theirs_ends() -> None:
    world = World(8, 8)
    for name in "bcaaaaa":
        world.add(name, 0)
    world.wait("a", 0)
    assert world.claim() == [], "the last place is for others"
    world.end("b")
    assert world.claim() == ["a"]


def test_what_is_claimed_ahead_begins_when_others_leave_more() -> None:
    world = World(8, 8)
    for name in "bcaaaaa":
        world.add(name, 0)
    world.lanes.hold(world.endpoint("a"), 1)
    world.begin("a")
    assert (world.in_flight["a"], world.claimed_ahead["a"]) == (5, 1), "the last place is for others"
    world.end("b")
    assert (world.in_flight["a"], world.claimed_ahead["a"]) == (6, 0)


def test_a_full_lane_is_not_picked_and_costs_nothing() -> None:
    world = World(100, 1)
    for name in ("a", "b"):
        world.add(name, 0)
        world.add(name, 0)
    assert world.claim() == []
    assert world.lanes.next_due() is None
    world.end("b")
    assert world.claim() == ["b"]


def test_a_new_delivery_does_not_overtake_an_older_one() -> None:
    world = World()
    world.waiting["a"].append(0)
    world.lanes.make_due("a", 0)
    assert not world.lanes.take(world.endpoint("a"), 0)
    world.claim()
    assert world.lanes.take(world.endpoint("a"), 0)


def test_a_wait_that_lies_far_ahead_keeps_no_new_one_from_its_place() -> None:
    world = World()
    world.add("a", 5)
    assert world.lanes.take(world.endpoint("a"), 0)


def test_a_lane_that_is_claimed_from_again_and_again_takes_no_more_memory() -> None:
    world = World()
    world.waiting["a"].append(1_000_000)
    for _ in range(1000):
        world.waiting["a"].insert(0, world.now)
        world.lanes.make_due("a", world.now)
        world.claim()
        world.end("a")
        world.now += 1
    assert len(world.lanes._timers) == 1


def test_new_limits_hold_at_once_and_what_is_beyond_them_ends_first() -> None:
    world = World()
    for _ in range(EACH):
        world.add("a", 0)
    world.lanes.reconfigure(2, 1)
    assert world.lanes.claimable(world.endpoint("a")) == 0
    assert world.lanes.left == 0
    world.end("a")
    world.end("a")
    assert (world.lanes.left, world.lanes.claimable(world.endpoint("b"))) == (1, 1)


def test_lanes_for_which_nothing_was_left_are_picked_first() -> None:
    lanes = Lanes(8, 4)
    for name in "abcd":
        lanes.make_due(name, 0)
    assert lanes.pick(1, 8) == ["a", "b", "c", "d"]
    lanes.make_due("e", 0)
    lanes.scanned({"a": 0}, 1)
    lanes.ask_first(["b", "c", "d"])
    assert lanes.pick(1, 8) == ["b", "c", "d", "a", "e"]


def test_how_far_ahead_is_claimed_falls_once_for_each_claim_however_many_lanes_it_asked() -> None:
    lanes = Lanes(100, 10)
    for name in NAMES:
        lanes.make_due(name, 0)
    assert lanes.pick(1, 8) == list(NAMES)
    for name in NAMES:
        lanes.learn(replace(ENDPOINT, id=name))
        lanes.hold(replace(ENDPOINT, id=name), 1)
        lanes.start(name)
        lanes.end(name)
    lanes.scanned(dict.fromkeys(NAMES, 0), 1)
    assert lanes.left == 100 + 2 * len(NAMES)
    assert lanes.pick(1, 8) == list(NAMES)
    lanes.scanned(dict.fromkeys(NAMES, 0), 1)
    assert lanes.left == 100 + 2 * len(NAMES) * 3 // 4


def test_what_will_have_room_when_it_is_claimed_can_be_picked_before_it_has() -> None:
    lanes = Lanes(4, 4)
    endpoint = replace(ENDPOINT, id="a")
    lanes.learn(endpoint)
    lanes.make_due("a", 0)
    assert lanes.pick(1, MOST) == ["a"]
    lanes.hold(endpoint, 4)
    for _ in range(4):
        lanes.start("a")
        lanes.end("a")
    lanes.scanned({"a": 0}, 1)
    lanes.hold(endpoint, lanes.left)
    assert lanes.pick(1, MOST) == []
    lanes.reconsider("a")
    assert lanes.pick(1, MOST, later=True) == ["a"]


def test_new_deliveries_are_taken_ahead_while_nothing_older_waits() -> None:
    lanes = Lanes(2, 1)
    new = [replace(ENDPOINT, id=name) for name in ("a", "b", "c", "d")]
    assert [lanes.take(endpoint, 0) for endpoint in new[:3]] == [True, True, True]
    assert [lanes.start(endpoint.id) for endpoint in new[:3]] == [True, True, False]
    lanes.make_due("older", 0)
    assert lanes.pick(1, MOST) == []
    assert not lanes.take(new[3], 1)


def test_no_more_is_claimed_ahead_than_memory_has_room_for() -> None:
    lanes = Lanes(1, 1)
    ahead: Ahead[int] = Ahead(lanes, int)
    new = [replace(ENDPOINT, id=name) for name in ("a", "b", "c", "d")]
    assert [lanes.take(endpoint, 0) for endpoint in new[:3]] == [True, True, True]
    assert lanes.start("a")
    for name in ("b", "c"):
        ahead.add(name, MOST_BYTES // 2)
    assert not lanes.take(new[3], 0)
    lanes.end("a")
    assert ahead.following("a") == MOST_BYTES // 2
    assert lanes.take(new[3], 0)


def test_what_is_not_to_be_claimed_ahead_is_not_taken_ahead_either() -> None:
    lanes = Lanes(1, 1)
    assert lanes.take(replace(ENDPOINT, id="a"), 0)
    assert not lanes.take(replace(ENDPOINT, id="b", ordered=True), 0)
    assert not lanes.take(replace(ENDPOINT, id="c", rate_limit=RateLimit(5, 1000, 5)), 0)


def test_a_place_is_given_back() -> None:
    lanes = Lanes(1, 1)
    assert lanes.take(ENDPOINT, 0)
    assert not lanes.take(ENDPOINT, 0)
    lanes.give_back(ENDPOINT)
    assert lanes.take(ENDPOINT, 0)


def test_a_clock_that_is_set_back_delays_and_forgets_nothing() -> None:
    world = World(1, 1, now=100)
    for name in ("a", "b"):
        world.waiting[name].append(100)
        world.lanes.make_due(name, 100)
    assert world.claim() == ["a"]
    world.now = 50
    world.end("a")
    assert world.claim() == []
    assert world.lanes.next_due() == 100
    world.now = 100
    assert world.claim() == ["b"]


def test_what_nothing_would_wake_is_revived() -> None:
    lanes = Lanes(4, 1)
    endpoint = replace(ENDPOINT, id="a")
    lanes.make_due("a", 1000)
    assert lanes.take(endpoint, 999)
    assert lanes.pick(1001, 4) == []  # it is full
    lanes.give_back(endpoint)  # the commit failed, so that no attempt will end
    assert lanes.pick(1001, 4) == []
    assert lanes.revive(1001)
    assert lanes.pick(1001, 4) == ["a"]
