"""The function of a server that applications publish through: what it refuses, who may call it, and who is woken."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hookd.accept import PICKED_UP, Acceptor
from hookd.metrics import Metrics
from hookd.policy.names import LONGEST, event_id, expect_free
from hookd.policy.types import check_type
from hookd.store import Page, shared
from hookd.store.membership import Membership
from hookd.store.news import EVERYBODY, PUBLISHED
from hookd.store.shared import SharedStore
from tests.crash.waiting import until, until_answered
from tests.postgres import run
from tests.store.applications import AtServer
from tests.store.stand import SECOND, Stand, at_server, stand_on

SOURCES = frozenset({"shop"})


@pytest.fixture
async def application(postgres: str) -> AsyncIterator[AtServer]:
    connection = await asyncpg.connect(postgres)
    try:
        yield AtServer(connection)
    finally:
        await connection.close()


@asynccontextmanager
async def process(address: str) -> AsyncIterator[Stand]:
    """Let a process share the database, until the block ends."""

    def open_in(_: Path, clock: Any, ids: Any) -> Any:
        return at_server(address, clock, ids, lease=60 * SECOND)

    async with stand_on(cast(Any, open_in), Path()) as stand:
        yield stand


@asynccontextmanager
async def watching(stand: Stand) -> AsyncIterator[Metrics]:
    """Let a process pick up what is published, until the block ends; answer what it has counted."""
    metrics = Metrics()
    acceptor = Acceptor(stand.store, metrics, lambda: stand.now, stand.ids)
    task = asyncio.create_task(acceptor.watch(lambda: SOURCES))
    try:
        yield metrics
    finally:
        task.cancel()


@asynccontextmanager
async def pair(address: str) -> AsyncIterator[tuple[Stand, Stand]]:
    """Let two processes share the database, each with half of the lanes: the one that picks up, and the other."""
    async with process(address) as first, process(address) as second:
        await first.store.recover({})
        await second.store.recover({})
        await until(lambda: len(member(first).slots) == len(member(second).slots), "the lanes are shared out")
        leader, other = sorted((first, second), key=lambda stand: not member(stand).leads)
        yield leader, other


def member(stand: Stand) -> Membership:
    return cast(SharedStore, stand.store)._member


async def test_it_answers_the_id_that_the_event_will_have(postgres: str, application: AtServer) -> None:
    payload = ' {"é": [1.0,  2], "é": null}\n'
    assert await application.publish("order.placed", payload, id="order-1", ordering_key=None) == "order-1"
    made = [await application.publish(), await application.publish()]
    assert all(re.fullmatch("evt_[0-9a-hjkmnp-tv-z]{20}", each) for each in made)
    assert made[0] != made[1]
    async with process(postgres) as stand:
        await stand.store.pick_up(SOURCES)
        assert [event.id for event in await events(stand)] == ["order-1", *made]
        assert (await stand.store.event("order-1", None)).payload == payload.encode()


async def events(stand: Stand) -> list[Any]:
    return list((await stand.store.events(None, Page(250))).items)[::-1]


async def test_an_id_that_is_made_tells_the_time_as_those_of_hookd_do(application: AtServer) -> None:
    """Ten characters of milliseconds, in Crockford's base 32, whose digits are in the order of their bytes."""
    digits = "0123456789abcdefghjkmnpqrstvwxyz"
    clock = "SELECT (extract(EPOCH FROM clock_timestamp()) * 1000)::bigint"
    before = await application.connection.fetchval(clock)
    made = await application.publish()
    after = await application.connection.fetchval(clock)
    milliseconds = 0
    for digit in made[4:14]:
        milliseconds = milliseconds * 32 + digits.index(digit)
    assert before <= milliseconds <= after


REFUSED: list[tuple[dict[str, Any], str]] = [
    *(({"event_type": each}, "type: expected an event type such as invoice.paid") for each in (None, "", "a.", "a b")),
    *(({"event_type": each}, "type: expected an event type such as invoice.paid") for each in ("a" * 129, "a\n", ".a")),
    *(({"event_type": each}, "type: types that begin with hookd are not published") for each in ("hookd", "hookd.x")),
    ({"payload": None}, "payload: expected JSON"),
    *(({"payload": each}, "invalid input syntax for type json") for each in ("", "{", "{a:1}", "NaN", "1 1")),
    ({"payload": '"' + "x" * 16 * 1024 * 1024 + '"'}, "payload: expected at most 16 MiB"),
    *(({"id": each}, "id: expected 1 to 128 letters, digits, _ or -") for each in ("", "a.b", "a" * 129, "a\n")),
    *(({"tenant": each}, "tenant: expected 1 to 128 printable") for each in ("", "a" * 129)),
    ({"ordering_key": "a" * 129}, "ordering_key: expected at most 128 characters"),
    *(({"endpoints": each}, "endpoints: expected an array of 1 to 100 ids") for each in ([], ["a"] * 101, ["a", None])),
]


