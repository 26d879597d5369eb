"""Order: an ordered endpoint is sent its deliveries one after another, in commit order, key by key."""

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hookd.model import Delivery, EndpointState, Handler, Outcome, Status
from tests.store.stand import DAY, SCHEDULE, SECOND, Open, Stand, in_a_file, stand_on

NEVER = ()
"""A schedule of one attempt."""


async def ordered(stand: Stand, count: int = 3, keys: tuple[str, ...] = ("",), **changes: Any) -> list[str]:
    """Make an ordered endpoint with some deliveries, the keys in turn; answer the events, oldest first."""
    await stand.endpoint(**{"ordered": True} | changes)
    return [(await stand.accept(ordering_key=keys[number % len(keys)])).event for number in range(count)]


def events(deliveries: list[Delivery]) -> list[str]:
    return [delivery.event.id for delivery in deliveries]


async def one(stand: Stand) -> Delivery:
    (delivery,) = await stand.claim()
    return delivery


async def change(stand: Stand, **changes: Any) -> None:
    await stand.store.change_endpoint("ep_1", None, lambda before: replace(before, **changes))


async def finish(stand: Stand) -> list[str]:
    """Deliver all that is left, and answer the events in the order in which they went."""
    went: list[str] = []
    while claimed := await stand.claim():
        assert len(claimed) == 1
        went += events(claimed)
        await stand.end(claimed[0])
    return went


async def test_one_goes_after_another_in_commit_order(stand: Stand) -> None:
    made = await ordered(stand, 5)
    assert await finish(stand) == made


async def test_while_one_is_being_sent_nothing_else_is_claimed(stand: Stand) -> None:
    first, second, _ = await ordered(stand)
    delivery = await one(stand)
    assert await stand.claim() == []
    await stand.end(delivery)
    assert (delivery.event.id, (await one(stand)).event.id) == (first, second)


async def test_a_failing_one_holds_up_the_others_until_it_succeeds(stand: Stand) -> None:
    made = await ordered(stand)
    await stand.end(await one(stand), Outcome.TIMEOUT)
    assert await stand.claim() == []
    assert [each.next_attempt_at is None for each in await stand.deliveries()] == [False, True, True]
    assert "goes first" in ((await stand.deliveries())[1].reason or "")
    stand.pass_time(SCHEDULE[0])
    assert await finish(stand) == made


async def test_one_that_fails_for_good_lets_the_next_go(stand: Stand) -> None:
    made = await ordered(stand)
    await stand.end(await one(stand), Outcome.TIMEOUT, schedule=NEVER)
    assert await finish(stand) == made[1:]


@pytest.mark.parametrize("sending", [True, False])
async def test_one_that_is_cancelled_lets_the_next_go(stand: Stand, sending: bool) -> None:
    made = await ordered(stand)
    first = (await stand.deliveries())[0].id
    delivery = await one(stand) if sending else None
    await stand.store.cancel(first, None)
    if delivery is not None:
        assert await stand.claim() == []
        await stand.end(delivery, Outcome.TIMEOUT)
    assert await finish(stand) == made[1:]


async def test_one_in_the_middle_is_cancelled_and_the_others_keep_their_order(stand: Stand) -> None:
    made = await ordered(stand, 4)
    await stand.store.cancel((await stand.deliveries())[2].id, None)
    assert await finish(stand) == [made[0], made[1], made[3]]


async def test_keys_go_side_by_side_each_in_its_order(stand: Stand) -> None:
    made = await ordered(stand, 6, keys=("a", "b", ""))
    claimed = await stand.claim()
    assert events(claimed) == made[:3]
    await stand.end(claimed[1])
    (next_of_b,) = await stand.claim()
    assert next_of_b.event.id == made[4]


async def test_a_failing_key_holds_up_no_other(stand: Stand) -> None:
    made = await ordered(stand, 4, keys=("a", "b"))
    a, b = await stand.claim()
    await stand.end(a, Outcome.TIMEOUT)
    await stand.end(b)
    assert events(await stand.claim()) == [made[3]]


