"""Receiving: what is authentic becomes an event, once."""

import logging
import string
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hookd import sign
from hookd.accept import Acceptor
from hookd.errors import SignatureError, Unreadable
from hookd.metrics import Metrics
from hookd.model import Field, Origin, Source
from hookd.receive import LONGEST_KEY, LONGEST_TYPE, Receiver, _type
from hookd.rejections import A_SECOND, MOST_WAITING, Rejections
from hookd.signing import Verified, scheme
from hookd.store import Page
from tests.nouns import SECRET
from tests.store.stand import SECOND, Open, Stand, stand_on

SOURCE = Source(
    name="shop",
    path="/hooks/shop",
    scheme="token",
    secrets=("right", "former"),
    tolerance=300 * SECOND,
    header=None,
    id=Field("body", "id"),
    type=Field("body", "type"),
    tenant=None,
    max_body=1000,
    reply="OK",
    refuse="unauthorized",
)
SIGNED = replace(SOURCE, scheme="standard", secrets=(SECRET,), id=None, type=None)
TOKEN = {"X-Webhook-Token": "right"}
BODY = b'{"id": "evt-1", "type": "order.created"}'


@pytest.fixture
async def stand(open_in: Open, tmp_path: Path) -> AsyncIterator[Stand]:
    async with stand_on(open_in, tmp_path) as opened:
        yield opened


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


def receiver_on(stand: Stand, metrics: Metrics) -> Receiver:
    """Make a receiver that keeps what it takes in, and a few of what it refuses, in a stand's store."""

    def clock() -> int:
        return stand.now

    rejections = Rejections(stand.store, stand.ids, clock, most=5, longest_body=1000)
    return Receiver(Acceptor(stand.store, metrics, clock, stand.ids), rejections, metrics, clock)


@pytest.fixture
def receiver(stand: Stand, metrics: Metrics) -> Receiver:
    return receiver_on(stand, metrics)


async def receive(
    receiver: Receiver, body: bytes = BODY, source: Source = SOURCE, headers: Any = TOKEN, content_type: str = "a/b"
) -> Any:
    return await receiver.receive(source, headers, content_type, body)


async def test_what_is_authentic_is_stored_as_it_came(stand: Stand, receiver: Receiver, metrics: Metrics) -> None:
    accepted = await receive(receiver, source=replace(SOURCE, tenant="a"))
    event = await stand.store.event(accepted.event, "a")
    assert (event.type, event.origin, event.tenant) == ("shop.order.created", Origin.INBOUND, "a")
    assert (event.payload, event.content_type) == (BODY, "a/b")
    assert metrics.inbound_requests == {("shop", "accepted"): 1}
    assert metrics.events_accepted == {"shop": 1}


@pytest.mark.parametrize("headers", [{}, {"X-Webhook-Token": "wrong"}, {"X-Webhook-Token": ""}])
async def test_what_is_not_is_refused_and_the_cause_logged_without_the_secret(
    stand: Stand, receiver: Receiver, metrics: Metrics, headers: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING), pytest.raises(SignatureError):
        await receive(receiver, headers=headers)
    assert await stand.types() == []
    assert metrics.inbound_requests == {("shop", "unauthorized"): 1}
    (record,) = caplog.records
    fields = getattr(record, "fields", {})
    assert fields["source"] == "shop"
    assert fields["cause"]
    assert "right" not in str(fields)


@pytest.mark.parametrize("secret", ["right", "former"])
async def test_any_of_the_secrets_will_do(receiver: Receiver, secret: str) -> None:
    await receive(receiver, headers={"X-Webhook-Token": secret})


