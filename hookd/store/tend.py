"""Upkeep of a server's store by a command: beside daemons, of which it is none, or without any."""

import os
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

import asyncpg

from hookd.errors import HookdError
from hookd.store import cluster, days, endpoints, rejections
from hookd.store.database import StorageError
from hookd.store.membership import Membership
from hookd.store.move import LONG, Counts, move
from hookd.store.schema import bring_up, migrations, version
from hookd.store.server import Connection, Server, fault, perform
from hookd.store.statement import Steps
from hookd.store.vault import Vault

T = TypeVar("T")

AT_ONCE: Final = 100
"""Endpoints in one transaction, beside which daemons carry out none."""

ALONE: Final = f"SELECT pg_advisory_xact_lock({cluster.LOCKS}, {cluster.DIRECTORY})"

LOOK: Final = """
SELECT (SELECT count(*) FROM hookd.events
        WHERE sequence >= hookd.first_of($1) AND sequence < hookd.first_of($1 + 1)), hookd.waits($1)
"""


@dataclass(frozen=True, slots=True)
class Pruned:
    """How many days went, or would go, and how many events with them; and how many old days stay."""

    days: int
    events: int
    stay: int


class Tending:
    """What commands do at a server; HookdError for whatever it says."""

    def __init__(self, address: str, command: str, *, listens: bool) -> None:
        name = f"hookd {command} {socket.gethostname()}:{os.getpid()}"
        self._server = Server(address, Membership(name, lease=0), sessions=listens)

    async def migrate(self) -> tuple[int, int]:
        """Bring the schema up to date; answer which one it was (0 where there was no store), and which it is."""
        async with _told():
            return await bring_up(self._server)

    async def move(self, path: Path, vault: Vault, say: Callable[[str], None]) -> Counts:
        """Copy the store in a SQLite file to this one, as `move` does."""
        async with _told():
            await bring_up(self._server)
            return await move(path, self._server, vault, say)

    async def rekey(self, vault: Vault) -> int:
        """Encrypt all secrets with the vault's first key; answer of how many endpoints they were not yet.

        May be interrupted at any moment: every secret is readable with the vault, and to do it again finishes it.
        HookdError while a daemon runs that encrypts with another key.
        """
        count, more = 0, True
        async with self._store() as connection:
            vault.expect(await perform(connection, endpoints.key_ids(), alone=True))
            while more:
                done = await _alone(connection, _reencrypt(vault))
                count, more = count + done, done > 0
        return count

    async def prune(self, age: int, before: int, *, dry_run: bool) -> Pruned:
        """Drop the days that ended longer ago than `age` (ms), of which nothing waits; see what would go on a dry run.

        The rejections from before a time (epoch ms) go as well.
        """
        found = Pruned(0, 0, 0)
        async with self._store() as connection:
            for day in await perform(connection, days.old(age), alone=True):
                events, waits = await connection.fetchrow(LOOK, day, timeout=LONG) or (0, True)
                goes = not waits and (dry_run or await _alone(connection, days.drop_one(day)))
                found = Pruned(found.days + goes, found.events + events * goes, found.stay + (not goes))
            while not dry_run and (old := await perform(connection, rejections.old(before), alone=True)):
                await _alone(connection, rejections.remove(old))
        return found

    @asynccontextmanager
    async def _store(self) -> AsyncIterator[Connection]:
        """Have a connection to a store of this hookd's schema."""
        async with _told(), self._server.connected() as connection:
            found, newest = await version(connection), migrations()[-1][0]
            if found != newest:
                there = f"the database has schema {found}" if found else "there is no store in the database"
                todo = "upgrade hookd" if found > newest else "run `hookd migrate` first"
                raise HookdError(f"[store] url: {there}, and this hookd needs schema {newest}; {todo}")
            yield connection


@asynccontextmanager
async def _told() -> AsyncIterator[None]:
    try:
        yield
    except StorageError as error:
        raise HookdError(f"[store] url: {error}") from None
    except asyncpg.PostgresError as error:
        raise HookdError(f"[store] url: {fault(error)}") from None


async def _alone(connection: Connection, steps: Steps[T]) -> T:
    """Carry out a transaction beside which no daemon carries out any."""
    async with connection.transaction():
        await connection.execute(ALONE)
        return await perform(connection, steps, alone=True)


def _reencrypt(vault: Vault) -> Steps[int]:
    strangers = yield from cluster.strangers(vault.first.id)
    if strangers:
        raise HookdError(
            f"{' and '.join(strangers)} does not encrypt with the first of [store] keys: restart it, and then run "
            "this again"
        )
    return (yield from endpoints.reencrypt(vault, AT_ONCE))
