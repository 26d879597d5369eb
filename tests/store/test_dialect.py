"""Every statement as PostgreSQL takes it: prepared, planned along an index, and answered as SQLite answers it."""

import json
from collections.abc import AsyncIterator, Iterator, Sequence
from importlib import resources
from itertools import product
from typing import Any, TypeAlias

import asyncpg
import pytest

from hookd.model import Status
from hookd.store import deliveries, dialect, endpoints, events, rejections
from hookd.store.claim import _decode as decode_found
from hookd.store.deliveries import DeliveryFilter, page_query
from hookd.store.dialect import PLANNER, batch, bound, query
from hookd.store.page import Page
from hookd.store.rows import text
from hookd.store.statement import Each, Insert, Many, Query, Row, statements
from hookd.store.vault import PLAIN
from tests.store.stand import NOW

ALONE_IN_A_FILE = {"prune"}
"""Files of statements that a PostgreSQL server is never asked: it drops whole days."""

PARTS = {"claim.oldest_of_lane"}
"""What stands in another statement."""

WALKS = {
    "claim.count_sending": "burying a process looks through all that is open",
    "claim.recover_crashed": "as before",
    "deliveries.depth": "all that is open is counted",
    "deliveries.columns": "its conditions are put behind it",
    "events.page_columns": "as before",
    "endpoints.page": "as before",
    "rejections.page_columns": "as before",
    "claim.lanes": "the first lane is where the index begins",
    "endpoints.count_by_state": "all are counted",
    "endpoints.key_ids": "all are looked at",
    "cluster.due": "the first lane is where the index begins",
    "published.waits": "the oldest is where the index begins",
    "published.oldest": "as before",
}
"""Statements that read an index, or the table of what is open, as a whole, and why."""

Connected: TypeAlias = "asyncpg.Connection[Any]"

BIG = ("attempts", "dedupe", "endpoints", "events", "outbox", "published", "rejections", "subscriptions")
"""Tables that grow, as their partitions' names begin."""


def named() -> Iterator[tuple[str, str]]:
    """Name every statement of the .sql files, with its text for PostgreSQL."""
    files = [file.name.removesuffix(".sql") for file in resources.files("hookd.store").joinpath("sql").iterdir()]
    for file in sorted({*files} - ALONE_IN_A_FILE - {"postgres"}):
        for name, sql in statements(file):
            if f"{file}.{name}" not in PARTS:
                over_rows = ":rows(" in sql or ":parts" in sql
                yield f"{file}.{name}", batch(sql) if over_rows else query(sql)[0]


def built() -> Iterator[tuple[str, str]]:
    """Name the texts that are put together in Python."""
    filters: dict[str, Any] = {"status": Status.FAILED, "since": 1, "until": 2}
    filters |= {"endpoint": "ep_1", "event": "evt_1", "type": "a", "tenant": "t"}
    wanted = [{}, filters, {"status": Status.DELIVERED}, *({name: value} for name, value in filters.items())]
    for each, page in product(wanted, (Page(50, before=7), Page(50, after=7))):
        name = f"deliveries by {'+'.join(each)} {'back' if page.after else 'on'}"
        yield name, query(page_query(DeliveryFilter(**each), page, NOW).sql)[0]
    for tenant, page in product((None, "t"), (Page(50), Page(50, after=7))):
        which = f"of {tenant} {'back' if page.after else 'on'}"
        yield f"events {which}", first(events.events(tenant, page))
        yield f"endpoints {which}", first(endpoints.endpoints(tenant, page, PLAIN))
        yield f"rejections {which}", first(rejections.rejections(tenant, None, page))
        yield f"rejections of a source {which}", first(rejections.rejections(tenant, "s", page))
    yield "reread", first(deliveries._reread(1, NOW))
    yield "reencrypt", first(endpoints.reencrypt(PLAIN, 1))


def first(steps: Any) -> str:
    """Answer the text of a transaction's first statement."""
    return query(next(steps).sql)[0]


TEXTS = dict([*named(), *built()])


@pytest.fixture
async def connection(postgres: str) -> AsyncIterator[Connected]:
    opened = await asyncpg.connect(postgres, server_settings={**PLANNER, "hookd.process": "1"})
    try:
        yield opened
    finally:
        await opened.close()


async def plan_of(connection: Connected, sql: str, *options: str) -> dict[str, Any]:
    """Answer the plan that serves whatever values there are."""
    wanted = len((await connection.prepare(sql)).get_parameters())
    values = f"({', '.join(['NULL'] * wanted)})" if wanted else ""
    await connection.execute(f"PREPARE asked AS {sql}")
    try:
        explained = await connection.fetchval(f"EXPLAIN ({', '.join(['FORMAT JSON', *options])}) EXECUTE asked{values}")
    finally:
        await connection.execute("DEALLOCATE asked")
    found: dict[str, Any] = json.loads(explained)[0]["Plan"]
    return found


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for part in plan.get("Plans", ()):
        yield from nodes(part)


