"""What applications write into the database in transactions of their own, and what becomes of it."""

import asyncio
import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from hookd.accept import Acceptor
from hookd.errors import Conflict
from hookd.metrics import Metrics
from hookd.model import Origin, Outcome, Publication, Status
from hookd.policy.breaker import BreakerPolicy
from hookd.policy.names import event_id, expect_free
from hookd.policy.types import check_type
from hookd.store.publish import BYTES, ROWS
from hookd.store.single import GLANCE
from hookd.store.sqlite import migrations
from tests.store.stand import Stand, file_of

SOURCES = frozenset({"shop"})
PATIENCE = 30.0


@dataclass
class Application:
    """Another process's connection, or one that might be."""

    connection: sqlite3.Connection

    def publish(self, event_type: Any = "order.placed", payload: Any = "{}", **more: Any) -> None:
        values = {"type": event_type, "payload": payload} | more
        names, places = ", ".join(values), ", ".join("?" * len(values))
        self.connection.execute(f"INSERT INTO publish ({names}) VALUES ({places})", tuple(values.values()))

    def waiting(self) -> list[tuple[str | None, str, str | None]]:
        return self.connection.execute("SELECT id, type, fault FROM published ORDER BY sequence").fetchall()


@pytest.fixture
def application(stand: Stand, tmp_path: Path) -> Iterator[Application]:
    with closing(sqlite3.connect(tmp_path / "hookd.db", isolation_level=None)) as connection:
        yield Application(connection)


async def test_what_is_published_becomes_an_event_with_a_delivery_for_each_subscriber(
    stand: Stand, application: Application
) -> None:
    for identity, tenant in (("ep_1", None), ("ep_2", "acme"), ("ep_3", "acme")):
        await stand.endpoint(identity, tenant=tenant)
    payload = ' {"é": [1.0,  2]}\n'
    application.publish("order.placed", payload, id="order-1", tenant="acme", ordering_key="k")
    application.publish("order.paid", payload.encode(), id="order-2", tenant="acme", endpoints='["ep_3", "ep_3"]')
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
    assert application.waiting() == []


async def test_without_an_id_it_gets_one(stand: Stand, application: Application) -> None:
    application.publish()
    [(event, _)] = (await stand.store.pick_up(SOURCES)).events
    assert event.id.startswith("evt_")
    assert (await stand.store.event(event.id, None)).ordering_key == ""


async def test_what_is_rolled_back_was_never_there(stand: Stand, application: Application) -> None:
    application.connection.execute("BEGIN IMMEDIATE")
    application.publish(id="order-1")
    assert not await stand.store.publication_waits(), "it is not committed yet"
    application.connection.execute("ROLLBACK")
    assert not await stand.store.publication_waits()
    application.publish(id="order-1", payload="1")
    assert await stand.store.publication_waits()
    await stand.store.pick_up(SOURCES)
    assert (await stand.store.event("order-1", None)).payload == b"1"


async def test_the_same_again_is_the_same_event_however_it_is_published(stand: Stand, application: Application) -> None:
    await stand.endpoint()
    acceptor = Acceptor(stand.store, Metrics(), lambda: stand.now, stand.ids)
    publication = Publication("order.placed", b"{}", None, "order-1", endpoints=("ep_1",), ordering_key="k")
    same = {"id": "order-1", "endpoints": '["ep_1"]', "ordering_key": "k"}
    await acceptor.publish(publication)
    application.publish(**same)
    [(_, accepted)] = (await stand.store.pick_up(SOURCES)).events
    assert (accepted.event, accepted.repeated) == ("order-1", True)
    assert len(await stand.types()) == 1

    application.publish(**same | {"id": "order-2"})
    await stand.store.pick_up(SOURCES)
    assert (await acceptor.publish(Publication("order.placed", b"{}", None, "order-2", None, ("ep_1",), "k"))).repeated
    with pytest.raises(Conflict):
        await acceptor.publish(Publication("order.placed", b"{ }", None, "order-2", None, ("ep_1",), "k"))


REFUSED_LATER: list[tuple[dict[str, Any], str]] = [
    ({"id": "taken"}, "the id taken was already published with other content; give this event its own id"),
    ({"endpoints": '["ep_9"]'}, "#/endpoints/0: there is no endpoint ep_9 for this tenant"),
    ({"endpoints": '["ep_1"]', "tenant": "acme"}, "#/endpoints/0: there is no endpoint ep_1 for this tenant"),
    ({"event_type": "shop.sold"}, "type: types that begin with shop are not published"),
    ({"payload": b'"\xff"'}, "payload: expected JSON in UTF-8"),
    ({"tenant": "a\n"}, "tenant: expected 1 to 128 printable characters"),
    ({"endpoints": "[7]"}, "endpoints: expected an array of 1 to 100 ids of endpoints"),
    ({"endpoints": '["\\u0000"]'}, "endpoints: expected text without NUL"),
]


