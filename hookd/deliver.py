"""The delivery loop: claim what is due, make the attempts, decide, record."""

import asyncio
import logging
import random
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

from hookd.accept import Acceptor
from hookd.ahead import Ahead
from hookd.attempt import Poster
from hookd.errors import Conflict, Unavailable
from hookd.handlers import Runner
from hookd.lanes import Lanes
from hookd.logs import wide
from hookd.metrics import Metrics
from hookd.model import Attempt, Clock, Delivery, Endpoint, Outcome, Status
from hookd.policy.breaker import NEVER, BreakerPolicy
from hookd.policy.retry import Decision, decide
from hookd.store import Committed, Result, Store

LANES_PER_CLAIM = 1024
"""Lanes that one claim asks; the more share what is left, the fewer connections each of them needs."""
POLL = 2.0
"""Seconds between looks at whether another process has written the store; the safety net, not the latency."""

PAUSE_AFTER_FAULT = 0.5

PAUSE_AFTER_ERROR = 60.0
"""Seconds until a lane is tried again from which nothing could be claimed."""

NO_RETRY: tuple[int, ...] = ()

MOST_TESTS = 32
"""Tests under way at once, all together: they are outside the lanes, and end even where their caller has gone."""

log = logging.getLogger("hookd.deliver")


@dataclass(frozen=True, slots=True)
class Policy:
    """How deliveries are decided where their destination says nothing; durations in milliseconds."""

    retry: tuple[int, ...]
    jitter: float
    disable_after: int
    breaker: BreakerPolicy = NEVER


