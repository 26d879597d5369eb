"""Group commit: a faulty write fails alone, and a faulty disk loses nothing."""

import asyncio
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from hookd.errors import NotFound, Unavailable
from hookd.model import Outcome, Status
from hookd.store import commit
from hookd.store.context import Context
from hookd.store.statement import Query, Steps
from tests.nouns import ENDPOINT
from tests.store.faults import FORBIDDEN, UNFIT, VIOLATION, empty, fill, forbidden, held_up, refusing, under_way
from tests.store.stand import Stand, in_a_file


class BrokenError(Exception):
    """What a faulty group raises."""


def writing(value: str, failing: Callable[[], Steps[None]]) -> Callable[[Context, Sequence[str]], Steps[list[str]]]:
    """Make a group that writes an endpoint named by its argument, and then fails where that is `bad`."""

    def group(context: Context, arguments: Sequence[str]) -> Steps[list[str]]:
        for argument in arguments:
            yield Query("INSERT INTO subscriptions VALUES ('', :value, :name)", {"name": argument, "value": value})
            if argument == "bad":
                yield from failing()
        return list(arguments)

    return group


def raising() -> Steps[None]:
    yield Query("SELECT 1", {})
    raise BrokenError


def violating() -> Steps[None]:
    yield Query("INSERT INTO subscriptions VALUES ('', NULL, 'x')", {})


def misbinding() -> Steps[None]:
    yield Query("INSERT INTO subscriptions VALUES ('', :value, 'x')", {"value": object()})


@pytest.mark.parametrize(
    ("failing", "error"),
    [(raising, BrokenError), (violating, VIOLATION), (misbinding, UNFIT)],
    ids=["raising", "violating", "misbinding"],
)
async def test_a_faulty_write_fails_alone_and_leaves_nothing(
    stand: Stand, failing: Callable[[], Steps[None]], error: type[Exception] | tuple[type[Exception], ...]
) -> None:
    await stand.endpoint(event_types=("purchase",))
    group = writing("p", failing)
    stand.store.room = stand.lanes
    writes = [stand.store._write(group, name) for name in ("good", "bad", "better")]
    accepted = stand.store.accept(stand.draft())

    done = await asyncio.gather(*writes, accepted, return_exceptions=True)

    assert [done[0], done[2]] == ["good", "better"]
    assert isinstance(done[1], error)
    assert len(stand.commits) == 2, "all of them shared one commit"
    rows = await stand.ask("SELECT endpoint FROM subscriptions WHERE pattern = 'p' ORDER BY 1")
    assert rows == [("better",), ("good",)]
    assert len(stand.commits[-1].changes.claimed) == stand.lanes.in_flight == 1


async def test_the_second_endpoint_of_an_id_fails_alone(stand: Stand) -> None:
    twice, other = [stand.store.create_endpoint(replace(ENDPOINT, id="ep_1")) for _ in range(2)], stand.endpoint("ep_2")
    first, second, third = await asyncio.gather(*twice, other, return_exceptions=True)
    assert isinstance(second, VIOLATION)
    assert [first, third] == [ENDPOINT, replace(ENDPOINT, id="ep_2", event_types=("*",))]


async def test_places_are_given_back_where_an_event_can_not_be_stored(stand: Stand) -> None:
    await stand.endpoint()
    stand.store.room = stand.lanes
    async with forbidden(stand.store, "INSERT"):
        with pytest.raises(FORBIDDEN, match="refused"):
            await stand.accept()
        assert stand.lanes.in_flight == 0
    await stand.accept()
    assert stand.lanes.in_flight == 1


async def test_places_are_given_back_where_a_claim_can_not_be_stored(stand: Stand) -> None:
    await stand.endpoint()
    await stand.accept()
    async with forbidden(stand.store, "UPDATE"):
        with pytest.raises(FORBIDDEN, match="refused"):
            await stand.claim()
    assert stand.lanes.in_flight == 0


# The storage at fault.


LARGE = b"x" * 100_000
"""A payload that finds no room in a full file."""


