"""Every edge of the delivery's state machine, with the attempt numbers."""

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from hookd.errors import Conflict, NotFound
from hookd.model import Endpoint, EndpointState, Handler, Origin, Outcome, Status
from tests.store.stand import SCHEDULE, Open, Stand, stand_on

GONE = 410


def disabled(endpoint: Endpoint) -> Endpoint:
    return replace(endpoint, state=EndpointState.DISABLED, state_reason="by hand")


def concluded(stand: Stand) -> Counter[Status]:
    """Count what has ended since the store was opened, as the metrics do."""
    return sum((committed.changes.concluded for committed in stand.commits), Counter())


async def test_pending_sending_delivered(stand: Stand) -> None:
    await stand.endpoint()
    delivery = await stand.sent()
    assert (await stand.delivery(delivery.id)).status is Status.SENDING
    await stand.end(delivery)
    told = await stand.delivery(delivery.id)
    assert (told.status, told.attempt_count, told.next_attempt_at, told.reason) == (Status.DELIVERED, 1, None, None)
    assert stand.commits[-1].changes.concluded == {Status.DELIVERED: 1}


async def test_a_failure_waits_for_its_time(stand: Stand) -> None:
    await stand.endpoint()
    delivery = await stand.sent()
    await stand.end(delivery, Outcome.HTTP_5XX, status_code=500, error="answered 500")
    told = await stand.delivery(delivery.id)
    assert (told.status, told.next_attempt_at) == (Status.PENDING, stand.now + SCHEDULE[0])
    assert (told.attempt_count, told.last_error) == (1, "answered 500")
    assert stand.due() == {"ep_1": stand.now + SCHEDULE[0]}

    stand.pass_time(SCHEDULE[0] - 1)
    assert await stand.claim() == []
    stand.pass_time(1)
    (again,) = await stand.claim()
    assert (again.id, again.attempt_count, again.step) == (delivery.id, 1, 1)


async def test_the_schedule_comes_to_an_end(stand: Stand) -> None:
    await stand.endpoint()
    delivery = await stand.sent()
    for wait in SCHEDULE:
        await stand.end(delivery, Outcome.TIMEOUT)
        stand.pass_time(wait)
        (delivery,) = await stand.claim()
    await stand.end(delivery, Outcome.TIMEOUT)
    told = await stand.delivery(delivery.id)
    assert (told.status, told.reason) == (Status.FAILED, "all 3 attempts of the schedule failed")
    assert [attempt.number for attempt in await stand.attempts(delivery.id)] == [1, 2, 3]


async def test_an_attempt_is_read_as_it_was_recorded(stand: Stand) -> None:
    await stand.endpoint()
    delivery = await stand.sent()
    result = stand.result(
        delivery,
        Outcome.HTTP_4XX,
        status_code=418,
        error="answered 418",
        request_headers={"webhook-id": "evt"},
        response_headers={"set-cookie": "***"},
        response_body=b"\x00\xff",
        truncated=True,
    )
    stand.store.record(result)
    await stand.settle()
    assert await stand.attempts(delivery.id) == [result.attempt]


# Cancelling.


async def test_what_waits_is_cancelled(stand: Stand) -> None:
    await stand.endpoint()
    accepted = await stand.accept()
    (waiting,) = await stand.deliveries(event=accepted.event)
    told = await stand.store.cancel(waiting.id, None)
    assert (told.status, told.reason) == (Status.CANCELLED, "cancelled by hand")
    assert stand.commits[-1].changes.concluded == {Status.CANCELLED: 1}
    assert await stand.claim() == []


@pytest.mark.parametrize(
    ("outcome", "status"), [(Outcome.SUCCESS, Status.DELIVERED), (Outcome.HTTP_5XX, Status.CANCELLED)]
)
async def test_cancelled_while_sending_a_success_wins(stand: Stand, outcome: Outcome, status: Status) -> None:
    await stand.endpoint()
    delivery = await stand.sent()
    told = await stand.store.cancel(delivery.id, None)
    assert told.status is Status.SENDING
    await stand.end(delivery, outcome)
    told = await stand.delivery(delivery.id)
    assert (told.status, told.attempt_count) == (status, 1)
    assert told.reason == (None if status is Status.DELIVERED else "cancelled by hand")
    assert stand.commits[-1].changes.concluded == {status: 1}
    assert stand.due() == {}


