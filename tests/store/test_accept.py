"""Accepting: dedupe, fan-out, and what a delivery begins as."""

import asyncio

import pytest

from hookd.errors import Conflict, InvalidInput
from hookd.model import EndpointState, Handler, Origin, Status
from hookd.store import Key, KeyKind
from tests.store.stand import DEDUPE, Stand


async def test_an_event_goes_once_to_every_subscriber(stand: Stand) -> None:
    wanted = {f"ep_{number}" for number in range(40)}
    for identity in wanted:
        await stand.endpoint(identity, event_types=("purchase", "*", "other"))

    accepted = await stand.accept()

    made = await stand.deliveries(event=accepted.event)
    assert accepted.deliveries == len(wanted)
    assert sorted(each.endpoint for each in made) == sorted(wanted)


@pytest.mark.parametrize(
    ("patterns", "matched"),
    [
        (("a.b",), True),
        (("a.*",), True),
        (("*",), True),
        (("a",), False),
        (("a.b.*",), False),
        (("A.b",), False),
        (("b.*", "a.b"), True),
        ((), False),
    ],
)
async def test_patterns_choose(stand: Stand, patterns: tuple[str, ...], matched: bool) -> None:
    await stand.endpoint(event_types=patterns)
    assert (await stand.accept("a.b")).deliveries == matched


@pytest.mark.parametrize("origin", [Origin.INBOUND, Origin.OPERATIONAL])
async def test_what_was_not_published_goes_to_those_who_name_its_prefix(stand: Stand, origin: Origin) -> None:
    await stand.endpoint("ep_all", event_types=("*",))
    await stand.endpoint("ep_prefix", event_types=("source.*",))
    accepted = await stand.accept("source.thing", origin=origin)
    assert [each.endpoint for each in await stand.deliveries(event=accepted.event)] == ["ep_prefix"]


@pytest.mark.parametrize(("tenant", "reached"), [(None, "ep_none"), ("a", "ep_a"), ("b", "ep_b")])
async def test_tenants_match_exactly(stand: Stand, tenant: str | None, reached: str) -> None:
    for name in (None, "a", "b"):
        await stand.endpoint(f"ep_{name}".lower(), tenant=name)
    accepted = await stand.accept(tenant=tenant)
    assert [each.endpoint for each in await stand.deliveries(event=accepted.event)] == [reached]


async def test_handlers_get_what_they_name(stand: Stand) -> None:
    await stand.handlers(Handler("a", ("source.*",), "log:a"), Handler("b", ("other",), "log:b"))
    accepted = await stand.accept("source.thing", origin=Origin.INBOUND, tenant="a")
    assert [each.endpoint for each in await stand.deliveries(event=accepted.event)] == ["handler:a"]


async def test_named_endpoints_get_what_they_do_not_subscribe_to(stand: Stand) -> None:
    await stand.endpoint("ep_1", event_types=("other",))
    await stand.endpoint("ep_2")
    accepted = await stand.accept(endpoints=("ep_1",))
    assert [each.endpoint for each in await stand.deliveries(event=accepted.event)] == ["ep_1"]


async def test_an_endpoint_named_twice_gets_one_delivery(stand: Stand) -> None:
    await stand.endpoint()
    assert (await stand.accept(endpoints=("ep_1", "ep_1"))).deliveries == 1


@pytest.mark.parametrize("named", ["ep_other", "ep_missing", "handler:a"])
async def test_naming_an_endpoint_crosses_no_tenants(stand: Stand, named: str) -> None:
    await stand.handlers(Handler("a", ("*",), "log:a"))
    await stand.endpoint("ep_other", tenant="other")
    with pytest.raises(InvalidInput, match="#/endpoints/0"):
        await stand.accept(endpoints=(named,))
    assert await stand.types() == []


async def test_naming_a_disabled_endpoint_makes_a_cancelled_delivery(stand: Stand) -> None:
    await stand.endpoint(state=EndpointState.DISABLED, state_reason="by hand")
    accepted = await stand.accept(endpoints=("ep_1",))
    (made,) = await stand.deliveries(event=accepted.event)
    assert (made.status, made.reason) == (Status.CANCELLED, "the endpoint is disabled: by hand")


