"""Pruning: what is over and old goes, whole and in small steps; what waits never does; the file follows."""

import asyncio
import shutil
import sqlite3
import tempfile
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hookd.errors import HookdError, NotFound
from hookd.model import Endpoint, EndpointState, Handler, Outcome, Status
from hookd.store import Key, KeyKind, prune, vacuum
from hookd.store.prune import IN_VAIN, OLDEST, Found, Removal, Walk, look
from tests.store.comparison import MEMORY
from tests.store.stand import DAY, NOW, SECOND, Open, Stand, file_of, sqlite, stand_on


@pytest.fixture
def open_in() -> Open:
    """What is said here is said of files."""
    return sqlite


RETENTION = 7 * DAY
COUNT = "SELECT (SELECT count(*) FROM events), (SELECT count(*) FROM outbox), (SELECT count(*) FROM attempts)"
WAITING = (Status.PENDING, Status.SENDING)


def in_state(state: EndpointState) -> Callable[[Endpoint], Endpoint]:
    return lambda endpoint: replace(endpoint, state=state)


async def rows(stand: Stand) -> tuple[int, int, int]:
    """Count the events, deliveries and attempts in the file."""
    found: tuple[int, int, int] = await file_of(stand.store).writer.run(lambda raw: raw.execute(COUNT).fetchone())
    return found


async def settle(stand: Stand, outcome: Outcome) -> str:
    """Publish an event, let its delivery end so, and answer the event's id."""
    delivery = await stand.sent()
    await stand.end(delivery, outcome, schedule=())
    return delivery.event.id


async def cancelled(stand: Stand) -> str:
    accepted = await stand.accept()
    (delivery,) = await stand.deliveries(event=accepted.event)
    await stand.store.cancel(delivery.id, None)
    return accepted.event


async def remaining(stand: Stand) -> set[str]:
    found = await file_of(stand.store).writer.run(lambda raw: raw.execute("SELECT id FROM events").fetchall())
    return {identity for (identity,) in found}


# What goes, and what stays.


async def test_what_is_over_and_old_goes_with_its_deliveries_and_attempts(stand: Stand) -> None:
    await stand.accept()
    await stand.endpoint()
    await settle(stand, Outcome.SUCCESS)
    await settle(stand, Outcome.TIMEOUT)
    await cancelled(stand)
    assert await stand.statuses() == [Status.DELIVERED, Status.FAILED, Status.CANCELLED]
    before = await rows(stand)
    assert before == (5, 3, 2)
    stand.pass_time(RETENTION)
    await stand.store.prune(RETENTION)
    assert await rows(stand) == before, "it is not older than that"
    stand.pass_time(1)
    await stand.store.prune(RETENTION)
    assert await rows(stand) == (0, 0, 0)


async def test_what_was_pruned_is_not_found(stand: Stand) -> None:
    await stand.endpoint()
    event = await settle(stand, Outcome.SUCCESS)
    (delivery,) = await stand.deliveries()
    stand.pass_time(RETENTION + 1)
    await stand.store.prune(RETENTION)
    with pytest.raises(NotFound, match=f"there is no event {event}, or it was pruned"):
        await stand.store.event(event, None)
    with pytest.raises(NotFound, match=f"there is no delivery {delivery.id}, or it was pruned"):
        await stand.store.retry(delivery.id, None)


async def pending(stand: Stand) -> None:
    await stand.accept()


async def sending(stand: Stand) -> None:
    await stand.sent()


async def to_be_stopped(stand: Stand) -> None:
    delivery = await stand.sent()
    await stand.store.cancel(delivery.id, None)


async def retried_by_schedule(stand: Stand) -> None:
    await stand.end(await stand.sent(), Outcome.TIMEOUT)


async def retried_by_hand(stand: Stand) -> None:
    await settle(stand, Outcome.TIMEOUT)
    await stand.store.retry((await stand.deliveries())[0].id, None)


