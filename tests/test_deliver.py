"""The delivery loop, through real sockets: limits, wake-ups, retries, drains, faults."""

import asyncio
import logging
import random
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from hookd.accept import Acceptor
from hookd.attempt import Poster
from hookd.deliver import MOST_TESTS, Deliverer, Policy
from hookd.egress import Guard, open_session
from hookd.errors import Conflict, Unavailable
from hookd.handlers import Message, Runner
from hookd.lanes import Lanes
from hookd.metrics import Metrics
from hookd.model import Clock, EndpointState, Handler, Origin, Outcome, RateLimit, Status
from hookd.policy.breaker import NEVER, BreakerPolicy
from hookd.store import Committed, DeliveryRecord
from tests.crash.waiting import until
from tests.receivers import OK, Connection, Receiver, Request, answering
from tests.store.faults import carry_out, held_up, refusing, under_way
from tests.store.stand import DAY, PATIENCE, Open, Stand, in_a_file, stand_on

SOON = 30
"""A wait of the schedule, in milliseconds of the test's own clock."""
ERROR = b"HTTP/1.1 500 Oh\r\nContent-Length: 0\r\n\r\n"
GONE = b"HTTP/1.1 410 Gone\r\nContent-Length: 0\r\n\r\n"


@dataclass
class Delivering:
    """A stand whose delivery loop turns."""

    stand: Stand
    deliverer: Deliverer
    metrics: Metrics
    turning: asyncio.Task[None]

    async def drain(self, seconds: float = 10) -> None:
        await self.deliverer.drain(seconds)
        await self.turning

    async def tried(self, event: str, times: int) -> None:
        """Wait until so many attempts of an event's only delivery are on record."""
        while True:
            self.stand.committed.clear()
            if (await self.stand.deliveries(event=event))[0].attempt_count == times:
                return
            await self.stand.committed.wait()

    async def reach(self, status: Status, **wanted: str) -> None:
        """Wait until every delivery that is asked for has a status."""
        await self.until(lambda statuses: set(statuses) == {status}, **wanted)

    async def until(self, holds: Callable[[list[Status]], bool], **wanted: str) -> None:
        """Wait until something holds for the statuses of the deliveries that are asked for."""
        while True:
            self.stand.committed.clear()
            if holds(await self.stand.statuses(**wanted)):
                return
            await self.stand.committed.wait()


@asynccontextmanager
async def delivering(
    open_in: Open,
    folder: Path,
    *,
    max_in_flight: int = 256,
    per_endpoint: int = 16,
    retry: tuple[int, ...] = (),
    clock_of_attempts: Clock | None = None,
    monotonic: Callable[[], float] = time.monotonic,
    breaker: BreakerPolicy = NEVER,
) -> AsyncIterator[Delivering]:
    """Open a store and let its delivery loop turn."""
    async with stand_on(open_in, folder) as stand, open_session(Guard(["127.0.0.1"])) as session:

        def clock() -> int:
            return stand.now

        metrics, rng = Metrics(), random.Random(3)
        stand.lanes = Lanes(max_in_flight, per_endpoint, monotonic=monotonic)
        deliverer = Deliverer(
            store=stand.store,
            acceptor=Acceptor(stand.store, metrics, clock, stand.ids),
            lanes=stand.lanes,
            poster=Poster(session, timeout=10_000, response_kept=100, clock=clock_of_attempts or clock, ids=stand.ids),
            runner=Runner(timeout=10_000, response_kept=100, clock=clock, ids=stand.ids),
            policy=Policy(retry, 0.0, 5 * DAY, breaker),
            metrics=metrics,
            clock=clock,
            rng=rng,
        )

        def note(committed: Committed) -> None:
            deliverer.note(committed)
            stand.note(committed)

        stand.store.on_commit = note
        await stand.recover()
        turning = asyncio.create_task(deliverer.run())
        await asyncio.sleep(0)  # until it claims
        try:
            yield Delivering(stand, deliverer, metrics, turning)
        finally:
            await deliverer.drain(0)
            with suppress(BrokenClockError):
                await turning


@dataclass
class Gate:
    """A receiver's behaviour: every request waits at the gate; `peak` is how many did at once."""

    open: asyncio.Event = field(default_factory=asyncio.Event)
    waiting: int = 0
    peak: int = 0
    arrived: asyncio.Event = field(default_factory=asyncio.Event)

    async def behave(self, connection: Connection, _: Request) -> None:
        self.waiting += 1
        self.peak = max(self.peak, self.waiting)
        self.arrived.set()
        await self.open.wait()
        self.waiting -= 1
        await connection.send(OK)

    async def crowd(self, count: int) -> None:
        """Wait until so many requests wait at once."""
        while self.waiting < count:
            self.arrived.clear()
            await self.arrived.wait()