async def test_a_paused_endpoint_gets_deliveries_that_wait(stand: Stand) -> None:
    await stand.endpoint(state=EndpointState.PAUSED)
    stand.store.room = stand.lanes
    await stand.accept()
    assert await stand.statuses() == [Status.PENDING]
    assert await stand.claim() == []


async def test_a_new_delivery_is_handed_over_already_claimed(stand: Stand) -> None:
    await stand.endpoint()
    stand.store.room = stand.lanes
    accepted = await stand.accept(payload=b'{"b": 1, "a": \x00\xff}')
    (claimed,) = stand.commits[-1].changes.claimed
    assert claimed.event.payload == b'{"b": 1, "a": \x00\xff}'
    assert (claimed.event.id, claimed.attempt_count) == (accepted.event, 0)
    assert await stand.statuses() == [Status.SENDING]
    assert stand.lanes.in_flight == 1


async def test_a_full_lane_leaves_the_delivery_to_wait(stand: Stand) -> None:
    await stand.endpoint(max_in_flight=1)
    stand.store.room = stand.lanes
    await stand.accept()
    await stand.accept()
    assert await stand.statuses() == [Status.SENDING, Status.PENDING]
    assert stand.due() == {"ep_1": stand.now}


async def test_a_direct_event_is_claimed_whatever_the_state(stand: Stand) -> None:
    await stand.endpoint(state=EndpointState.DISABLED, state_reason="by hand")
    accepted = await stand.accept("hookd.test", origin=Origin.OPERATIONAL, endpoints=("ep_1",), direct=True)
    assert accepted.delivery is not None
    assert await stand.statuses() == [Status.SENDING]


# Dedupe.

ID = Key(KeyKind.PRODUCER_ID, "", "order-1")
HEADER = Key(KeyKind.IDEMPOTENCY_KEY, "", "order-1")
INBOUND = Key(KeyKind.INBOUND_ID, "shop", "order-1")


@pytest.mark.parametrize("key", [ID, HEADER, INBOUND])
async def test_the_same_again_gets_the_first_answer(stand: Stand, key: Key) -> None:
    await stand.endpoint()
    first = await stand.accept(keys=(key,), digest=b"1")
    second = await stand.accept(keys=(key,), digest=b"1")
    assert (second.event, second.deliveries, second.repeated) == (first.event, 1, True)
    assert len(await stand.types()) == len(await stand.deliveries()) == 1


@pytest.mark.parametrize("key", [ID, HEADER, INBOUND])
async def test_repeats_in_one_commit_wait_for_the_first(stand: Stand, key: Key) -> None:
    await stand.endpoint()
    answers = await asyncio.gather(*(stand.accept(keys=(key,), digest=b"1") for _ in range(20)))
    assert len({answer.event for answer in answers}) == 1
    assert [answer.repeated for answer in answers] == [False] + [True] * 19
    assert len(await stand.types()) == len(await stand.deliveries()) == 1


@pytest.mark.parametrize(("key", "error"), [(ID, Conflict), (HEADER, InvalidInput)])
@pytest.mark.parametrize("together", [True, False])
async def test_a_key_with_other_content_is_refused(
    stand: Stand, key: Key, error: type[Exception], together: bool
) -> None:
    first, second = (stand.draft(keys=(key,), digest=digest) for digest in (b"1", b"2"))
    kept = stand.store.accept(first)
    if not together:
        await kept
    with pytest.raises(error, match="order-1"):
        await stand.store.accept(second)
    assert (await kept).event == first.event.id
    assert len(await stand.types()) == 1


async def test_one_of_two_keys_with_other_content_is_enough_to_refuse(stand: Stand) -> None:
    await stand.accept(keys=(ID,), digest=b"1")
    await stand.accept(keys=(HEADER,), digest=b"2")
    with pytest.raises(InvalidInput, match="already used with other content"):
        await stand.accept(keys=(ID, HEADER), digest=b"1")
    with pytest.raises(Conflict, match="already published with other content"):
        await stand.accept(keys=(ID, HEADER), digest=b"2")