@pytest.mark.parametrize("state", [EndpointState.ACTIVE, EndpointState.PAUSED])
@pytest.mark.parametrize("wait", [pending, sending, to_be_stopped, retried_by_schedule, retried_by_hand])
async def test_what_waits_is_never_pruned(stand: Stand, wait: Any, state: EndpointState) -> None:
    endpoint = await stand.endpoint(event_types=("purchase",))
    await wait(stand)
    await stand.store.change_endpoint(endpoint.id, None, in_state(state))
    before = await remaining(stand)
    (delivery,) = [each for each in await stand.deliveries(endpoint="ep_1") if each.status in WAITING]
    stand.pass_time(1000 * RETENTION)
    await stand.store.prune(RETENTION)
    assert delivery.event in await remaining(stand) <= before
    assert (await stand.delivery(delivery.id)).status is delivery.status


async def test_what_waits_for_a_handler_is_not_pruned(stand: Stand) -> None:
    await stand.handlers(Handler("invite", ("*",), "log:x"))
    await stand.accept()
    stand.pass_time(2 * RETENTION)
    await stand.store.prune(RETENTION)
    assert await rows(stand) == (1, 1, 0)


async def test_an_event_goes_only_when_all_its_deliveries_can(stand: Stand) -> None:
    for number in range(3):
        await stand.endpoint(f"ep_{number}")
    await stand.accept()
    for number in range(3):
        stand.pass_time(2 * RETENTION)
        await stand.store.prune(RETENTION)
        assert await rows(stand) == (1, 3, number)
        (claimed,) = await stand.claim(f"ep_{number}")
        await stand.end(claimed)
    stand.pass_time(RETENTION + 1)
    await stand.store.prune(RETENTION)
    assert await rows(stand) == (0, 0, 0)


async def retried_and_delivered(stand: Stand) -> None:
    (delivery,) = await stand.deliveries()
    await stand.store.retry(delivery.id, None)
    (claimed,) = await stand.claim()
    await stand.end(claimed)


async def cancelled_by_hand(stand: Stand) -> None:
    (delivery,) = await stand.deliveries()
    await stand.store.retry(delivery.id, None)
    stand.pass_time(1)
    await stand.store.cancel(delivery.id, None)


async def deleted(stand: Stand) -> None:
    (delivery,) = await stand.deliveries()
    await stand.store.retry(delivery.id, None)
    stand.pass_time(1)
    await stand.store.delete_endpoint("ep_1", None)


@pytest.mark.parametrize("end", [retried_and_delivered, cancelled_by_hand, deleted])
async def test_what_ended_only_now_stays_for_as_long_again(stand: Stand, end: Any) -> None:
    await stand.endpoint(event_types=("purchase",))
    event = await settle(stand, Outcome.TIMEOUT)
    stand.pass_time(RETENTION)
    await end(stand)
    ended = stand.now
    stand.clock[0] = ended + RETENTION
    await stand.store.prune(RETENTION)
    assert event in await remaining(stand)
    stand.pass_time(1)
    await stand.store.prune(RETENTION)
    assert event not in await remaining(stand)


async def test_a_pruned_event_is_still_known_when_it_comes_again(stand: Stand) -> None:
    key = (Key(KeyKind.PRODUCER_ID, "", "order-1"),)
    first = await stand.accept(id="order-1", keys=key)
    stand.pass_time(RETENTION + 1)
    await stand.store.prune(RETENTION)
    assert await remaining(stand) == set()
    again = await stand.accept(id="order-1", keys=key)
    assert (again.event, again.repeated) == (first.event, True)
    assert await remaining(stand) == set()


async def test_a_clock_that_jumps_holds_up_nothing_and_takes_nothing_that_waits(stand: Stand) -> None:
    await stand.accept(type="early")
    stand.pass_time(100 * RETENTION)
    await stand.accept(type="of the future")
    stand.clock[0] = NOW + SECOND
    await stand.accept(type="late")
    stand.clock[0] = NOW - 100 * RETENTION
    await stand.store.prune(RETENTION)
    assert await stand.types() == ["early", "of the future", "late"]
    stand.clock[0] = NOW + SECOND + RETENTION + 1
    await stand.store.prune(RETENTION)
    assert await stand.types() == ["of the future"]
    stand.pass_time(100 * RETENTION)
    await stand.store.prune(RETENTION)
    assert await stand.types() == []


