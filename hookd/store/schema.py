"""The schema at a PostgreSQL server: brought up to date forward only, one process at a time, while others run."""

from importlib import resources
from typing import Any

from hookd.errors import StartError
from hookd.store.cluster import LOCKS
from hookd.store.server import Server

LOCK = -1
"""The second key of the advisory lock of whoever changes the schema."""


def migrations() -> list[tuple[int, str]]:
    """Answer the numbers and texts of all migrations, in order."""
    folder = resources.files("hookd.store").joinpath("migrations", "postgres")
    files = sorted(file.name for file in folder.iterdir() if file.name.endswith(".sql"))
    return [(int(name.split("_")[0]), folder.joinpath(name).read_text("utf-8")) for name in files]


async def bring_up(server: Server) -> tuple[int, int]:
    """Bring the schema up to date; answer which one it was (0 where there was none), and which it is.

    StartError where it is newer than this hookd knows, or the database is not in UTF-8; StorageError where the server
    is at fault.
    """
    async with server.connected() as connection, connection.transaction():
        await _expect_utf8(connection)
        await connection.execute(f"SELECT pg_advisory_xact_lock({LOCKS}, {LOCK})")
        before = await _version(connection)
        steps = migrations()
        newest = steps[-1][0]
        if before > newest:
            raise StartError(
                f"[store] url: the database has schema {before}, newer than this hookd's {newest}; upgrade hookd"
            )
        for number, sql in steps:
            if number > before:
                await connection.execute(sql)
                await connection.execute("INSERT INTO hookd.schema (version) VALUES ($1)", number)
        return before, newest


async def _expect_utf8(connection: Any) -> None:
    """Refuse a database that could not keep every text which is accepted, or which a receiver answers."""
    encoding = await connection.fetchval("SHOW server_encoding")
    if encoding != "UTF8":
        raise StartError(
            f"[store] url: the database is encoded in {encoding}; make one with CREATE DATABASE … ENCODING 'UTF8' "
            "TEMPLATE template0"
        )


async def _version(connection: Any) -> int:
    if not await connection.fetchval("SELECT to_regclass('hookd.schema') IS NOT NULL"):
        return 0
    return int(await connection.fetchval("SELECT coalesce(max(version), 0) FROM hookd.schema"))