async def test_every_statement_is_prepared(connection: Connected) -> None:
    for name, sql in TEXTS.items():
        try:
            await connection.prepare(sql)
        except asyncpg.PostgresError as error:
            raise AssertionError(f"{name}: {error}\n{sql}") from error


async def test_every_statement_goes_along_an_index(connection: Connected) -> None:
    walking = {name for name, sql in TEXTS.items() if any(map(is_walk, nodes(await plan_of(connection, sql))))}
    assert walking == {*WALKS}


def is_walk(node: dict[str, Any]) -> bool:
    """Say whether a big table is read with nothing that says from where to where."""
    bounded = "Index Cond" in node or "TID Cond" in node or "Recheck Cond" in node
    return node["Node Type"].endswith("Scan") and node.get("Relation Name", "").startswith(BIG) and not bounded


def test_no_text_is_left_to_sqlite() -> None:
    for name, sql in TEXTS.items():
        assert "json_each" not in sql, name
        assert ":rows" not in sql, name
        assert "INDEXED BY" not in sql, name


def test_what_is_put_behind_a_statement_stays_behind_what_stands_in_its_place() -> None:
    other, own = next(iter(dialect._own()))
    assert query(f"{other} AND TRUE")[0].endswith("RETURNING 1 AND TRUE")
    assert own != other


def test_a_literal_has_no_parameters() -> None:
    assert query("SELECT ':a', 'it''s :b', :c::text, :d, :c") == (
        "SELECT ':a', 'it''s :b', $1::text, $2, $1",
        ("c", "d"),
    )


def test_values_are_in_the_order_of_the_text_and_others_are_left_out() -> None:
    assert bound(Query("SELECT :b, :a, :b", {"a": 1, "b": 2, "c": 3})) == ("SELECT $1, $2, $1", 2, 1)


def test_rows_are_bound_by_columns() -> None:
    sql = "SELECT column2 FROM (VALUES :rows(text, bigint)) WHERE column1 IS NOT NULL"
    expected = (
        "SELECT column2 FROM unnest($1::text[], $2::bigint[]) AS given (column1, column2) WHERE column1 IS NOT NULL"
    )
    assert bound(Many(sql, [("a", 1), ("b", 2)])) == (expected, ("a", "b"), (1, 2))


# What is answered.

ACCEPT, CLAIM, DELIVERIES, RECORD = map(statements, ("accept", "claim", "deliveries", "record"))


async def ask(connection: Connected, statement: Query | Many | Insert | Each) -> list[Row]:
    return [tuple(row) for row in await connection.fetch(*bound(statement))]


def event_row(identity: str, payload: bytes = b"{}") -> Row:
    return (identity, "", "purchase", "published", payload, "application/json", NOW, "", True)


def outbox_row(identity: str, event: int, *, due_at: int = NOW, held: int = 0, turn: int | None = None) -> Row:
    return (identity, event, "ep_1", "", "purchase", "pending", None, due_at, NOW, "", turn, held)


async def insert(connection: Connected, *payloads: bytes) -> tuple[list[int], list[int]]:
    """Insert events with a delivery each, due in order; answer the sequences of both."""
    rows = [event_row(f"evt_{place}", payload) for place, payload in enumerate(payloads)]
    made = [row[0] for row in await ask(connection, Insert(ACCEPT.insert_events, rows))]
    waiting = [outbox_row(f"dlv_{place}", event, due_at=NOW + place) for place, event in enumerate(made)]
    return made, [row[0] for row in await ask(connection, Insert(ACCEPT.insert_outbox, waiting))]


async def oldest(connection: Connected, *wanted: tuple[str, int]) -> list[Any]:
    ((found,),) = await ask(connection, Each(CLAIM.oldest, CLAIM.oldest_of_lane, wanted, ("", 0)))
    return decode_found(found)


async def test_sequences_are_in_the_order_of_the_rows(connection: Connected) -> None:
    made, waiting = await insert(connection, *[b"x"] * 500)
    assert made == sorted(made)
    assert waiting == sorted(waiting)
    found = await connection.fetch("SELECT id FROM hookd.events ORDER BY sequence")
    assert [row[0] for row in found] == [f"evt_{place}" for place in range(500)]


