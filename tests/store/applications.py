"""Applications that publish in transactions of their own, in a file and at a server: other processes' connections."""

import json
import sqlite3
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import asyncpg

from hookd.store import Store
from tests.store.faults import address_of

Connected: TypeAlias = "asyncpg.Connection[Any]"


class Application(ABC):
    """What a test has it do, whatever the database is."""

    @abstractmethod
    async def execute(self, sql: str) -> None:
        """Carry out what both databases understand."""

    @abstractmethod
    async def publish(self, event_type: Any = "order.placed", payload: Any = "{}", **more: Any) -> Any:
        """Publish; `endpoints` is JSON. Answer what the database does."""

    @abstractmethod
    async def waiting(self) -> list[tuple[str | None, str, str | None]]:
        """Answer the id, type and fault of what is there."""


@dataclass
class AtFile(Application):
    connection: sqlite3.Connection

    async def execute(self, sql: str) -> None:
        self.connection.execute(sql)

    async def publish(self, event_type: Any = "order.placed", payload: Any = "{}", **more: Any) -> Any:
        self.insert(event_type, payload, **more)

    def insert(self, event_type: Any = "order.placed", payload: Any = "{}", **more: Any) -> None:
        values = {"type": event_type, "payload": payload} | more
        names, places = ", ".join(values), ", ".join("?" * len(values))
        self.connection.execute(f"INSERT INTO publish ({names}) VALUES ({places})", tuple(values.values()))

    async def waiting(self) -> list[tuple[str | None, str, str | None]]:
        return self.connection.execute("SELECT id, type, fault FROM published ORDER BY sequence").fetchall()


@dataclass
class AtServer(Application):
    connection: Connected

    async def execute(self, sql: str) -> None:
        await self.connection.execute(sql.replace("published", "hookd.published"))

    async def publish(self, event_type: Any = "order.placed", payload: Any = "{}", **more: Any) -> Any:
        if isinstance(more.get("endpoints"), str):
            more["endpoints"] = json.loads(more["endpoints"])
        named = "".join(f", {name} => ${number}" for number, name in enumerate(more, 3))
        return await self.connection.fetchval(
            f"SELECT hookd.publish($1, $2{named})", event_type, payload, *more.values()
        )

    async def waiting(self) -> list[tuple[str | None, str, str | None]]:
        found = await self.connection.fetch("SELECT id, type, fault FROM hookd.published ORDER BY sequence")
        return [tuple(row) for row in found]


@asynccontextmanager
async def application_of(store: Store, folder: Path) -> AsyncIterator[Application]:
    """Connect an application to the database of a store."""
    address = address_of(store)
    if address is not None:
        connection = await asyncpg.connect(address)
        try:
            yield AtServer(connection)
        finally:
            await connection.close()
    else:
        with closing(sqlite3.connect(folder / "hookd.db", isolation_level=None)) as opened:
            yield AtFile(opened)