@in_a_file
async def test_a_full_disk_is_said_to_callers_and_mends_by_itself(stand: Stand) -> None:
    await stand.endpoint()
    delivery = await stand.sent()
    await fill(stand)
    with pytest.raises(Unavailable, match="full"):
        await stand.accept(payload=LARGE)
    with pytest.raises(Unavailable, match="full"):
        await stand.accept()

    stand.store.record(stand.result(delivery))
    await empty(stand)
    await stand.mended()

    assert stand.store.fault is None
    assert await stand.statuses() == [Status.DELIVERED], "the outcome was kept"
    await stand.accept(payload=LARGE)


async def test_a_storage_that_takes_no_write_is_said_to_callers_and_mends_by_itself(stand: Stand) -> None:
    await stand.endpoint()
    delivery = await stand.sent()
    async with refusing(stand.store):
        for _ in range(2):
            with pytest.raises(Unavailable):
                await stand.accept()
        stand.store.record(stand.result(delivery))
        assert await stand.statuses() == [Status.SENDING]
    await stand.mended()
    assert await stand.statuses() == [Status.DELIVERED], "the outcome was kept"
    assert (await stand.accept()).deliveries == 1


async def test_an_outcome_that_met_the_fault_is_written_later(stand: Stand) -> None:
    await stand.endpoint()
    delivery = await stand.sent()
    async with refusing(stand.store):
        stand.store.record(stand.result(delivery, Outcome.HTTP_5XX, status_code=500, response_body=LARGE))
        with pytest.raises(Unavailable):
            await stand.settle()
    await stand.mended()
    assert await stand.statuses() == [Status.PENDING]
    assert [attempt.number for attempt in await stand.attempts(delivery.id)] == [1]


async def test_a_fault_of_the_storage_is_no_fault_of_a_writer_beside_a_faulty_one(stand: Stand) -> None:
    await stand.endpoint()
    delivery = await stand.sent()
    async with refusing(stand.store):
        faulty = stand.store._write(writing("p", raising), "bad")
        stand.store.record(stand.result(delivery))
        accepted = stand.store.accept(stand.draft())
        done = await asyncio.gather(faulty, accepted, return_exceptions=True)
        assert isinstance(done[1], Unavailable)
    await stand.mended()
    assert await stand.statuses() == [Status.DELIVERED]


@in_a_file
async def test_a_full_disk_is_no_fault_of_a_writer_beside_a_faulty_one(stand: Stand) -> None:
    await stand.endpoint()
    delivery = await stand.sent()
    await fill(stand)
    faulty = stand.store._write(writing("p", raising), "bad")
    stand.store.record(stand.result(delivery, response_body=LARGE))
    accepted = stand.store.accept(stand.draft(payload=LARGE))
    done = await asyncio.gather(faulty, accepted, return_exceptions=True)
    assert isinstance(done[1], Unavailable)
    await empty(stand)
    await stand.mended()
    assert await stand.statuses() == [Status.DELIVERED]


