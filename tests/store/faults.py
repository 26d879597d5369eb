"""What may befall the storage of a store, of either kind: it refuses writes, holds them up, or forbids some."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, closing
from typing import Any, Final

import asyncpg

from hookd.store import Store
from hookd.store.cluster import DIRECTORY, LOCKS
from hookd.store.context import Context
from hookd.store.shared import SharedStore
from hookd.store.statement import Query, Steps
from tests.crash.waiting import until
from tests.postgres import run
from tests.store.stand import Stand, file_of

VIOLATION: Final = (sqlite3.IntegrityError, asyncpg.IntegrityConstraintViolationError)
"""What a database says of a row that breaks a rule of its table."""
UNFIT: Final = (sqlite3.Error, asyncpg.DataError)
"""What it says of a value that no column can hold."""
FORBIDDEN: Final = (sqlite3.IntegrityError, asyncpg.RaiseError)
"""What it says of a write that is `forbidden`."""


def address_of(store: Store) -> str | None:
    """Answer the URL of the PostgreSQL server of a store; None where that is in a file."""
    return store._database._address if isinstance(store, SharedStore) else None


async def carry_out(store: Store, sql: str, *parameters: dict[str, Any]) -> None:
    """Carry out a statement that both databases understand, behind the store's back; once for each parameters."""

    def behind(_: Context, asked: Sequence[None]) -> Steps[list[None]]:
        for each in parameters or ({},):
            yield Query(sql, each)
        return list(asked)

    await store._write(behind, None)


@asynccontextmanager
async def refusing(store: Store) -> AsyncIterator[None]:
    """Let the storage take no write, as after it has become read-only; all can be read."""
    await _refuse(store, "on")
    try:
        yield
    finally:
        await _refuse(store, "off")


async def _refuse(store: Store, whether: str) -> None:
    address = address_of(store)
    if address is None:
        await file_of(store).writer.run(lambda raw: raw.execute(f"PRAGMA query_only = {whether}"))
    else:
        await asyncio.to_thread(run, address, READ_ONLY.format(whether) + CUT_OFF)


READ_ONLY: Final = """
BEGIN READ WRITE;
DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET default_transaction_read_only = {}', current_database()); END $$;
COMMIT;
"""
CUT_OFF: Final = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid();
"""


@asynccontextmanager
async def without_room(stand: Stand) -> AsyncIterator[None]:
    """Let a write that is large be begun, and fail."""
    if address_of(stand.store) is not None:
        async with refusing(stand.store):
            yield
        return
    await fill(stand)
    try:
        yield
    finally:
        await empty(stand)


@asynccontextmanager
async def held_up(store: Store) -> AsyncIterator[None]:
    """Hold up every commit, by a lock that another connection has, as an owner of lanes or a backup may."""
    address = address_of(store)
    if address is None:
        with closing(sqlite3.connect(file_of(store).files._path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            yield
        return
    connection = await asyncpg.connect(address)
    try:
        await connection.execute(f"SELECT pg_advisory_lock({LOCKS}, {DIRECTORY})")
        yield
    finally:
        await connection.close()


async def under_way(store: Store) -> None:
    """Wait until all that is queued is being committed."""
    await until(lambda: not store._committer._writes, "the commit is under way")


@asynccontextmanager
async def forbidden(store: Store, what: str) -> AsyncIterator[None]:
    """Let every transaction fail that does something to the deliveries that wait: INSERT or UPDATE."""
    address = address_of(store)
    if address is None:
        writer = file_of(store).writer
        await writer.run(lambda raw: raw.execute(f"CREATE TEMP TRIGGER forbidden BEFORE {what} ON outbox {REFUSED}"))
    else:
        await asyncio.to_thread(run, address, FORBID.format(what=what))
    try:
        yield
    finally:
        if address is None:
            await writer.run(lambda raw: raw.execute("DROP TRIGGER forbidden"))
        else:
            await asyncio.to_thread(run, address, PERMIT)


REFUSED: Final = "BEGIN SELECT RAISE(ABORT, 'refused'); END"
FORBID: Final = """
CREATE FUNCTION hookd.refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'refused'; END $$;
CREATE TRIGGER forbidden BEFORE {what} ON hookd.outbox_open
FOR EACH ROW EXECUTE FUNCTION hookd.refuse();
"""
PERMIT: Final = "DROP TRIGGER forbidden ON hookd.outbox_open; DROP FUNCTION hookd.refuse();"


async def fill(stand: Stand) -> None:
    """Let the file grow no further, and take what room is left in it."""

    def full(raw: sqlite3.Connection) -> None:
        pages = raw.execute("PRAGMA page_count").fetchone()[0]
        raw.execute(f"PRAGMA max_page_count = {pages}")

    await file_of(stand.store).writer.run(full)


async def empty(stand: Stand) -> None:
    """Let the file grow again."""
    await file_of(stand.store).writer.run(lambda raw: raw.execute("PRAGMA max_page_count = 1000000"))
