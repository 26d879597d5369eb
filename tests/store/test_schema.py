"""The schema at a PostgreSQL server: what its tables promise to the statements and to other processes."""

import asyncio
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from hookd.errors import StartError
from hookd.store import rows, schema
from hookd.store.dialect import bound
from hookd.store.statement import Many, Query, statements
from hookd.store.vault import PLAIN
from tests.nouns import ENDPOINT
from tests.postgres import run
from tests.store.stand import at_server, stand_on
from tests.store.test_move import to

SQL = statements("endpoints")


def test_texts_are_in_the_order_of_their_bytes(postgres: str) -> None:
    """Whatever the database's own order is; ids, ranges and keys rely on it."""
    others = """
        SELECT attrelid::regclass::text, attname FROM pg_attribute
        JOIN pg_class ON pg_class.oid = attrelid JOIN pg_collation ON pg_collation.oid = attcollation
        WHERE relnamespace = 'hookd'::regnamespace AND collname <> 'C'
    """
    assert run(postgres, others) == [("hookd.processes", "name")]


def test_no_index_of_what_is_open_minds_a_claim(postgres: str) -> None:
    """So that a claim is a HOT update, in pages that have room for it."""
    indices = run(postgres, "SELECT indexdef FROM pg_indexes WHERE tablename = 'outbox_open'")
    assert indices
    assert [found for (found,) in indices if "status" in str(found) or "owner" in str(found)] == []


def asked(address: str, statement: Any) -> list[tuple[object, ...]]:
    return run(address, *bound(statement))


def changes(address: str) -> list[object]:
    return [row[0] for row in run(address, "SELECT endpoint FROM hookd.changes ORDER BY version")]


def test_other_processes_are_told_of_every_change_of_an_endpoint(postgres: str) -> None:
    values = rows.endpoint_row(ENDPOINT, PLAIN)
    asked(postgres, Query(SQL.insert, values))
    assert changes(postgres) == ["ep_1"]
    asked(postgres, Query(SQL.update, values))
    assert changes(postgres) == ["ep_1"] * 2
    asked(postgres, Query(SQL.delete, values))
    assert changes(postgres) == ["ep_1"] * 3


def test_other_processes_are_not_told_what_attempts_tell(postgres: str) -> None:
    asked(postgres, Query(SQL.insert, rows.endpoint_row(ENDPOINT, PLAIN)))
    asked(postgres, Many(SQL.update_health, [("ep_1", 1, 2, 3, 4, 5, True)]))
    assert changes(postgres) == ["ep_1"]
    health = (
        "SELECT failing_since, failing_attempts, opened_at, openings, blocked_until, told_failing FROM hookd.endpoints"
    )
    assert run(postgres, health) == [(1, 2, 3, 4, 5, 1)]


def test_a_delivery_that_has_ended_has_no_turn(postgres: str) -> None:
    columns = "sequence, id, event, endpoint, tenant, type, due_at, created_at, status, turn, held"
    for turn, held in (("1", 0), ("NULL", 1)):
        with pytest.raises(Exception, match="outbox_ended"):
            run(
                postgres,
                f"INSERT INTO hookd.outbox ({columns}) "
                f"VALUES (hookd.next_sequence(), 'dlv_1', 1, '', '', '', 0, 0, 'failed', {turn}, {held})",
            )


# Bringing it up to date.

NEWEST = schema.migrations()[-1][0]
FURTHER = """
ALTER TABLE hookd.events ADD COLUMN later integer NOT NULL DEFAULT 0;
ALTER TABLE hookd.outbox ADD COLUMN later integer NOT NULL DEFAULT 0;
ALTER TABLE hookd.attempts ADD COLUMN later integer;
ALTER TABLE hookd.endpoints ADD COLUMN later text COLLATE "C";
CREATE INDEX outbox_later ON hookd.outbox_open (later) WHERE later > 0;
"""
"""A migration of a hookd that is yet to be written."""


@pytest.fixture
def further(monkeypatch: pytest.MonkeyPatch) -> None:
    steps = [*schema.migrations(), (NEWEST + 1, FURTHER)]
    monkeypatch.setattr(schema, "migrations", lambda: steps)


async def test_an_older_process_goes_on_meanwhile(
    tmp_path: Path, postgres: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with stand_on(lambda _, clock, ids: at_server(postgres, clock, ids), tmp_path) as stand:
        await stand.endpoint(ordered=True)
        delivered: list[str] = []

        async def deliver() -> None:
            delivery = await stand.sent()
            await stand.end(delivery)
            assert (await stand.delivery(delivery.id)).status == "delivered"
            delivered.append(delivery.id)

        await deliver()
        monkeypatch.setattr(schema, "migrations", lambda: [(NEWEST, ""), (NEWEST + 1, FURTHER)])
        migrating = asyncio.create_task(schema.bring_up(to(postgres)))
        while not migrating.done():
            await deliver()
        assert await migrating == (NEWEST, NEWEST + 1)
        for _ in range(3):
            await deliver()
        await stand.store.retry(delivered[0], None)
        await stand.endpoint("ep_2", url="https://example.com/other")
        assert stand.store.fault is None
    assert run(postgres, "SELECT max(version) FROM hookd.schema") == [(NEWEST + 1,)]


async def test_two_at_once_do_it_once(postgres: str, further: None) -> None:
    answers = await asyncio.gather(*(schema.bring_up(to(postgres)) for _ in range(3)))
    assert sorted(answers) == [(NEWEST, NEWEST + 1), (NEWEST + 1, NEWEST + 1), (NEWEST + 1, NEWEST + 1)]


async def test_a_backup_that_reads_for_long_holds_up_nobody_for_long(
    postgres: str, further: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(schema, "PATIENCE", "100ms")
    backup = await asyncpg.connect(postgres)
    try:
        async with backup.transaction():
            await backup.fetch("SELECT FROM hookd.attempts")
            with pytest.raises(StartError, match="such as a backup, keeps reading hookd's tables"):
                await schema.bring_up(to(postgres))
            assert run(postgres, "SELECT max(version) FROM hookd.schema") == [(NEWEST,)]
    finally:
        await backup.close()
    assert await schema.bring_up(to(postgres)) == (NEWEST, NEWEST + 1)


def test_a_server_that_is_too_old_is_said_to_be() -> None:
    schema.expect_version(schema.OLDEST)
    with pytest.raises(StartError, match="PostgreSQL 13; hookd needs 14 or newer"):
        schema.expect_version(13)
