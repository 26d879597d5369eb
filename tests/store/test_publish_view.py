"""The view of a file that applications publish through: what it refuses, what stands behind it, and who is woken."""

import asyncio
import json
import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from hookd.model import Outcome
from hookd.policy.breaker import BreakerPolicy
from hookd.policy.names import event_id, expect_free
from hookd.policy.types import check_type
from hookd.store.single import GLANCE
from hookd.store.sqlite import migrations
from tests.store.applications import AtFile, application_of
from tests.store.stand import Open, Stand, file_of, sqlite

SOURCES = frozenset({"shop"})
PATIENCE = 30.0


@pytest.fixture
def open_in() -> Open:
    """At a server, there is a function instead."""
    return sqlite


@pytest.fixture
async def application(stand: Stand, tmp_path: Path) -> AsyncIterator[AtFile]:
    async with application_of(stand.store, tmp_path) as opened:
        assert isinstance(opened, AtFile)
        yield opened


async def test_a_payload_may_be_a_blob(stand: Stand, application: AtFile) -> None:
    payload = ' {"é": [1.0,  2]}\n'.encode()
    application.insert("order.placed", payload, id="order-1")
    await stand.store.pick_up(SOURCES)
    assert (await stand.store.event("order-1", None)).payload == payload


RAW: list[tuple[str, str, str]] = [
    ("type", "'a b'", "type: expected an event type"),
    ("type", "CAST(x'ff' AS TEXT)", "type: expected UTF-8"),
    ("type", "x'ff'", "type: expected UTF-8"),
    ("payload", "'{'", "payload: expected JSON in UTF-8"),
    ("payload", "x'22ff22'", "payload: expected JSON in UTF-8"),
    ("id", "'a.b'", "id: expected 1 to 128 letters, digits, _ or -"),
    ("id", "CAST(x'ff' AS TEXT)", "id: expected UTF-8"),
    ("tenant", "CAST(x'ff' AS TEXT)", "tenant: expected UTF-8"),
    ("ordering_key", "CAST(x'ff' AS TEXT)", "ordering_key: expected UTF-8"),
    ("ordering_key", "printf('%.*c', 129, 'k')", "ordering_key: expected at most 128 characters"),
    ("endpoints", "'[]'", "endpoints: expected an array"),
    ("endpoints", "'[7]'", "endpoints: expected an array of 1 to 100 ids of endpoints"),
    ("endpoints", "'[\"\\u0000\"]'", "endpoints: expected text without NUL"),
    ("endpoints", "'['", "endpoints: "),
    ("endpoints", "CAST(x'5b22ff225d' AS TEXT)", "endpoints: expected UTF-8"),
]


@pytest.mark.parametrize(("column", "value", "fault"), RAW)
async def test_whatever_stands_in_the_table_is_an_event_or_a_fault(
    stand: Stand, application: AtFile, column: str, value: str, fault: str
) -> None:
    application.insert("order.first")
    application.insert()
    application.connection.execute(f"UPDATE published SET {column} = {value} WHERE type = 'order.placed'")
    picked_up = await stand.store.pick_up(SOURCES)
    assert [event.type for event, _ in picked_up.events] == ["order.first"]
    [refused] = picked_up.refused
    assert refused.fault.startswith(fault)
    assert stand.store.fault is None
    assert (await stand.store.pick_up(SOURCES)).refused == [], "once is enough"


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
async def test_what_is_no_event_is_refused_at_once(application: AtFile, row: dict[str, Any], fault: str) -> None:
    with pytest.raises(sqlite3.IntegrityError) as caught:
        application.insert(**row)
    assert str(caught.value).startswith(fault)
    assert await application.waiting() == []


@pytest.fixture(scope="module")
def schema() -> Iterator[AtFile]:
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        for _, sql in migrations():
            connection.executescript(sql)
        yield AtFile(connection)


names = st.text(st.sampled_from("aZ_9.-é \n\0"), max_size=6) | st.sampled_from(["hookd", "a" * 128, "a" * 129])


@given(name=names)
def test_a_type_and_an_id_are_refused_as_the_api_refuses_them(schema: AtFile, name: str) -> None:
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
            schema.insert(**row)
        except sqlite3.IntegrityError:
            assert not of_the_api(row)
        else:
            assert of_the_api(row)


async def test_commits_of_others_stir_and_its_own_do_not(stand: Stand, application: AtFile) -> None:
    async with asyncio.timeout(PATIENCE):
        await stand.store.stirred()  # what was before the first look
    await stand.accept()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(5 * GLANCE):
            await stand.store.stirred()
    waiting = asyncio.create_task(stand.store.stirred())
    application.insert()
    async with asyncio.timeout(PATIENCE):
        await waiting
    assert await stand.store.publication_waits()


async def test_a_look_tells_of_every_commit_and_of_nothing_else(stand: Stand, application: AtFile) -> None:
    stamp = file_of(stand.store).files.stamp
    before = stamp()
    assert before
    await stand.store.totals()
    application.connection.execute("BEGIN IMMEDIATE")
    application.insert()
    assert stamp() == before, "nothing is committed"
    application.connection.execute("COMMIT")
    after = stamp()
    assert after != before
    await stand.accept()
    assert stamp() not in (before, after)


async def test_an_application_that_writes_all_the_time_keeps_no_breaker_from_opening(
    stand: Stand, application: AtFile
) -> None:
    """What came of the latest attempts is counted in memory, and is no other process's to change."""
    policy = BreakerPolicy(failures=100, share=1.0, least=3, window=60_000, wait=10_000, longest=60_000)
    await stand.endpoint()
    for _ in range(policy.least):
        delivery = await stand.sent()
        application.insert()
        await stand.store.notice()
        stand.lanes.finish("ep_1")
        stand.store.record(structs.replace(stand.result(delivery, Outcome.TIMEOUT), breaker=policy))
        await stand.settle()
    assert (await stand.store.endpoint("ep_1", None)).breaker.opened_at is not None