@pytest.mark.parametrize(("row", "fault"), REFUSED_LATER)
async def test_what_can_not_become_an_event_stays_with_its_fault_and_holds_up_no_other(
    stand: Stand, application: Application, row: dict[str, Any], fault: str
) -> None:
    await stand.endpoint()
    await Acceptor(stand.store, Metrics(), lambda: stand.now, stand.ids).publish(
        Publication("order.placed", b"1", id="taken")
    )
    application.publish("order.first")
    application.publish(**row)
    application.publish("order.last")
    picked_up = await stand.store.pick_up(SOURCES)
    assert [event.type for event, _ in picked_up.events] == ["order.first", "order.last"]
    [refused] = picked_up.refused
    assert (refused.id, refused.type) == (row.get("id"), row.get("event_type", "order.placed"))
    assert refused.fault.startswith(fault)
    assert application.waiting() == [refused]
    assert (await stand.store.count_refused(), await stand.store.publication_waits()) == (1, False)


RAW: list[tuple[str, str, str]] = [
    ("type", "'a b'", "type: expected an event type"),
    ("type", "CAST(x'ff' AS TEXT)", "type: expected UTF-8"),
    ("type", "x'ff'", "type: expected UTF-8"),
    ("payload", "'{'", "payload: expected JSON in UTF-8"),
    ("id", "'a.b'", "id: expected 1 to 128 letters, digits, _ or -"),
    ("id", "CAST(x'ff' AS TEXT)", "id: expected UTF-8"),
    ("tenant", "CAST(x'ff' AS TEXT)", "tenant: expected UTF-8"),
    ("ordering_key", "CAST(x'ff' AS TEXT)", "ordering_key: expected UTF-8"),
    ("ordering_key", "printf('%.*c', 129, 'k')", "ordering_key: expected at most 128 characters"),
    ("endpoints", "'[]'", "endpoints: expected an array"),
    ("endpoints", "'['", "endpoints: "),
    ("endpoints", "CAST(x'5b22ff225d' AS TEXT)", "endpoints: expected UTF-8"),
]


@pytest.mark.parametrize(("column", "value", "fault"), RAW)
async def test_whatever_stands_in_the_table_is_an_event_or_a_fault(
    stand: Stand, application: Application, column: str, value: str, fault: str
) -> None:
    application.publish("order.first")
    application.publish()
    application.connection.execute(f"UPDATE published SET {column} = {value} WHERE type = 'order.placed'")
    picked_up = await stand.store.pick_up(SOURCES)
    assert [event.type for event, _ in picked_up.events] == ["order.first"]
    [refused] = picked_up.refused
    assert refused.fault.startswith(fault)
    assert stand.store.fault is None
    assert (await stand.store.pick_up(SOURCES)).refused == [], "once is enough"


async def test_what_was_refused_is_tried_again_once_its_fault_is_taken_away(
    stand: Stand, application: Application
) -> None:
    application.publish(id="order-1", endpoints='["ep_1"]')
    await stand.store.pick_up(SOURCES)
    await stand.endpoint()
    assert (await stand.store.pick_up(SOURCES)).events == []
    application.connection.execute("UPDATE published SET fault = NULL")
    [(event, accepted)] = (await stand.store.pick_up(SOURCES)).events
    assert (event.id, accepted.deliveries) == ("order-1", 1)
    assert application.waiting() == []


REFUSED_AT_ONCE: list[tuple[dict[str, Any], str]] = [
    *(
        ({"event_type": each}, "type: expected an event type such as invoice.paid")
        for each in (None, 5, "", "a.", "a b")
    ),
    *(({"event_type": each}, "type: expected an event type such as invoice.paid") for each in ("a" * 129, "a\0", ".a")),
    *(({"event_type": each}, "type: types that begin with hookd are not published") for each in ("hookd", "hookd.x")),
    *(({"payload": each}, "payload: expected JSON, as text or as a blob") for each in (None, 5)),
    *(({"payload": each}, "payload: expected JSON; it is none") for each in ("", "{", "{a:1}", "NaN", b"{}\0", "1 1")),
    ({"payload": '"' + "x" * 16 * 1024 * 1024 + '"'}, "payload: expected at most 16 MiB"),
    *(({"id": each}, "id: expected 1 to 128 letters, digits, _ or -") for each in ("", "a.b", "a" * 129, "a\0", 5)),
    *(({"tenant": each}, "tenant: expected 1 to 128 printable") for each in ("", "a" * 129, "a\0", 5)),
    *(({"ordering_key": each}, "ordering_key: expected at most 128 characters") for each in ("a" * 129, "a\0", 5)),
    *(({"endpoints": each}, "endpoints: expected a JSON array of ids") for each in ("", "[", "ep_1", b"[]", 5)),
    *(({"endpoints": each}, "endpoints: expected a JSON array of 1 to 100") for each in ("[]", "{}", "null", "5")),
    ({"endpoints": json.dumps(["ep_1"] * 101)}, "endpoints: expected a JSON array of 1 to 100"),
]