async def test_an_event_is_delivered_as_soon_as_it_is_on_disk(open_in: Open, tmp_path: Path) -> None:
    async with Receiver() as receiver, delivering(open_in, tmp_path) as it:
        await it.stand.endpoint(url=receiver.url())
        accepted = await it.stand.accept(payload=b'{"b": 1, "a": 2}')
        await it.reach(Status.DELIVERED)
        (request,) = receiver.requests
        assert request.body == b'{"b": 1, "a": 2}'
        assert (request.headers["webhook-id"], request.headers["x-webhook-attempt"]) == (accepted.event, "1")
        assert it.metrics.attempts[Outcome.SUCCESS] == it.metrics.deliveries[Status.DELIVERED] == 1
        assert it.stand.lanes.in_flight == it.metrics.attempts_in_flight == 0


async def test_what_was_claimed_while_others_might_have_had_it_is_sent_once_they_have_not(
    open_in: Open, tmp_path: Path
) -> None:
    async with Receiver() as receiver, delivering(open_in, tmp_path) as it:
        await it.stand.endpoint(url=receiver.url())
        it.stand.lanes.holds = lambda: False
        await it.stand.accept()
        assert await it.stand.statuses() == [Status.SENDING]
        it.stand.lanes.holds = lambda: True
        watching = asyncio.create_task(it.deliverer.watch())
        await it.reach(Status.DELIVERED)
        watching.cancel()
        assert len(receiver.requests) == 1


async def test_an_endpoint_gets_as_many_at_once_as_it_allows(open_in: Open, tmp_path: Path) -> None:
    gate = Gate()
    async with Receiver(gate.behave) as receiver, delivering(open_in, tmp_path) as it:
        await it.stand.endpoint(url=receiver.url(), max_in_flight=3)
        for _ in range(10):
            await it.stand.accept()
        await gate.crowd(3)
        gate.open.set()
        await it.reach(Status.DELIVERED)
        assert (gate.peak, len(receiver.requests)) == (3, 10)


async def test_all_endpoints_together_get_as_many_at_once_as_is_allowed(open_in: Open, tmp_path: Path) -> None:
    gate = Gate()
    async with Receiver(gate.behave) as receiver, delivering(open_in, tmp_path, max_in_flight=4, per_endpoint=3) as it:
        for number in range(3):
            await it.stand.endpoint(f"ep_{number}", url=receiver.url())
        for _ in range(5):
            await it.stand.accept()
        await gate.crowd(4)
        gate.open.set()
        await it.reach(Status.DELIVERED)
        assert (gate.peak, len(receiver.requests)) == (4, 15)


async def test_an_endpoint_that_hangs_delays_no_other(open_in: Open, tmp_path: Path) -> None:
    gate = Gate()
    async with Receiver(gate.behave) as stuck, Receiver() as well, delivering(open_in, tmp_path, per_endpoint=2) as it:
        await it.stand.endpoint("ep_stuck", url=stuck.url())
        await it.stand.endpoint("ep_well", url=well.url())
        for _ in range(20):
            await it.stand.accept()
        await it.reach(Status.DELIVERED, endpoint="ep_well")
        assert len(well.requests) == 20
        assert len(stuck.requests) <= 2


async def test_an_ordered_endpoint_gets_one_after_another_through_failures(open_in: Open, tmp_path: Path) -> None:
    """Whatever fails is sent again before anything younger, and nothing is sent beside it."""
    answers = iter([OK, ERROR, ERROR, OK, ERROR, *[OK] * 20])
    gate = Gate()
    gate.open.set()

    async def behave(connection: Connection, request: Request) -> None:
        gate.waiting += 1
        gate.peak = max(gate.peak, gate.waiting)
        gate.waiting -= 1
        await connection.send(next(answers))

    async with Receiver(behave) as receiver, delivering(open_in, tmp_path, retry=(0,) * 9) as it:
        await it.stand.endpoint(url=receiver.url(), ordered=True)
        made = [accepted.event for accepted in await asyncio.gather(*(it.stand.accept() for _ in range(8)))]
        await it.reach(Status.DELIVERED)
        seen = [request.headers["webhook-id"] for request in receiver.requests]
        tried = {0: 1, 1: 3, 2: 2}
        assert seen == [event for place, event in enumerate(made) for _ in range(tried.get(place, 1))]
        assert gate.peak == 1


async def test_keys_of_an_ordered_endpoint_do_not_wait_for_each_other(open_in: Open, tmp_path: Path) -> None:
    gate = Gate()
    async with Receiver(gate.behave) as receiver, delivering(open_in, tmp_path) as it:
        await it.stand.endpoint(url=receiver.url(), ordered=True)
        for key in ("a", "b", "c", "a", "b", "c"):
            await it.stand.accept(ordering_key=key)
        await gate.crowd(3)
        gate.open.set()
        await it.reach(Status.DELIVERED)
        assert (gate.peak, len(receiver.requests)) == (3, 6)


