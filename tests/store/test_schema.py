"""The schema at a PostgreSQL server: what its tables promise to the statements and to other processes."""

from typing import Any

import pytest

from hookd.store import rows
from hookd.store.dialect import bound
from hookd.store.statement import Many, Query, statements
from hookd.store.vault import PLAIN
from tests.nouns import ENDPOINT
from tests.postgres import run

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
