"""Accepting what producers publish: their ids, their keys, and what they are told."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from hookd.accept import Acceptor, Receipt
from hookd.errors import Conflict, InvalidInput, Unavailable
from hookd.metrics import Metrics
from hookd.model import EndpointState, Origin, Outcome, Publication, Status
from tests.crash.waiting import until, until_answered
from tests.store.faults import empty, fill
from tests.store.stand import DEDUPE, Stand, sqlite, stand_on

PURCHASE = Publication("purchase", b'{"name": "Ada"}')


@pytest.fixture
async def stand(tmp_path: Path) -> AsyncIterator[Stand]:
    async with stand_on(sqlite, tmp_path) as opened:
        yield opened


@pytest.fixture
def acceptor(stand: Stand) -> Acceptor:
    return Acceptor(stand.store, Metrics(), lambda: stand.now, stand.ids)


async def test_it_is_told_what_became_of_it(stand: Stand, acceptor: Acceptor) -> None:
    await stand.endpoint()
    receipt = await acceptor.publish(PURCHASE)
    assert (receipt.deliveries, receipt.note, receipt.repeated) == (1, None, False)
    event = await stand.store.event(receipt.id, None)
    assert (event.type, event.payload, event.origin) == ("purchase", b'{"name": "Ada"}', Origin.PUBLISHED)
    assert (event.content_type, event.created_at) == ("application/json", stand.now)
    assert receipt.id.startswith("evt_")


async def test_where_nobody_subscribes_a_note_names_the_type(acceptor: Acceptor) -> None:
    receipt = await acceptor.publish(PURCHASE)
    assert receipt.note is not None
    assert "purchase" in receipt.note


async def test_a_note_names_the_tenant_and_the_log_tells_of_what_nobody_gets_once(
    stand: Stand, acceptor: Acceptor, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    await stand.endpoint()
    for _ in range(2):
        receipt = await acceptor.publish(replace(PURCHASE, tenant="acme", id="order-1"))
        assert receipt.note == (
            "no endpoint of tenant acme or handler subscribes to purchase, or its filter does not let this event pass; "
            "the event is stored all the same"
        )
    await acceptor.publish(PURCHASE)
    [record] = caplog.records
    assert (record.levelname, record.getMessage()) == ("INFO", "nobody gets an event")
    assert getattr(record, "fields", None) == {"event": "order-1", "type": "purchase", "tenant": "acme"}


async def test_a_producers_id_becomes_the_events(stand: Stand, acceptor: Acceptor) -> None:
    receipt = await acceptor.publish(replace(PURCHASE, id="order-1"))
    assert receipt.id == "order-1"
    assert (await stand.store.event("order-1", None)).id == "order-1"


async def test_an_id_that_was_made_for_the_payload_is_used_where_the_producer_gave_none(acceptor: Acceptor) -> None:
    assert (await acceptor.publish(PURCHASE, "evt_made")).id == "evt_made"
    assert (await acceptor.publish(replace(PURCHASE, id="order-1"), "evt_made")).id == "order-1"


KEYS: list[dict[str, Any]] = [{"id": "order-1"}, {"idempotency_key": "order-1"}]
OTHERS: list[dict[str, Any]] = [
    {"type": "refund"},
    {"payload": b'{"name":"Ada"}'},
    {"endpoints": ("ep_1",)},
    {"type": "purchase\n", "payload": b""},
]


@pytest.mark.parametrize("key", KEYS, ids=["id", "key"])
async def test_the_same_again_is_told_the_same(stand: Stand, acceptor: Acceptor, key: dict[str, Any]) -> None:
    await stand.endpoint()
    first = await acceptor.publish(replace(PURCHASE, **key))
    second = await acceptor.publish(replace(PURCHASE, **key))
    assert second == replace(first, repeated=True)
    assert len(await stand.types()) == 1


@pytest.mark.parametrize("other", OTHERS, ids=["type", "payload", "endpoints", "shifted"])
@pytest.mark.parametrize(("key", "error"), list(zip(KEYS, [Conflict, InvalidInput], strict=True)), ids=["id", "key"])
async def test_other_content_under_the_same_name_is_refused(
    stand: Stand, acceptor: Acceptor, key: dict[str, Any], error: type[Exception], other: dict[str, Any]
) -> None:
    await stand.endpoint()
    await acceptor.publish(replace(PURCHASE, **key))
    with pytest.raises(error, match="order-1"):
        await acceptor.publish(replace(PURCHASE, **key | other))
    assert len(await stand.types()) == 1


@pytest.mark.parametrize("key", KEYS, ids=["id", "key"])
async def test_names_are_a_tenants_own(stand: Stand, acceptor: Acceptor, key: dict[str, Any]) -> None:
    for tenant in (None, "a", "b"):
        receipt = await acceptor.publish(replace(PURCHASE, tenant=tenant, **key))
        assert not receipt.repeated
    assert len(await stand.types()) == 3


async def test_endpoints_given_and_not_given_are_different_content(stand: Stand, acceptor: Acceptor) -> None:
    await stand.endpoint("ep_1")
    await stand.endpoint("ep_2")
    asked = [None, (), ("ep_1",), ("ep_2",), ("ep_1", "ep_2")]
    for number, endpoints in enumerate(asked):
        await acceptor.publish(replace(PURCHASE, id=f"order-{number}", endpoints=endpoints))
        for other in asked:
            again = acceptor.publish(replace(PURCHASE, id=f"order-{number}", endpoints=other))
            if other == endpoints:
                assert (await again).repeated
            else:
                with pytest.raises(Conflict):
                    await again


async def test_concurrent_repeats_wait_for_the_first_and_are_counted_once(stand: Stand) -> None:
    metrics = Metrics()
    acceptor = Acceptor(stand.store, metrics, lambda: stand.now, stand.ids)
    publication = replace(PURCHASE, idempotency_key="k")
    receipts: list[Receipt] = await asyncio.gather(*(acceptor.publish(publication) for _ in range(10)))
    assert len({receipt.id for receipt in receipts}) == 1
    assert [receipt.repeated for receipt in receipts].count(False) == 1
    assert metrics.events_accepted == {"api": 1}


async def test_a_name_is_free_again_after_a_while(stand: Stand, acceptor: Acceptor) -> None:
    await acceptor.publish(replace(PURCHASE, id="order-1"))
    stand.pass_time(DEDUPE + 1)
    assert not (await acceptor.publish(replace(PURCHASE, id="order-1", type="refund"))).repeated


async def test_what_can_not_be_stored_is_not_accepted(stand: Stand, acceptor: Acceptor) -> None:
    stand.store.stop()
    assert stand.committing is not None
    await stand.committing
    with pytest.raises(Unavailable):
        await acceptor.publish(PURCHASE)


async def test_a_test_is_claimed_for_its_caller(stand: Stand, acceptor: Acceptor) -> None:
    endpoint = await stand.endpoint(state=EndpointState.DISABLED, state_reason="by hand", tenant="a")
    delivery = await acceptor.test(endpoint)
    assert (delivery.event.type, delivery.event.origin, delivery.event.tenant) == ("hookd.test", "operational", "a")
    assert (await stand.delivery(delivery.id)).status is Status.SENDING
    await stand.end(delivery, Outcome.TIMEOUT, schedule=())
    assert (await stand.delivery(delivery.id)).status is Status.FAILED
    assert await stand.types() == ["hookd.test"]


def insert(folder: Path, *rows: tuple[str, str], payload: str = "{}") -> None:
    """Publish rows of type and id, as an application does in a transaction of its own."""
    with closing(sqlite3.connect(folder / "hookd.db")) as application, application:
        values = [(event_type, payload, identity) for event_type, identity in rows]
        application.executemany("INSERT INTO publish (type, payload, id) VALUES (?, ?, ?)", values)


async def test_what_applications_publish_is_picked_up_and_counted_and_refusals_are_told_once(
    stand: Stand, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hookd.store.publish.ROWS", 2)
    caplog.set_level("INFO")
    metrics = Metrics()
    acceptor = Acceptor(stand.store, metrics, lambda: stand.now, stand.ids)
    await acceptor.publish(replace(PURCHASE, id="order-1"))
    await stand.endpoint(event_types=("order.*",))
    insert(tmp_path, *(("order.placed", f"order-{number}") for number in range(1, 5)), ("shop.sold", "sold"))
    insert(tmp_path, ("purchase", "purchase-1"))
    caplog.clear()
    for _ in range(2):
        await acceptor.pick_up({"shop"})
    assert metrics.events_accepted == {"api": 1, "outbox": 4}
    assert await stand.types() == ["purchase", *["order.placed"] * 3, "purchase"]
    told = [(record.levelname, record.getMessage(), getattr(record, "fields", {})) for record in caplog.records]
    clash = "the id order-1 was already published with other content; give this event its own id"
    reserved = "type: types that begin with shop are not published; they tell where an event came from"
    message = "what an application published is no event"
    assert told == [
        ("WARNING", message, {"id": "order-1", "type": "order.placed", "fault": clash}),
        ("INFO", "nobody gets an event", {"event": "purchase-1", "type": "purchase", "tenant": None}),
        ("WARNING", message, {"id": "sold", "type": "shop.sold", "fault": reserved}),
    ]


async def test_it_watches_for_what_applications_publish(
    stand: Stand, acceptor: Acceptor, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A start tells of what was refused earlier; then each commit is noticed, whatever the sources are by then."""
    insert(tmp_path, ("shop.sold", "refused"))
    await acceptor.pick_up({"shop"})
    caplog.clear()
    sources = set[str]()
    watching = asyncio.create_task(acceptor.watch(lambda: sources))
    for number in range(2):
        insert(tmp_path, ("shop.sold", f"sold-{number}"))
        await until_answered(partial(has_events, stand, number + 1), "it is picked up")
    sources.add("shop")
    insert(tmp_path, ("shop.sold", "sold-2"))
    await until(lambda: len(caplog.records) == 2, "it is refused")
    watching.cancel()
    assert [getattr(record, "fields", {}).get("count") for record in caplog.records] == [1, None]
    assert [getattr(record, "fields", {}).get("id") for record in caplog.records] == [None, "sold-2"]


async def test_while_the_storage_is_at_fault_it_watches_on(
    stand: Stand, acceptor: Acceptor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hookd.accept.PAUSE", 0.01)
    await stand.endpoint()
    insert(tmp_path, ("order.placed", "order-1"), payload='"' + "x" * 100_000 + '"')
    await fill(stand)
    watching = asyncio.create_task(acceptor.watch(set))
    await until(lambda: stand.store.fault is not None, "the storage is at fault")
    await empty(stand)
    await until_answered(partial(has_events, stand, 1), "it is picked up")
    watching.cancel()


async def has_events(stand: Stand, count: int) -> bool:
    return len(await stand.types()) == count