async def test_the_oldest_of_each_lane_come_in_the_order_of_the_lanes(connection: Connected) -> None:
    assert await oldest(connection, ("ep_1", 3)) == []
    made, waiting = await insert(connection, b"one", b"three")
    ours = outbox_row("dlv_z", made[0])
    await ask(connection, Insert(ACCEPT.insert_outbox, [(*ours[:2], "ep_0", *ours[3:])]))
    found = await oldest(connection, ("ep_1", 1), ("ep_2", 5), ("ep_0", 5), ("ep_1", 5))
    assert [each.id for each in found] == ["dlv_0", "dlv_z", "dlv_0", "dlv_1"]
    last = found[-1]
    assert last[:7] == ("ep_1", waiting[1], "dlv_1", 0, 0, NOW + 1, made[1])
    assert last[7:] == ("evt_1", "", "purchase", "published", "application/json", NOW, "", len(b"three"))


async def test_payloads_come_end_to_end_in_the_order_asked_for(connection: Connected) -> None:
    made, _ = await insert(connection, b"one", b"\x00\xff", b"three")
    wanted = Query(CLAIM.payloads, {"events": text([made[2], made[0], made[1]])})
    assert await ask(connection, wanted) == [(b"threeone\x00\xff",)]


async def test_other_days_are_not_looked_into(connection: Connected) -> None:
    await insert(connection, b"one")
    sql = batch(CLAIM.oldest).replace("$1::text[]", "ARRAY['ep_1']").replace("$2::bigint[]", "ARRAY[1::bigint]")
    plan = await plan_of(connection, sql, "ANALYZE")
    looked = {node["Relation Name"] for node in nodes(plan) if "Relation Name" in node and node["Actual Loops"]}
    today = await connection.fetchval("SELECT to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYYMMDD')")
    assert looked == {"outbox_open", f"events_{today}"}


async def test_a_claim_touches_no_index(connection: Connected) -> None:
    _, waiting = await insert(connection, *[b"{}"] * 1000)
    async with connection.transaction():
        await ask(connection, Query(CLAIM.mark, {"sequences": text(waiting)}))
        counts = "pg_stat_get_xact_tuples_updated(part), pg_stat_get_xact_tuples_hot_updated(part)"
        found = await connection.fetchrow(
            f"SELECT {counts} FROM (SELECT 'hookd.outbox_open'::regclass::oid AS part) AS one"
        )
    assert found is not None
    assert tuple(found) == (1000, 1000)
    assert await oldest(connection, ("ep_1", 1)) == []


async def test_a_newcomers_turn_is_its_sequence(connection: Connected) -> None:
    rows = [outbox_row("dlv_1", 1, held=2), outbox_row("dlv_2", 1, held=1, turn=7)]
    newcomer, other = [row[0] for row in await ask(connection, Insert(ACCEPT.insert_outbox, rows))]
    found = await connection.fetch("SELECT sequence, turn, held FROM hookd.outbox ORDER BY sequence")
    assert [tuple(row) for row in found] == [(newcomer, newcomer, 2), (other, 7, 1)]


def conclusion(sequence: int, status: str = "delivered") -> Many:
    return Many(RECORD.conclude, [(sequence, status, None, 1, 0, NOW, None)])


@pytest.mark.parametrize(("owner", "expected"), [("1", "delivered"), ("2", "sending")])
async def test_only_who_claimed_a_delivery_concludes_it(connection: Connected, owner: str, expected: str) -> None:
    _, (sequence,) = await insert(connection, b"{}")
    await ask(connection, Query(CLAIM.mark, {"sequences": text([sequence])}))
    await connection.execute("SELECT set_config('hookd.process', $1, false)", owner)
    await ask(connection, conclusion(sequence))
    assert await connection.fetchval("SELECT status FROM hookd.outbox WHERE sequence = $1", sequence) == expected


async def test_what_has_ended_can_be_made_to_wait_again(connection: Connected) -> None:
    _, (sequence,) = await insert(connection, b"{}")
    await ask(connection, Query(CLAIM.mark, {"sequences": text([sequence])}))
    await ask(connection, conclusion(sequence, "failed"))
    assert await connection.fetchval("SELECT count(*) FROM hookd.outbox_open") == 0
    again = {"sequence": sequence, "now": NOW, "ordering_key": "", "ordered": False}
    await ask(connection, Query(DELIVERIES.retry, again))
    assert [each.sequence for each in await oldest(connection, ("ep_1", 1))] == [sequence]


async def test_a_key_is_remembered_once_until_it_expires(connection: Connected) -> None:
    def key(digest: bytes, created_at: int, oldest: int) -> Many:
        return Many(ACCEPT.remember, [("id", "", key, digest, "evt_1", 1, created_at, oldest) for key in ("b", "a")])

    assert len(await ask(connection, key(b"1", NOW, NOW - 5))) == 2
    assert await ask(connection, key(b"2", NOW + 5, NOW)) == []
    assert len(await ask(connection, key(b"3", NOW + 6, NOW + 1))) == 2
    wanted: Sequence[Row] = [("id", "", "a", NOW)]
    assert await ask(connection, Many(ACCEPT.known, wanted)) == [("id", "", "a", b"3", "evt_1", 1)]