@dataclass
class Seconds:
    """A monotonic clock in the test's hand."""

    now: float = 100.0

    def __call__(self) -> float:
        return self.now

    def pass_in(self, it: Delivering, seconds: float) -> None:
        """Let time pass on both clocks."""
        self.now += seconds
        it.stand.pass_time(int(seconds * 1000))
        it.deliverer._wake.set()


async def arrived(receiver: Receiver, count: int) -> None:
    await until(lambda: len(receiver.requests) == count, f"{count} are sent")


async def test_a_rate_limit_lets_a_burst_go_and_then_one_at_a_time(open_in: Open, tmp_path: Path) -> None:
    seconds = Seconds()
    async with Receiver() as receiver, delivering(open_in, tmp_path, monotonic=seconds) as it:
        await it.stand.endpoint(url=receiver.url(), rate_limit=RateLimit(10, 1000, 4), created_at=it.stand.now)
        await asyncio.gather(*(it.stand.accept() for _ in range(9)))
        for sent in range(3, 9):  # the bucket holds a little less than the burst
            await arrived(receiver, sent)
            await it.deliverer.run_once()
            await it.stand.store.flush()
            assert it.stand.lanes.in_flight <= sent
            assert [each.attempt_count for each in await it.stand.deliveries()].count(0) >= 9 - sent
            seconds.pass_in(it, 0.1)
        await it.reach(Status.DELIVERED)
        assert {request.headers["x-webhook-attempt"] for request in receiver.requests} == {"1"}, "to wait is no attempt"


async def test_a_rate_limit_is_lifted_at_once(open_in: Open, tmp_path: Path) -> None:
    async with Receiver() as receiver, delivering(open_in, tmp_path, monotonic=Seconds()) as it:
        await it.stand.endpoint(url=receiver.url(), rate_limit=RateLimit(1, 3_600_000, 1), created_at=it.stand.now)
        await asyncio.gather(*(it.stand.accept() for _ in range(9)))
        await until(lambda: len(receiver.requests) == 1, "one is sent")
        await change(it, rate_limit=None)
        await it.reach(Status.DELIVERED)


async def test_a_restart_gives_no_second_burst(open_in: Open, tmp_path: Path) -> None:
    seconds = Seconds()
    limited = RateLimit(1, 1000, 5)
    async with Receiver() as receiver:
        async with delivering(open_in, tmp_path, monotonic=seconds) as it:
            await it.stand.endpoint(url=receiver.url(), rate_limit=limited, created_at=it.stand.now)
            await asyncio.gather(*(it.stand.accept() for _ in range(9)))
            await until(lambda: len(receiver.requests) == 4, "a burst is sent")
            await it.deliverer.settled()
        async with delivering(open_in, tmp_path, monotonic=seconds) as it:
            await it.deliverer.run_once()
            await it.stand.store.flush()
            assert it.stand.lanes.in_flight == 0
            seconds.pass_in(it, 1.1)
            await until(lambda: len(receiver.requests) == 5, "one more is sent")


async def test_a_throttled_lane_costs_nothing_and_delays_no_other(open_in: Open, tmp_path: Path) -> None:
    async with Receiver() as receiver, delivering(open_in, tmp_path, monotonic=Seconds()) as it:
        await it.stand.endpoint("ep_slow", url=receiver.url("/slow"), rate_limit=RateLimit(1, 3_600_000, 1))
        await asyncio.gather(*(it.stand.accept() for _ in range(50)))
        await until(lambda: len(receiver.requests) == 1, "one is sent")
        await it.stand.store.flush()
        await it.stand.endpoint("ep_well", url=receiver.url("/well"))
        before = len(it.stand.commits)
        for _ in range(20):
            await it.deliverer.run_once()
        assert len(it.stand.commits) == before, "no claim is made for it"
        for _ in range(20):
            await it.stand.accept()
        await it.reach(Status.DELIVERED, endpoint="ep_well")
        assert [request.line for request in receiver.requests].count("POST /slow HTTP/1.1") == 1