@pytest.mark.parametrize(("row", "fault"), REFUSED, ids=lambda value: str(value)[:40])
async def test_what_is_no_event_is_refused_at_once(application: AtServer, row: dict[str, Any], fault: str) -> None:
    with pytest.raises(asyncpg.DataError) as caught:
        await application.publish(**row)
    assert str(caught.value).startswith(fault)
    assert await application.waiting() == []


names = st.text(st.sampled_from("aZ_9.-é \n"), max_size=6) | st.sampled_from(["hookd", "a" * LONGEST, "a" * 129])


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(found=st.lists(names, min_size=10, max_size=10))
def test_a_type_and_an_id_are_refused_as_the_api_refuses_them(postgres: str, found: list[str]) -> None:
    def of_the_api(event_type: str, identity: str) -> bool:
        try:
            check_type(event_type)
            expect_free(event_type, ())
            event_id(identity)
        except ValueError:
            return False
        return True

    asked = [each for name in found for each in ((name, "i"), (f"hookd.{name}", "i"), ("a", name))]
    sql = "SELECT pg_temp.passes(type, id) FROM unnest($1::text[], $2::text[]) AS asked (type, id)"
    passed = asyncio.run(answers(postgres, sql, *map(list, zip(*asked, strict=True))))
    assert passed == [of_the_api(*each) for each in asked]


PASSES = """
CREATE FUNCTION pg_temp.passes(type text, id text) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    PERFORM hookd.publish(type, '1', id);
    RETURN true;
EXCEPTION WHEN invalid_parameter_value THEN
    RETURN false;
END
$$
"""


async def answers(address: str, sql: str, *values: Any) -> list[Any]:
    connection = await asyncpg.connect(address)
    try:
        await connection.execute(PASSES)
        return [row[0] for row in await connection.fetch(sql, *values)]
    finally:
        await connection.close()


RAW: list[tuple[str, str, str]] = [
    ("type", "'a b'", "type: expected an event type"),
    ("payload", "'{'", "payload: expected JSON in UTF-8"),
    ("payload", "'\\xff'", "payload: expected JSON in UTF-8"),
    ("id", "'a.b'", "id: expected 1 to 128 letters, digits, _ or -"),
    ("tenant", "'a' || chr(10)", "tenant: expected 1 to 128 printable"),
    ("ordering_key", "repeat('k', 129)", "ordering_key: expected at most 128 characters"),
    ("endpoints", "'[]'", "endpoints: expected an array"),
    ("endpoints", "'[7]'", "endpoints: expected an array"),
    ("endpoints", "'['", "endpoints: "),
    ("endpoints", "'[\"\\u0000\"]'", "endpoints: expected text without NUL"),
]


@pytest.mark.parametrize(("column", "value", "fault"), RAW)
async def test_whatever_stands_in_the_table_is_an_event_or_a_fault(
    postgres: str, application: AtServer, column: str, value: str, fault: str
) -> None:
    await application.publish("order.first")
    await application.publish()
    await application.execute(f"UPDATE published SET {column} = {value} WHERE type = 'order.placed'")
    async with process(postgres) as stand:
        picked_up = await stand.store.pick_up(SOURCES)
        assert [event.type for event, _ in picked_up.events] == ["order.first"]
        [refused] = picked_up.refused
        assert refused.fault.startswith(fault)
        assert stand.store.fault is None
        assert (await stand.store.pick_up(SOURCES)).refused == [], "once is enough"