class Deliverer:
    """Keeps the attempts going: as many at once as there is room for, in every lane."""

    def __init__(  # its parts, each by its name; daemon.py alone puts them together
        self,
        *,
        store: Store,
        acceptor: Acceptor,
        lanes: Lanes,
        poster: Poster,
        runner: Runner,
        policy: Policy,
        metrics: Metrics,
        clock: Clock,
        rng: random.Random,
    ) -> None:
        self._store = store
        self._acceptor = acceptor
        self._lanes = lanes
        self._metrics = metrics
        self._clock = clock
        self._rng = rng
        self._poster = poster
        self._runner = runner
        self._policy = policy
        self._wake = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._attempts: dict[asyncio.Task[None], Delivery] = {}
        self._ahead: Ahead[Delivery] = Ahead(lanes, lambda delivery: len(delivery.event.payload))
        self._tested = set[str]()
        self._cutting: asyncio.Task[int] | None = None
        self._claiming = False
        self._failure: BaseException | None = None
        store.on_commit, store.busy, store.on_lapse = self.note, lanes.busy, self.abandon
        lanes.holds = store.holds

    def reconfigure(self, poster: Poster, runner: Runner, policy: Policy) -> None:
        """Make attempts in another way from now on; those in flight end as they began."""
        self._poster, self._runner, self._policy = poster, runner, policy

    async def run(self) -> None:
        """Claim until `drain`."""
        self._claiming = True
        self._store.room = self._lanes
        while self._claiming:
            await self.run_once()
            await self._rest()
            if self._failure is not None:
                raise self._failure

    async def run_once(self) -> None:
        """Claim once, from the lanes that are due and have room."""
        lanes = self._lanes.pick(self._clock(), LANES_PER_CLAIM, later=self._store.is_waiting)
        if not lanes:
            if self._lanes.squeezed and self._ahead.lanes:
                self._put_all_back()
                self._wake.set()
            return
        await self._claim(lanes)

    async def _claim(self, lanes: Sequence[str]) -> None:
        """Claim from lanes; where one of them can't be claimed from, it holds up no other, now or at the next start."""
        try:
            await self._store.claim(lanes)
        except Unavailable:
            self._put_off(lanes, PAUSE_AFTER_FAULT)
        except Exception as error:  # whatever it is, it lies in what is stored for one of them
            if len(lanes) > 1:
                for lane in lanes:
                    await self._claim([lane])
                return
            fields = {"endpoint": lanes[0], "again_in_s": PAUSE_AFTER_ERROR}
            log.error("what waits can't be claimed", extra={"fields": fields}, exc_info=error)
            self._put_off(lanes, PAUSE_AFTER_ERROR)

    def _put_off(self, lanes: Sequence[str], seconds: float) -> None:
        for lane in lanes:
            self._lanes.set_due(lane, self._clock() + int(seconds * 1000))

    async def watch(self) -> None:
        """Look, every now and then, whether another process has written the store, or something was forgotten."""
        while True:
            with suppress(Unavailable):  # it says so in its own log, and at /readyz
                await self._store.notice()
            if self._lanes.revive(self._clock()):
                self._wake.set()
            self._go_ahead()
            await asyncio.sleep(POLL)

    def note(self, committed: Committed) -> None:
        """Take in what a commit means: attempts to begin, lanes that have become due."""
        changes = committed.changes
        if committed.size:
            self._metrics.commit_batch_size.observe(committed.size)
            self._metrics.commit_seconds.observe(committed.seconds)
        if changes.gained:
            self._lanes.begin_anew()
        self._metrics.deliveries.update(changes.concluded)
        for lane, at in changes.due.items():
            self._lanes.make_due(lane, at)
        self._lanes.scanned(changes.scanned, self._clock())
        self._lanes.ask_first(changes.unasked)
        for endpoint, reason in changes.disabled.items():
            wide(log, logging.WARNING, "an endpoint was disabled", endpoint=endpoint, reason=reason)
        for endpoint, error in changes.failing.items():
            wide(log, logging.WARNING, "an endpoint keeps failing and is left alone", endpoint=endpoint, error=error)
        for endpoint in changes.recovered:
            wide(log, logging.WARNING, "an endpoint that kept failing works again", endpoint=endpoint)
        self._release(changes.outdated)
        for lane in changes.touched:
            self._put_back(lane)
            self._lanes.reconsider(lane)
        for delivery in changes.claimed:
            self._begin(delivery)
        if changes.due or changes.scanned or changes.unasked or changes.touched:
            self._wake.set()

    async def _rest(self) -> None:
        """Wait until something is due: a timer, an attempt that ended, or a commit."""
        due_at = self._lanes.next_due()
        seconds = None if due_at is None else max(0.0, (due_at - self._clock()) / 1000)
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._wake.wait()
        self._wake.clear()

    def _begin(self, delivery: Delivery) -> None:
        """Begin the attempt, or have it wait for another to end, since it was claimed ahead of its time."""
        lane = delivery.destination.id
        if self._lanes.start(lane):
            self._spawn(delivery)
        else:
            self._ahead.add(lane, delivery)

    def _spawn(self, delivery: Delivery) -> None:
        task = self._loop.create_task(self._work(delivery))
        self._attempts[task] = delivery
        self._metrics.attempts_in_flight += 1
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        del self._attempts[task]
        self._metrics.attempts_in_flight -= 1
        if not task.cancelled() and task.exception() is not None:
            self._failure = task.exception()  # an attempt never raises: go down with it rather than on blind
            self._wake.set()

    async def _work(self, delivery: Delivery) -> None:
        """Make an attempt, and go on with what was claimed ahead, as long as attempts are made in the same way."""
        if not isinstance(delivery.destination, Endpoint):
            lane = delivery.destination.id
            self._conclude(delivery, await self._runner.attempt(delivery, lambda: self._go_on(lane)))
            return
        poster, task = self._poster, asyncio.current_task(self._loop)
        while True:
            lane = delivery.destination.id
            try:
                attempt = await poster.attempt(delivery)
            finally:
                self._free(lane)
            self._conclude(delivery, attempt)
            following = self._ahead.following(lane)
            if following is None:
                return
            if task is None or self._poster is not poster or not isinstance(following.destination, Endpoint):
                self._spawn(following)
                return
            self._attempts[task] = delivery = following

    def _free(self, lane: str) -> None:
        if self._lanes.end(lane):
            self._wake.set()

    def _go_on(self, lane: str) -> None:
        """Give an attempt's place to the next, whoever's it is."""
        self._free(lane)
        following = self._ahead.following(lane)
        if following is not None:
            self._spawn(following)

    def _go_ahead(self) -> None:
        """Begin what was claimed and has room, but had to wait while another process might have taken it over."""
        for lane in self._ahead.lanes:
            while (following := self._ahead.following(lane)) is not None:
                self._spawn(following)

    def _put_back(self, lane: str) -> None:
        """Put back what was claimed ahead: its endpoint has changed, it was cancelled, or its place is wanted."""
        self._release(self._ahead.withdraw(lane))

    def _release(self, claimed: Sequence[Delivery]) -> None:
        """Free the places of what was claimed and not begun, and let it wait again."""
        for delivery in claimed:
            self._lanes.finish(delivery.destination.id)
        if claimed:
            self._store.release(claimed)

    def _put_all_back(self) -> None:
        for lane in self._ahead.lanes:
            self._put_back(lane)

    def _conclude(self, delivery: Delivery, attempt: Attempt, schedule: tuple[int, ...] | None = None) -> None:
        """Decide what the attempt means, and record both."""
        policy = self._policy
        if schedule is None:
            schedule = policy.retry
            if isinstance(delivery.destination, Endpoint) and delivery.destination.retry is not None:
                schedule = delivery.destination.retry
        now = self._clock()
        decision = decide(attempt, delivery.step, schedule, policy.jitter, now, self._rng)
        self._store.record(Result(delivery, attempt, decision, policy.disable_after, policy.breaker))
        self._count(delivery, attempt, decision, now)

    def _count(self, delivery: Delivery, attempt: Attempt, decision: Decision, now: int) -> None:
        self._metrics.attempts[attempt.outcome] += 1
        self._metrics.attempt_duration.observe(attempt.duration / 1000)
        if decision.status is Status.DELIVERED:
            self._metrics.delivery_latency.observe(max(0, now - delivery.event.created_at) / 1000)
        level = logging.WARNING if decision.status is Status.FAILED else logging.INFO  # a dead letter wants somebody
        if log.isEnabledFor(level):
            wide(
                log,
                level,
                "attempt",
                outcome=attempt.outcome,
                delivery=delivery.id,
                event=delivery.event.id,
                type=delivery.event.type,
                endpoint=delivery.destination.id,
                number=attempt.number,
                status_code=attempt.status_code,
                duration_ms=round(attempt.duration, 1),
                then=decision.status,
                error=attempt.error,
            )

    async def test(self, endpoint: Endpoint) -> Attempt:
        """Send `hookd.test` to an endpoint now, whatever its state, and answer the attempt."""
        if endpoint.id in self._tested:
            raise Conflict(f"a test of {endpoint.id} is under way; wait for its outcome")
        if len(self._tested) >= MOST_TESTS:
            raise Unavailable(f"{MOST_TESTS} tests are under way; send it again later")
        self._tested.add(endpoint.id)
        try:
            return await self._test(endpoint)
        finally:
            self._tested.remove(endpoint.id)

    async def _test(self, endpoint: Endpoint) -> Attempt:
        delivery = await self._acceptor.test(endpoint)
        attempt = await self._poster.attempt(delivery)
        self._conclude(delivery, attempt, NO_RETRY)
        if attempt.outcome is Outcome.SUCCESS:
            await self._store.hasten(endpoint.id)
        return attempt

    def abandon(self) -> None:
        """Cut off what is in flight, soon: another process may have taken it over."""
        if self._cutting is None or self._cutting.done():
            self._cutting = self._loop.create_task(self._cut_off())

    async def _cut_off(self) -> int:
        """Cut off the attempts that are under way, and put back all that is claimed; answer how many there were."""
        self._put_all_back()
        abandoned = dict(self._attempts)
        for task in abandoned:
            task.cancel()
        if abandoned:
            await asyncio.wait(abandoned)
            self._store.release(list(abandoned.values()))
        return len(abandoned)

    async def settled(self) -> None:
        """Wait until the attempts that are under way now have ended."""
        if self._attempts:
            await asyncio.wait(dict(self._attempts))

    async def drain(self, seconds: float) -> None:
        """Claim nothing more; let what is in flight end, for so long; put the rest back."""
        self._claiming = False
        self._store.room = None
        self._store.retire()
        self._wake.set()
        with suppress(Unavailable):
            await self._store.flush()  # what is being committed may have claimed while there still was room
        self._put_all_back()
        if self._attempts:
            await asyncio.wait(self._attempts, timeout=seconds)
        abandoned = await self._cut_off()
        if abandoned:
            wide(log, logging.WARNING, "attempts did not end in time and will be made again", count=abandoned)
        with suppress(Unavailable):  # the next start takes it all up as it would after a crash
            await self._store.flush()
