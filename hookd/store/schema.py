"""The schema at a PostgreSQL server: brought up to date forward only, one process at a time, while others run."""

import asyncio
from contextlib import suppress
from importlib import resources
from typing import Any, Final

from asyncpg import exceptions as postgres

from hookd.errors import StartError
from hookd.store.cluster import DIRECTORY, LOCKS
from hookd.store.server import Server

LOCK: Final = -1
"""The second key of the advisory lock of whoever changes the schema, or moves a store in."""

WAIT: Final = 30.0
"""Seconds to wait for another process that does so."""

GLANCE: Final = 0.1

PATIENCE: Final = "3s"
"""How long a migration waits for a table that others use; meanwhile everybody else waits behind it."""

OLDEST: Final = 14
"""PostgreSQL's oldest version that has what the schema is made of."""


def migrations() -> list[tuple[int, str]]:
    """Answer the numbers and texts of all migrations, in order."""
    folder = resources.files("hookd.store").joinpath("migrations", "postgres")
    files = sorted(file.name for file in folder.iterdir() if file.name.endswith(".sql"))
    return [(int(name.split("_")[0]), folder.joinpath(name).read_text("utf-8")) for name in files]


async def bring_up(server: Server) -> tuple[int, int]:
    """Bring the schema up to date; answer which one it was (0 where there was none), and which it is.

    StartError where it is newer than this hookd knows, or can't be changed, or where the database is not in UTF-8;
    StorageError where the server is at fault.
    """
    async with server.connected() as connection:
        expect_version(connection.get_server_version().major)
        await _expect_utf8(connection)
        try:
            return await _again(connection)
        except postgres.LockNotAvailableError:
            raise StartError(
                "[store] url: the schema can't be brought up to date while another session, such as a backup, keeps "
                "reading hookd's tables; run this again later"
            ) from None
        except postgres.InsufficientPrivilegeError as error:
            raise StartError(
                f"[store] url: the schema can't be brought up to date: {error}; hookd's role needs CREATE on the "
                "database, and has to own the schema hookd where that is there"
            ) from None


async def _expect_utf8(connection: Any) -> None:
    """Refuse a database that could not keep every text which is accepted, or which a receiver answers."""
    encoding = await connection.fetchval("SHOW server_encoding")
    if encoding != "UTF8":
        raise StartError(
            f"[store] url: the database is encoded in {encoding}; make one with CREATE DATABASE … ENCODING 'UTF8' "
            "TEMPLATE template0"
        )


def expect_version(major: int) -> None:
    """Raise StartError where the server is too old."""
    if major < OLDEST:
        raise StartError(f"[store] url: the server is PostgreSQL {major}; hookd needs {OLDEST} or newer")


async def _again(connection: Any) -> tuple[int, int]:
    """Bring it up in one transaction; once more where that and somebody who reads wait for each other."""
    while True:
        with suppress(postgres.DeadlockDetectedError):
            async with connection.transaction():
                return await _bring_up(connection)


async def _bring_up(connection: Any) -> tuple[int, int]:
    await lock(connection)
    before = await version(connection)
    steps = migrations()
    newest = steps[-1][0]
    expect_known(before, newest)
    if before == newest:
        return before, newest
    await connection.execute(f"SET LOCAL lock_timeout = '{PATIENCE}'")
    if before:  # then nobody writes meanwhile, in whatever order tables are changed
        await connection.execute(f"SELECT pg_advisory_xact_lock({LOCKS}, {DIRECTORY})")
    for number, sql in steps:
        if number > before:
            await connection.execute(sql)
            await connection.execute("INSERT INTO hookd.schema (version) VALUES ($1)", number)
    return before, newest


async def lock(connection: Any) -> None:
    """Let no other process change the schema, or start, until the transaction ends; StartError where one goes on."""
    for _ in range(round(WAIT / GLANCE)):
        if await connection.fetchval(f"SELECT pg_try_advisory_xact_lock({LOCKS}, {LOCK})"):
            return
        await asyncio.sleep(GLANCE)
    raise StartError(
        "[store] url: another process is changing the schema, or copying a store into the database (`hookd migrate "
        "--from`); wait for its end, and run this again"
    )


async def version(connection: Any) -> int:
    """Answer the number of the last migration that the database has been through; 0 where there is no store."""
    if not await connection.fetchval("SELECT to_regclass('hookd.schema') IS NOT NULL"):
        return 0
    return int(await connection.fetchval("SELECT coalesce(max(version), 0) FROM hookd.schema"))


def expect_known(found: int, newest: int) -> None:
    """Raise StartError where the schema is newer than this hookd knows."""
    if found > newest:
        raise StartError(
            f"[store] url: the database has schema {found}, newer than this hookd's {newest}; upgrade hookd"
        )
