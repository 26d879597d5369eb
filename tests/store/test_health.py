"""What an endpoint's failures do to its lane: the breaker on the store, over restarts, and what is told of it."""

import json
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from hookd.model import Breaker, Delivery, Endpoint, EndpointState, Origin, Outcome, RateLimit, Status
from hookd.policy.breaker import CLOSED, BreakerPolicy
from hookd.store import Page
from hookd.units import format_time
from tests.store.stand import DAY, SECOND, Open, Stand, stand_on

FAILURES, WAIT = 3, 10_000
POLICY = BreakerPolicy(failures=FAILURES, share=1.0, least=100, window=60_000, wait=WAIT, longest=60_000)
AT_ONCE = (0,) * 20
"""A schedule that is due again at once, so that nothing but the breaker makes a delivery wait."""


async def endpoint(stand: Stand) -> Endpoint:
    return await stand.store.endpoint("ep_1", None)


async def end(stand: Stand, delivery: Delivery, outcome: Outcome = Outcome.TIMEOUT, **changes: Any) -> None:
    stand.lanes.finish(delivery.destination.id)
    result = stand.result(delivery, outcome, schedule=AT_ONCE, **changes)
    stand.store.record(structs.replace(result, breaker=POLICY))
    await stand.settle()


async def broken(stand: Stand, **changes: Any) -> None:
    """Make an endpoint with five deliveries, and let its breaker open."""
    await stand.endpoint(**changes)
    for _ in range(5):
        await stand.accept(tenant=changes.get("tenant"))
    claimed = await stand.claim()
    await stand.store.flush()
    for delivery in claimed[:FAILURES]:
        await end(stand, delivery)
    for _ in claimed[FAILURES:]:
        stand.lanes.finish("ep_1")
    stand.store.release(claimed[FAILURES:])
    await stand.settle()


async def test_nothing_is_claimed_while_it_is_open_and_the_lane_is_due_after_it(stand: Stand) -> None:
    await broken(stand)
    assert await stand.claim() == []
    assert stand.commits[-1].changes.scanned == {"ep_1": stand.now + WAIT}
    assert (await endpoint(stand)).breaker == Breaker(stand.now, 1, stand.now + WAIT, told=True)


async def test_what_was_handed_over_in_the_commit_that_opens_it_is_put_back(stand: Stand) -> None:
    await stand.endpoint()
    stand.store.room = stand.lanes
    for _ in range(FAILURES):
        await stand.accept()
    failing = [delivery for commit in stand.commits for delivery in commit.changes.claimed]
    accepted = stand.store.accept(stand.draft())
    for delivery in failing:
        result = stand.result(delivery, Outcome.TIMEOUT, schedule=AT_ONCE)
        stand.store.record(structs.replace(result, breaker=POLICY))
    event = (await accepted).event
    changes = stand.commits[-1].changes
    assert (changes.claimed, [delivery.event.id for delivery in changes.outdated]) == ([], [event])


async def test_new_events_wait_and_do_not_wake_the_lane(stand: Stand) -> None:
    await broken(stand)
    stand.store.room = stand.lanes
    accepted = await stand.accept()
    assert await stand.statuses(event=accepted.event) == [Status.PENDING]
    assert stand.due() == {"ep_1": stand.now + WAIT}


async def test_one_at_a_time_is_tried_and_a_success_lets_all_go(stand: Stand) -> None:
    await broken(stand)
    stand.pass_time(WAIT)
    (trial,) = await stand.claim()
    assert await stand.claim() == []
    await end(stand, trial, Outcome.SUCCESS)
    assert (await endpoint(stand)).breaker == CLOSED
    assert stand.due() == {"ep_1": stand.now} or stand.commits[-2].changes.due == {"ep_1": stand.now}
    assert len(await stand.claim()) == 4


