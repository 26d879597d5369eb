"""What is to happen in one course: the settings, the receivers and their habits, and who does what when."""

import random
from dataclasses import dataclass, field

from hookd.model import RateLimit
from hookd.policy.breaker import NEVER, USUAL, BreakerPolicy
from tests.simulation.network import HABITS, HANDLER, TRUSTY, Habit, down, flaky, slow, well

MINUTE = 60
HOUR = 60 * MINUTE
SECOND = 1000
SCHEDULE = tuple(seconds * SECOND for seconds in (5, 5 * MINUTE, 30 * MINUTE, 2 * HOUR, 5 * HOUR, 10 * HOUR, 14 * HOUR))
JITTER = 0.1
EAGER = BreakerPolicy(failures=3, share=0.5, least=6, window=30 * SECOND, wait=5 * SECOND, longest=80 * SECOND)
"""Opens soon, and is tried often."""
RATES = (
    RateLimit(1, SECOND, 1),
    RateLimit(5, SECOND, 5),
    RateLimit(2, SECOND, 20),
    RateLimit(30, 60 * SECOND, 1),
    RateLimit(600, 60 * SECOND, 50),
    RateLimit(40, 3600 * SECOND, 10),
)

Action = tuple[float, str, tuple[object, ...]]
"""A moment of the loop's time, what is done then (a method of the course), and to whom."""


@dataclass(frozen=True)
class Plan:
    """`actions` stand in order of time. `trusted` receivers take everything in the end, and are left alone."""

    seed: int
    max_in_flight: int
    per_endpoint: int
    schedule: tuple[int, ...]
    stall: float
    """The longest that a step between the loop and a thread takes, in seconds; most take hardly any time."""
    watch: bool
    """Whether the loop is also woken now and then, as it always is outside; without that no lane may be forgotten."""
    habits: dict[str, Habit]
    limits: dict[str, int | None]
    orders: dict[str, bool]
    rates: dict[str, RateLimit | None]
    breaker: BreakerPolicy
    told: frozenset[str]
    """Who also gets what hookd itself has to tell."""
    trusted: frozenset[str]
    actions: list[Action] = field(repr=False)


def draw(seed: int) -> Plan:
    """Draw the plan of a seed."""
    rng = random.Random(f"plan {seed}")
    names = [f"ep_{number}" for number in range(rng.choice([1, 2, 3, 5, 8]))]
    busy = rng.choice([5.0, 60.0, 10.0 * MINUTE, 3.0 * HOUR])
    habits = {name: _habit(rng, busy) for name in [*names, HANDLER]}
    meddled = [name for name in names if rng.random() < 0.4] if rng.random() < 0.6 else []
    jumps = rng.random() < 0.15
    actions = [
        *_events(rng, busy, rng.choice([5, 20, 60])),
        *_deaths(rng, busy),
        *_faults(rng, busy),
        *(action for name in meddled for action in _meddling(rng, busy, name)),
        *((rng.uniform(0, busy), "jump", (rng.choice([-HOUR, -60, 60, HOUR]),)) for _ in range(2 * jumps)),
    ]
    soothed = {name for name, habit in habits.items() if habit in TRUSTY or habit.__name__ == "<lambda>"}
    return Plan(
        seed=seed,
        max_in_flight=rng.choice([2, 4, 16, 256]),
        per_endpoint=rng.choice([1, 2, 4, 16]),
        schedule=rng.choice([SCHEDULE, SCHEDULE[:3], ()]) if rng.random() < 0.5 else SCHEDULE,
        stall=rng.choice([0.0, 0.02, 0.5, 3.0]),
        watch=jumps or rng.random() < 0.1,
        habits=habits,
        limits={name: rng.choice([None, None, 1, 3]) for name in names},
        orders={name: rng.random() < 0.4 for name in [*names, HANDLER]},
        rates={name: rng.choice(RATES) if rng.random() < 0.3 else None for name in [*names, HANDLER]},
        breaker=rng.choice([NEVER, USUAL, EAGER]),
        told=frozenset(name for name in names if rng.random() < 0.2),
        trusted=frozenset(soothed - set(meddled)),
        actions=sorted(actions, key=lambda action: action[0]),
    )


def _habit(rng: random.Random, busy: float) -> Habit:
    if rng.random() < 0.3:
        since = rng.uniform(0, busy)
        return down(since, since + rng.choice([10.0, 10.0 * MINUTE, 6.0 * HOUR]))
    return rng.choice([well, well, slow, flaky, *HABITS])


def _events(rng: random.Random, busy: float, count: int) -> list[Action]:
    """Publish some events, often many at once."""
    at, actions = 0.0, list[Action]()
    for number in range(count):
        at = at if rng.random() < 0.6 else rng.uniform(0, busy)
        actions.append((at, "publish", (f"event_{number}", rng.random() < 0.8, rng.choice(["", "", "a", "b"]))))
    return actions


def _deaths(rng: random.Random, busy: float) -> list[Action]:
    """Crash or stop, while much is going on or long after, and start again."""
    return [
        (
            rng.uniform(0, busy * rng.choice([1, 1, 10])),
            *rng.choice([("crash", (rng.choice([0.0, 1.0, HOUR]),)), ("restart", (rng.choice([0.0, 5.0, 30.0]),))]),
        )
        for _ in range(rng.choice([0, 1, 1, 2, 4]))
    ]


def _faults(rng: random.Random, busy: float) -> list[Action]:
    """Let nothing be written for a while."""
    if rng.random() < 0.8:
        return []
    return [(rng.uniform(0, busy), "fault", (rng.choice([0.1, 3.0, 60.0]),)) for _ in range(2)]


def _meddling(rng: random.Random, busy: float, name: str) -> list[Action]:
    """Do to an endpoint, and to deliveries, what people do."""
    deeds: list[tuple[str, tuple[object, ...]]] = [
        ("set_state", (name, "paused")),
        ("set_state", (name, "active")),
        ("set_state", (name, "disabled")),
        ("set_state", (name, "active")),
        ("move", (name,)),
        ("limit", (name, rng.choice([None, 1, 5]))),
        ("order", (name, rng.random() < 0.5)),
        ("order", (name, rng.random() < 0.5)),
        ("rate", (name, rng.choice([None, *RATES]))),
        ("test", (name,)),
        ("retry", (rng.random(),)),
        ("retry", (rng.random(),)),
        ("cancel", (rng.random(),)),
        ("cancel", (rng.random(),)),
    ]
    if rng.random() < 0.1:
        deeds.append(("delete", (name,)))
    return [(rng.uniform(0, busy * 2), *deed) for deed in rng.sample(deeds, rng.randint(1, len(deeds)))]
