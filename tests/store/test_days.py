"""Days at a PostgreSQL server: made ahead beside writers, dropped as a whole once nothing of them waits."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any, TypeAlias

import asyncpg
import pytest

from hookd.store import days
from hookd.store.dialect import bound
from hookd.store.statement import Query
from tests.store.stand import DAY

Connection: TypeAlias = "asyncpg.Connection[Any]"

PARENTS = ("events", "outbox_ended", "attempts")
OLD = 40
"""How many days ago a day of the tests was."""

INSERT_EVENT = """
INSERT INTO hookd.events (sequence, id, tenant, type, origin, payload, content_type, created_at)
VALUES ($1, 'evt_1', '', 'a', 'published', '', '', 0)
"""
INSERT_DELIVERY = """
INSERT INTO hookd.outbox (sequence, id, event, endpoint, tenant, type, status, due_at, created_at)
VALUES ($1, 'dlv_1', $2, 'ep_1', '', 'a', $3, 0, 0)
"""
INSERT_ATTEMPT = """
INSERT INTO hookd.attempts (delivery, number, id, started_at, duration, outcome, request_headers, response_headers,
    response_body, truncated)
VALUES ($1, 1, 'att_1', 0, 0, 'success', '{}', '{}', '', 0)
"""


@pytest.fixture
async def connection(postgres: str) -> AsyncIterator[Connection]:
    opened = await asyncpg.connect(postgres)
    try:
        yield opened
    finally:
        await opened.close()


@pytest.fixture
async def other(postgres: str) -> AsyncIterator[Connection]:
    opened = await asyncpg.connect(postgres)
    try:
        yield opened
    finally:
        await opened.close()


async def today(connection: Connection) -> int:
    return int(await connection.fetchval("SELECT hookd.today()"))


async def known(connection: Connection) -> list[int]:
    return [row[0] for row in await connection.fetch("SELECT day FROM hookd.days ORDER BY day")]


async def make(connection: Connection, day: int) -> int:
    """Make a day, and answer the first sequence of it."""
    await connection.execute("SELECT hookd.make_day($1)", day)
    return int(await connection.fetchval("SELECT hookd.first_of($1)", day))


async def drop(connection: Connection, day: int) -> bool:
    return bool(await connection.fetchval(*bound(Query(days.SQL.drop, {"day": day}))))


async def parts(connection: Connection, day: int) -> list[str]:
    """Answer the tables of a day."""
    sql = "SELECT relname FROM pg_class WHERE relkind = 'r' AND relname LIKE '%' || $1 ORDER BY relname"
    name = await connection.fetchval("SELECT to_char(DATE '1970-01-01' + $1::integer, '\"_\"YYYYMMDD')", day)
    return [row[0].removesuffix(name) for row in await connection.fetch(sql, name)]


async def test_a_new_database_has_today_and_the_next_days(connection: Connection) -> None:
    now = await today(connection)
    assert await known(connection) == [now, now + 1, now + 2, now + 3]
    assert await parts(connection, now + days.AHEAD) == sorted(PARENTS)


async def test_a_sequence_tells_its_day_and_fits_a_double(connection: Connection) -> None:
    first, second = [await connection.fetchval("SELECT hookd.next_sequence()") for _ in range(2)]
    assert first < second < 1 << 53
    assert await connection.fetchval("SELECT hookd.day_of($1)", first) == await today(connection)


async def test_days_that_are_there_are_not_made_again(connection: Connection) -> None:
    before = await known(connection)
    await connection.execute(*bound(Query(days.SQL.make, {"ahead": days.AHEAD + 1})))
    assert await known(connection) == [*before, before[-1] + 1]


async def test_two_processes_may_make_the_same_day_at_once(connection: Connection, other: Connection) -> None:
    day = await today(connection) + 9
    await asyncio.gather(*(each.execute("SELECT hookd.make_day($1)", day) for each in (connection, other)))
    assert await parts(connection, day) == sorted(PARENTS)


async def test_making_a_day_waits_for_no_writer(connection: Connection, other: Connection) -> None:
    async with other.transaction():
        sequence = await other.fetchval("SELECT hookd.next_sequence()")
        await other.execute(INSERT_EVENT, sequence)
        await other.execute(INSERT_DELIVERY, sequence, sequence, "failed")
        await other.execute(INSERT_ATTEMPT, sequence)
        await connection.execute("SET lock_timeout = '5s'")
        await connection.execute("SELECT hookd.make_day($1)", await today(connection) + 9)


async def test_only_what_ended_long_enough_ago_is_old(connection: Connection) -> None:
    day = await today(connection) - OLD
    await make(connection, day)
    for age, expected in (((OLD - 1) * DAY - 1, [day]), (OLD * DAY, [])):
        found = await connection.fetch(*bound(Query(days.SQL.old, {"age": age})))
        assert [row[0] for row in found] == expected


async def test_a_day_of_which_all_has_ended_is_dropped(connection: Connection) -> None:
    day = await today(connection) - OLD
    sequence = await make(connection, day)
    await connection.execute(INSERT_EVENT, sequence)
    await connection.execute(INSERT_DELIVERY, sequence, sequence, "failed")
    await connection.execute(INSERT_ATTEMPT, sequence)
    assert await drop(connection, day)
    assert day not in await known(connection)
    assert await parts(connection, day) == []
    for table in (*PARENTS, "outbox"):
        assert await connection.fetchval(f"SELECT count(*) FROM hookd.{table}") == 0
    assert await drop(connection, day)


@pytest.mark.parametrize("of_the_day", ["event", "delivery"])
@pytest.mark.parametrize("status", ["pending", "sending"])
async def test_a_day_stays_while_something_of_it_waits(connection: Connection, of_the_day: str, status: str) -> None:
    day = await today(connection) - OLD
    old = await make(connection, day)
    new = await make(connection, day + 1)
    event, delivery = (old, new) if of_the_day == "event" else (new, old)
    await connection.execute(INSERT_DELIVERY, delivery, event, status)
    assert not await drop(connection, day)
    assert await parts(connection, day) == sorted(PARENTS)
    await connection.execute("UPDATE hookd.outbox SET status = 'delivered'")
    assert await drop(connection, day)


async def test_a_day_stays_while_it_is_read_for_long(connection: Connection, other: Connection) -> None:
    day = await today(connection) - OLD
    await make(connection, day)
    async with other.transaction():
        await other.fetch("SELECT FROM hookd.attempts")
        assert not await drop(connection, day)
        assert await parts(connection, day) == sorted(PARENTS)
        assert await connection.fetchval("SHOW lock_timeout") == "0"
    assert await drop(connection, day)
