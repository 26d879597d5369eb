"""Where a daemon under measurement keeps its store: a file in its directory, or a database of its own at a server."""

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from secrets import token_hex
from typing import Any, Final
from urllib.parse import urlsplit

from hookd.bench.wire import BenchError
from hookd.ids import IdFactory
from hookd.model import Clock
from hookd.store import Store, open_store, share
from hookd.store.vault import PLAIN

NOTE: Final = "store"
"""The file in a directory that says what `[store] url` is."""

LEASE: Final = 10_000


@dataclass(slots=True)
class Places:
    """Makes places for stores, and clears away what is not in a directory; `server` None means files."""

    server: str | None = None
    _databases: list[str] = field(default_factory=list)

    async def furnish(self, directory: Path) -> None:
        """Make a place for the store of a directory."""
        url = "sqlite:hookd.db"
        if self.server is not None:
            name = f"hookd_bench_{token_hex(6)}"
            await self._execute(f"CREATE DATABASE {name}")
            self._databases.append(name)
            url = urlsplit(self.server)._replace(path=f"/{name}").geturl()
        (directory / NOTE).write_text(url)

    async def clear(self) -> None:
        """Remove the databases."""
        for name in self._databases:
            await self._execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
        self._databases.clear()

    async def _execute(self, sql: str) -> None:
        import asyncpg

        try:
            connection: Any = await asyncpg.connect(self.server)
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            raise BenchError(f"--store: can't reach the server: {error}") from None
        try:
            await connection.execute(sql)
        finally:
            await connection.close()


def store_url(directory: Path) -> str:
    """Answer what `[store] url` is for a directory."""
    return (directory / NOTE).read_text()


@contextlib.asynccontextmanager
async def opened(directory: Path, clock: Clock, ids: IdFactory, dedupe: int) -> AsyncIterator[Store]:
    """Open the store of a directory."""
    url = store_url(directory)
    if url.startswith("sqlite:"):
        async with open_store(directory / url.removeprefix("sqlite:"), clock, ids, dedupe) as file:
            yield file
    else:
        async with share(url, clock, ids, dedupe, PLAIN, lease=LEASE, listens=True) as shared:
            await shared.enter()
            yield shared