async def test_a_failed_trial_blocks_it_for_longer(stand: Stand) -> None:
    await broken(stand)
    stand.pass_time(WAIT)
    (trial,) = await stand.claim()
    await end(stand, trial)
    assert await stand.claim() == []
    assert stand.commits[-1].changes.scanned == {"ep_1": stand.now + 2 * WAIT}


async def test_its_state_survives_a_restart(open_in: Open, tmp_path: Path) -> None:
    clock = [DAY]
    async with stand_on(open_in, tmp_path, clock) as stand:
        await broken(stand)
        before = await endpoint(stand)
    async with stand_on(open_in, tmp_path, clock) as stand:
        await stand.recover()
        assert await endpoint(stand) == before
        assert await stand.claim() == []
        stand.pass_time(WAIT)
        assert len(await stand.claim()) == 1


async def told(stand: Stand, event_type: str) -> list[tuple[str | None, dict[str, Any]]]:
    """Answer the tenants and payloads of operational events, oldest first."""
    found = [each for each in (await stand.store.events(None, Page(250))).items if each.type == event_type]
    return [(each.tenant, json.loads((await stand.store.event(each.id, each.tenant)).payload)) for each in found[::-1]]


async def test_failing_and_recovered_are_told_once_each_with_the_tenant(stand: Stand) -> None:
    await broken(stand, tenant="acme")
    stand.pass_time(WAIT)
    (trial,) = await stand.claim()
    await end(stand, trial)
    (failing,) = await told(stand, "hookd.endpoint.failing")
    assert (failing[0], failing[1]["endpoint"]) == ("acme", "ep_1")
    assert set(failing[1]) == {"endpoint", "url", "last_error", "failing_since"}
    assert await told(stand, "hookd.endpoint.recovered") == []
    stand.pass_time(2 * WAIT)
    (trial,) = await stand.claim()
    await end(stand, trial, Outcome.SUCCESS)
    (recovered,) = await told(stand, "hookd.endpoint.recovered")
    assert (recovered[0], set(recovered[1])) == ("acme", {"endpoint", "url", "failing_since"})
    changes = [committed.changes for committed in stand.commits]
    assert [list(each.failing) for each in changes if each.failing] == [["ep_1"]]
    assert [each.recovered for each in changes if each.recovered] == [["ep_1"]]


async def pair(stand: Stand) -> tuple[dict[str, Any], dict[str, Any]]:
    """Answer the one event that told of failing, and the one that told of its end."""
    ((_, failing),) = await told(stand, "hookd.endpoint.failing")
    ((_, recovered),) = await told(stand, "hookd.endpoint.recovered")
    return failing, recovered


async def test_both_name_the_first_failure(stand: Stand) -> None:
    await stand.endpoint()
    first = stand.now
    for _ in range(FAILURES):
        delivery = await stand.sent()
        await end(stand, delivery)
        await stand.store.cancel(delivery.id, None)
        stand.pass_time(SECOND)
    stand.pass_time(WAIT)
    await end(stand, await stand.sent(), Outcome.SUCCESS)
    failing, recovered = await pair(stand)
    assert failing["failing_since"] == recovered["failing_since"] == format_time(first)


@pytest.mark.parametrize(
    "changes",
    [
        [{"url": "https://example.com/moved"}],
        [{"state": EndpointState.PAUSED}, {"state": EndpointState.ACTIVE}],
        [{"state": EndpointState.PAUSED, "url": "https://example.com/moved"}],
    ],
)
async def test_an_end_by_hand_is_told_too(stand: Stand, changes: list[dict[str, Any]]) -> None:
    await broken(stand)
    for change in changes:
        await stand.store.change_endpoint("ep_1", None, partial(replace, **change))
    failing, recovered = await pair(stand)
    assert recovered == {
        "endpoint": "ep_1",
        "url": (await endpoint(stand)).url,
        "failing_since": failing["failing_since"],
    }
    assert [each.changes.recovered for each in stand.commits if each.changes.recovered] == [["ep_1"]]
    assert stand.store._directory.tallies == {}, "attempts are counted anew"