async def test_cancelled_in_its_last_attempt_it_is_no_dead_letter(stand: Stand) -> None:
    await stand.endpoint()
    delivery = await stand.sent()
    await stand.store.cancel(delivery.id, None)
    await stand.end(delivery, Outcome.TIMEOUT, schedule=())
    assert (await stand.delivery(delivery.id)).status is Status.CANCELLED
    assert stand.commits[-1].changes.concluded == {Status.CANCELLED: 1}
    assert await stand.types() == ["purchase"]


async def test_what_has_ended_can_not_be_cancelled(stand: Stand) -> None:
    await stand.endpoint()
    delivered, failed = await stand.sent(), await stand.sent()
    await stand.end(delivered)
    await stand.end(failed, Outcome.TIMEOUT, schedule=())
    for each, status in ((delivered, "delivered"), (failed, "failed")):
        with pytest.raises(Conflict, match=status):
            await stand.store.cancel(each.id, None)


async def test_cancelling_twice_changes_nothing(stand: Stand) -> None:
    await stand.endpoint()
    await stand.accept()
    (waiting,) = await stand.deliveries()
    assert await stand.store.cancel(waiting.id, None) == await stand.store.cancel(waiting.id, None)


@pytest.mark.parametrize(
    ("outcome", "status"), [(Outcome.SUCCESS, Status.DELIVERED), (Outcome.HTTP_5XX, Status.CANCELLED)]
)
async def test_the_endpoint_disabled_while_sending(stand: Stand, outcome: Outcome, status: Status) -> None:
    await stand.endpoint()
    delivery = await stand.sent()
    await stand.store.change_endpoint("ep_1", None, disabled)
    await stand.end(delivery, outcome)
    told = await stand.delivery(delivery.id)
    assert told.status is status
    assert told.reason == (None if status is Status.DELIVERED else "the endpoint is disabled: by hand")


@pytest.mark.parametrize(
    ("outcome", "status"), [(Outcome.SUCCESS, Status.DELIVERED), (Outcome.HTTP_5XX, Status.CANCELLED)]
)
async def test_the_endpoint_deleted_while_sending(stand: Stand, outcome: Outcome, status: Status) -> None:
    await stand.endpoint()
    delivery = await stand.sent()
    await stand.store.delete_endpoint("ep_1", None)
    await stand.end(delivery, outcome)
    told = await stand.delivery(delivery.id)
    assert told.status is status
    assert told.reason == (None if status is Status.DELIVERED else "the endpoint was deleted")


async def test_disabled_and_mended_while_sending_it_is_cancelled_all_the_same(stand: Stand) -> None:
    await stand.endpoint()
    delivery = await stand.sent()
    await stand.store.change_endpoint("ep_1", None, disabled)
    await stand.store.change_endpoint("ep_1", None, lambda it: replace(it, state=EndpointState.ACTIVE))
    await stand.end(delivery, Outcome.TIMEOUT)
    assert (await stand.delivery(delivery.id)).status is Status.CANCELLED


# Retrying.


async def ended(stand: Stand, status: Status) -> str:
    """Bring a delivery to a status, by one attempt where that takes one; answer its id."""
    if status is Status.CANCELLED:
        await stand.accept()
        (waiting,) = await stand.deliveries()
        return (await stand.store.cancel(waiting.id, None)).id
    delivery = await stand.sent()
    outcome = Outcome.SUCCESS if status is Status.DELIVERED else Outcome.TIMEOUT
    await stand.end(delivery, outcome, schedule=() if status is Status.FAILED else SCHEDULE)
    return delivery.id


