"""Processes that share a PostgreSQL server: whose lanes are whose, and what becomes of those of one that dies."""

import asyncio
import random
import secrets
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import replace
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from asyncpg import AdminShutdownError, InternalClientError

from hookd.errors import NotFound, StartError, Unavailable
from hookd.ids import IdFactory
from hookd.model import Endpoint, EndpointState, Handler, Outcome, RateLimit, Status, wall_clock
from hookd.store import Changes, Committed, Key, KeyKind, ServerClock, share
from hookd.store import server as servers
from hookd.store.membership import SLOTS, TOLERATED, Membership, slot_of
from hookd.store.shared import SharedStore
from hookd.store.vault import PLAIN
from tests.crash.waiting import until, until_answered
from tests.postgres import Server, database, of_database, run
from tests.postgres import server as shared_server
from tests.store.stand import DAY, NOW, PATIENCE, SECOND, Stand, at_server, stand_on
from tests.wire import Loss, Wire

LEASE = 2 * SECOND
LONG = 600 * SECOND
"""A lease in whose time nothing happens by itself."""

MEGABYTE = 1024 * 1024

EVERYTHING = ("*", "hookd.*")


@pytest.fixture
def address() -> Iterator[str]:
    with database() as made:
        yield made


def shared(stand: Stand) -> SharedStore:
    assert isinstance(stand.store, SharedStore)
    return stand.store


@asynccontextmanager
async def process(
    address: str, lease: int = LONG, clock: list[int] | None = None, *, listens: bool = True
) -> AsyncIterator[Stand]:
    def open_in(_: Path, *told: Any) -> Any:
        return at_server(address, *told, lease=lease, listens=listens)

    async with stand_on(open_in, Path(), clock) as stand:
        stand.store.busy, stand.lanes.holds = stand.lanes.busy, stand.store.holds
        yield stand


@asynccontextmanager
async def processes(address: str, number: int, lease: int = LONG, **how: Any) -> AsyncIterator[list[Stand]]:
    """Have so many processes that have shared the lanes out."""
    clock = [NOW]
    async with AsyncExitStack() as stack:
        stands = [await stack.enter_async_context(process(address, lease, clock, **how)) for _ in range(number)]
        await shared_out(address, *stands)
        yield stands