async def test_events_without_a_key_share_one(stand: Stand) -> None:
    await ordered(stand, 3)
    assert len(await stand.claim()) == 1


async def test_the_limit_counts_for_all_keys_together(stand: Stand) -> None:
    await ordered(stand, 6, keys=tuple("abcdef"), max_in_flight=2)
    assert len(await stand.claim()) == 2


async def test_keys_mean_nothing_to_an_endpoint_without_order(stand: Stand) -> None:
    await ordered(stand, 3, keys=("a",), ordered=False)
    assert len(await stand.claim()) == 3


async def take(stand: Stand, *lanes: str) -> None:
    """Claim what the acceptance of events has made due, unless it has handed it over itself: in a file it does."""
    stand.store.room = stand.lanes
    await stand.store.claim(lanes or ("ep_1",))


async def test_a_new_event_goes_only_where_nothing_older_waits_or_is_being_sent(stand: Stand) -> None:
    await stand.endpoint(ordered=True)
    stand.store.room = stand.lanes
    for key in ("", "", "b"):
        await stand.accept(ordering_key=key)
        await take(stand)
    assert await stand.statuses() == [Status.SENDING, Status.PENDING, Status.SENDING]


async def test_of_events_committed_together_the_first_goes(stand: Stand) -> None:
    await stand.endpoint(ordered=True)
    stand.store.room = stand.lanes
    await asyncio.gather(*(stand.accept() for _ in range(4)))
    await take(stand)
    assert await stand.statuses() == [Status.SENDING, Status.PENDING, Status.PENDING, Status.PENDING]


@in_a_file
async def test_a_new_event_that_goes_at_once_is_handed_over_in_its_commit(stand: Stand) -> None:
    await stand.endpoint(ordered=True)
    stand.store.room = stand.lanes
    first, _ = await asyncio.gather(stand.accept(), stand.accept())
    assert [delivery.event.id for delivery in stand.commits[-1].changes.claimed] == [first.event]


async def test_the_next_is_claimed_in_the_commit_that_records_the_one_before(stand: Stand) -> None:
    made = await ordered(stand)
    delivery = await one(stand)
    stand.store.room = stand.lanes
    stand.lanes.finish("ep_1")
    stand.store.record(stand.result(delivery))
    await stand.settle()
    (committed,) = (each for each in stand.commits if each.changes.claimed and each is stand.commits[-1])
    assert events(committed.changes.claimed) == [made[1]]


async def test_a_dead_letter_that_is_retried_goes_next(stand: Stand) -> None:
    made = await ordered(stand, 4)
    first = await one(stand)
    await stand.end(first, Outcome.TIMEOUT, schedule=NEVER)
    second = await one(stand)
    await stand.store.retry(first.id, None)
    assert await stand.claim() == [], "the second is being sent"
    await stand.end(second)
    assert await finish(stand) == [made[0], made[2], made[3]]


async def test_a_dead_letter_that_is_retried_goes_before_one_that_waits_to_be_tried_again(stand: Stand) -> None:
    made = await ordered(stand)
    first = await one(stand)
    await stand.end(first, Outcome.TIMEOUT, schedule=NEVER)
    await stand.end(await one(stand), Outcome.TIMEOUT)
    await stand.store.retry(first.id, None)
    await stand.end(await one(stand))
    assert await stand.claim() == [], "the second still waits for its time"
    stand.pass_time(SCHEDULE[0])
    assert await finish(stand) == made[1:]


@pytest.mark.parametrize("backwards", [True, False])
async def test_dead_letters_that_are_retried_go_in_the_order_of_their_events(stand: Stand, backwards: bool) -> None:
    made = await ordered(stand, 5)
    dead = []
    for _ in range(3):
        dead.append(await one(stand))
        await stand.end(dead[-1], Outcome.TIMEOUT, schedule=NEVER)
    waiting = await one(stand)
    for each in sorted(dead, key=lambda delivery: delivery.sequence, reverse=backwards):
        await stand.store.retry(each.id, None)
    await stand.end(waiting)
    assert await finish(stand) == [*made[:3], made[4]]


