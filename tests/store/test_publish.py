"""What applications write into the database in transactions of their own, and what becomes of it."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from hookd.accept import Acceptor
from hookd.errors import Conflict
from hookd.metrics import Metrics
from hookd.model import Origin, Publication, Status
from hookd.store.publish import BYTES, ROWS
from tests.store.applications import Application, application_of
from tests.store.stand import Stand

SOURCES = frozenset({"shop"})


@pytest.fixture
async def application(stand: Stand, tmp_path: Path) -> AsyncIterator[Application]:
    async with application_of(stand.store, tmp_path) as opened:
        yield opened


async def test_what_is_published_becomes_an_event_with_a_delivery_for_each_subscriber(
    stand: Stand, application: Application
) -> None:
    for identity, tenant in (("ep_1", None), ("ep_2", "acme"), ("ep_3", "acme")):
        await stand.endpoint(identity, tenant=tenant)
    payload = ' {"é": [1.0,  2]}\n'
    await application.publish("order.placed", payload, id="order-1", tenant="acme", ordering_key="k")
    await application.publish("order.paid", payload, id="order-2", tenant="acme", endpoints='["ep_3", "ep_3"]')
    stand.pass_time(7)
    picked_up = await stand.store.pick_up(SOURCES)
    assert [(accepted.event, accepted.deliveries) for _, accepted in picked_up.events] == [
        ("order-1", 2),
        ("order-2", 1),
    ]
    event = await stand.store.event("order-1", "acme")
    assert (event.type, event.tenant, event.origin) == ("order.placed", "acme", Origin.PUBLISHED)
    assert (event.payload, event.content_type) == (payload.encode(), "application/json")
    assert (event.ordering_key, event.created_at) == ("k", stand.now)
    assert (await stand.store.event("order-2", "acme")).payload == payload.encode()
    assert [each.endpoint for each in await stand.deliveries(event="order-2")] == ["ep_3"]
    assert await application.waiting() == []


async def test_without_an_id_it_gets_one(stand: Stand, application: Application) -> None:
    await application.publish()
    [(event, _)] = (await stand.store.pick_up(SOURCES)).events
    assert event.id.startswith("evt_")
    assert (await stand.store.event(event.id, None)).ordering_key == ""


async def test_what_is_rolled_back_was_never_there(stand: Stand, application: Application) -> None:
    await application.execute("BEGIN")
    await application.publish(id="order-1")
    assert not await stand.store.publication_waits(), "it is not committed yet"
    await application.execute("ROLLBACK")
    assert not await stand.store.publication_waits()
    await application.publish(id="order-1", payload="1")
    assert await stand.store.publication_waits()
    await stand.store.pick_up(SOURCES)
    assert (await stand.store.event("order-1", None)).payload == b"1"


async def test_the_same_again_is_the_same_event_however_it_is_published(stand: Stand, application: Application) -> None:
    await stand.endpoint()
    acceptor = Acceptor(stand.store, Metrics(), lambda: stand.now, stand.ids)
    publication = Publication("order.placed", b"{}", None, "order-1", endpoints=("ep_1",), ordering_key="k")
    same = {"id": "order-1", "endpoints": '["ep_1"]', "ordering_key": "k"}
    await acceptor.publish(publication)
    await application.publish(**same)
    [(_, accepted)] = (await stand.store.pick_up(SOURCES)).events
    assert (accepted.event, accepted.repeated) == ("order-1", True)
    assert len(await stand.types()) == 1

    await application.publish(**same | {"id": "order-2"})
    await stand.store.pick_up(SOURCES)
    assert (await acceptor.publish(Publication("order.placed", b"{}", None, "order-2", None, ("ep_1",), "k"))).repeated
    with pytest.raises(Conflict):
        await acceptor.publish(Publication("order.placed", b"{ }", None, "order-2", None, ("ep_1",), "k"))


REFUSED_LATER: list[tuple[dict[str, Any], str]] = [
    ({"id": "taken"}, "the id taken was already published with other content; give this event its own id"),
    ({"endpoints": '["ep_9"]'}, "#/endpoints/0: there is no endpoint ep_9 for this tenant"),
    ({"endpoints": '["ep_1"]', "tenant": "acme"}, "#/endpoints/0: there is no endpoint ep_1 for this tenant"),
    ({"event_type": "shop.sold"}, "type: types that begin with shop are not published"),
    ({"tenant": "a\n"}, "tenant: expected 1 to 128 printable characters"),
]


@pytest.mark.parametrize(("row", "fault"), REFUSED_LATER)
async def test_what_can_not_become_an_event_stays_with_its_fault_and_holds_up_no_other(
    stand: Stand, application: Application, row: dict[str, Any], fault: str
) -> None:
    await stand.endpoint()
    await Acceptor(stand.store, Metrics(), lambda: stand.now, stand.ids).publish(
        Publication("order.placed", b"1", id="taken")
    )
    await application.publish("order.first")
    await application.publish(**row)
    await application.publish("order.last")
    picked_up = await stand.store.pick_up(SOURCES)
    assert [event.type for event, _ in picked_up.events] == ["order.first", "order.last"]
    [refused] = picked_up.refused
    assert (refused.id, refused.type) == (row.get("id"), row.get("event_type", "order.placed"))
    assert refused.fault.startswith(fault)
    assert await application.waiting() == [refused]
    assert (await stand.store.count_refused(), await stand.store.publication_waits()) == (1, False)


async def test_what_was_refused_is_tried_again_once_its_fault_is_taken_away(
    stand: Stand, application: Application
) -> None:
    await application.publish(id="order-1", endpoints='["ep_1"]')
    await stand.store.pick_up(SOURCES)
    await stand.endpoint()
    assert (await stand.store.pick_up(SOURCES)).events == []
    await application.execute("UPDATE published SET fault = NULL")
    [(event, accepted)] = (await stand.store.pick_up(SOURCES)).events
    assert (event.id, accepted.deliveries) == ("order-1", 1)
    assert await application.waiting() == []


async def test_the_oldest_go_first_and_no_more_at_once_than_there_may(stand: Stand, application: Application) -> None:
    for number in range(ROWS + 1):
        await application.publish(id=f"order-{number}")
    first = await stand.store.pick_up(SOURCES)
    assert [event.id for event, _ in first.events] == [f"order-{number}" for number in range(ROWS)]
    assert await application.waiting() == [(f"order-{ROWS}", "order.placed", None)]
    large = '"' + "x" * (BYTES // 2) + '"'
    for number in range(3):
        await application.publish(payload=large, id=f"large-{number}")
    await application.publish(payload='"' + "x" * BYTES + '"', id="largest")
    picked_up = [[event.id for event, _ in (await stand.store.pick_up(SOURCES)).events] for _ in range(3)]
    assert picked_up == [[f"order-{ROWS}", "large-0", "large-1"], ["large-2", "largest"], []]


async def test_an_ordered_endpoint_gets_them_in_their_order(stand: Stand, application: Application) -> None:
    await stand.endpoint(ordered=True)
    for number in range(3):
        await application.publish(id=f"order-{number}")
    await stand.store.pick_up(SOURCES)
    for number in range(3):
        [delivery] = await stand.claim()
        assert delivery.event.id == f"order-{number}"
        await stand.end(delivery)


async def test_what_is_picked_up_is_sent_at_once(stand: Stand, application: Application) -> None:
    await stand.endpoint()
    stand.store.room = stand.lanes
    await application.publish(id="order-1")
    await stand.store.pick_up(SOURCES)
    assert [delivery.event.id for delivery in stand.commits[-1].changes.claimed] == ["order-1"]
    assert await stand.statuses() == [Status.SENDING]