@pytest.mark.parametrize("together", [True, False])
async def test_a_key_that_came_with_a_repetition_stands_for_the_first_answer_too(stand: Stand, together: bool) -> None:
    first, again, later = (stand.draft(keys=keys, digest=b"1") for keys in ((ID,), (ID, HEADER), (HEADER,)))
    asked = [stand.store.accept(draft) for draft in (first, again, later)] if together else []
    answers = [await answer for answer in asked] or [await stand.store.accept(draft) for draft in (first, again, later)]
    assert [(answer.event, answer.repeated) for answer in answers] == [
        (first.event.id, False),
        (first.event.id, True),
        (first.event.id, True),
    ]
    with pytest.raises(InvalidInput, match="already used with other content"):
        await stand.accept(keys=(HEADER,), digest=b"2")


async def test_an_id_that_came_with_a_repeated_key_is_still_free(stand: Stand) -> None:
    first = await stand.accept(keys=(HEADER,), digest=b"1")
    assert (await stand.accept(keys=(ID, HEADER), digest=b"1")).event == first.event
    assert not (await stand.accept(keys=(ID,), digest=b"1")).repeated


async def test_an_inbound_id_is_enough_whatever_the_content(stand: Stand) -> None:
    first = await stand.accept(keys=(INBOUND,), payload=b"1")
    assert (await stand.accept(keys=(INBOUND,), payload=b"2")).event == first.event


async def test_keys_of_different_owners_and_kinds_are_different(stand: Stand) -> None:
    keys = [ID, HEADER, INBOUND, ID._replace(owner="a"), HEADER._replace(owner="a"), INBOUND._replace(owner="a")]
    for number, key in enumerate(keys):
        assert not (await stand.accept(keys=(key,), digest=str(number).encode())).repeated
    assert len(await stand.types()) == len(keys)


async def test_a_key_expires(stand: Stand) -> None:
    await stand.accept(keys=(ID,), digest=b"1")
    stand.pass_time(DEDUPE)
    assert (await stand.accept(keys=(ID,), digest=b"1")).repeated
    stand.pass_time(1)
    assert not (await stand.accept(keys=(ID,), digest=b"2")).repeated
    assert (await stand.accept(keys=(ID,), digest=b"2")).repeated


async def test_upkeep_forgets_expired_keys_and_no_others(stand: Stand) -> None:
    await stand.accept(keys=(ID,), digest=b"1")
    stand.pass_time(1)
    await stand.accept(keys=(HEADER,), digest=b"1")
    stand.pass_time(DEDUPE)
    await stand.store.expire_keys()
    stand.pass_time(-DEDUPE)
    assert not (await stand.accept(keys=(ID,), digest=b"2")).repeated
    assert (await stand.accept(keys=(HEADER,), digest=b"1")).repeated


async def test_a_refused_event_leaves_no_key_behind(stand: Stand) -> None:
    with pytest.raises(InvalidInput):
        await stand.accept(keys=(ID,), digest=b"1", endpoints=("ep_missing",))
    assert not (await stand.accept(keys=(ID,), digest=b"2")).repeated


async def test_many_events_at_once_keep_their_bytes_and_their_deliveries(stand: Stand) -> None:
    await stand.endpoint("ep_1")
    await stand.endpoint("ep_2")
    payloads = [bytes([number % 256]) * (number % 7) for number in range(1500)]
    answers = await asyncio.gather(*(stand.accept(payload=payload) for payload in payloads))
    assert len({answer.event for answer in answers}) == len(payloads)
    for number in (0, 1, 1023, 1024, 1499):
        answer = answers[number]
        assert (await stand.store.event(answer.event, None)).payload == payloads[number]
        assert len(await stand.deliveries(event=answer.event)) == 2


async def test_upkeep_forgets_all_that_has_expired_however_much(stand: Stand) -> None:
    drafts = [stand.draft(keys=(ID._replace(key=str(number)),), digest=b"1") for number in range(2500)]
    await asyncio.gather(*map(stand.store.accept, drafts))
    stand.pass_time(DEDUPE + 1)
    await stand.store.expire_keys()
    stand.pass_time(-1)
    again = [stand.draft(keys=draft.keys, digest=b"2") for draft in drafts]
    assert not any(answer.repeated for answer in await asyncio.gather(*map(stand.store.accept, again)))