async def test_of_a_flood_a_few_a_second_are_kept_and_each_source_has_its_share(stand: Stand) -> None:
    rejections = Rejections(stand.store, stand.ids, lambda: stand.now, most=1000, longest_body=10)

    def keep(name: str) -> str | None:
        error = SignatureError("reason", "cause")
        source = replace(SOURCE, name=name)
        return rejections.keep(source, scheme("token"), {}, b"", error, target="/", method="POST")

    kept = [keep("shop") for _ in range(100)]
    assert len(list(filter(None, kept))) <= 2 * A_SECOND, "the burst may fall into two seconds"
    assert keep("other") is not None
    others = [keep(str(number)) for number in range(2 * MOST_WAITING)]
    assert len(list(filter(None, [*kept, *others]))) < MOST_WAITING, "no more than so many wait"
    await stand.settle()
    assert keep("last") is not None
    await stand.settle()
    listed = (await stand.store.rejections(None, None, Page(250))).items
    assert len(listed) == len(list(filter(None, [*kept, *others]))) + 2


# Once.


async def test_the_same_id_again_is_the_same_event(stand: Stand, receiver: Receiver, metrics: Metrics) -> None:
    first = await receive(receiver)
    second = await receive(receiver, b'{"id": "evt-1", "other": 1}')
    assert (second.event, second.repeated) == (first.event, True)
    assert len(await stand.types()) == 1
    assert metrics.inbound_requests == {("shop", "accepted"): 1, ("shop", "duplicate"): 1}
    assert metrics.events_accepted == {"shop": 1}


async def test_an_id_is_its_sources_own(stand: Stand, receiver: Receiver) -> None:
    for source in (SOURCE, replace(SOURCE, name="other")):
        assert not (await receive(receiver, source=source)).repeated
    assert await stand.types() == ["shop.order.created", "other.order.created"]


async def test_an_id_in_a_header(receiver: Receiver) -> None:
    source = replace(SOURCE, id=Field("header", "X-Id"))
    answers = [await receive(receiver, source=source, headers=TOKEN | {"x-id": each}) for each in ("1", "2", "1")]
    assert [answer.repeated for answer in answers] == [False, False, True]


async def test_an_id_deep_in_the_body(receiver: Receiver) -> None:
    source = replace(SOURCE, id=Field("body", "data.object.id"))
    bodies = [b'{"data": {"object": {"id": %d}}}' % number for number in (1, 2, 1)]
    assert [(await receive(receiver, body, source)).repeated for body in bodies] == [False, False, True]


@pytest.mark.parametrize("length", [LONGEST_KEY, LONGEST_KEY + 1, 900])
async def test_long_ids_are_told_apart_to_their_last_character(receiver: Receiver, length: int) -> None:
    bodies = [b'{"id": "%s"}' % (b"x" * (length - 1) + last) for last in (b"1", b"2", b"1")]
    assert [(await receive(receiver, body)).repeated for body in bodies] == [False, False, True]


@pytest.mark.parametrize("length", [1, LONGEST_KEY, 900])
async def test_no_id_is_remembered_at_a_greater_length(stand: Stand, receiver: Receiver, length: int) -> None:
    await receive(receiver, b'{"id": "%s"}' % (b"x" * length))
    ((longest,),) = await stand.ask("SELECT max(length(key)) FROM dedupe")
    assert longest <= min(length, LONGEST_KEY)


@pytest.mark.parametrize("body", [b"{}", b'{"id": null}', b"[]", b"1", b'"text"'])
async def test_without_an_id_nothing_is_a_repetition(stand: Stand, receiver: Receiver, body: bytes) -> None:
    assert [(await receive(receiver, body)).repeated for _ in range(2)] == [False, False]
    assert await stand.types() == ["shop.received"] * 2


@pytest.mark.parametrize("body", [b"", b"name=Ada", b"\xff\xfe", b'{"id": "1"', b"[" * 100_000])
async def test_a_body_that_has_to_name_the_id_and_is_not_json_is_unreadable(
    stand: Stand, receiver: Receiver, metrics: Metrics, body: bytes
) -> None:
    with pytest.raises(Unreadable, match="JSON"):
        await receive(receiver, body)
    assert await stand.types() == []
    assert metrics.inbound_requests == {("shop", "unreadable"): 1}