@pytest.mark.parametrize("status", [Status.DELIVERED, Status.FAILED, Status.CANCELLED, Status.PENDING])
async def test_retry_begins_the_schedule_anew(stand: Stand, status: Status) -> None:
    await stand.endpoint()
    identity = await ended(stand, status)
    before = await stand.delivery(identity)
    assert before.status is status

    told = await stand.store.retry(identity, None)

    assert (told.status, told.reason, told.next_attempt_at) == (Status.PENDING, None, stand.now)
    assert stand.due() == {"ep_1": stand.now}
    (again,) = await stand.claim()
    assert (again.attempt_count, again.step) == (before.attempt_count, 0)
    await stand.end(again)
    assert [each.number for each in await stand.attempts(identity)] == list(range(1, before.attempt_count + 2))
    assert len(await stand.deliveries()) == 1, "it is the same row"


async def test_retry_while_sending_is_refused(stand: Stand) -> None:
    await stand.endpoint()
    delivery = await stand.sent()
    with pytest.raises(Conflict, match="being sent"):
        await stand.store.retry(delivery.id, None)


async def test_retry_on_a_disabled_endpoint_is_refused_with_the_reason(stand: Stand) -> None:
    await stand.endpoint()
    identity = await ended(stand, Status.FAILED)
    await stand.store.change_endpoint("ep_1", None, disabled)
    with pytest.raises(Conflict, match="ep_1 is disabled: by hand"):
        await stand.store.retry(identity, None)
    assert (await stand.delivery(identity)).status is Status.FAILED


async def test_retry_for_a_deleted_endpoint_is_refused(stand: Stand) -> None:
    await stand.endpoint()
    identity = await ended(stand, Status.FAILED)
    await stand.store.delete_endpoint("ep_1", None)
    with pytest.raises(Conflict, match="does not exist"):
        await stand.store.retry(identity, None)


async def test_other_tenants_see_nothing_of_a_delivery(stand: Stand) -> None:
    await stand.endpoint(tenant="a")
    await stand.accept(tenant="a")
    (waiting,) = await stand.deliveries()
    for ask in (stand.store.retry, stand.store.cancel, stand.store.delivery):
        with pytest.raises(NotFound, match=waiting.id):
            await ask(waiting.id, "b")
        await ask(waiting.id, "a")


async def test_released_it_is_sent_again_under_the_same_number(stand: Stand) -> None:
    await stand.endpoint()
    delivery = await stand.sent()
    stand.store.release([delivery])
    await stand.store.flush()
    assert (await stand.delivery(delivery.id)).status is Status.PENDING
    assert stand.due() == {"ep_1": stand.now}
    (again,) = await stand.claim()
    assert (again.id, again.attempt_count, again.step) == (delivery.id, 0, 0)


async def test_released_after_it_was_cancelled_it_is_cancelled(stand: Stand) -> None:
    await stand.endpoint()
    delivery = await stand.sent()
    await stand.store.cancel(delivery.id, None)
    stand.store.release([delivery])
    await stand.store.flush()
    told = await stand.delivery(delivery.id)
    assert (told.status, told.reason) == (Status.CANCELLED, "cancelled by hand")
    assert concluded(stand) == {Status.CANCELLED: 1}


# Crashes: what was sending when the process died.


async def test_after_a_crash_it_is_sent_again_under_the_same_number(open_in: Open, tmp_path: Path) -> None:
    async with stand_on(open_in, tmp_path) as stand:
        await stand.endpoint()
        delivery = await stand.sent()
        await stand.end(delivery, Outcome.TIMEOUT)
        stand.pass_time(SCHEDULE[0])
        await stand.claim()
        await stand.die()
    async with stand_on(open_in, tmp_path, stand.clock) as stand:
        await stand.recover()
        assert stand.due() == {"ep_1": stand.now}
        (again,) = await stand.claim()
        assert (again.id, again.attempt_count, again.step) == (delivery.id, 1, 1)