async def test_an_end_by_a_test_is_told_too_and_once(stand: Stand) -> None:
    await broken(stand)
    draft = stand.draft("hookd.test", origin=Origin.OPERATIONAL, endpoints=("ep_1",), direct=True)
    delivery = (await stand.store.accept(draft)).delivery
    assert delivery is not None
    stand.store.record(stand.result(delivery))
    await stand.store.hasten("ep_1")
    assert len(await pair(stand)) == 2


async def test_an_end_that_nobody_was_told_the_beginning_of_is_not_told(stand: Stand) -> None:
    await stand.endpoint(event_types=("hookd.*", "purchase"))
    for _ in range(FAILURES):
        delivery = await stand.sent("hookd.delivery.failed", origin=Origin.OPERATIONAL)
        await end(stand, delivery)
        await stand.store.cancel(delivery.id, None)
    stand.pass_time(WAIT)
    await end(stand, await stand.sent(), Outcome.SUCCESS)
    assert (await endpoint(stand)).breaker == CLOSED
    assert await told(stand, "hookd.endpoint.recovered") == []


async def test_who_was_told_of_failing_is_told_of_the_end_whatever_delivery_is_its_cause(stand: Stand) -> None:
    await broken(stand)
    stand.pass_time(WAIT)
    (trial,) = await stand.claim()
    event = structs.replace(trial.event, origin=Origin.OPERATIONAL)
    await end(stand, structs.replace(trial, event=event), Outcome.SUCCESS)
    assert len(await pair(stand)) == 2


async def test_one_that_was_told_to_fail_is_told_to_be_disabled_whatever_delivery_is_its_cause(stand: Stand) -> None:
    await broken(stand)
    stand.pass_time(WAIT)
    (trial,) = await stand.claim()
    event = structs.replace(trial.event, origin=Origin.OPERATIONAL)
    await end(stand, structs.replace(trial, event=event), Outcome.HTTP_4XX, status_code=410)
    assert len(await told(stand, "hookd.endpoint.disabled")) == 1
    assert await told(stand, "hookd.endpoint.recovered") == []


PAUSE = "the receiver asked for a pause (Retry-After)"
LIMIT = RateLimit(50, SECOND, 50)


@pytest.mark.parametrize(
    ("state", "blocked_for", "opened_ago", "rate_limit", "reason"),
    [
        (EndpointState.ACTIVE, None, None, None, None),
        (EndpointState.PAUSED, SECOND, SECOND, LIMIT, "the endpoint is paused"),
        (EndpointState.ACTIVE, SECOND, SECOND, LIMIT, "the endpoint keeps failing and is left alone for a while"),
        (EndpointState.ACTIVE, 0, SECOND, LIMIT, "the endpoint keeps failing; one delivery at a time is tried"),
        (EndpointState.ACTIVE, SECOND, None, LIMIT, PAUSE),
        (EndpointState.ACTIVE, 0, None, LIMIT, "it waits for its turn within the endpoint's rate limit of 50/s"),
    ],
)
async def test_what_is_due_and_waits_says_why(  # a row of the table above
    stand: Stand,
    state: EndpointState,
    blocked_for: int | None,
    opened_ago: int | None,
    rate_limit: RateLimit | None,
    reason: str | None,
) -> None:
    blocked_until = None if blocked_for is None else stand.now + blocked_for
    opened_at = None if opened_ago is None else stand.now - opened_ago
    await stand.endpoint(state=state, breaker=Breaker(opened_at, 1, blocked_until), rate_limit=rate_limit)
    await stand.accept()
    (listed,) = await stand.deliveries()
    assert (listed.reason, listed) == (reason, await stand.delivery(listed.id))
    assert (await stand.store.retry(listed.id, None)).reason == reason