async def shared_out(address: str, *stands: Stand) -> None:
    """Wait until each of these has its share, and all know of that, and nobody else has any."""

    async def is_so() -> bool:
        for stand in stands:
            await shared(stand).balance()
        owners = [owner for (owner,) in run(address, "SELECT owner FROM hookd.slots ORDER BY slot")]
        shares = Counter(owners)
        return (
            all(list(member(stand).owners) == owners for stand in stands)
            and shares.keys() == {member(stand).number for stand in stands}
            and all(len(member(stand).slots) == shares[member(stand).number] for stand in stands)
            and max(shares.values()) <= -(-SLOTS // len(stands))
        )

    await until_answered(is_so, "the lanes are shared out")


def member(stand: Stand) -> Any:
    return shared(stand)._member


def lane_of(stand: Stand, number: int = 0) -> str:
    """Answer the id of an endpoint, one of many, whose lane is this process's."""
    owned = (lane for lane in (f"ep_{each}" for each in count()) if slot_of(lane) in member(stand).slots)
    for _ in range(number):
        next(owned)
    return next(owned)


async def due(stand: Stand, lane: str) -> None:
    """Wait until a process knows that a lane has something due."""
    await until(lambda: any(lane in committed.changes.due for committed in stand.commits), f"{lane} is due")


async def die(stand: Stand) -> None:
    """End a process between two statements: nothing more comes from it."""
    assert stand.committing is not None
    stand.committing.cancel()
    await asyncio.wait([stand.committing])
    connection = shared(stand)._database._connection
    assert connection is not None
    connection.terminate()
    stand.committing = asyncio.create_task(asyncio.sleep(0))


async def buried(address: str, *numbers: int) -> None:
    """Wait until somebody has buried these processes."""

    async def are_gone() -> bool:
        return not run(address, "SELECT FROM hookd.processes WHERE number = ANY ($1::bigint[])", list(numbers))

    await until_answered(are_gone, f"{numbers} are buried")


async def changes(stand: Stand, lane: str) -> bool:
    try:
        await stand.store.change_endpoint(lane, None, CHANGES["url"])
    except Unavailable:
        return False
    return True


# Lanes.


@pytest.mark.parametrize("number", [1, 2, 3])
async def test_lanes_are_shared_out_evenly_and_each_has_one_owner(address: str, number: int) -> None:
    async with processes(address, number) as stands:
        slots = [member(stand).slots for stand in stands]
        assert sum(map(len, slots)) == len(set[int]().union(*slots)) == SLOTS
        assert max(map(len, slots)) - min(map(len, slots)) <= number


async def test_whoever_comes_and_goes_is_told_of_without_a_wait(address: str) -> None:
    async with processes(address, 1) as (first,):
        async with process(address) as second:
            await until(lambda: len(member(second).slots) == SLOTS // 2, "the second has its share")
            assert len(member(first).slots) == SLOTS // 2
        await until(lambda: len(member(first).slots) == SLOTS, "the first has everything again")


async def test_a_slot_is_given_back_once_nothing_of_it_is_under_way(address: str) -> None:
    async with processes(address, 1) as (first,):
        lane = next(lane for lane in (f"ep_{each}" for each in count()) if slot_of(lane) == 0)
        await first.endpoint(lane)
        delivery = await first.sent()
        assert delivery.destination.id == lane
        async with process(address) as second:
            await until(lambda: len(member(second).slots) > 0, "the second has all that is free")
            assert slot_of(lane) in member(first).slots
            await first.accept()
            assert await first.claim(lane) == [], "nothing more is begun"
            assert await second.claim(lane) == []
            await first.end(delivery)
            await shared_out(address, first, second)
            await due(second, lane)
            (following,) = await second.claim(lane)
            await second.end(following)
        assert await first.statuses() == [Status.DELIVERED] * 2


async def test_what_is_accepted_anywhere_is_claimed_by_the_owner_alone(address: str) -> None:
    async with processes(address, 2) as (first, second):
        lane = lane_of(second)
        await first.endpoint(lane)
        await first.accept()
        await due(second, lane)
        assert await first.claim(lane) == []
        (delivery,) = await second.claim(lane)
        await second.end(delivery)
        assert await first.statuses() == [Status.DELIVERED]


async def test_what_is_due_is_found_where_no_news_comes(address: str) -> None:
    async with processes(address, 2, listens=False) as (first, second):
        lane = lane_of(second)
        await first.endpoint(lane)
        await first.accept()
        assert not any(lane in committed.changes.due for committed in second.commits)

        async def noticed() -> bool:
            await second.store.notice()
            return any(lane in committed.changes.due for committed in second.commits)

        await until_answered(noticed, "the poll finds it")
        assert len(await second.claim(lane)) == 1


# Endpoints.


Apply = Callable[[Endpoint], Endpoint]
ELSEWHERE = "https://example.org/elsewhere"
CHANGES: dict[str, Apply] = {
    "url": lambda endpoint: replace(endpoint, url=ELSEWHERE),
    "secret": lambda endpoint: replace(endpoint, secret="whsec_b3RoZXIgb3RoZXIgb3RoZXIgb3RoZXI="),
    "rate": lambda endpoint: replace(endpoint, rate_limit=RateLimit(10, SECOND, 10)),
    "limit": lambda endpoint: replace(endpoint, max_in_flight=3),
    "headers": lambda endpoint: replace(endpoint, headers={"x": "y"}),
}


@pytest.mark.parametrize("name", CHANGES)
async def test_a_change_anywhere_is_effective_at_the_owners_next_attempt(address: str, name: str) -> None:
    async with processes(address, 2) as (first, second):
        lane = lane_of(second)
        await first.endpoint(lane)
        await first.accept()
        await due(second, lane)
        (before,) = await second.claim(lane)
        changed = await first.store.change_endpoint(lane, None, CHANGES[name])
        await second.end(before, Outcome.HTTP_5XX, schedule=(0,))
        second.pass_time(60 * SECOND)
        (after,) = await second.claim(lane)
        assert isinstance(after.destination, Endpoint)
        assert isinstance(before.destination, Endpoint)
        assert CHANGES[name](before.destination) != before.destination
        for each in ("url", "secret", "rate_limit", "max_in_flight", "headers"):
            assert getattr(after.destination, each) == getattr(changed, each)


def paused(endpoint: Endpoint) -> Endpoint:
    return replace(endpoint, state=EndpointState.PAUSED)


def active(endpoint: Endpoint) -> Endpoint:
    return replace(endpoint, state=EndpointState.ACTIVE)


def disabled(endpoint: Endpoint) -> Endpoint:
    return replace(endpoint, state=EndpointState.DISABLED, state_reason="by hand")


async def test_the_owner_hears_of_a_change_while_nothing_else_happens(address: str) -> None:
    """What it has claimed ahead is put back then, instead of being sent as it was."""
    async with processes(address, 2) as (first, second):
        lane = lane_of(second)
        await first.endpoint(lane)
        await first.accept()
        await due(second, lane)
        await second.claim(lane)
        await first.store.change_endpoint(lane, None, paused)
        await until(lambda: any(lane in each.changes.touched for each in second.commits), "it is put back")


async def test_paused_anywhere_and_let_go_again(address: str) -> None:
    async with processes(address, 2) as (first, second):
        lane = lane_of(second)
        await first.endpoint(lane)
        await first.accept()
        await due(second, lane)
        await first.store.change_endpoint(lane, None, paused)
        assert await second.claim(lane) == []
        second.commits.clear()
        await first.store.change_endpoint(lane, None, active)
        await due(second, lane)
        assert len(await second.claim(lane)) == 1


async def test_disabled_anywhere_stops_what_the_owner_sends(address: str) -> None:
    async with processes(address, 2) as (first, second):
        lane = lane_of(second)
        await first.endpoint(lane)
        for _ in range(2):
            await first.accept()
        await due(second, lane)
        sent, won = await second.claim(lane)
        await first.accept()
        await first.store.change_endpoint(lane, None, disabled)
        await second.end(won)
        await second.end(sent, Outcome.HTTP_5XX)
        assert await first.statuses(endpoint=lane) == [Status.CANCELLED, Status.DELIVERED, Status.CANCELLED]
        assert await second.claim(lane) == []


async def test_deleted_anywhere_nobody_gets_anything(address: str) -> None:
    async with processes(address, 2) as (first, second):
        lane = lane_of(second)
        await first.endpoint(lane)
        await second.accept()
        (sent,) = await second.claim(lane)
        await first.store.delete_endpoint(lane, None)
        await second.end(sent, Outcome.HTTP_5XX)
        assert (await second.accept()).deliveries == 0
        with pytest.raises(NotFound):
            await second.store.endpoint(lane, None)
        assert await first.statuses() == [Status.CANCELLED]


async def test_made_anywhere_everybody_fans_out_to_it(address: str) -> None:
    async with processes(address, 2) as (first, second):
        assert (await second.accept()).deliveries == 0
        await first.endpoint(lane_of(first))
        assert (await second.accept()).deliveries == 1


async def test_whoever_gets_a_lane_knows_of_its_breaker(address: str) -> None:
    """Attempts tell of it to the one who made them alone, and everybody else remembers it as it was."""
    async with processes(address, 2) as (first, second):
        lane = lane_of(second)
        await first.endpoint(lane)
        for _ in range(2):
            assert (await first.accept()).deliveries == 1, "it remembers the endpoint as it is now"
        sent, other = await second.claim(lane)
        await second.end(sent, Outcome.HTTP_4XX, status_code=429, retry_after=3600 * SECOND)
        await second.end(other, Outcome.HTTP_4XX, status_code=429, retry_after=3600 * SECOND)
        second.store.retire()
        await until(lambda: len(member(first).slots) == SLOTS, "the first has all lanes")
        first.pass_time(60 * SECOND)
        assert await first.claim(lane) == [], "the receiver asked for a pause"
        first.pass_time(3600 * SECOND)
        assert len(await first.claim(lane)) == 2


# The same thing at two places at once.


KEYS = {
    "id": Key(KeyKind.PRODUCER_ID, "", "order_1"),
    "idempotency key": Key(KeyKind.IDEMPOTENCY_KEY, "", "abc"),
    "inbound": Key(KeyKind.INBOUND_ID, "partner", "msg_1"),
}


@pytest.mark.parametrize("kind", KEYS)
async def test_one_thing_published_everywhere_at_once_is_one_event(address: str, kind: str) -> None:
    async with processes(address, 3) as stands:
        await stands[0].endpoint()
        key = KEYS[kind]
        for number in range(20):
            keys = (key._replace(key=f"{key.key}{number}"),)
            accepted = await asyncio.gather(*(stand.accept(keys=keys) for stand in stands for _ in range(2)))
            assert len({each.event for each in accepted}) == 1
            assert sorted(each.repeated for each in accepted) == [False] + [True] * 5
        assert len(await stands[0].types()) == len(await stands[0].deliveries()) == 20


async def test_keys_in_another_order_hold_nobody_up(address: str) -> None:
    async with processes(address, 2) as (first, second):
        keys = [Key(KeyKind.PRODUCER_ID, "", f"order_{number}") for number in range(50)]

        async def publish(stand: Stand, keys: list[Key]) -> set[str]:
            return {each.event for each in await asyncio.gather(*(stand.accept(keys=(key,)) for key in keys))}

        told = await asyncio.gather(publish(first, keys), publish(second, keys[::-1]))
        assert told[0] == told[1]
        assert len(told[0]) == len(keys)


# Order.


async def test_what_was_published_before_goes_first_wherever_it_was(address: str) -> None:
    async with processes(address, 3) as stands:
        owner = stands[1]
        lane = lane_of(owner)
        await stands[0].endpoint(lane, ordered=True)
        told = [(await stands[number % 3].accept(ordering_key="a")).event for number in range(12)]
        sent: list[str] = []
        for _ in told:
            await due(owner, lane)
            (delivery,) = await owner.claim(lane)
            assert await owner.claim(lane) == [], "one at a time"
            sent.append(delivery.event.id)
            owner.commits.clear()
            await owner.end(delivery)
            owner.store.room = None
        assert sent == told


async def test_an_order_outlives_a_change_of_owner(address: str) -> None:
    async with processes(address, 2, LEASE) as (first, second):
        lane = lane_of(second)
        await first.endpoint(lane, ordered=True)
        told = [(await stand.accept()).event for stand in (first, second, first, second)]
        (sent,) = await second.claim(lane)
        assert sent.event.id == told[0]
        number = member(second).number
        await die(second)
        await buried(address, number)
        told.append((await first.accept()).event)
        found: list[str] = []
        for _ in told:
            (delivery,) = await first.claim(lane)
            found.append(delivery.event.id)
            await first.end(delivery)
        assert found == told


async def test_ordered_anywhere_while_others_publish(address: str) -> None:
    async with processes(address, 2) as (first, second):
        lane = lane_of(second)
        await first.endpoint(lane)
        told = [(await stand.accept()).event for stand in (first, second, first)]
        await first.store.change_endpoint(lane, None, lambda endpoint: replace(endpoint, ordered=True))
        told += [(await stand.accept()).event for stand in (second, first)]
        found: list[str] = []
        for _ in told:
            (delivery,) = await second.claim(lane)
            found.append(delivery.event.id)
            await second.end(delivery)
        assert found == told
        await first.store.change_endpoint(lane, None, lambda endpoint: replace(endpoint, ordered=False))
        for stand in (first, second):
            await stand.accept()
        assert len(await second.claim(lane)) == 2


# Death.


async def test_whoever_dies_is_buried_and_what_it_sent_is_taken_up(address: str) -> None:
    async with processes(address, 3, LEASE) as (first, second, third):
        lane = lane_of(second)
        await first.endpoint(lane)
        await first.accept()
        (sent,) = await second.claim(lane)
        number = member(second).number
        await die(second)
        await buried(address, number)
        await shared_out(address, first, third)
        heir = first if member(first).owns(lane) else third
        await due(heir, lane)
        (again,) = await heir.claim(lane)
        assert (again.id, again.attempt_count) == (sent.id, 0)
        await heir.end(again)
        assert await first.statuses() == [Status.DELIVERED]


async def test_nobody_is_buried_while_its_lease_holds(address: str) -> None:
    async with processes(address, 2, LEASE) as (first, second):
        numbers = {member(stand).number for stand in (first, second)}
        await asyncio.sleep(2 * LEASE / SECOND)
        assert {number for (number,) in run(address, "SELECT number FROM hookd.processes")} == numbers
        assert all(stand.store.holds() for stand in (first, second))


async def test_what_comes_late_from_a_process_taken_for_dead_is_refused(address: str) -> None:
    async with (
        Wire(address) as wire,
        processes(address, 1, LEASE) as (heir,),
        process(wire.address, LEASE, heir.clock) as lost,
    ):
        await shared_out(address, heir, lost)
        lane = lane_of(lost)
        lapsed = asyncio.Event()
        lost.store.on_lapse = lapsed.set
        await heir.endpoint(lane)
        await lost.accept()
        (sent,) = await lost.claim(lane)
        number = member(lost).number
        wire.cut()
        await buried(address, number)
        assert not lost.store.holds(), "it stopped before anybody took over"
        assert lapsed.is_set(), "it was told to cut off what it was sending"
        await shared_out(address, heir)
        (again,) = await heir.claim(lane)

        lost.lanes.finish(lane)
        lost.store.record(lost.result(sent))
        wire.break_off()
        wire.mend()
        await until(lambda: member(lost).number not in (None, number), "it begins anew")
        await lost.mended()
        await lost.settle()
        assert await heir.statuses() == [Status.SENDING], "its outcome was refused"
        await heir.end(again, Outcome.HTTP_5XX, error="seen by the heir")
        (told,) = await heir.deliveries()
        assert (told.status, told.last_error, told.attempt_count) == (Status.PENDING, "seen by the heir", 1)
        await shared_out(address, heir, lost)
        lane = lane_of(lost)
        if lane != told.endpoint:
            await heir.endpoint(lane)
        await until_answered(partial(hears, heir, lost, lane), "news comes under its new number")


async def test_whoever_hangs_over_a_long_answer_holds_nobody_up(address: str) -> None:
    """The server can't end the transaction for its idleness, since it has not even sent the answer."""
    async with (
        Wire(address) as wire,
        processes(address, 1, LEASE) as (heir,),
        process(wire.address, LEASE, heir.clock) as lost,
    ):
        await shared_out(address, heir, lost)
        lane = lane_of(lost)
        await heir.endpoint(lane)
        for _ in range(8):
            await heir.accept(payload=b"x" * MEGABYTE)
        number = member(lost).number
        wire.longest = 2 * MEGABYTE
        claiming = asyncio.create_task(lost.claim(lane))
        await until(lambda: not wire.open.is_set(), "it is being sent a long answer")
        await until_answered(partial(changes, heir, lane), "it can change an endpoint")
        await buried(address, number)
        await shared_out(address, heir)
        assert len(await heir.claim(lane)) == 8
        wire.break_off()
        wire.longest = None
        wire.mend()
        await asyncio.gather(claiming, return_exceptions=True)


async def test_what_was_claimed_before_a_burial_is_not_taken_for_what_was_claimed_after(address: str) -> None:
    """A process may get a lane back before it has put back what it was sending when it was taken for dead."""
    async with processes(address, 1, LEASE) as (stand,):
        await stand.endpoint()
        (before,) = [await stand.sent()]
        number = member(stand).number
        run(
            address,
            "DELETE FROM hookd.processes; UPDATE hookd.slots SET owner = NULL; "
            "UPDATE hookd.outbox SET status = 'pending' WHERE status = 'sending';",
        )
        with pytest.raises(Unavailable):
            await stand.accept()
        await stand.mended()
        assert member(stand).number not in (None, number)
        await shared_out(address, stand)
        (after,) = await stand.claim()
        assert after.id == before.id
        stand.store.release([before])
        stand.store.record(stand.result(before))
        await stand.settle()
        assert await stand.statuses() == [Status.SENDING]
        await stand.end(after)
        assert await stand.statuses() == [Status.DELIVERED]


async def test_whoever_begins_anew_hears_what_is_told_under_its_new_number(address: str) -> None:
    async with processes(address, 2) as (first, second):
        number = member(second).number
        run(address, "DELETE FROM hookd.processes WHERE number = $1", number)
        run(address, "UPDATE hookd.slots SET owner = NULL WHERE owner = $1", number)
        with pytest.raises(Unavailable):
            await second.accept()
        await second.mended()
        assert member(second).number not in (None, number)
        await shared_out(address, first, second)
        lane = lane_of(second)
        await first.endpoint(lane)
        await until_answered(partial(hears, first, second, lane), "news comes")


async def test_a_handler_that_was_running_in_crashes_is_given_up(address: str) -> None:
    handlers = (Handler(f"stuck_{number}", EVERYTHING, "log:x") for number in count())
    handler = next(each for each in handlers if slot_of(each.id) < SLOTS // 2)
    async with processes(address, 1, LEASE) as (heir,):
        await heir.handlers(handler)
        await heir.accept()
        for crash in range(1, 4):
            async with process(address, LEASE, heir.clock) as victim:
                await victim.handlers(handler)
                await shared_out(address, heir, victim)
                assert len(await victim.claim(handler.id)) == 1
                number = member(victim).number
                await die(victim)
                await buried(address, number)
            await shared_out(address, heir)
            ((told,),) = [await heir.deliveries(type="purchase")]
            crashes = run(address, "SELECT crashes FROM hookd.outbox WHERE type = 'purchase'")
            assert (told.status, crashes) == (Status.FAILED if crash == 3 else Status.PENDING, [(crash,)])


async def test_what_waits_for_a_handler_is_cancelled_once_no_process_has_it(address: str) -> None:
    """While a new handler is being rolled out, those that do not know it yet may get its lane."""
    handler = Handler("new", EVERYTHING, "log:x")
    async with processes(address, 1) as (old,):
        async with process(address, LONG, old.clock) as new:
            await new.handlers(handler)
            await new.accept()
            assert await old.handlers() == []
        await shared_out(address, old)
        assert await old.statuses() == [Status.PENDING]
        async with process(address, LONG, old.clock) as new:
            assert await new.handlers(handler) == []
            await shared_out(address, old, new)
            assert await new.handlers() == [handler.id]
        assert await old.statuses() == [Status.CANCELLED]


async def test_whoever_leaves_in_peace_leaves_nothing(address: str) -> None:
    async with processes(address, 1) as (first,):
        async with process(address) as second:
            await shared_out(address, first, second)
            await first.endpoint(lane_of(second))
            await second.accept()
            assert len(await second.claim(lane_of(second))) == 1
        assert await first.statuses() == [Status.PENDING]
        assert run(address, "SELECT count(*) FROM hookd.processes") == [(1,)]
        await shared_out(address, first)


# Commits that are not answered.


@pytest.mark.parametrize("loss", Loss)
async def test_an_unanswered_commit_is_found_out_about(address: str, loss: Loss) -> None:
    async with Wire(address) as wire, process(wire.address) as stand:
        await stand.endpoint()
        wire.loss = loss
        key = Key(KeyKind.PRODUCER_ID, "", "order_1")
        publishing = asyncio.create_task(stand.accept(keys=(key,)))
        await wire.lost.wait()
        if loss is Loss.DELAYED:
            await until(lambda: stand.store.fault is not None, "the store says that it can't commit")
            with pytest.raises(Unavailable):
                await stand.accept()
            wire.let_go.set()
        (answer,) = await asyncio.gather(publishing, return_exceptions=True)
        assert isinstance(answer, Unavailable) is (loss is Loss.REQUEST), answer
        await stand.mended()
        assert (await stand.accept(keys=(key,))).repeated is (loss is not Loss.REQUEST)
        assert len(await stand.types()) == len(await stand.deliveries()) == 1


@pytest.mark.parametrize("loss", Loss)
async def test_an_unanswered_record_is_made_once(address: str, loss: Loss) -> None:
    async with Wire(address) as wire, process(wire.address) as stand:
        await stand.endpoint()
        delivery = await stand.sent()
        wire.loss = loss
        stand.lanes.finish("ep_1")
        stand.store.record(stand.result(delivery))
        await wire.lost.wait()
        wire.let_go.set()
        await until_answered(partial(is_delivered, stand), "it is recorded")
        await stand.mended()
        assert len(await stand.attempts(delivery.id)) == 1
        assert sum(each.changes.concluded[Status.DELIVERED] for each in stand.commits) == 1


async def is_delivered(stand: Stand) -> bool:
    return await stand.statuses() == [Status.DELIVERED]


async def test_a_commit_that_a_crash_lost_is_not_taken_for_one_that_got_its_number_afterwards() -> None:
    """A crash forgets the numbers of transactions of which nothing was on disk, and gives them to others."""
    with Server() as server, database(address=server.address) as address:
        run(address, "ALTER SYSTEM SET wal_writer_delay = '10s'")  # or it may bring the number to the disk meanwhile
        run(address, "SELECT pg_reload_conf()")
        async with Wire(address) as wire, process(wire.address) as stand:
            await stand.accept()
            wire.loss = Loss.DELAYED
            publishing = asyncio.create_task(stand.accept())
            await wire.lost.wait()
            wire.cut()  # until others have got the number
            number = under_way(address)
            server.crash()
            server.start()
            taken = [next_number(address)]
            assert taken[0] <= number, "the crash lost nothing"
            while taken[-1] < number:
                taken.append(next_number(address))
            wire.mend()
            with pytest.raises(Unavailable, match="can't tell what became of the last commit"):
                await publishing
            await stand.mended()
            assert len(await stand.types()) == 1


def under_way(address: str) -> int:
    """Answer the number of the one transaction that is under way."""
    sql = "SELECT backend_xid::text::bigint FROM pg_stat_activity WHERE backend_xid IS NOT NULL"
    [(number,)] = run(address, sql)
    assert isinstance(number, int)
    return number


def next_number(address: str) -> int:
    """Commit a transaction, and answer its number."""
    [(number,)] = run(address, "SELECT pg_current_xact_id()::text::bigint")
    assert isinstance(number, int)
    return number


async def test_connections_that_break_off_are_made_anew(address: str) -> None:
    async with Wire(address) as wire, processes(address, 1) as (first,), process(wire.address) as second:
        await shared_out(address, first, second)
        lane = lane_of(second)
        await first.endpoint(lane)
        wire.break_off()
        await until_answered(partial(accepts, second), "it accepts again")
        await until_answered(partial(hears, first, second, lane), "it hears of what is due again")


async def accepts(stand: Stand) -> bool:
    try:
        await stand.accept()
    except Unavailable:
        return False
    return True


async def hears(teller: Stand, hearer: Stand, lane: str) -> bool:
    """Say whether news of a lane comes; that is told again and again, since some may be lost on the way."""
    heard: list[str] = []
    shared(hearer)._news.on_lanes = heard.extend
    await teller.accept()
    with suppress(TimeoutError):
        async with asyncio.timeout(0.5):
            while lane not in heard:  # noqa: ASYNC110 - it is called, and sets no event
                await asyncio.sleep(0.01)
    return lane in heard


async def test_what_others_write_on_its_channel_makes_a_process_look_around_at_most(
    address: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with process(address) as stand:
        number = member(stand).number
        await until(lambda: shared(stand)._news._followed == number, "the process listens")
        for letter in ("garbage", "[1]", "{}", "\\ud800"):
            heard = len(stand.commits)
            run(address, "SELECT pg_notify($1, $2)", f"hookd_{number}", letter)
            await until(partial(has_committed, stand, heard), "the process looks around")
        assert caplog.records == []


def has_committed(stand: Stand, before: int) -> bool:
    return len(stand.commits) > before


# What may be wrong with a server.


async def test_though_nobody_ran_for_days_what_comes_first_is_accepted(address: str) -> None:
    run(address, "SELECT hookd.drop_day(day) FROM hookd.days")
    async with process(address) as stand:
        await stand.store.recover({})
        assert not (await stand.accept()).repeated


async def test_rights_that_were_taken_away_are_a_fault_until_they_are_given_back(address: str) -> None:
    role = f"{urlsplit(address).path[1:]}_role"
    run(address, f"CREATE ROLE {role} SUPERUSER LOGIN; ALTER SCHEMA hookd OWNER TO {role};")
    try:
        async with process(address.replace("postgres@", f"{role}@")) as stand:
            run(address, f"ALTER ROLE {role} NOSUPERUSER")
            with pytest.raises(Unavailable, match=r"^the database: permission denied for"):
                await stand.accept()
            run(address, f"ALTER ROLE {role} SUPERUSER")
            await stand.mended()
            await stand.accept()
    finally:
        run(address, f"ALTER SCHEMA hookd OWNER TO postgres; DROP ROLE {role};")


async def test_tables_that_are_away_are_a_fault_until_they_are_back(address: str) -> None:
    async with process(address) as stand:
        run(address, "ALTER SCHEMA hookd RENAME TO elsewhere")
        with pytest.raises(Unavailable, match=r"^the database: .* does not exist$"):
            await stand.accept()
        run(address, "ALTER SCHEMA elsewhere RENAME TO hookd")
        await stand.mended()
        await stand.accept()


async def test_a_database_that_can_not_keep_every_text_is_refused() -> None:
    name = f"hookd_test_{secrets.token_hex(8)}"
    run(shared_server(), f"CREATE DATABASE {name} ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0")
    try:
        with pytest.raises(StartError, match="encoded in LATIN1; make one with CREATE DATABASE"):
            async with process(of_database(name)):
                pass
    finally:
        run(shared_server(), f"DROP DATABASE {name} WITH (FORCE)")


async def test_what_begins_where_the_server_has_just_ended_the_session_is_a_fault(address: str) -> None:
    async with Wire(address) as wire:
        wire.holds = True
        connection = await servers.Server(wire.address, Membership("a test", LEASE), sessions=True).connect()
        try:
            run(address, "SELECT pg_terminate_backend($1)", connection.get_server_pid())
            await wire.closed.wait()
            with pytest.raises(InternalClientError) as met:  # noqa: PT012 - it may take some turns until that is read
                while True:
                    with suppress(AdminShutdownError):
                        await connection.fetch("SELECT $1::text", "", timeout=PATIENCE)
            assert servers.is_fault(met.value)
        finally:
            connection.terminate()


# What is known of the time, and of what is due.


async def test_the_servers_clock_is_that_of_every_process(address: str) -> None:
    clock = ServerClock(lambda: wall_clock() - 5 * DAY)
    ids = IdFactory(clock, random.Random(1))
    async with share(address, clock, ids, DAY, PLAIN, lease=LONG, listens=False, hear=clock.hear) as store:
        await store.enter()
        ((now,),) = run(address, "SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint")
        assert isinstance(now, int)
        assert abs(clock() - now) < DAY


@pytest.mark.parametrize(("ahead", "followed"), [(TOLERATED, False), (-TOLERATED, False), (TOLERATED + 1, True)])
def test_what_an_answer_takes_is_no_difference_of_clocks(ahead: int, followed: bool) -> None:
    clock = ServerClock(lambda: NOW)
    clock.hear(NOW + ahead)
    assert clock() == NOW + (ahead if followed else 0)


@pytest.mark.parametrize("seen", [False, True])
async def test_what_becomes_due_while_a_claim_is_under_way_that_has_not_seen_it_is_not_forgotten(
    address: str, seen: bool
) -> None:
    async with processes(address, 1) as (stand,):
        store, lane = shared(stand), lane_of(stand)
        for step in ("heard", "begun") if seen else ("begun", "heard"):
            if step == "begun":
                store._begin()
            else:
                store._hear([lane])
        before = len(stand.commits)
        store._on_commit(Committed((), Changes(scanned={lane: None}), 1, 0.0))
        due = [committed.changes.due for committed in stand.commits[before:]]
        assert due == ([{}] if seen else [{}, {lane: stand.now}])


async def test_one_process_drops_the_days_that_are_old(address: str) -> None:
    async with processes(address, 2) as stands:
        (leader,) = (stand for stand in stands if member(stand).leads)
        (other,) = (stand for stand in stands if stand is not leader)
        run(address, "SELECT hookd.make_day(hookd.today() - 40)")
        await other.store.prune(30 * DAY)
        old = "SELECT FROM hookd.days WHERE day = hookd.today() - 40"
        assert run(address, old), "one is enough"
        await leader.store.prune(30 * DAY)
        assert not run(address, old)