async def test_cancelled_before_a_crash_it_is_cancelled_after(open_in: Open, tmp_path: Path) -> None:
    async with stand_on(open_in, tmp_path) as stand:
        await stand.endpoint()
        delivery = await stand.sent()
        await stand.store.cancel(delivery.id, None)
        await stand.die()
    async with stand_on(open_in, tmp_path) as stand:
        await stand.recover()
        told = await stand.delivery(delivery.id)
        assert (told.status, told.reason) == (Status.CANCELLED, "cancelled by hand")
        assert concluded(stand) == {Status.CANCELLED: 1}


HANDLER = Handler("invite", ("automator.*",), "log:hello")


async def test_a_test_of_a_disabled_endpoint_does_not_wait_after_a_crash(open_in: Open, tmp_path: Path) -> None:
    async with stand_on(open_in, tmp_path) as stand:
        await stand.endpoint(state=EndpointState.DISABLED, state_reason="by hand")
        await stand.accept("hookd.test", origin=Origin.OPERATIONAL, endpoints=("ep_1",), direct=True)
        await stand.die()
    async with stand_on(open_in, tmp_path) as stand:
        await stand.recover()
        (told,) = await stand.deliveries()
        assert (told.status, told.reason) == (Status.CANCELLED, "the endpoint is disabled: by hand")


async def crash(open_in: Open, folder: Path, times: int) -> list[Status]:
    """Let a handler run in so many crashes, and answer what became of its delivery after each."""
    statuses = []
    async with stand_on(open_in, folder) as stand:
        await stand.handlers(HANDLER)
        await stand.accept("automator.purchase", origin=Origin.INBOUND, tenant="a")
        await stand.claim(HANDLER.id)
        await stand.die()
    for _ in range(times):
        async with stand_on(open_in, folder) as stand:
            await stand.recover(HANDLER)
            statuses += await stand.statuses(endpoint=HANDLER.id)
            await stand.claim(HANDLER.id)
            await stand.die()
    return statuses