@pytest.mark.parametrize(("row", "fault"), REFUSED_AT_ONCE, ids=lambda value: str(value)[:40])
async def test_what_is_no_event_is_refused_at_once(application: Application, row: dict[str, Any], fault: str) -> None:
    with pytest.raises(sqlite3.IntegrityError) as caught:
        application.publish(**row)
    assert str(caught.value).startswith(fault)
    assert application.waiting() == []


@pytest.fixture(scope="module")
def schema() -> Iterator[Application]:
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        for _, sql in migrations():
            connection.executescript(sql)
        yield Application(connection)


names = st.text(st.sampled_from("aZ_9.-é \n\0"), max_size=6) | st.sampled_from(["hookd", "a" * 128, "a" * 129])


@given(name=names)
def test_a_type_and_an_id_are_refused_as_the_api_refuses_them(schema: Application, name: str) -> None:
    def of_the_api(row: dict[str, str]) -> bool:
        try:
            check_type(row["event_type"])
            expect_free(row["event_type"], ())
            event_id(row["id"])
        except ValueError:
            return False
        return True

    for row in (
        {"event_type": name, "id": "i"},
        {"event_type": f"hookd.{name}", "id": "i"},
        {"event_type": "a", "id": name},
    ):
        try:
            schema.publish(**row)
        except sqlite3.IntegrityError:
            assert not of_the_api(row)
        else:
            assert of_the_api(row)


async def test_the_oldest_go_first_and_no_more_at_once_than_there_may(stand: Stand, application: Application) -> None:
    for number in range(ROWS + 1):
        application.publish(id=f"order-{number}")
    first = await stand.store.pick_up(SOURCES)
    assert [event.id for event, _ in first.events] == [f"order-{number}" for number in range(ROWS)]
    assert application.waiting() == [(f"order-{ROWS}", "order.placed", None)]
    large = '"' + "x" * (BYTES // 2) + '"'
    for number in range(3):
        application.publish(payload=large, id=f"large-{number}")
    application.publish(payload='"' + "x" * BYTES + '"', id="largest")
    picked_up = [[event.id for event, _ in (await stand.store.pick_up(SOURCES)).events] for _ in range(3)]
    assert picked_up == [[f"order-{ROWS}", "large-0", "large-1"], ["large-2", "largest"], []]


async def test_an_ordered_endpoint_gets_them_in_their_order(stand: Stand, application: Application) -> None:
    await stand.endpoint(ordered=True)
    for number in range(3):
        application.publish(id=f"order-{number}")
    await stand.store.pick_up(SOURCES)
    for number in range(3):
        [delivery] = await stand.claim()
        assert delivery.event.id == f"order-{number}"
        await stand.end(delivery)


async def test_what_is_picked_up_is_sent_at_once(stand: Stand, application: Application) -> None:
    await stand.endpoint()
    stand.store.room = stand.lanes
    application.publish(id="order-1")
    await stand.store.pick_up(SOURCES)
    assert [delivery.event.id for delivery in stand.commits[-1].changes.claimed] == ["order-1"]
    assert await stand.statuses() == [Status.SENDING]


async def test_commits_of_others_stir_and_its_own_do_not(stand: Stand, application: Application) -> None:
    async with asyncio.timeout(PATIENCE):
        await stand.store.stirred()  # what was before the first look
    await stand.accept()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(5 * GLANCE):
            await stand.store.stirred()
    waiting = asyncio.create_task(stand.store.stirred())
    application.publish()
    async with asyncio.timeout(PATIENCE):
        await waiting
    assert await stand.store.publication_waits()


async def test_a_look_tells_of_every_commit_and_of_nothing_else(stand: Stand, application: Application) -> None:
    stamp = file_of(stand.store).files.stamp
    before = stamp()
    assert before
    await stand.store.totals()
    application.connection.execute("BEGIN IMMEDIATE")
    application.publish()
    assert stamp() == before, "nothing is committed"
    application.connection.execute("COMMIT")
    after = stamp()
    assert after != before
    await stand.accept()
    assert stamp() not in (before, after)


async def test_an_application_that_writes_all_the_time_keeps_no_breaker_from_opening(
    stand: Stand, application: Application
) -> None:
    """What came of the latest attempts is counted in memory, and is no other process's to change."""
    policy = BreakerPolicy(failures=100, share=1.0, least=3, window=60_000, wait=10_000, longest=60_000)
    await stand.endpoint()
    for _ in range(policy.least):
        delivery = await stand.sent()
        application.publish()
        await stand.store.notice()
        stand.lanes.finish("ep_1")
        stand.store.record(structs.replace(stand.result(delivery, Outcome.TIMEOUT), breaker=policy))
        await stand.settle()
    assert (await stand.store.endpoint("ep_1", None)).breaker.opened_at is not None