async def test_an_application_needs_no_more_than_to_call_it(postgres: str, application: AtServer) -> None:
    """Whoever may not call it can't publish; who may can do nothing else, whatever functions it makes."""
    role = f"shop_{urlsplit(postgres).path[1:]}"
    run(postgres, f"CREATE ROLE {role} LOGIN; CREATE SCHEMA {role} AUTHORIZATION {role};")
    parts = urlsplit(postgres)
    connection = await asyncpg.connect(urlunsplit(parts._replace(netloc=f"{role}@{parts.netloc.rpartition('@')[2]}")))
    try:
        with pytest.raises(asyncpg.InsufficientPrivilegeError, match="schema hookd"):
            await connection.execute("SELECT hookd.publish('order.placed', '{}')")
        await application.connection.execute(f"GRANT USAGE ON SCHEMA hookd TO {role}")
        with pytest.raises(asyncpg.InsufficientPrivilegeError, match="function publish"):
            await connection.execute("SELECT hookd.publish('order.placed', '{}')")
        await application.connection.execute(f"GRANT EXECUTE ON FUNCTION hookd.publish TO {role}")
        await connection.execute(
            f"CREATE FUNCTION {role}.length(text) RETURNS integer LANGUAGE sql AS $$ SELECT 1 / 0 $$;"
            f"SET search_path = {role}, pg_catalog"
        )
        await connection.execute("SELECT hookd.publish('order.placed', '{}', id => 'order-1')")
        for sql in ("SELECT * FROM hookd.published", "DELETE FROM hookd.published", "SELECT hookd.new_event_id()"):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await connection.execute(sql)
        assert await application.waiting() == [("order-1", "order.placed", None)]
    finally:
        await connection.close()
        run(postgres, f"DROP OWNED BY {role} CASCADE; DROP ROLE {role};")


async def test_a_transaction_wakes_once_and_when_it_is_committed(postgres: str, application: AtServer) -> None:
    heard: list[object] = []
    listener = await asyncpg.connect(postgres)
    try:
        await listener.add_listener(EVERYBODY, lambda *letter: heard.append(letter[-1]))

        async def everything_heard(last: str) -> None:
            await application.connection.execute("SELECT pg_notify($1, $2)", EVERYBODY, last)
            await until(lambda: last in heard, "what was said before is heard")

        transaction = application.connection.transaction()
        await transaction.start()
        await application.publish()
        await transaction.rollback()
        await everything_heard("rolled back")
        async with application.connection.transaction():
            for _ in range(3):
                await application.publish()
        await everything_heard("committed")
    finally:
        await listener.close()
    assert heard == ["rolled back", PUBLISHED, "committed"]


async def test_of_several_processes_one_picks_it_up(
    postgres: str, application: AtServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are woken, and need not look: what is there before is found by the first look, and else nothing would be."""
    monkeypatch.setattr(shared, "POLL", 10 * 60.0)
    made = [await application.publish()]
    async with AsyncExitStack() as stack:
        stands = [await stack.enter_async_context(process(postgres)) for _ in range(3)]
        for stand in stands:
            await stand.store.recover({})
        counted = [await stack.enter_async_context(watching(stand)) for stand in stands]
        await until_answered(lambda: nothing_waits(application), "it is picked up")
        made += [await application.publish() for _ in range(99)]
        await until_answered(lambda: nothing_waits(application), "it is picked up")
        assert [event.id for event in await events(stands[0])] == made
        [leading] = [each for each, stand in zip(counted, stands, strict=True) if member(stand).leads]
        await until(lambda: leading.events_accepted[PICKED_UP] == 100, "each is counted once")
        assert sum(each.events_accepted[PICKED_UP] for each in counted) == 100


async def nothing_waits(application: AtServer) -> bool:
    return await application.waiting() == []


async def test_a_process_that_leaves_lets_another_pick_up(
    postgres: str, application: AtServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared, "POLL", 10 * 60.0)
    async with pair(postgres) as (leader, other):
        await application.publish(id="order-1")
        assert (await other.store.pick_up(SOURCES)).events == [], "another is to"
        assert not await other.store.publication_waits()
        async with watching(other):
            leader.store.stop()
            await until_answered(lambda: nothing_waits(application), "the other picks it up")
        assert [event.id for event in await events(other)] == ["order-1"]


async def test_an_ordered_endpoint_of_another_process_gets_them_in_their_order(
    postgres: str, application: AtServer
) -> None:
    async with pair(postgres) as (leader, other):
        endpoint = next(f"ep_{number}" for number in range(1000) if member(other).owns(f"ep_{number}"))
        await leader.endpoint(endpoint, ordered=True)
        for number in range(5):
            await application.publish(id=f"order-{number}", ordering_key=f"{number % 2}")
        assert len((await leader.store.pick_up(SOURCES)).events) == 5
        sent = []
        while claimed := await other.claim(endpoint):
            for delivery in claimed:
                sent.append(delivery.event.id)
                await other.end(delivery)
        assert sorted(sent, key=lambda identity: int(identity[-1]) % 2) == [f"order-{each}" for each in (0, 2, 4, 1, 3)]