async def test_dead_letters_that_are_retried_one_by_one_go_before_what_came_in_between(stand: Stand) -> None:
    made = await ordered(stand, 3)
    dead = [await one(stand)]
    await stand.end(dead[0], Outcome.TIMEOUT, schedule=NEVER)
    dead.append(await one(stand))
    await stand.end(dead[1], Outcome.TIMEOUT, schedule=NEVER)
    waiting = await one(stand)
    await stand.store.retry(dead[0].id, None)
    await stand.end(waiting)
    sent = await one(stand)
    later = (await stand.accept()).event
    await stand.store.retry(dead[1].id, None)
    await stand.end(sent)
    assert await finish(stand) == [made[1], later]


async def test_one_that_waits_behind_a_retried_one_is_due_at_once_where_the_url_is_changed(stand: Stand) -> None:
    made = await ordered(stand)
    first = await one(stand)
    await stand.end(first, Outcome.TIMEOUT, schedule=NEVER)
    await stand.end(await one(stand), Outcome.TIMEOUT)
    await stand.store.retry(first.id, None)
    await change(stand, url="https://example.com/moved")
    assert await finish(stand) == made


async def test_one_that_waits_and_is_retried_keeps_its_place(stand: Stand) -> None:
    made = await ordered(stand)
    await stand.store.retry((await stand.deliveries())[2].id, None)
    assert await finish(stand) == made


async def test_after_a_crash_the_one_that_was_being_sent_comes_first_again(open_in: Open, tmp_path: Path) -> None:
    clock = [DAY]
    async with stand_on(open_in, tmp_path, clock) as stand:
        made = await ordered(stand)
        await stand.end(await one(stand))
        await one(stand)
        await stand.die()
    async with stand_on(open_in, tmp_path, clock) as stand:
        await stand.recover()
        assert await finish(stand) == made[1:]


async def test_what_is_put_back_comes_first_again(stand: Stand) -> None:
    made = await ordered(stand)
    delivery = await one(stand)
    stand.lanes.finish("ep_1")
    stand.store.release([delivery])
    await stand.settle()
    assert await finish(stand) == made


async def test_an_endpoint_becomes_ordered_while_much_waits_and_some_is_being_sent(stand: Stand) -> None:
    made = await ordered(stand, 5, ordered=False, max_in_flight=2)
    sent = await stand.claim()
    await change(stand, ordered=True)
    assert await stand.claim() == []
    await stand.end(sent[0], Outcome.TIMEOUT)
    assert await stand.claim() == [], "the other is still being sent"
    await stand.end(sent[1])
    assert await stand.claim() == [], "the first has to be tried again before all others"
    stand.pass_time(SCHEDULE[0])
    assert await finish(stand) == [made[0], *made[2:]]


async def test_an_endpoint_gives_up_its_order(stand: Stand) -> None:
    await ordered(stand, 5)
    await one(stand)
    await change(stand, ordered=False)
    assert len(await stand.claim()) == 4
    assert {each.reason for each in await stand.deliveries()} == {None}


async def test_what_waits_for_a_paused_endpoint_keeps_its_order(stand: Stand) -> None:
    made = await ordered(stand, 3)
    await change(stand, state=EndpointState.PAUSED)
    made += [(await stand.accept()).event]
    await change(stand, state=EndpointState.ACTIVE)
    assert await finish(stand) == made


async def test_disabling_cancels_all_of_it_and_what_comes_later_begins_anew(stand: Stand) -> None:
    await ordered(stand, 3)
    await change(stand, state=EndpointState.DISABLED)
    assert await stand.statuses(endpoint="ep_1") == [Status.CANCELLED] * 3
    await change(stand, state=EndpointState.ACTIVE)
    later = (await stand.accept()).event
    assert await finish(stand) == [later]