async def test_what_is_retried_between_the_look_and_the_removal_stays(stand: Stand) -> None:
    await stand.endpoint(event_types=("purchase",))
    await settle(stand, Outcome.SUCCESS)
    kept = await settle(stand, Outcome.TIMEOUT)
    stand.pass_time(RETENTION + 1)
    before = stand.now - RETENTION
    found = await stand.store._read(look(OLDEST, before))
    assert len(found.over) == 3, "the operational event among them"
    await stand.store.retry((await stand.deliveries(event=kept))[0].id, None)
    assert await stand.store._write(prune.prune, Removal(found.over, before)) == 2
    assert await remaining(stand) == {kept}


# A transaction for each step.


async def test_a_step_that_fails_leaves_everything(stand: Stand) -> None:
    await stand.endpoint()
    for _ in range(3):
        await settle(stand, Outcome.SUCCESS)
    before = await rows(stand)
    refuse = "CREATE TRIGGER refuse BEFORE DELETE ON events WHEN OLD.sequence = 3 BEGIN SELECT RAISE(ABORT, 'no'); END"
    await file_of(stand.store).writer.run(lambda raw: raw.execute(refuse))
    stand.pass_time(RETENTION + 1)
    with pytest.raises(sqlite3.IntegrityError):
        await stand.store.prune(RETENTION)
    assert await rows(stand) == before
    await file_of(stand.store).writer.run(lambda raw: raw.execute("DROP TRIGGER refuse"))
    await stand.store.prune(RETENTION)
    assert await rows(stand) == (0, 0, 0)


EVENT = """
INSERT INTO events (id, tenant, type, origin, payload, content_type, created_at)
VALUES ('evt_' || :number, '', 'a', 'published', zeroblob(:size), 'text/plain', :at)"""
DELIVERY = """
INSERT INTO outbox (id, event, endpoint, tenant, type, status, attempt_count, due_at, created_at)
VALUES (:event || '_' || :number, :event, 'ep', '', 'a', :status, 1, :at, :at)"""
ATTEMPT = """
INSERT INTO attempts SELECT sequence, 1, 'att', :at, 1.0, 'success', 200, NULL, '{}', '{}', zeroblob(:kept), 0
FROM outbox WHERE event = :event"""


async def fill(
    stand: Stand, count: int, *, deliveries: int = 1, status: str = "delivered", size: int = 10, kept: int = 2
) -> None:
    """Write so many events as they were accepted and ended now."""

    def write(raw: sqlite3.Connection) -> None:
        raw.execute("BEGIN")
        for number in range(count):
            event = raw.execute(EVENT, {"number": number, "size": size, "at": stand.now}).lastrowid
            about = {"event": event, "status": status, "at": stand.now, "kept": kept}
            raw.executemany(DELIVERY, ({**about, "number": each} for each in range(deliveries)))
            raw.execute(ATTEMPT, about)
        raw.execute("COMMIT")

    await file_of(stand.store).writer.run(write)


async def first_step(stand: Stand) -> Found:
    return await stand.store._read(look(OLDEST, stand.now + 1))


