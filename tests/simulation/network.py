"""The simulated network: receivers with habits, and what each of them has seen."""

import asyncio
import random
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import NamedTuple

from hookd.attempt import Poster
from hookd.handlers import Message
from hookd.ids import IdFactory
from hookd.model import Attempt, Clock, Delivery, Endpoint, Outcome

SECOND = 1000
PLACE = "http://place/"
"""What the URL of an endpoint begins with; the number of its moves follows."""
TIMEOUT = 15.0
"""Seconds that an attempt may take."""


class Answer(NamedTuple):
    """What a receiver makes of a request, and after how many seconds. `retry_after` is in milliseconds."""

    seconds: float
    outcome: Outcome = Outcome.SUCCESS
    status_code: int | None = 200
    retry_after: int | None = None


Habit = Callable[[random.Random, float], Answer]
"""How a receiver answers, at a moment of the loop's time."""

REFUSED = Answer(0.01, Outcome.CONNECT, None)
HUNG = Answer(10 * TIMEOUT)
ERROR = Answer(0.1, Outcome.HTTP_5XX, 500)
GONE = Answer(0.1, Outcome.HTTP_4XX, 410)


def well(rng: random.Random, _: float) -> Answer:
    return Answer(rng.uniform(0, 0.2))


def slow(rng: random.Random, _: float) -> Answer:
    return Answer(rng.uniform(1, 10))


def flaky(rng: random.Random, at: float) -> Answer:
    return rng.choice([well(rng, at), well(rng, at), ERROR, REFUSED, HUNG])


def dead(rng: random.Random, _: float) -> Answer:
    return rng.choice([ERROR, REFUSED, HUNG])


def busy(rng: random.Random, at: float) -> Answer:
    """Ask for a pause, more often than not."""
    wait = rng.choice([None, 0, 3, 90, 7200, 10 * 86_400])
    asked = Answer(0.05, Outcome.HTTP_4XX, 429, None if wait is None else wait * SECOND)
    return rng.choice([asked, asked, well(rng, at)])


def leaving(rng: random.Random, at: float) -> Answer:
    return rng.choice([*6 * [well(rng, at)], GONE])


def down(since: float, until: float) -> Habit:
    """Refuse everything between two moments, and take everything else."""
    return lambda rng, at: REFUSED if since <= at < until else well(rng, at)


TRUSTY = (well, slow)
HABITS = (*TRUSTY, flaky, dead, busy, leaving)


@dataclass(eq=False)
class Sending:
    """One request, as its receiver saw it. `outcome` is None while it is under way, and where it never ended."""

    target: str
    event: str
    number: int
    life: int
    """How often the daemon had been started."""
    began: float
    began_at: int
    """The same on the wall clock, ms."""
    moves: int
    """How often its endpoint had moved, by the URL to which it went."""
    known_moves: int
    """How often it had moved as was acknowledged by then."""
    ended: float | None = None
    ended_at: int | None = None
    outcome: Outcome | None = None
    status_code: int | None = None
    retry_after: int | None = None

    @property
    def key(self) -> tuple[str, str]:
        return self.target, self.event


@dataclass
class Receivers:
    """All receivers, by endpoint or handler; a stranger takes everything."""

    clock: Clock
    rng: random.Random
    habits: dict[str, Habit] = field(default_factory=dict)
    sendings: list[Sending] = field(default_factory=list)
    under_way: Counter[str] = field(default_factory=Counter)
    full: Counter[str] = field(default_factory=Counter)
    """The most that were under way at once."""
    moves: Counter[str] = field(default_factory=Counter)
    life: int = 0

    def arrive(self, target: str, event: str, number: int, moves: int = 0) -> Sending:
        """Take a request in."""
        now = asyncio.get_running_loop().time()
        sending = Sending(target, event, number, self.life, now, self.clock(), moves, self.moves[target])
        self.sendings.append(sending)
        for name in (target, ""):
            self.under_way[name] += 1
            self.full[name] = max(self.full[name], self.under_way[name])
        return sending

    async def answer(self, sending: Sending) -> None:
        """Answer it as is the receiver's habit, if the sender waits for so long."""
        time = asyncio.get_running_loop().time
        try:
            answer = self.habits.get(sending.target, well)(self.rng, sending.began)
            await asyncio.sleep(answer.seconds)
            _, sending.outcome, sending.status_code, sending.retry_after = answer
        finally:
            for name in (sending.target, ""):
                self.under_way[name] -= 1
            if time() - sending.began > TIMEOUT - 1e-6:
                sending.outcome = Outcome.TIMEOUT
            if sending.outcome is not None:
                sending.ended, sending.ended_at = time(), self.clock()


Judge = Callable[[Sending, str], None]
"""Is told of each attempt that is begun, and of which delivery."""


class Network(Poster):
    """Makes attempts over the simulated network, in place of the real one."""

    def __init__(self, receivers: Receivers, clock: Clock, ids: IdFactory, judge: Judge) -> None:
        self._receivers = receivers
        self._judge = judge
        self._clock = clock
        self._ids = ids

    async def attempt(self, delivery: Delivery) -> Attempt:
        endpoint = delivery.destination
        assert isinstance(endpoint, Endpoint)
        moves = int(endpoint.url.removeprefix(PLACE))
        sending = self._receivers.arrive(endpoint.id, delivery.event.id, delivery.attempt_count + 1, moves)
        self._judge(sending, delivery.id)
        with suppress(TimeoutError):
            async with asyncio.timeout(TIMEOUT):
                await self._receivers.answer(sending)
        assert sending.outcome is not None
        return Attempt(
            id=self._ids("att"),
            number=sending.number,
            started_at=sending.began_at,
            duration=1.0,
            outcome=sending.outcome,
            status_code=sending.status_code,
            error=None if sending.outcome is Outcome.SUCCESS else str(sending.outcome),
            retry_after=sending.retry_after,
        )


class Inside:
    """Where the handler finds the receivers of the course that is under way."""

    receivers: Receivers


HANDLER = "handler:inside"


class HandlerFailedError(Exception):
    """What the handler raises where it fails."""


async def handle(message: Message) -> None:
    """Handle an event as the receiver of that name does."""
    sending = Inside.receivers.arrive(HANDLER, message.id, message.attempt)
    await Inside.receivers.answer(sending)
    if sending.outcome is not Outcome.SUCCESS:
        sending.outcome = Outcome.HANDLER_ERROR
        raise HandlerFailedError(sending.number)