async def test_one_that_becomes_ordered_as_it_is_disabled_waits_for_what_is_being_sent(stand: Stand) -> None:
    await ordered(stand, 1, ordered=False)
    delivery = await one(stand)
    await change(stand, ordered=True, state=EndpointState.DISABLED)
    await change(stand, state=EndpointState.ACTIVE)
    later = (await stand.accept()).event
    assert await stand.claim() == []
    await stand.end(delivery)
    assert await finish(stand) == [later]


async def test_a_deleted_endpoint_leaves_nothing_waiting(stand: Stand) -> None:
    await ordered(stand, 3)
    delivery = await one(stand)
    await stand.store.delete_endpoint("ep_1", None)
    await stand.end(delivery)
    assert await stand.statuses() == [Status.DELIVERED, Status.CANCELLED, Status.CANCELLED]


HANDLER = Handler("inside", ("*",), "log:x")
ORDERED = replace(HANDLER, ordered=True)


async def test_a_handler_is_ordered_by_its_configuration_also_for_what_waits(open_in: Open, tmp_path: Path) -> None:
    clock = [DAY]
    async with stand_on(open_in, tmp_path, clock) as stand:
        await stand.handlers(HANDLER)
        made = [(await stand.accept()).event for _ in range(4)]
        await stand.handlers(ORDERED)
        assert events(await stand.claim(HANDLER.id)) == made[:1]
        await stand.die()
    async with stand_on(open_in, tmp_path, clock) as stand:
        await stand.recover(ORDERED)
        assert events(await stand.claim(HANDLER.id)) == made[:1]
        await stand.die()
    async with stand_on(open_in, tmp_path, clock) as stand:
        await stand.recover(HANDLER)
        assert events(await stand.claim(HANDLER.id)) == made


async def test_a_handler_becomes_ordered_while_one_is_being_sent_and_nothing_waits(stand: Stand) -> None:
    await stand.handlers(HANDLER)
    await stand.accept()
    (delivery,) = await stand.claim(HANDLER.id)
    await stand.handlers(ORDERED)
    stand.store.room = stand.lanes
    await stand.accept()
    await take(stand, HANDLER.id)
    assert await stand.statuses() == [Status.SENDING, Status.PENDING]
    await stand.end(delivery)
    assert await stand.statuses() == [Status.DELIVERED, Status.SENDING]


async def test_what_comes_before_a_handlers_order_is_arranged_does_not_overtake(stand: Stand) -> None:
    await stand.handlers(HANDLER)
    made = [(await stand.accept()).event for _ in range(2)]
    stand.store._directory.handlers = {ORDERED.id: ORDERED}  # as it is while the commit that arranges is under way
    made += [(await stand.accept()).event]
    await stand.handlers(ORDERED)
    went: list[str] = []
    while claimed := await stand.claim(HANDLER.id):
        went += events(claimed)
        await stand.end(claimed[0])
    assert went == made


async def test_an_ordered_handler_that_crashes_the_process_holds_up_the_others_until_it_is_given_up(
    open_in: Open, tmp_path: Path
) -> None:
    clock = [DAY]
    async with stand_on(open_in, tmp_path, clock) as stand:
        await stand.handlers(ORDERED)
        made = [(await stand.accept()).event for _ in range(2)]
        assert events(await stand.claim(HANDLER.id)) == made[:1]
        await stand.die()
    for going_first in (made[0], made[0], made[1]):
        async with stand_on(open_in, tmp_path, clock) as stand:
            await stand.recover(ORDERED)
            assert events(await stand.claim(HANDLER.id)) == [going_first]
            await stand.die()


async def test_a_lane_is_due_when_the_first_of_its_line_is(stand: Stand) -> None:
    await ordered(stand)
    await stand.end(await one(stand), Outcome.TIMEOUT)
    await stand.claim()
    assert stand.commits[-1].changes.scanned == {"ep_1": stand.now + 5 * SECOND}
