"""One course from its seed: events, attempts, interventions, faults, crashes and days of retries, in no time."""

import asyncio
import random
from collections.abc import Awaitable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar
from unittest.mock import patch

from hookd.errors import HookdError, NotFound, Unavailable
from hookd.lanes import HOLD
from hookd.model import Endpoint, EndpointState, Publication, RateLimit
from hookd.policy.rate import Bucket, taken, tokens
from hookd.web.definition import in_state
from tests.nouns import ENDPOINT
from tests.simulation import network
from tests.simulation.daemon import Daemon
from tests.simulation.loop import SimulatedLoop, Thread
from tests.simulation.network import HANDLER, PLACE, SECOND, Receivers
from tests.simulation.plan import HOUR, MINUTE, Plan
from tests.simulation.record import Lane, Record, Row
from tests.simulation.watch import Breakers, Setting
from tests.store.stand import file_of

T = TypeVar("T")

BEGIN = ENDPOINT.created_at
LONGEST = 200 * 24 * HOUR
"""Seconds after which a course that has not come to rest never will."""
MOST_COMPLAINTS = 10
MOMENT = 0.5
"""Seconds within which what the rate allows has begun."""
POLL = 300.0
"""Seconds between looks for what was forgotten; outside it is two, which in days of retries would be many."""
CALM = 15.0
"""Seconds after a start or a fault until all that is due must be under way."""
EMPTY = Lane([])