async def test_an_endpoint_that_keeps_failing_is_left_alone_tried_and_taken_up_again(
    open_in: Open, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    answers = iter([ERROR] * 3 + [OK] * 20)

    async def behave(connection: Connection, _: Request) -> None:
        await connection.send(next(answers))

    policy = BreakerPolicy(failures=3, share=1.0, least=100, window=60_000, wait=10_000, longest=10_000)
    retry = (0,) * 9
    async with (
        Receiver(behave) as receiver,
        delivering(open_in, tmp_path, per_endpoint=1, retry=retry, breaker=policy) as it,
    ):
        await it.stand.endpoint(url=receiver.url())
        for _ in range(6):
            await it.stand.accept()
        await until(lambda: "keeps failing" in caplog.text, "the breaker opens")
        await it.deliverer.settled()
        await it.stand.accept()
        before = len(it.stand.commits)
        await it.deliverer.run_once()
        await it.deliverer.run_once()
        assert (len(receiver.requests), len(it.stand.commits) - before) == (3, 0)
        it.stand.pass_time(10_000)
        it.deliverer._wake.set()
        await it.reach(Status.DELIVERED)
        assert "works again" in caplog.text


async def test_nothing_is_sent_that_was_handed_over_in_the_commit_that_opens_the_breaker(
    open_in: Open, tmp_path: Path
) -> None:
    gate = Gate()

    async def behave(connection: Connection, _: Request) -> None:
        gate.arrived.set()
        await gate.open.wait()
        await connection.send(ERROR)

    policy = BreakerPolicy(failures=1, share=1.0, least=100, window=60_000, wait=10_000, longest=10_000)
    async with Receiver(behave) as receiver, delivering(open_in, tmp_path, retry=(0,) * 9, breaker=policy) as it:
        await it.stand.endpoint(url=receiver.url())
        await it.stand.accept()
        await gate.arrived.wait()
        store = it.stand.store
        async with held_up(store):
            store.hasten("ep_none")  # a commit that waits, so that all that follows comes into the next
            await under_way(store)
            accepted = [store.accept(it.stand.draft()) for _ in range(5)]
            gate.open.set()
            await it.deliverer.settled()
        await asyncio.gather(*accepted)
        await it.reach(Status.PENDING)
        await it.deliverer.settled()
        assert len(receiver.requests) == 1
        assert it.stand.lanes.in_flight == 0


async def test_endpoints_that_hang_leave_places_to_others_whatever_they_are_allowed(
    open_in: Open, tmp_path: Path
) -> None:
    gate = Gate()
    async with (
        Receiver(gate.behave) as stuck,
        Receiver() as well,
        delivering(open_in, tmp_path, max_in_flight=16) as it,
    ):
        for number in range(3):
            await it.stand.endpoint(f"ep_{number}", url=stuck.url(), max_in_flight=10_000)
        for _ in range(20):
            await it.stand.accept()
        await it.stand.endpoint("ep_well", url=well.url())
        for _ in range(20):
            await it.stand.accept()
        await it.reach(Status.DELIVERED, endpoint="ep_well")
        assert (gate.waiting, len(well.requests)) == (len(stuck.requests), 20)


async def test_a_retry_is_made_at_its_time(open_in: Open, tmp_path: Path) -> None:
    async with Receiver(answering(ERROR)) as receiver, delivering(open_in, tmp_path, retry=(SOON, 2 * SOON)) as it:
        await it.stand.endpoint(url=receiver.url())
        accepted = await it.stand.accept()
        for number, wait in enumerate((SOON, 2 * SOON), start=1):
            await it.tried(accepted.event, number)
            it.stand.pass_time(wait)
        await it.reach(Status.FAILED, event=accepted.event)
        (dead,) = await it.stand.deliveries(event=accepted.event)
        attempts = await it.stand.attempts(dead.id)
        begun = [attempt.started_at - attempts[0].started_at for attempt in attempts]
        assert begun == [0, SOON, 3 * SOON]
        assert [request.headers["x-webhook-attempt"] for request in receiver.requests] == ["1", "2", "3"]
        assert {request.headers["webhook-id"] for request in receiver.requests} == {accepted.event}


async def test_a_destinations_own_schedule_wins(open_in: Open, tmp_path: Path) -> None:
    async with Receiver(answering(ERROR)) as receiver, delivering(open_in, tmp_path, retry=(SOON,)) as it:
        await it.stand.endpoint(url=receiver.url(), retry=())
        accepted = await it.stand.accept()
        await it.reach(Status.FAILED, event=accepted.event)
        assert len(receiver.requests) == 1


async def test_410_disables_and_the_log_warns(open_in: Open, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, "hookd")
    async with Receiver(answering(GONE)) as receiver, delivering(open_in, tmp_path, retry=(SOON,)) as it:
        await it.stand.endpoint(url=receiver.url())
        accepted = await it.stand.accept()
        await it.reach(Status.FAILED, event=accepted.event)
        assert (await it.stand.store.endpoint("ep_1", None)).state is EndpointState.DISABLED
    told = [(record.message, getattr(record, "fields", {})) for record in caplog.records]
    assert ("an endpoint was disabled", {"endpoint": "ep_1", "reason": "the receiver answered 410 Gone"}) in told
    assert [fields["then"] for message, fields in told if message == "attempt"] == [Status.FAILED]


async def test_paused_and_resumed(open_in: Open, tmp_path: Path) -> None:
    async with Receiver() as receiver, delivering(open_in, tmp_path) as it:
        await it.stand.endpoint(url=receiver.url(), state=EndpointState.PAUSED)
        await it.stand.accept()
        assert await it.stand.statuses() == [Status.PENDING]
        await change(it, state=EndpointState.ACTIVE)
        await it.reach(Status.DELIVERED)
        assert len(receiver.requests) == 1


async def backlog(it: Delivering, receiver: Receiver, count: int) -> None:
    """Leave many deliveries to wait for a paused endpoint, two at once; then resume it, until a fifth is sent."""
    await it.stand.endpoint(url=receiver.url(), state=EndpointState.PAUSED, max_in_flight=2)
    await asyncio.gather(*(it.stand.accept() for _ in range(count)))
    await change(it, state=EndpointState.ACTIVE)
    while len(receiver.requests) < count // 5:
        it.stand.committed.clear()
        await it.stand.committed.wait()


async def change(it: Delivering, **changes: Any) -> None:
    await it.stand.store.change_endpoint("ep_1", None, lambda before: replace(before, **changes))


async def test_a_change_takes_effect_at_once_amid_a_backlog(open_in: Open, tmp_path: Path) -> None:
    async with Receiver() as receiver, delivering(open_in, tmp_path) as it:
        await backlog(it, receiver, 200)
        await change(it, headers={"X-New": "1"})
        before = len(receiver.requests)
        await it.reach(Status.DELIVERED)
        later = receiver.requests[before:]
        assert later
        assert sum("x-new" not in request.headers for request in later) <= 2, "these were in flight"
        assert {request.headers["x-webhook-attempt"] for request in receiver.requests} == {"1"}
        assert len({request.headers["webhook-id"] for request in receiver.requests}) == len(receiver.requests) == 200


async def test_a_raised_limit_takes_effect_while_all_that_was_allowed_is_under_way(
    open_in: Open, tmp_path: Path
) -> None:
    gate = Gate()
    async with Receiver(gate.behave) as receiver, delivering(open_in, tmp_path) as it:
        await it.stand.endpoint(url=receiver.url(), max_in_flight=1)
        for _ in range(5):
            await it.stand.accept()
        await gate.crowd(1)
        await change(it, max_in_flight=3)
        await gate.crowd(3)
        gate.open.set()
        await it.reach(Status.DELIVERED)
        assert gate.peak == 3


async def test_a_pause_takes_effect_at_once_amid_a_backlog(open_in: Open, tmp_path: Path) -> None:
    async with Receiver() as receiver, delivering(open_in, tmp_path) as it:
        await backlog(it, receiver, 200)
        await change(it, state=EndpointState.PAUSED)
        before = len(receiver.requests)
        while Status.SENDING in await it.stand.statuses():
            await it.stand.settle()
        assert len(receiver.requests) - before <= 2, "these were in flight"
        assert Status.PENDING in await it.stand.statuses()
        assert it.stand.lanes.in_flight == 0
        await change(it, state=EndpointState.ACTIVE)
        await it.reach(Status.DELIVERED)
        assert len(receiver.requests) == 200


async def test_what_is_cancelled_amid_a_backlog_is_not_sent(open_in: Open, tmp_path: Path) -> None:
    async with Receiver() as receiver, delivering(open_in, tmp_path) as it:
        await backlog(it, receiver, 200)
        cancelling = [it.stand.store.cancel(each.id, None) for each in await it.stand.deliveries()]
        answers = await asyncio.gather(*cancelling, return_exceptions=True)
        before = len(receiver.requests)
        unsent = {each.event for each in answers if isinstance(each, DeliveryRecord) and each.status == "cancelled"}
        while {Status.PENDING, Status.SENDING} & set(await it.stand.statuses()):
            await it.stand.settle()
        assert unsent
        assert not unsent & {request.headers["webhook-id"] for request in receiver.requests[before + 2 :]}


async def test_a_stop_amid_a_backlog_loses_nothing_and_repeats_nothing(open_in: Open, tmp_path: Path) -> None:
    async with Receiver() as receiver:
        async with delivering(open_in, tmp_path) as it:
            await backlog(it, receiver, 200)
            await it.drain()
            await it.stand.settle()
            assert set(await it.stand.statuses()) == {Status.DELIVERED, Status.PENDING}
        async with delivering(open_in, tmp_path) as it:
            await it.reach(Status.DELIVERED)
            assert (
                len({request.headers["webhook-id"] for request in receiver.requests}) == len(receiver.requests) == 200
            )


async def test_a_handler_is_run(open_in: Open, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "hookd.handler"):
        async with delivering(open_in, tmp_path) as it:
            await it.stand.handlers(Handler("invite", ("automator.*",), "log:Invite sent to {name}"))
            await it.stand.accept("automator.purchase", origin=Origin.INBOUND, payload=b'{"name": "Ada"}')
            await it.reach(Status.DELIVERED)
            assert "Invite sent to Ada" in caplog.messages
            assert it.stand.lanes.in_flight == 0


async def do_little(_: Message) -> None:
    await asyncio.sleep(0)


async def test_a_handler_among_backlogs_handles_everything(open_in: Open, tmp_path: Path) -> None:
    async with Receiver() as receiver, delivering(open_in, tmp_path, max_in_flight=2) as it, asyncio.timeout(PATIENCE):
        await it.stand.handlers(Handler("do", ("*",), f"python:{__name__}:do_little"))
        await it.stand.endpoint(url=receiver.url())
        for _ in range(10):
            await asyncio.gather(*(it.stand.accept() for _ in range(20)))
        await it.reach(Status.DELIVERED)
        assert it.stand.lanes.in_flight == it.metrics.attempts_in_flight == 0


@dataclass
class Crowd:
    """Who is at work in the handlers below, how many were at once, and the gate that lets them go."""

    open: threading.Event = field(default_factory=threading.Event)
    lock: threading.Lock = field(default_factory=threading.Lock)
    present: int = 0
    peak: int = 0
    seen: int = 0

    def enter(self) -> None:
        with self.lock:
            self.present += 1
            self.seen += 1
            self.peak = max(self.peak, self.present)

    def leave(self) -> None:
        with self.lock:
            self.present -= 1


CROWD = Crowd()


def join_in_a_thread(_: Message) -> None:
    CROWD.enter()
    CROWD.open.wait()
    CROWD.leave()


async def join_and_heed_no_end(_: Message) -> None:
    CROWD.enter()
    while not CROWD.open.is_set():
        with suppress(asyncio.CancelledError):
            await asyncio.sleep(0.001)
    CROWD.leave()


@pytest.fixture
def crowd() -> Iterator[Crowd]:
    CROWD.__init__()  # type: ignore[misc]  # the handlers know it by its name
    yield CROWD
    CROWD.open.set()


@pytest.mark.parametrize("function", ["join_in_a_thread", "join_and_heed_no_end"])
@pytest.mark.parametrize("limit", [1, 3])
async def test_no_more_of_a_handler_run_than_it_allows(
    open_in: Open, tmp_path: Path, crowd: Crowd, function: str, limit: int
) -> None:
    """What goes on after its timeout counts, whatever the configuration does meanwhile."""
    busy = Handler("busy", ("*",), f"python:{__name__}:{function}", timeout=10, max_in_flight=limit)
    idle = Handler("idle", ("*",), f"python:{__name__}:do_little")
    async with delivering(open_in, tmp_path) as it, asyncio.timeout(PATIENCE):
        await it.stand.handlers(busy)
        for _ in range(4 * limit):
            await it.stand.accept()
        await it.until(lambda statuses: statuses.count(Status.FAILED) == limit)
        await until(lambda: crowd.present == limit, "as many are at work as may be")
        await it.stand.handlers()  # taken out, and back again
        await it.stand.handlers(busy, idle)
        await asyncio.gather(*(it.stand.accept() for _ in range(50)))
        await it.reach(Status.DELIVERED, endpoint="handler:idle")
        assert (crowd.present, crowd.seen) == (limit, limit)
        crowd.open.set()
        await it.until(lambda statuses: not {Status.PENDING, Status.SENDING} & set(statuses))
        assert crowd.peak == limit
        assert crowd.seen == limit + 50


# What others say, in words that not every database keeps.

NULS = bytes(100)


async def test_what_is_no_answer_is_told_of_in_text_that_is_kept(open_in: Open, tmp_path: Path) -> None:
    async with Receiver(answering(NULS)) as receiver, delivering(open_in, tmp_path) as it:
        await it.stand.endpoint(url=receiver.url())
        await it.stand.accept()
        await it.reach(Status.FAILED)
        (told,) = await it.stand.deliveries()
        (attempt,) = await it.stand.attempts(told.id)
        assert attempt.outcome is Outcome.PROTOCOL
        assert attempt.error == told.last_error
        assert attempt.error is not None
        assert "\0" not in attempt.error


def fail_with_nul(_: Message) -> None:
    raise ValueError("a\0b")


@pytest.mark.parametrize(
    ("run", "said"),
    [
        (f"python:{__name__}:fail_with_nul", r"ValueError: a\x00b"),
        (r"""exec:sh -c 'printf "a\000b" >&2; exit 1'""", "sh exited with status 1"),
    ],
)
async def test_what_a_handler_says_is_kept(open_in: Open, tmp_path: Path, run: str, said: str) -> None:
    async with delivering(open_in, tmp_path) as it, asyncio.timeout(PATIENCE):
        await it.stand.handlers(Handler("nul", ("*",), run))
        await it.stand.accept()
        await it.reach(Status.FAILED)
        (told,) = await it.stand.deliveries()
        assert told.last_error == said


# Tests of an endpoint.


async def test_a_successful_test_makes_what_waits_due(open_in: Open, tmp_path: Path) -> None:
    async with Receiver(answering(ERROR)) as receiver, delivering(open_in, tmp_path, retry=(DAY,)) as it:
        endpoint = await it.stand.endpoint(url=receiver.url())
        await it.stand.accept()
        await it.reach(Status.PENDING)
        receiver.behave = answering(OK)
        attempt = await it.deliverer.test(endpoint)
        assert (attempt.outcome, attempt.status_code, attempt.number) == (Outcome.SUCCESS, 200, 1)
        await it.reach(Status.DELIVERED)
        assert [request.headers["x-webhook-event"] for request in receiver.requests] == [
            "purchase", "hookd.test", "purchase",
        ]  # fmt: skip


async def test_a_failed_test_is_not_tried_again(open_in: Open, tmp_path: Path) -> None:
    async with Receiver(answering(ERROR)) as receiver, delivering(open_in, tmp_path, retry=(SOON,)) as it:
        endpoint = await it.stand.endpoint(url=receiver.url(), state=EndpointState.PAUSED)
        assert (await it.deliverer.test(endpoint)).outcome is Outcome.HTTP_5XX
        await it.reach(Status.FAILED)
        assert await it.stand.types() == ["hookd.test"]


# Stopping.


async def test_an_endpoint_is_tested_once_at_a_time_and_few_are_at_once(open_in: Open, tmp_path: Path) -> None:
    gate = Gate()
    async with delivering(open_in, tmp_path) as it, Receiver(gate.behave) as receiver:
        first, *others, last = [
            await it.stand.endpoint(f"ep_{number}", url=receiver.url()) for number in range(MOST_TESTS + 1)
        ]
        async with asyncio.TaskGroup() as testing:
            one = testing.create_task(it.deliverer.test(first))
            await gate.crowd(1)
            with pytest.raises(Conflict, match=f"^a test of {first.id} is under way; wait for its outcome$"):
                await it.deliverer.test(first)
            for each in others:
                testing.create_task(it.deliverer.test(each))
            await gate.crowd(MOST_TESTS)
            with pytest.raises(Unavailable, match=f"^{MOST_TESTS} tests are under way"):
                await it.deliverer.test(last)
            gate.open.set()
        assert (await one).outcome is Outcome.SUCCESS
        assert (await it.deliverer.test(first)).outcome is Outcome.SUCCESS
        assert len(receiver.requests) == MOST_TESTS + 1


async def test_a_drain_waits_for_what_is_in_flight_and_begins_nothing(open_in: Open, tmp_path: Path) -> None:
    gate = Gate()
    async with Receiver(gate.behave) as receiver, delivering(open_in, tmp_path, per_endpoint=1) as it:
        await it.stand.endpoint(url=receiver.url())
        await it.stand.accept()
        await it.stand.accept()
        await gate.crowd(1)
        draining = asyncio.create_task(it.drain())
        await asyncio.sleep(0)
        await it.stand.accept()
        gate.open.set()
        await draining
        await it.stand.settle()
        assert await it.stand.statuses() == [Status.DELIVERED, Status.PENDING, Status.PENDING]
        assert len(receiver.requests) == 1


async def test_what_does_not_end_in_time_is_sent_again_under_the_same_number(open_in: Open, tmp_path: Path) -> None:
    gate = Gate()
    async with Receiver(gate.behave) as receiver:
        async with delivering(open_in, tmp_path) as it:
            await it.stand.endpoint(url=receiver.url())
            accepted = await it.stand.accept()
            await gate.crowd(1)
            await it.drain(0)
            assert await it.stand.statuses() == [Status.PENDING]
        receiver.behave = answering(OK)
        async with delivering(open_in, tmp_path) as it:
            await it.reach(Status.DELIVERED)
            (delivery,) = await it.stand.deliveries()
            assert [attempt.number for attempt in await it.stand.attempts(delivery.id)] == [1]
        sent = [(each.headers["webhook-id"], each.headers["x-webhook-attempt"]) for each in receiver.requests]
        assert sent == [(accepted.event, "1")] * 2


def until_taken(lanes: Lanes) -> None:
    """Wait until a place is taken, with the event loop held up so that it can't yet hear of the commit."""
    while not lanes.in_flight:
        time.sleep(0)


@in_a_file
async def test_a_drain_waits_for_what_is_being_committed(open_in: Open, tmp_path: Path) -> None:
    gate = Gate()
    async with Receiver(gate.behave) as receiver, delivering(open_in, tmp_path) as it:
        await it.stand.endpoint(url=receiver.url())
        accepted = it.stand.store.accept(it.stand.draft())
        while it.stand.store._committer._writes:  # noqa: ASYNC110 - until the transaction is on its way
            await asyncio.sleep(0)
        await asyncio.sleep(0)
        until_taken(it.stand.lanes)
        await it.drain(0)
        await accepted
        assert await it.stand.statuses() == [Status.PENDING]


# Faults.


async def test_an_outcome_outlives_a_fault_of_the_storage(open_in: Open, tmp_path: Path) -> None:
    gate = Gate()
    async with Receiver(gate.behave) as receiver, delivering(open_in, tmp_path) as it:
        await it.stand.endpoint(url=receiver.url())
        await it.stand.accept()
        await gate.crowd(1)
        async with refusing(it.stand.store):
            gate.open.set()
            while it.metrics.attempts_in_flight:
                await it.deliverer.settled()
        await it.reach(Status.DELIVERED)
        assert len(receiver.requests) == 1


async def test_a_claim_that_met_a_fault_is_made_again(open_in: Open, tmp_path: Path) -> None:
    async with Receiver(answering(ERROR)) as receiver, delivering(open_in, tmp_path, retry=(SOON,)) as it:
        await it.stand.endpoint(url=receiver.url())
        accepted = await it.stand.accept()
        await it.reach(Status.PENDING)
        async with refusing(it.stand.store):
            it.stand.pass_time(SOON)
            while it.stand.store.fault is None:
                with suppress(Exception):
                    await it.stand.settle()
        await it.stand.mended()
        it.stand.pass_time(DAY)
        await it.reach(Status.FAILED, event=accepted.event)
        assert len(receiver.requests) == 2


def corrupted(event: str, origin: str) -> str:
    return f"UPDATE events SET origin = '{origin}' WHERE id = '{event}'"


async def test_what_cannot_be_claimed_holds_up_no_other_and_ends_nothing(
    open_in: Open, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with asyncio.timeout(PATIENCE), Receiver() as receiver, delivering(open_in, tmp_path) as it:
        for name in ("bad", "good"):
            endpoint = f"ep_{name}"
            await it.stand.endpoint(endpoint, url=receiver.url(), event_types=(name,), state=EndpointState.PAUSED)
        bad, good = [(await it.stand.accept(name)).event for name in ("bad", "good")]
        await carry_out(it.stand.store, corrupted(bad, "nowhere"))
        await asyncio.gather(*(activated(it, f"ep_{name}") for name in ("bad", "good")))
        await it.reach(Status.DELIVERED, event=good)
        await until(lambda: "what waits can't be claimed" in caplog.text, "it is said")
        await carry_out(it.stand.store, corrupted(bad, "published"))
        it.stand.pass_time(DAY)
        await it.deliverer.run_once()
        await it.reach(Status.DELIVERED, event=bad)


async def activated(it: Delivering, endpoint: str) -> None:
    await it.stand.store.change_endpoint(endpoint, None, lambda each: replace(each, state=EndpointState.ACTIVE))


async def test_a_fault_keeps_no_more_than_was_claimed(open_in: Open, tmp_path: Path) -> None:
    gate = Gate()
    async with Receiver(gate.behave) as receiver, delivering(open_in, tmp_path, max_in_flight=8, per_endpoint=5) as it:
        for number in range(2):
            await it.stand.endpoint(f"ep_{number}", url=receiver.url())
        await asyncio.gather(*(it.stand.accept() for _ in range(30)))
        await gate.crowd(7)  # the last place is kept for an endpoint that has none
        claimed = it.stand.lanes.in_flight
        async with refusing(it.stand.store):
            gate.open.set()
            while it.metrics.attempts_in_flight:
                await it.deliverer.settled()
            await until(lambda: it.stand.store.fault is not None, "the fault is met")
            for _ in range(3):
                it.stand.pass_time(DAY)
                await it.deliverer.run_once()
            kept = it.stand.store._committer._writes
            assert len(kept) == len(receiver.requests) == claimed, "nothing was claimed meanwhile"
        await it.stand.mended()
        it.stand.pass_time(DAY)
        await it.reach(Status.DELIVERED)
        assert len(receiver.requests) == 60


class BrokenClockError(Exception):
    """What a broken clock raises."""


async def test_an_attempt_that_raises_takes_the_loop_down(open_in: Open, tmp_path: Path) -> None:
    def broken() -> int:
        raise BrokenClockError

    async with delivering(open_in, tmp_path, clock_of_attempts=broken) as it:
        await it.stand.endpoint()
        await it.stand.accept()
        with pytest.raises(BrokenClockError):
            await it.turning