async def test_what_is_not_yet_due_waits_for_its_time_alone(stand: Stand) -> None:
    await stand.endpoint()
    await stand.end(await stand.sent(), Outcome.TIMEOUT)
    await stand.store.change_endpoint("ep_1", None, lambda before: replace(before, state=EndpointState.PAUSED))
    assert [each.reason for each in await stand.deliveries()] == [None]
    stand.pass_time(DAY)
    assert [each.reason for each in await stand.deliveries()] == ["the endpoint is paused"]


async def test_deliveries_of_operational_events_cause_none(stand: Stand) -> None:
    await stand.endpoint(event_types=("hookd.*",))
    for _ in range(FAILURES):
        (delivery,) = [await stand.sent("hookd.delivery.failed", origin=Origin.OPERATIONAL)]
        await end(stand, delivery)
        await stand.store.cancel(delivery.id, None)
    assert (await endpoint(stand)).breaker.opened_at is not None
    assert await told(stand, "hookd.endpoint.failing") == []


@pytest.mark.parametrize("status_code", [429, 503])
async def test_a_receiver_that_asks_for_a_pause_gets_it_for_the_whole_lane(stand: Stand, status_code: int) -> None:
    await stand.endpoint()
    for _ in range(3):
        await stand.accept()
    first, second, third = await stand.claim()
    await end(stand, first, Outcome.HTTP_5XX, status_code=status_code, retry_after=60_000)
    await end(stand, second, Outcome.SUCCESS)
    assert (await endpoint(stand)).breaker == Breaker(None, 0, stand.now + 60_000)
    assert "ep_1" in {lane for committed in stand.commits for lane in committed.changes.touched}
    await end(stand, third)
    assert await stand.claim() == []
    stand.pass_time(60_000)
    assert len(await stand.claim()) == 2, "it is no failing: all go on at once"


async def test_no_other_status_pauses_the_lane(stand: Stand) -> None:
    await stand.endpoint()
    for _ in range(2):
        await stand.accept()
    first, _ = await stand.claim()
    await end(stand, first, Outcome.HTTP_5XX, status_code=500, retry_after=60_000)
    assert (await endpoint(stand)).breaker == CLOSED


async def test_a_pause_of_a_century_is_cut(stand: Stand) -> None:
    await stand.endpoint()
    await end(stand, await stand.sent(), Outcome.HTTP_5XX, status_code=503, retry_after=36_500 * DAY)
    assert (await endpoint(stand)).breaker.blocked_until == stand.now + DAY


@pytest.mark.parametrize(
    "change",
    [
        {"url": "https://example.com/moved"},
        {"state": EndpointState.PAUSED},
    ],
)
async def test_what_makes_the_waiting_due_closes_it(stand: Stand, change: dict[str, Any]) -> None:
    await broken(stand)
    await stand.store.change_endpoint("ep_1", None, lambda before: replace(before, **change))
    await stand.store.change_endpoint("ep_1", None, lambda before: replace(before, state=EndpointState.ACTIVE))
    assert (await endpoint(stand)).breaker == CLOSED
    assert len(await stand.claim()) == 5


async def test_a_successful_test_closes_it(stand: Stand) -> None:
    await broken(stand)
    await stand.store.hasten("ep_1")
    assert (await endpoint(stand)).breaker == CLOSED
    assert len(await stand.claim()) == 5


async def test_disabling_forgets_it(stand: Stand) -> None:
    await broken(stand)
    await stand.store.change_endpoint("ep_1", None, lambda before: replace(before, state=EndpointState.DISABLED))
    assert (await endpoint(stand)).breaker == CLOSED


async def test_a_fault_of_the_storage_counts_no_failure_twice(stand: Stand) -> None:
    await stand.endpoint()
    for _ in range(2):
        await end(stand, await stand.sent())
    stand.store._directory.forget()
    assert stand.store._directory.tallies == {}
    await end(stand, await stand.sent())
    assert (await endpoint(stand)).breaker.opened_at == stand.now, "what is on record counts all the same"
