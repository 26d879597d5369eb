"""Replay: what an endpoint missed comes to the tail of its lane, once, and nothing else does."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from hookd.errors import Conflict, NotFound
from hookd.model import EndpointState, Origin, Outcome, Status
from hookd.store import Replay
from hookd.store.replay import AT_ONCE
from tests.store.stand import SECOND, Stand

NEVER = ()


async def replay(stand: Stand, since: int | None = None, **wanted: Any) -> int:
    start = 0 if since is None else since
    return await stand.store.replay(Replay("ep_1", None, start, wanted.pop("until", stand.now + 1), **wanted))


async def test_dead_letters_and_what_was_cancelled_are_queued_again_under_their_own_ids(stand: Stand) -> None:
    await stand.endpoint()
    dead, cancelled, delivered = [await stand.sent() for _ in range(3)]
    await stand.end(dead, Outcome.TIMEOUT, schedule=NEVER)
    await stand.store.cancel(cancelled.id, None)
    await stand.end(cancelled, Outcome.TIMEOUT)
    await stand.end(delivered)
    waiting = (await stand.accept()).event
    stand.pass_time(SECOND)
    assert await replay(stand, dry_run=True) == 2
    assert await stand.statuses(status=Status.PENDING) == [Status.PENDING]
    assert await replay(stand) == 2
    claimed = await stand.claim()
    assert {delivery.id for delivery in claimed} >= {dead.id, cancelled.id}
    assert delivered.id not in {delivery.id for delivery in claimed}
    assert [(each.attempt_count, each.step) for each in claimed if each.id == dead.id] == [(1, 0)], "numbers go on"
    assert waiting == claimed[0].event.id, "what waited is older than what is replayed"
    assert await replay(stand) == 0


async def test_what_was_delivered_is_replayed_only_when_asked_for(stand: Stand) -> None:
    await stand.endpoint()
    await stand.end(await stand.sent())
    assert await replay(stand) == 0
    assert await replay(stand, statuses=frozenset({Status.DELIVERED})) == 1


async def test_an_event_that_it_never_got_is_made_for_it(stand: Stand) -> None:
    before = [(await stand.accept(kind)).event for kind in ("a.b", "a.c", "x")]
    await stand.accept("a.b", tenant="acme")
    await stand.endpoint(event_types=("a.*",))
    assert await replay(stand) == 2
    assert [delivery.event.id for delivery in await stand.claim()] == before[:2]
    assert await replay(stand) == 0


async def test_an_event_for_named_endpoints_is_made_for_no_other(stand: Stand) -> None:
    await stand.endpoint("ep_2", event_types=("x",))
    await stand.accept(endpoints=("ep_2",))
    await stand.accept("hookd.test", origin=Origin.OPERATIONAL, endpoints=("ep_2",), direct=True)
    await stand.endpoint(event_types=("*", "hookd.*"))
    assert await replay(stand, dry_run=True) == 0
    await stand.accept(endpoints=("ep_1",))
    await stand.end((await stand.claim())[0], Outcome.TIMEOUT, schedule=NEVER)
    assert await replay(stand, event_types=("purchase",)) == 1, "of its own it has a delivery"


async def test_types_and_times_say_which(stand: Stand) -> None:
    start = stand.now
    for kind in ("a", "b", "a", "b"):
        await stand.accept(kind)
        stand.pass_time(SECOND)
    await stand.endpoint()
    assert await replay(stand, start + SECOND, until=start + 3 * SECOND, dry_run=True) == 2
    assert await replay(stand, event_types=("a",), dry_run=True) == 2
    assert await replay(stand, start + SECOND, until=start + 3 * SECOND, event_types=("a",)) == 1


async def test_a_replay_comes_to_the_tail_of_an_ordered_lane_and_keeps_its_order(stand: Stand) -> None:
    await stand.endpoint(ordered=True)
    missed = []
    for _ in range(3):
        delivery = await stand.sent()
        await stand.end(delivery, Outcome.TIMEOUT, schedule=NEVER)
        missed.append(delivery.event.id)
    waiting = [(await stand.accept()).event for _ in range(2)]
    assert await replay(stand) == 3
    later = (await stand.accept()).event
    went = []
    while claimed := await stand.claim():
        (delivery,) = claimed
        went.append(delivery.event.id)
        await stand.end(delivery)
    assert went == [*waiting, *missed, later]


async def test_many_are_replayed_step_by_step(stand: Stand) -> None:
    many = 2 * AT_ONCE + 7
    await asyncio.gather(*(stand.accept() for _ in range(many)))
    await stand.endpoint()
    commits = len(stand.commits)
    assert await replay(stand) == many
    assert len(stand.commits) - commits == 3
    assert len(await stand.deliveries()) == 250


async def test_a_disabled_endpoint_and_one_that_is_not_there_are_refused(stand: Stand) -> None:
    await stand.endpoint()
    await stand.accept()
    await stand.store.change_endpoint("ep_1", None, lambda it: replace(it, state=EndpointState.DISABLED))
    with pytest.raises(Conflict, match="set its state to active first"):
        await replay(stand)
    with pytest.raises(NotFound):
        await stand.store.replay(Replay("ep_2", None, 0, stand.now))
    with pytest.raises(NotFound):
        await stand.store.replay(Replay("ep_1", "acme", 0, stand.now))


async def test_no_event_of_the_time_is_missed_where_the_clock_was_set_back(stand: Stand) -> None:
    start = stand.now
    for moment in (100, 20, 60, 10, 90):
        stand.pass_time(start + moment - stand.now)
        await stand.accept()
    await stand.endpoint()
    assert await replay(stand, start + 50, until=start + 100) == 2
    assert await replay(stand, start + 200, until=start + 300) == 0
