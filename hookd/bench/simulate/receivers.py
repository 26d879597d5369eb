"""How simulated receivers answer, and when one is left alone."""

import random
from collections import Counter

from hookd.bench.simulate.world import Receivers
from hookd.model import Breaker, Endpoint, EndpointState
from hookd.policy.breaker import USUAL

_MILLISECOND = 1e-3


class Endpoints:
    """All the endpoints. The first ones are down, those after them slow, and all others as they should be."""

    def __init__(self, receivers: Receivers, chance: random.Random) -> None:
        self._receivers = receivers
        self._chance = chance
        self.by_id = {each.id: each for each in map(endpoint, range(receivers.endpoints))}
        self._names = names = tuple(self.by_id)
        down = round(receivers.down * len(names))
        self._down = frozenset(names[:down])
        self._slow = frozenset(names[down : down + round(receivers.slow * len(names))])
        self._failures: Counter[str] = Counter()
        self.left_alone: set[str] = set()
        """Those whose breaker is open: it stays so for longer than what is simulated."""

    def choose(self, count: int) -> tuple[str, ...]:
        """Choose who gets an event; nobody twice."""
        return tuple(self._chance.sample(self._names, min(count, len(self._names))))

    def answer(self, lane: str) -> tuple[float, bool]:
        """Answer after how many seconds an attempt has its answer, and whether that is a success."""
        if lane in self._down:
            return 0.0, False
        mean = self._receivers.slowness if lane in self._slow else self._receivers.latency
        seconds = self._chance.uniform(0.5, 1.5) * mean * _MILLISECOND
        return seconds, self._chance.random() >= self._receivers.failing

    def judge(self, lane: str, *, success: bool) -> bool:
        """Count failures in a row, so many of which open the breaker; answer whether it opens now."""
        self._failures[lane] = 0 if success else self._failures[lane] + 1
        opens = self._failures[lane] >= USUAL.failures and lane not in self.left_alone
        if opens:
            self.left_alone.add(lane)
        return opens


def endpoint(number: int) -> Endpoint:
    """Make an endpoint with the usual limits: of all that it has, these alone matter here."""
    return Endpoint(
        id=f"ep_{number}",
        tenant=None,
        url="",
        event_types=(),
        description="",
        scheme="",
        format="",
        token=None,
        secret="",
        previous_secrets=(),
        headers={},
        rate_limit=None,
        max_in_flight=None,
        ordered=False,
        timeout=None,
        retry=None,
        metadata={},
        state=EndpointState.ACTIVE,
        state_reason=None,
        state_since=0,
        failing_since=None,
        failing_attempts=0,
        breaker=Breaker(),
        created_at=0,
        updated_at=0,
    )
