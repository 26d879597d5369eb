"""Endpoints: their changes of state, what these do to what waits, and when one is disabled by itself."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from hookd.errors import Conflict, NotFound
from hookd.model import Endpoint, EndpointState, Origin, Outcome, PreviousSecret, Status
from hookd.store import Page
from tests.nouns import ENDPOINT, NEW_KEY, OLD_KEY
from tests.store.stand import DAY, SCHEDULE, SECOND, Open, Stand, file_of, in_a_file, stand_on
from tests.store.test_encryption import under

GONE = 410


@pytest.fixture(params=["plain", "encrypted"])
def keys(request: pytest.FixtureRequest) -> tuple[bytes, ...]:
    """All that is said of endpoints holds of encrypted ones."""
    return (NEW_KEY, OLD_KEY) if request.param == "encrypted" else ()


@pytest.fixture
def open_in(open_in: Open, keys: tuple[bytes, ...]) -> Open:
    return under(*keys, open_in=open_in)


async def change(stand: Stand, **changes: object) -> Endpoint:
    return await stand.store.change_endpoint("ep_1", None, lambda it: replace(it, **changes))  # type: ignore[arg-type]


async def waiting(stand: Stand) -> str:
    """Leave a delivery to wait for its second attempt; answer its id."""
    delivery = await stand.sent()
    await stand.end(delivery, Outcome.TIMEOUT)
    return delivery.id


async def test_an_endpoint_is_read_as_it_was_made(open_in: Open, tmp_path: Path) -> None:
    made = replace(
        ENDPOINT,
        tenant="a",
        event_types=("b.*", "c"),
        description="ümläut",
        token="token",
        previous_secrets=(PreviousSecret("old", 5),),
        headers={"X-A": "1"},
        max_in_flight=3,
        timeout=4,
        retry=(1, 2),
        metadata={"k": "v"},
        format="cloudevents",
        failing_since=7,
        failing_attempts=8,
    )
    async with stand_on(open_in, tmp_path) as stand:
        await stand.store.create_endpoint(made)
    async with stand_on(open_in, tmp_path) as stand:
        assert await stand.store.endpoint("ep_1", "a") == made
        with pytest.raises(NotFound, match="ep_1"):
            await stand.store.endpoint("ep_1", "b")
        listing = await stand.store.endpoints("a", Page(1))
        assert (list(listing.items), listing.next, listing.previous) == ([made], None, None)
        assert (await stand.store.endpoints("b", Page(1))).items == []


async def test_a_change_that_is_refused_changes_nothing(stand: Stand) -> None:
    made = await stand.endpoint()

    def refuse(_: Endpoint) -> Endpoint:
        raise Conflict("no")

    with pytest.raises(Conflict):
        await stand.store.change_endpoint("ep_1", None, refuse)
    with pytest.raises(NotFound):
        await stand.store.change_endpoint("ep_1", "b", refuse)
    assert await stand.store.endpoint("ep_1", None) == made


async def test_changes_in_one_commit_build_on_each_other(stand: Stand) -> None:
    await stand.endpoint()
    first = stand.store.change_endpoint("ep_1", None, lambda it: replace(it, description=it.description + "a"))
    second = stand.store.change_endpoint("ep_1", None, lambda it: replace(it, description=it.description + "b"))
    assert ((await first).description, (await second).description) == ("a", "ab")
    assert (await stand.store.endpoint("ep_1", None)).description == "ab"


async def test_new_patterns_take_effect_at_once(stand: Stand) -> None:
    await stand.endpoint(event_types=("a",))
    assert [(await stand.accept(kind)).deliveries for kind in ("a", "b")] == [1, 0]
    await change(stand, event_types=("b",))
    assert [(await stand.accept(kind)).deliveries for kind in ("a", "b")] == [0, 1]


async def test_a_claim_sees_the_endpoint_as_it_is_now(stand: Stand) -> None:
    await stand.endpoint()
    await stand.accept()
    await change(stand, headers={"X-New": "1"})
    (delivery,) = await stand.claim()
    assert isinstance(delivery.destination, Endpoint)
    assert delivery.destination.headers == {"X-New": "1"}


@pytest.mark.parametrize(
    "mend",
    [{"url": "https://elsewhere.example/"}, {"state": EndpointState.ACTIVE}],
    ids=["url", "active"],
)
async def test_what_waits_is_due_at_once_when_the_endpoint_was_mended(stand: Stand, mend: dict[str, object]) -> None:
    await stand.endpoint()
    identity = await waiting(stand)
    if "state" in mend:
        await change(stand, state=EndpointState.PAUSED)
        stand.pass_time(SECOND)
        assert await stand.claim() == []
    await change(stand, **mend)
    assert stand.due() == {"ep_1": stand.now}
    assert [delivery.id for delivery in await stand.claim()] == [identity]


async def test_a_change_of_no_consequence_hastens_nothing(stand: Stand) -> None:
    await stand.endpoint()
    identity = await waiting(stand)
    await change(stand, description="new", state=EndpointState.ACTIVE, url=ENDPOINT.url)
    assert (await stand.delivery(identity)).next_attempt_at == stand.now + SCHEDULE[0]


async def test_hasten(stand: Stand) -> None:
    await stand.endpoint()
    identity = await waiting(stand)
    await stand.store.hasten("ep_1")
    assert (await stand.delivery(identity)).next_attempt_at == stand.now


async def test_disabled_what_waits_is_cancelled_with_the_reason(stand: Stand) -> None:
    await stand.endpoint()
    identity = await waiting(stand)
    await change(stand, state=EndpointState.DISABLED, state_reason=None)
    told = await stand.delivery(identity)
    assert (told.status, told.reason) == (Status.CANCELLED, "the endpoint is disabled: by hand")
    assert stand.commits[-1].changes.concluded == {Status.CANCELLED: 1}

    accepted = await stand.accept()
    (made,) = await stand.deliveries(event=accepted.event)
    assert (made.status, made.reason) == (Status.CANCELLED, "the endpoint is disabled: by hand")

    await change(stand, state=EndpointState.ACTIVE, state_reason=None)
    assert await stand.statuses(endpoint="ep_1") == [Status.CANCELLED] * 2
    assert (await stand.store.retry(made.id, None)).status is Status.PENDING


async def test_deleted_what_waits_is_cancelled_and_history_stays(stand: Stand) -> None:
    await stand.endpoint()
    delivered = await stand.sent()
    await stand.end(delivered)
    identity = await waiting(stand)
    await stand.store.delete_endpoint("ep_1", None)
    told = await stand.delivery(identity)
    assert (told.status, told.reason) == (Status.CANCELLED, "the endpoint was deleted")
    assert (await stand.delivery(delivered.id)).status is Status.DELIVERED
    assert len(await stand.attempts(delivered.id)) == 1
    with pytest.raises(NotFound):
        await stand.store.endpoint("ep_1", None)
    with pytest.raises(NotFound):
        await stand.store.delete_endpoint("ep_1", None)
    assert (await stand.accept()).deliveries == 0


async def test_only_its_own_tenant_deletes_an_endpoint(stand: Stand) -> None:
    await stand.endpoint(tenant="a")
    with pytest.raises(NotFound):
        await stand.store.delete_endpoint("ep_1", "b")
    await stand.store.delete_endpoint("ep_1", "a")


def everything_in(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.iterdir())


@in_a_file
async def test_deleting_erases_the_secrets(stand: Stand, tmp_path: Path) -> None:
    secrets = {"secret": "whsec_find-me-if-you-can-1", "token": "find-me-if-you-can-2"}
    await stand.endpoint(**secrets, previous_secrets=(PreviousSecret("find-me-if-you-can-3", 5),))
    await stand.store.delete_endpoint("ep_1", None)
    await file_of(stand.store).writer.run(lambda raw: raw.execute("PRAGMA wal_checkpoint(TRUNCATE)"))
    assert b"find-me" not in everything_in(tmp_path)


# Disabled by itself.


async def test_410_disables_and_cancels_what_waits(stand: Stand) -> None:
    await stand.endpoint(tenant="a")
    await stand.endpoint("ep_watch", tenant="a", event_types=("hookd.endpoint.disabled",))
    other = await stand.sent(tenant="a")
    await stand.end(other, Outcome.TIMEOUT)
    delivery = await stand.sent(tenant="a")
    await stand.end(delivery, Outcome.HTTP_4XX, status_code=GONE)

    endpoint = await stand.store.endpoint("ep_1", None)
    assert (endpoint.state, endpoint.state_reason) == (EndpointState.DISABLED, "the receiver answered 410 Gone")
    assert endpoint.state_since == stand.now
    assert (await stand.delivery(delivery.id)).status is Status.FAILED
    assert (await stand.delivery(other.id)).status is Status.CANCELLED
    (told,) = await stand.deliveries(type="hookd.endpoint.disabled")
    assert (told.endpoint, told.tenant) == ("ep_watch", "a")
    event = await stand.store.event(told.event, "a")
    assert event.origin is Origin.OPERATIONAL
    assert json.loads(event.payload)["endpoint"] == "ep_1"


async def test_disabled_by_hand_is_told_too(stand: Stand) -> None:
    await stand.endpoint(tenant="a")
    await change(stand, state=EndpointState.DISABLED)
    assert await stand.types() == ["hookd.endpoint.disabled"]


async def fail(stand: Stand, times: int, *, over: int, outcome: Outcome = Outcome.TIMEOUT) -> None:
    """Make so many attempts, one event each, evenly over some time."""
    for _ in range(times):
        delivery = await stand.sent()
        await stand.end(delivery, outcome, schedule=())
        stand.pass_time(over // (times - 1) if times > 1 else 0)


async def state(stand: Stand) -> EndpointState:
    return (await stand.store.endpoint("ep_1", None)).state


async def test_ten_failures_over_five_days_disable(stand: Stand) -> None:
    await stand.endpoint()
    await fail(stand, 9, over=5 * DAY)
    assert await state(stand) is EndpointState.ACTIVE
    await fail(stand, 1, over=0)
    endpoint = await stand.store.endpoint("ep_1", None)
    assert endpoint.state is EndpointState.DISABLED
    assert endpoint.state_reason is not None
    assert endpoint.state_reason.startswith("no success in 10 attempts over 5d; last: ")


async def test_many_failures_in_a_shorter_time_do_not_disable(stand: Stand) -> None:
    await stand.endpoint()
    await fail(stand, 20, over=5 * DAY - 1)
    assert await state(stand) is EndpointState.ACTIVE


async def test_one_success_begins_the_count_anew(stand: Stand) -> None:
    await stand.endpoint()
    await fail(stand, 9, over=6 * DAY)
    await fail(stand, 1, over=0, outcome=Outcome.SUCCESS)
    endpoint = await stand.store.endpoint("ep_1", None)
    assert (endpoint.failing_since, endpoint.failing_attempts) == (None, 0)
    await fail(stand, 9, over=6 * DAY)
    assert await state(stand) is EndpointState.ACTIVE


async def test_a_success_counts_though_its_attempt_began_before_the_failure(stand: Stand) -> None:
    await stand.endpoint()
    first, second = await stand.sent(), await stand.sent()
    await stand.end(first, Outcome.TIMEOUT)
    await stand.end(second)
    assert (await stand.store.endpoint("ep_1", None)).failing_since is None


async def test_endpoints_fail_independently(stand: Stand) -> None:
    await stand.endpoint(event_types=("a",))
    await stand.endpoint("ep_2", event_types=("b",))
    for _ in range(10):
        bad, good = await stand.sent("a"), await stand.sent("b")
        await stand.end(bad, Outcome.TIMEOUT, schedule=())
        await stand.end(good)
        stand.pass_time(DAY)
    assert await state(stand) is EndpointState.DISABLED
    assert (await stand.store.endpoint("ep_2", None)).state is EndpointState.ACTIVE


async def test_failures_in_one_commit_are_all_counted(stand: Stand) -> None:
    await stand.endpoint()
    claimed = [await stand.sent() for _ in range(10)]
    stand.store.record(stand.result(claimed[0], Outcome.TIMEOUT))
    await stand.settle()
    stand.pass_time(5 * DAY)
    for delivery in claimed[1:]:
        stand.store.record(stand.result(delivery, Outcome.TIMEOUT))
    await stand.settle()
    assert await state(stand) is EndpointState.DISABLED
    assert (await stand.types()).count("hookd.endpoint.disabled") == 1
    assert set(await stand.statuses(endpoint="ep_1")) == {Status.CANCELLED}


async def test_active_again_the_count_begins_anew(stand: Stand) -> None:
    await stand.endpoint()
    await fail(stand, 10, over=5 * DAY + 9)
    assert await state(stand) is EndpointState.DISABLED
    await change(stand, state=EndpointState.ACTIVE, state_reason=None)
    await fail(stand, 1, over=0)
    assert await state(stand) is EndpointState.ACTIVE


async def test_an_operational_delivery_can_disable_its_endpoint_and_tells_nobody(stand: Stand) -> None:
    await stand.endpoint(event_types=("hookd.*",))
    delivery = await stand.sent("hookd.delivery.failed", origin=Origin.OPERATIONAL)
    await stand.end(delivery, Outcome.HTTP_4XX, status_code=GONE)
    assert await state(stand) is EndpointState.DISABLED
    assert await stand.types() == ["hookd.delivery.failed"]