@in_a_file
async def test_another_writer_of_the_file_makes_it_unavailable_for_as_long(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    await stand.endpoint()
    monkeypatch.setattr("hookd.store.sqlite.BUSY_TIMEOUT", 0.01)
    async with held_up(stand.store):
        with pytest.raises(Unavailable, match="locked"):
            await stand.accept()
    await stand.mended()
    assert (await stand.accept()).deliveries == 1


BUSY = """
import sqlite3, sys, time
application = sqlite3.connect(sys.argv[1], timeout=30, isolation_level=None)
application.execute("CREATE TABLE IF NOT EXISTS orders (id INTEGER PRIMARY KEY)")
while True:
    application.execute("BEGIN IMMEDIATE")
    application.execute("INSERT INTO orders DEFAULT VALUES")
    time.sleep(0.005)
    application.execute("COMMIT")
    print("committed", flush=True)
"""


@in_a_file
async def test_an_application_that_writes_all_the_time_keeps_nobody_from_committing(
    stand: Stand, tmp_path: Path
) -> None:
    command = (sys.executable, "-c", BUSY, str(tmp_path / "hookd.db"))
    application = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    assert application.stdout is not None
    try:
        for _ in range(20):
            await application.stdout.readline()
            await stand.accept()
    finally:
        application.kill()
        await application.wait()
    assert len(await stand.types()) == 20


async def test_a_rolled_back_claim_leaves_no_trace(stand: Stand) -> None:
    await stand.endpoint()
    await stand.accept()
    async with refusing(stand.store):
        with pytest.raises(Unavailable):
            await stand.claim()
    await stand.mended()
    assert stand.lanes.in_flight == 0
    assert [delivery.attempt_count for delivery in await stand.claim()] == [0]


async def test_a_stopped_store_commits_what_is_queued_and_takes_no_more(stand: Stand) -> None:
    last = stand.store.accept(stand.draft())
    stand.store.stop()
    assert stand.committing is not None
    await stand.committing
    assert (await last).deliveries == 0
    with pytest.raises(Unavailable, match="stopping"):
        await stand.accept()


async def test_a_caller_who_has_gone_harms_nobody(stand: Stand) -> None:
    gone, stays = stand.store.accept(stand.draft()), stand.store.accept(stand.draft())
    gone.cancel()
    await stays
    assert len(await stand.types()) == 2


async def test_one_write_that_is_refused_by_a_rule_does_not_repeat_the_others(stand: Stand) -> None:
    await stand.endpoint()
    calls: list[int] = []
    refused = stand.store.retry("dlv_missing", None)

    def counted(context: Context, arguments: Sequence[int]) -> Steps[list[int]]:
        calls.append(len(arguments))
        yield Query("SELECT 1", {})
        return list(arguments)

    counting = stand.store._write(counted, 1)
    with pytest.raises(NotFound):
        await refused
    assert await counting == 1
    assert calls == [1]


async def test_writes_that_come_without_end_hold_up_no_commit(stand: Stand) -> None:
    first = stand.store.accept(stand.draft())
    following = [first]
    async with asyncio.timeout(30):
        while not first.done():
            following.append(stand.store.accept(stand.draft()))
            await asyncio.sleep(0)
    await asyncio.gather(*following)
    assert 1 < stand.commits[0].size <= len(following)


# More than can be stored.

DRAFTS = 10
BYTES = 800


@pytest.fixture
def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let few drafts wait for a commit."""
    monkeypatch.setattr(commit, "MOST_DRAFTS", DRAFTS)
    monkeypatch.setattr(commit, "MOST_BYTES", BYTES)


@asynccontextmanager
async def crowded(stand: Stand) -> AsyncIterator[None]:
    """Hold up a commit for as long as the block lasts: what comes in it has to wait."""
    async with held_up(stand.store):
        first = stand.store.accept(stand.draft("first"))
        await under_way(stand.store)
        yield
        assert not first.done()
    await first


@pytest.mark.parametrize(("count", "size"), [(DRAFTS, 1), (4, BYTES // 4)])
@pytest.mark.usefixtures("narrow")
async def test_so_many_drafts_wait_and_those_beyond_are_refused_at_once(
    stand: Stand, caplog: pytest.LogCaptureFixture, count: int, size: int
) -> None:
    async with crowded(stand):
        waiting = [stand.store.accept(stand.draft(payload=bytes(size))) for _ in range(count)]
        for _ in range(3):
            with pytest.raises(Unavailable, match="send it again later"):
                await stand.accept()
    await asyncio.gather(*waiting)
    await stand.accept()
    assert [vars(record)["fields"] for record in caplog.records] == [{"refused": 3}]
    assert len(await stand.types()) == 1 + count + 1


@pytest.mark.usefixtures("narrow")
async def test_a_draft_that_is_larger_than_all_that_may_wait_is_accepted(stand: Stand) -> None:
    await stand.accept(payload=bytes(2 * BYTES))


@pytest.mark.usefixtures("narrow")
async def test_where_no_draft_finds_room_all_else_does(stand: Stand) -> None:
    await stand.endpoint(event_types=("purchase",))
    delivery = await stand.sent()
    await stand.accept()
    async with crowded(stand):
        waiting = stand.store.accept(stand.draft("other", payload=bytes(BYTES)))
        refused = stand.store.accept(stand.draft("other"))
        stand.store.record(stand.result(delivery))
        claiming = asyncio.create_task(stand.claim())
        changing = asyncio.create_task(stand.endpoint("ep_2"))
    with pytest.raises(Unavailable):
        await refused
    await asyncio.gather(waiting, changing)
    assert [claimed.event.type for claimed in await claiming] == ["purchase"]
    assert await stand.statuses(event=delivery.event.id) == [Status.DELIVERED]