@pytest.mark.parametrize("other", [b'"\\ud800"', b'"\\udc00\\u0000"', b"9" * 5000, b"[" * 500 + b"]" * 500])
async def test_json_may_hold_whatever_json_allows(stand: Stand, receiver: Receiver, other: bytes) -> None:
    bodies = [b'{"id": %b, "name": %b}' % (identity, other) for identity in (b'"1"', b'"2"', b'"1"', b"null")]
    answers = [await receive(receiver, body) for body in bodies]
    assert [answer.repeated for answer in answers] == [False, False, True, False]
    assert (await stand.store.event(answers[3].event, None)).payload == bodies[3]


async def test_any_text_or_whole_number_is_an_id(receiver: Receiver) -> None:
    ids = [b'"\\ud800"', b'"\\ud801"', b'"a\\u0000"', b'"a"', b"9" * 5000, b"9" * 4999 + b"8"]
    assert not any([(await receive(receiver, b'{"id": %b}' % each)).repeated for each in ids])
    assert all([(await receive(receiver, b'{"id": %b}' % each)).repeated for each in ids])


async def test_half_a_character_in_a_type_is_respelt(stand: Stand, receiver: Receiver) -> None:
    await receive(receiver, b'{"type": "a\\ud800b"}')
    assert await stand.types() == ["shop.a_b"]


async def test_a_body_that_need_not_be_json_may_be_anything(stand: Stand, receiver: Receiver) -> None:
    source = replace(SOURCE, id=Field("header", "X-Id"))
    accepted = await receive(receiver, b"\xff\x00", source, TOKEN | {"X-Id": "1"})
    assert (await stand.store.event(accepted.event, None)).payload == b"\xff\x00"


# Types.


@pytest.mark.parametrize(
    ("named", "event_type"),
    [
        ('"order.created"', "shop.order.created"),
        ('"order/created v2"', "shop.order_created_v2"),
        ('"über"', "shop._ber"),
        ('"a-b:c"', "shop.a_b_c"),
        ('""', "shop.received"),
        ("null", "shop.received"),
        ('{"a": 1}', "shop.received"),
    ],
)
async def test_types_are_respelt(stand: Stand, receiver: Receiver, named: str, event_type: str) -> None:
    await receive(receiver, f'{{"type": {named}}}'.encode())
    assert await stand.types() == [event_type]


@given(st.text(max_size=300))
def test_every_type_is_within_its_sources_names(text: str) -> None:
    message = Verified(id=None, type=text, timestamp=None, body=b"")
    found = _type(replace(SOURCE, type=None), message, {})
    assert found.startswith("shop.")
    assert len(found) <= LONGEST_TYPE
    assert set(found) <= set(string.ascii_letters + string.digits + "_.")


# Signatures.


async def test_a_signed_request_names_its_own_id(receiver: Receiver, stand: Stand) -> None:
    answers = []
    for identity in ("msg_1", "msg_2", "msg_1"):
        headers = sign("standard", [SECRET], BODY, id=identity, now=stand.now // 1000)
        answers.append(await receive(receiver, source=SIGNED, headers=headers))
    assert [answer.repeated for answer in answers] == [False, False, True]


async def test_a_changed_body_is_refused(receiver: Receiver, stand: Stand) -> None:
    headers = sign("standard", [SECRET], BODY, id="msg_1", now=stand.now // 1000)
    with pytest.raises(SignatureError):
        await receive(receiver, BODY + b" ", SIGNED, headers)


@pytest.mark.parametrize(("seconds", "accepted"), [(0, True), (300, True), (-300, True), (301, False), (-301, False)])
async def test_tolerance_holds_in_both_directions(
    receiver: Receiver, stand: Stand, seconds: int, accepted: bool
) -> None:
    headers = sign("standard", [SECRET], BODY, id="msg_1", now=stand.now // 1000 + seconds)
    if accepted:
        await receive(receiver, source=SIGNED, headers=headers)
    else:
        with pytest.raises(SignatureError) as refused:
            await receive(receiver, source=SIGNED, headers=headers)
        assert "time" in refused.value.reason