class Course:
    """What happens to one file, and what was seen of it."""

    def __init__(self, folder: Path, plan: Plan) -> None:
        self.plan = plan
        self.jumped = 0
        self.patience = 0.0
        """Seconds for which what is due may wait."""
        self.rng = random.Random(f"course {plan.seed}")
        self.receivers = Receivers(self.clock, random.Random(f"network {plan.seed}"), plan.habits)
        self.loop = SimulatedLoop(self._latency, self._rest)
        self.path = folder / "hookd.db"
        self.record: Record | None = None
        breakers = Breakers(self.clock, lambda: self.record.breakers() if self.record else {})
        self.daemon = Daemon(folder, plan, self.clock, self.receivers, breakers, self._complain_of_breaker)
        self.started = 0.0
        """When the daemon was last up."""
        self.orders = {name: Setting(ordered, 0.0) for name, ordered in plan.orders.items()}
        self.rates = {name: Setting(rate, 0.0) for name, rate in plan.rates.items()}
        self.disturbed = 0.0
        """When the daemon was last started, or its store at fault."""
        self.wanted: dict[str, Publication] = {}
        """What producers publish until it is acknowledged."""
        self.answered: dict[str, int] = {}
        """How many deliveries each acknowledged event has."""
        self.asked: set[str] = set()
        """Deliveries that somebody asked to retry, or to cancel."""
        self.recorded: dict[int, set[tuple[str, str, int]]] = {}
        """Which attempts were on record when each life ended."""
        self._judged: dict[str, Lane] = {}
        """What is on record, as its lines were last judged."""
        self.complaints: list[str] = []
        self.trace: list[str] = []

    def clock(self) -> int:
        """Answer the time on the wall, in ms."""
        return BEGIN + int(self.loop.time() * SECOND) + self.jumped

    def _latency(self) -> float:
        """Take no time at all, mostly, and now and then as long as a busy machine takes."""
        kind = self.rng.random()
        longest = 0.0 if kind < 0.3 else 0.002 if kind < 0.9 else self.plan.stall
        return self.rng.uniform(0, longest)

    def note(self, text: str) -> None:
        """Keep for the trace what has happened."""
        self.trace.append(f"{self.loop.time():12.3f} {text}")

    async def run(self) -> None:
        """Live through the plan, and on until nothing is left to do."""
        await self._start()
        for name in self.plan.limits:
            await self.daemon.store.create_endpoint(self._endpoint(name))
        for at, name, arguments in self.plan.actions:
            await asyncio.sleep(max(0.0, at - self.loop.time()))
            self.note(f"{name} {arguments}")
            await getattr(self, name)(*arguments)
        await self._settle()
        await self._stop(60.0)

    def _endpoint(self, name: str) -> Endpoint:
        plan = self.plan
        return replace(
            ENDPOINT,
            id=name,
            event_types=("*", "hookd.*") if name in plan.told else ("*",),
            url=f"{PLACE}0",
            max_in_flight=plan.limits[name],
            ordered=plan.orders[name],
            rate_limit=plan.rates[name],
        )

    async def _start(self) -> None:
        await self.daemon.start()
        self.record = self.record or Record(self.path)
        self.started = self.disturbed = self.loop.time()
        for name in self.plan.limits:
            await self._reread(name)
        for publication in self.wanted.values():
            self.daemon.do(self._publish(publication))

    async def _reread(self, name: str) -> None:
        with suppress(NotFound):
            endpoint, now = await self.daemon.store.endpoint(name, None), self.loop.time()
            self.orders[name].read(endpoint.ordered, now)
            self.rates[name].read(endpoint.rate_limit, now)

    async def _stop(self, seconds: float) -> None:
        faulty = self.loop.time() < self.disturbed or self.daemon.store.fault is not None
        await self.daemon.stop(seconds)
        self._end_life()
        left = [row for row in self._rows() if row.status == "sending" and row.type != "hookd.test"]
        if left and not faulty:
            self.complaints.append(f"after a stop these are still being sent: {left}")

    def _end_life(self) -> None:
        assert self.record is not None
        self.recorded[self.receivers.life] = {(*each.key, each.number) for each in self.record.attempts()}

    def _rows(self) -> list[Row]:
        assert self.record is not None
        return self.record.open()

    async def _settle(self) -> None:
        """Let everything come to its end."""
        await asyncio.sleep(CALM)
        while self._rows() or self.wanted:
            if self.loop.time() > LONGEST:
                self.complaints.append(f"these never come to an end: {self._rows()} {list(self.wanted)}")
                return
            for name in dict.fromkeys(row.target for row in self._rows() if row.state == "paused"):
                await self.set_state(name, "active")
            due = min((row.able_at for row in self._rows() if row.is_able), default=0)
            await asyncio.sleep(max(MINUTE, (due - self.clock()) / SECOND))
            self.daemon.check()

    # What producers and people do.

    async def publish(self, event: str, identified: bool, key: str) -> None:
        """Publish an event, again and again until it is acknowledged, where it has an id to be told by."""
        publication = Publication("order.paid", b"{}", id=event if identified else None, ordering_key=key)
        if identified:
            self.wanted[event] = publication
        self.daemon.do(self._publish(publication))

    async def _publish(self, publication: Publication) -> None:
        while True:
            try:
                receipt = await self.daemon.acceptor.publish(publication)
            except Unavailable:
                if publication.id is None:
                    return
                await asyncio.sleep(1.0)
            else:
                self.wanted.pop(receipt.id, None)
                self.answered[receipt.id] = receipt.deliveries
                return

    def _ask(self, work: Awaitable[Any]) -> None:
        """Ask for something; it may be refused."""

        async def ask() -> None:
            with suppress(HookdError):
                await work

        self.daemon.do(ask())

    async def set_state(self, name: str, state: str) -> None:
        now = self.clock()
        self._ask(self._change(name, lambda endpoint: in_state(endpoint, EndpointState(state), now)))

    async def _change(self, name: str, apply: Any) -> None:
        await self.daemon.store.change_endpoint(name, None, apply)

    async def move(self, name: str) -> None:
        """Give an endpoint another URL, to which every attempt goes from then on."""
        moves = self.receivers.moves[name] + 1

        async def change() -> None:
            await self._change(name, lambda endpoint: replace(endpoint, url=f"{PLACE}{moves}"))
            self.receivers.moves[name] = moves

        self._ask(change())

    async def limit(self, name: str, most: int | None) -> None:
        self._ask(self._change(name, lambda endpoint: replace(endpoint, max_in_flight=most)))

    async def order(self, name: str, ordered: bool) -> None:
        self._set(self.orders[name], name, "ordered", ordered)

    async def rate(self, name: str, limit: RateLimit | None) -> None:
        self._set(self.rates[name], name, "rate_limit", limit)

    def _set(self, setting: Setting[T], name: str, field: str, value: T) -> None:
        """Change what holds of an endpoint, and know from when on it does."""

        async def change() -> None:
            await self._change(name, lambda endpoint: replace(endpoint, **{field: value}))
            setting.answer(value, self.loop.time())

        setting.ask(self.loop.time())
        self._ask(change())

    async def delete(self, name: str) -> None:
        self._ask(self.daemon.store.delete_endpoint(name, None))

    async def test(self, name: str) -> None:
        async def test() -> None:
            endpoint = await self.daemon.store.endpoint(name, None)
            await self.daemon.deliverer.test(endpoint)

        self._ask(test())

    async def retry(self, which: float) -> None:
        for identity in self._some(which):
            self._ask(self.daemon.store.retry(identity, None))

    async def cancel(self, which: float) -> None:
        for identity in self._some(which):
            self._ask(self.daemon.store.cancel(identity, None))

    def _some(self, which: float) -> list[str]:
        """Choose a delivery, if there is any."""
        assert self.record is not None
        rows = self.record.rows()
        chosen = [rows[int(which * len(rows))].id] if rows else []
        self.asked.update(chosen)
        return chosen

    # What happens to the machine.

    async def crash(self, seconds: float) -> None:
        """Die, and stay dead for a while."""
        await self.daemon.crash()
        self._end_life()
        await asyncio.sleep(seconds)
        await self._start()

    async def restart(self, seconds: float) -> None:
        """Stop, with so long for what is in flight, and start again."""
        await self._stop(seconds)
        await self._start()

    async def fault(self, seconds: float) -> None:
        """Let nothing be written for a while."""
        self._disturb(seconds)

        async def fail() -> None:
            await file_of(self.daemon.store).writer.run(lambda raw: raw.execute("PRAGMA query_only = ON"))
            self._disturb(seconds)
            await asyncio.sleep(seconds)
            await file_of(self.daemon.store).writer.run(lambda raw: raw.execute("PRAGMA query_only = OFF"))
            self._disturb(0)

        self.daemon.do(fail())

    def _disturb(self, seconds: float) -> None:
        """Let nothing be expected for so long."""
        self.disturbed = max(self.disturbed, self.loop.time() + seconds)

    async def jump(self, seconds: int) -> None:
        """Set the clock on the wall forward or back."""
        self.jumped += seconds * SECOND
        self.patience = POLL  # timers keep to the clock that does not jump, and are seen to be late at the next look
        self._disturb(POLL)

    # What must be so whenever the daemon rests.

    def _rest(self, seconds: float) -> None:
        """Complain of what is left undone while nothing happens for a second or more."""
        calm = self.loop.time() - self.disturbed > CALM
        if seconds < 1 or not calm or not self.daemon.up or self.loop.calls or self.daemon.store.fault:
            return
        assert self.record is not None
        lanes = self.record.lanes()
        for name in (*self.plan.limits, HANDLER):
            self._judge_lane(name, lanes.get(name, EMPTY))
        if lanes is not self._judged:
            for name, lane in lanes.items():
                self._judge_lines(name, lane.rows)
            self._judged = lanes

    def _judge_lane(self, name: str, lane: Lane) -> None:
        under_way = self.receivers.under_way
        claimed = self.daemon.lanes._lane(name).claimed
        if not claimed <= lane.sending <= claimed + lane.tests:
            self._complain(f"{name}: {lane.sending} are being sent, places are taken for {claimed}")
        limit = 1 if lane.is_tried else lane.max_in_flight or self.plan.per_endpoint
        share = max(1, HOLD * (self.plan.max_in_flight - under_way[""]))
        if under_way[name] >= min(limit, share) or under_way[""] >= self.plan.max_in_flight:
            return
        due = lane.first is not None and lane.first.able_at <= self.clock() - self.patience * SECOND
        if (due or lane.sending > under_way[name]) and not self._is_throttled(name):
            text = f"{under_way[name]} under way of {lane.sending}, and nothing is done for {lane.first}"
            self._complain(f"{name}: {text}")

    def _is_throttled(self, name: str) -> bool:
        """Say whether the rate allowed nothing a moment ago, if nothing was in hand when the daemon, or it, began."""
        setting, now = self.rates[name], self.loop.time()
        limit = setting.now
        if limit is None:
            return setting.spans[-1].until <= now
        start = max(self.started, setting.since)
        bucket = Bucket(0.0, start)
        for sending in self.receivers.sendings:
            if sending.target == name and sending.life == self.receivers.life:
                bucket = taken(bucket, limit, max(sending.began, start))
        return tokens(bucket, limit, now - MOMENT - self.patience) < 1

    def _judge_lines(self, name: str, rows: list[Row]) -> None:
        """Of each line one waits to be claimed, or is being sent, and the others are held; without order none is."""
        waiting = [row for row in rows if row.status == "pending" and not row.is_aside]
        for key in {row.ordering_key for row in waiting}:
            line = [row for row in rows if row.ordering_key == key and not row.is_aside]
            ordered = self.plan.orders[name] if name == HANDLER else line[0].ordered
            held = [row.held for row in sorted(line, key=lambda row: (row.status != "sending", row.turn or 0))]
            sending = sum(row.status == "sending" for row in line)
            first = len(line) if not ordered else max(1, sending)
            as_it_should_be = [False] * first + [True] * (len(line) - first)
            if held != as_it_should_be or any(ordered == (row.turn is None) for row in line):
                self._complain(f"{name}: ordered {ordered}, and in line are {line}")

    def _complain_of_breaker(self, text: str | None) -> None:
        if text is not None and not self.jumped:
            self._complain(text)

    def _complain(self, text: str) -> None:
        if len(self.complaints) < MOST_COMPLAINTS:
            self.complaints.append(f"at {self.loop.time():.3f} {text}")


def live(folder: Path, plan: Plan) -> Course:
    """Go through a plan."""
    course = Course(folder, plan)
    network.Inside.receivers = course.receivers
    with (
        patch("aiosqlite.core.SimpleQueue", Thread),
        patch("aiosqlite.core.Thread"),  # the loop does its work
        patch("hookd.deliver.POLL", POLL),
        asyncio.Runner(loop_factory=lambda: course.loop) as runner,
    ):
        runner.run(course.run())
    return course