@pytest.mark.parametrize(
    ("each", "most"),
    [
        ({}, prune.AT_ONCE // 3),
        ({"deliveries": 20}, prune.AT_ONCE // 41),
        ({"deliveries": 1000}, 1),
        ({"size": 1 << 20}, prune.AT_ONCE * prune.PAGE >> 20),
        ({"deliveries": 4, "kept": 100_000}, 5),
    ],
)
async def test_a_step_is_small_however_large_the_events_are(stand: Stand, each: dict[str, Any], most: int) -> None:
    await fill(stand, 2 * most, **each)
    found = await first_step(stand)
    assert max(1, most // 2) <= len(found.over) <= most
    assert found.more
    count = (await rows(stand))[0]
    await stand.store._write(prune.prune, Removal(found.over, stand.now + 1))
    assert (await rows(stand))[0] == count - len(found.over)


async def test_an_event_that_a_look_sees_in_part_is_left_to_the_next(stand: Stand) -> None:
    await fill(stand, 100)
    await fill(stand, 1, deliveries=1000)
    found = await first_step(stand)
    assert (len(found.over), found.more) == (100, True)


async def test_the_steps_of_a_round_leave_nothing_over(stand: Stand) -> None:
    for deliveries, size in ((1, 10), (1000, 10), (1, 3 << 20), (7, 10), (400, 10)):
        await fill(stand, 3, deliveries=deliveries, size=size)
        await fill(stand, 2, status="pending")
    stand.pass_time(RETENTION + 1)
    await stand.store.prune(RETENTION)
    assert await rows(stand) == (10, 10, 10)


async def test_what_stays_is_not_looked_at_again_and_again(stand: Stand) -> None:
    looks: list[str] = []
    await file_of(stand.store).reader.run(lambda raw: raw.set_trace_callback(looks.append))
    await fill(stand, 3 * IN_VAIN, status="pending")
    stand.pass_time(RETENTION + 1)
    await stand.store.prune(RETENTION)
    assert len(looks) > 3
    for _ in range(3):
        await fill(stand, 1)
        stand.pass_time(RETENTION + 1)
        looks.clear()
        await stand.store.prune(RETENTION)
        assert len(looks) == 1, "it goes on where it was"
        assert (await rows(stand))[0] == 3 * IN_VAIN
    await file_of(stand.store).writer.run(lambda raw: raw.execute("UPDATE outbox SET status = 'delivered'"))
    await stand.store.prune(RETENTION)
    assert await rows(stand) == (0, 0, 0), "and then from the oldest on"


@pytest.mark.parametrize(("stay", "rounds"), [(0, 1), (IN_VAIN - 1, 1), (IN_VAIN, 2), (5 * IN_VAIN, 6)])
def test_a_walk_begins_again_soon_although_in_every_round_more_is_met_that_stays(stay: int, rounds: int) -> None:
    walk, began = Walk(), []
    for number in range(5 * rounds):
        if walk.place == OLDEST:
            began.append(number)
        walk.go_on(Found((), stay, prune.Place(5, number), more=False))
        walk.end_round()
    assert began == list(range(0, 5 * rounds, rounds))


# Courses.

operations = st.one_of(
    st.tuples(st.just("publish"), st.sampled_from(["both", "one", "none"])),
    st.tuples(st.just("work"), st.sampled_from([Outcome.SUCCESS, Outcome.TIMEOUT])),
    st.tuples(st.just("retry"), st.integers(0, 9)),
    st.tuples(st.just("cancel"), st.integers(0, 9)),
    st.tuples(st.just("state"), st.sampled_from(["active", "paused", "disabled"])),
    st.tuples(st.just("pass_time"), st.sampled_from([SECOND, DAY, RETENTION - DAY, RETENTION, -DAY])),
    st.tuples(st.just("prune"), st.none()),
)
SLACK = 300 * SECOND
"""What is cancelled while it is sent ends when it would have been due."""


class Course:
    """A store, and when something last happened to each event in it."""

    def __init__(self, stand: Stand) -> None:
        self.stand = stand
        self.last: dict[str, int] = {}

    async def publish(self, event_type: str) -> None:
        event = (await self.stand.accept(event_type)).event
        self.last[event] = self.stand.now

    async def work(self, outcome: Outcome) -> None:
        for delivery in await self.stand.claim("ep_1", "ep_2"):
            await self.stand.end(delivery, outcome, schedule=(SECOND,))
            self.touch(delivery.event.id)

    async def retry(self, which: int) -> None:
        await self._intervene(self.stand.store.retry, which)

    async def cancel(self, which: int) -> None:
        await self._intervene(self.stand.store.cancel, which)

    async def _intervene(self, ask: Callable[[str, str | None], Any], which: int) -> None:
        found = await self.stand.deliveries()
        if found:
            delivery = found[which % len(found)]
            try:
                if await ask(delivery.id, None) != delivery:  # what is cancelled already stays as it is
                    self.touch(delivery.event)
            except HookdError:
                pass  # it is refused in its state

    async def state(self, state: str) -> None:
        for delivery in await self.stand.deliveries(endpoint="ep_1"):
            if delivery.status in WAITING and state == "disabled":
                self.touch(delivery.event)
        await self.stand.store.change_endpoint("ep_1", None, in_state(EndpointState(state)))

    async def pass_time(self, milliseconds: int) -> None:
        self.stand.pass_time(milliseconds)

    def touch(self, event: str) -> None:
        self.last[event] = max(self.last.get(event, 0), self.stand.now)

    async def prune(self, _: None) -> None:
        """Prune, and judge what has gone."""
        waiting = {each.event for each in await self.stand.deliveries() if each.status in WAITING}
        there = await remaining(self.stand)
        await self.stand.store.prune(RETENTION)
        left = await remaining(self.stand)
        for event in there & set(self.last):
            age = self.stand.now - self.last[event]
            assert event in left or (event not in waiting and age > RETENTION)
            assert event not in left or event in waiting or age <= RETENTION + SLACK
        events, deliveries, attempts = await rows(self.stand)
        assert (deliveries, attempts) == await file_of(self.stand.store).writer.run(whole)
        assert events == len(left)


def whole(raw: sqlite3.Connection) -> tuple[int, int]:
    """Count the deliveries and attempts of which all that they belong to is there."""
    found: tuple[int, int] = raw.execute(
        "SELECT (SELECT count(*) FROM outbox JOIN events ON events.sequence = outbox.event),"
        " (SELECT count(*) FROM attempts JOIN outbox ON outbox.sequence = attempts.delivery)"
    ).fetchone()
    return found


@given(st.lists(operations, max_size=30))
@settings(max_examples=40, deadline=None)
def test_nothing_goes_that_waits_or_is_young_and_all_else_does(course: list[tuple[str, Any]]) -> None:
    folder = Path(tempfile.mkdtemp(dir=MEMORY if MEMORY.is_dir() else None))
    try:
        asyncio.run(run(folder, course))
    finally:
        shutil.rmtree(folder)


async def run(folder: Path, course: list[tuple[str, Any]]) -> None:
    async with stand_on(sqlite, folder) as stand:
        await stand.endpoint("ep_1", event_types=("both", "one"))
        await stand.endpoint("ep_2", event_types=("both",))
        judged = Course(stand)
        for name, argument in [*course, ("prune", None)]:
            await getattr(judged, name)(argument)


# The file.


async def pages(stand: Stand) -> tuple[int, int]:
    """Answer how many pages the file has, and how many of them are free."""
    found: tuple[int, int] = await file_of(stand.store).writer.run(lambda raw: raw.execute(vacuum.PAGES).fetchone())
    return found


@pytest.fixture
async def large(open_in: Open, tmp_path: Path) -> AsyncIterator[Stand]:
    """A store of 10 MB that can all be pruned."""
    async with stand_on(open_in, tmp_path) as stand:
        await fill(stand, 1_000, size=10_000)
        stand.pass_time(RETENTION + 1)
        yield stand


async def test_after_a_large_prune_the_file_shrinks(large: Stand, tmp_path: Path) -> None:
    await large.store.prune(RETENTION)
    before, free = await pages(large)
    assert before * prune.PAGE > 10_000_000
    await large.store.shrink()
    after, kept = await pages(large)
    assert after <= before - free + kept
    assert kept == vacuum.FEWEST, "so much is left for what comes next"
    await file_of(large.store).writer.run(lambda raw: raw.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall())
    assert (tmp_path / "hookd.db").stat().st_size == after * prune.PAGE


async def test_of_what_is_in_use_a_share_may_be_free(large: Stand) -> None:
    await fill(large, 1_100, size=10_000)
    await large.store.prune(RETENTION)
    await large.store.shrink()
    after, kept = await pages(large)
    assert kept == (after - kept) // vacuum.SHARE > vacuum.FEWEST
    await large.store.shrink()
    assert await pages(large) == (after, kept)


async def test_a_step_of_it_is_small(large: Stand) -> None:
    await large.store.prune(RETENTION)
    before = await pages(large)
    assert await file_of(large.store).writer.run(vacuum.give_back)
    after = await pages(large)
    assert before[1] - after[1] == vacuum.AT_ONCE
    assert before[0] - after[0] == pytest.approx(vacuum.AT_ONCE, abs=2), "and pages that told where others are"


async def test_under_steady_load_the_file_stops_growing(stand: Stand) -> None:
    sizes = []
    for _ in range(40):
        await fill(stand, 100, size=5_000)
        sizes.append((await pages(stand))[0])
        stand.pass_time(RETENTION // 4)
        await stand.store.prune(RETENTION)
        await stand.store.shrink()
        sizes.append((await pages(stand))[0])
    assert max(sizes[40:]) <= max(sizes[:40]), "what a few hundred events need, and no more"
    assert max(sizes[40:]) - min(sizes[40:]) < 0.01 * max(sizes), "nor does it shrink to grow again"
    assert (await rows(stand))[0] == 400