async def test_a_start_tells_of_what_a_crash_interrupted(
    open_in: Open, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    await crash(open_in, tmp_path, 3)
    told = [(record.getMessage(), vars(record)["fields"]) for record in caplog.records]
    assert [each for each in told if each[0] != "took over from a process that died"] == [
        *[("deliveries that were interrupted are made again", {"count": 1})] * 2,
        ("a delivery was given up", await given_up(open_in, tmp_path)),
    ]


async def given_up(open_in: Open, folder: Path) -> dict[str, str]:
    """Answer what has to be said of the handler's delivery."""
    async with stand_on(open_in, folder) as stand:
        (dead,) = await stand.deliveries(endpoint=HANDLER.id)
        return {
            "delivery": dead.id,
            "event": dead.event,
            "type": dead.type,
            "endpoint": HANDLER.id,
            "reason": "the handler was running in 3 crashes",
        }


async def test_a_handler_that_ran_in_three_crashes_is_a_dead_letter(open_in: Open, tmp_path: Path) -> None:
    assert await crash(open_in, tmp_path, 3) == [Status.PENDING, Status.PENDING, Status.FAILED]
    async with stand_on(open_in, tmp_path) as stand:
        (dead,) = await stand.deliveries(endpoint=HANDLER.id)
        assert dead.reason == "the handler was running in 3 crashes"
        assert (await stand.types())[1:] == ["hookd.delivery.failed"]


async def test_an_attempt_that_ended_clears_a_handlers_crashes(open_in: Open, tmp_path: Path) -> None:
    await crash(open_in, tmp_path, 2)
    async with stand_on(open_in, tmp_path) as stand:
        (waiting,) = await stand.deliveries(endpoint=HANDLER.id)
        await stand.recover(HANDLER)
        assert (await stand.delivery(waiting.id)).status is Status.FAILED
        assert concluded(stand) == {Status.FAILED: 1}
        await stand.store.retry(waiting.id, None)
        (delivery,) = await stand.claim(HANDLER.id)
        await stand.end(delivery, Outcome.HANDLER_ERROR)
        stand.pass_time(SCHEDULE[0])
        await stand.claim(HANDLER.id)
        await stand.die()
    async with stand_on(open_in, tmp_path) as stand:
        await stand.recover(HANDLER)
        assert (await stand.delivery(waiting.id)).status is Status.PENDING


async def test_an_endpoint_may_be_sent_to_in_any_number_of_crashes(open_in: Open, tmp_path: Path) -> None:
    async with stand_on(open_in, tmp_path) as stand:
        await stand.endpoint()
        await stand.accept()
    for _ in range(4):
        async with stand_on(open_in, tmp_path) as stand:
            await stand.recover()
            assert await stand.statuses() == [Status.PENDING]
            (delivery,) = await stand.claim()
            assert delivery.attempt_count == 0
            await stand.die()


async def test_what_waits_for_a_handler_that_is_gone_is_cancelled(stand: Stand) -> None:
    await stand.handlers(HANDLER)
    await stand.accept("automator.purchase", origin=Origin.INBOUND)
    assert await stand.handlers(HANDLER) == []
    assert await stand.handlers() == [HANDLER.id]
    (told,) = await stand.deliveries()
    assert (told.status, told.reason) == (Status.CANCELLED, "the handler was taken out of the configuration")


@pytest.mark.parametrize(
    ("outcome", "status"), [(Outcome.SUCCESS, Status.DELIVERED), (Outcome.HANDLER_ERROR, Status.CANCELLED)]
)
async def test_a_handler_taken_out_while_it_runs(stand: Stand, outcome: Outcome, status: Status) -> None:
    await stand.handlers(HANDLER)
    await stand.accept("automator.purchase", origin=Origin.INBOUND)
    (delivery,) = await stand.claim(HANDLER.id)
    assert await stand.handlers() == [HANDLER.id]
    await stand.end(delivery, outcome)
    assert await stand.statuses() == [status]


async def test_a_handler_taken_out_after_a_crash_gets_nothing_more(open_in: Open, tmp_path: Path) -> None:
    async with stand_on(open_in, tmp_path) as stand:
        await stand.handlers(HANDLER)
        await stand.accept("automator.purchase", origin=Origin.INBOUND)
        await stand.claim(HANDLER.id)
        await stand.die()
    async with stand_on(open_in, tmp_path) as stand:
        assert await stand.recover() == [HANDLER.id]
        assert await stand.statuses() == [Status.CANCELLED]


# What follows from a failure.


async def test_a_dead_letter_is_told_to_its_tenant(stand: Stand) -> None:
    await stand.endpoint(tenant="a")
    await stand.endpoint("ep_watch", tenant="a", event_types=("hookd.*",))
    await stand.endpoint("ep_other", tenant="b", event_types=("hookd.*",))
    delivery = await stand.sent(tenant="a")
    await stand.end(delivery, Outcome.TIMEOUT, schedule=(), error="no answer")

    (told,) = await stand.deliveries(type="hookd.delivery.failed")
    assert (told.endpoint, told.tenant) == ("ep_watch", "a")
    event = await stand.store.event(told.event, "a")
    assert event.origin is Origin.OPERATIONAL
    assert json.loads(event.payload) == {
        "delivery": delivery.id,
        "event": delivery.event.id,
        "event_type": "purchase",
        "endpoint": "ep_1",
        "attempt_count": 1,
        "reason": "the only attempt of the schedule failed",
        "last_error": "no answer",
    }


async def test_the_failure_of_an_operational_delivery_causes_no_other(stand: Stand) -> None:
    await stand.endpoint(event_types=("hookd.*",))
    delivery = await stand.sent("hookd.delivery.failed", origin=Origin.OPERATIONAL)
    await stand.end(delivery, Outcome.TIMEOUT, schedule=())
    assert await stand.statuses() == [Status.FAILED]
    assert await stand.types() == ["hookd.delivery.failed"]
