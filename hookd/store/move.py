"""Moving a store from a file to a server, while a daemon runs on the file until little is left to copy.

All of it is one transaction at the server: until it is committed nobody there sees anything of it, and where it is
interrupted nothing of it is left. In rounds whatever differs is copied; the last one is made once the file is nobody's.
"""

import asyncio
import sqlite3
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Final

from hookd.errors import HookdError
from hookd.store import endpoints, schema
from hookd.store.parts import PARTS, TABLES, Numbers, Part, Table
from hookd.store.renumber import Made, Renumbering
from hookd.store.server import Connection, Server
from hookd.store.sqlite import FileLock, OwnedError, migrations, perform
from hookd.store.sqlite import schema as schema_of
from hookd.store.statement import Row
from hookd.store.upkeep import opened
from hookd.store.vault import Vault

LOOK: Final = 0.05
"""Seconds between looks whether the daemon has let go of the file."""

SPARED: Final = 20
"""How many times as long as a round took, no other follows: beside a daemon, copying costs a twentieth."""

LONG: Final = 3600.0
"""Seconds for a statement that goes through whole tables."""

BEGIN: Final = """
SET LOCAL statement_timeout = 0;
SET LOCAL idle_in_transaction_session_timeout = 0;
LOCK TABLE hookd.processes IN SHARE ROW EXCLUSIVE MODE;
"""
"""A daemon that has just started waits, and then begins with all that was copied."""

LIVING: Final = "SELECT name FROM hookd.processes WHERE expires_at > clock_timestamp() ORDER BY name"

GO_ON: Final = "SELECT setval('hookd.numbers', greatest($1::bigint, (SELECT last_value FROM hookd.numbers)))"
"""What comes next has sequences behind all that was copied, as by the next one."""

GO_ON_IN: Final = """
SELECT setval(pg_get_serial_sequence('hookd.{table}', 'sequence'), 1 + coalesce(max(sequence), 0), false)
FROM hookd.{table}
"""
"""The same where sequences carry no day."""

WITHOUT_DAY: Final = ("endpoints", "rejections", "published")

LEFT: Final = """
WITH died AS (
    INSERT INTO hookd.processes (name, expires_at) SELECT $1, clock_timestamp()
    WHERE EXISTS (SELECT FROM hookd.outbox_open WHERE status = 'sending') RETURNING number
)
UPDATE hookd.outbox_open SET owner = (SELECT number FROM died) WHERE status = 'sending'
"""
"""What was being sent when a daemon was killed is taken up as from a process that died."""

MADE: Final = """
SELECT created_at / 86400000 AS day, min(sequence), max(sequence) FROM {table} WHERE sequence > :known GROUP BY day
"""

Counts = Mapping[str, int]
"""How many rows each table has."""


async def move(path: Path, server: Server, vault: Vault, say: Callable[[str], None]) -> Counts:
    """Copy all that a file holds to a server's empty store, and answer how much that is; both have as many rows.

    While a daemon runs on the file, it is copied as far as it goes; then it is said that the daemon may be stopped.
    HookdError where the store there is not empty, or a daemon uses it. Interrupted, it leaves nothing there.
    """
    with opened(path) as source:
        _expect_readable(source, path, vault)
        async with _alone(server) as target:
            today = await target.fetchval("SELECT hookd.today()")
            copy = Copy(source, target, Numbers(Renumbering(today), Renumbering(today)))
            await copy.round()
            await copy.round()  # much may have changed during the first, which took long
            async with _owned(path, vault, copy, say):
                vault.expect(perform(source, endpoints.key_ids()))
                return await copy.end(path)


def _expect_readable(source: sqlite3.Connection, path: Path, vault: Vault) -> None:
    """Raise HookdError where the file is of another schema, or secrets in it can't be read with the vault."""
    found, newest = schema_of(source), migrations()[-1][0]
    if found != newest:
        todo = "upgrade hookd" if found > newest else f'run `hookd migrate` with [store] url = "sqlite:{path}" first'
        raise HookdError(f"{path} has schema {found}, and this hookd copies from schema {newest}; {todo}")
    source.execute("PRAGMA query_only = ON")
    source.text_factory = _text
    vault.expect(perform(source, endpoints.key_ids()))


def _text(raw: bytes) -> str:
    """Read a text as PostgreSQL takes it: in UTF-8, and without NUL."""
    return str(raw, "utf-8", "replace").replace("\0", "\ufffd")


@asynccontextmanager
async def _alone(server: Server) -> AsyncIterator[Connection]:
    """Begin a transaction beside which no daemon starts on the store there, which is empty and nobody's."""
    async with server.connected() as target, target.transaction():
        await schema.lock(target)
        await target.execute(BEGIN)
        names = [str(name) for (name,) in await target.fetch(LIVING)]
        if names:
            raise HookdError(
                f"[store] url: {' and '.join(names)} uses the database already; stop it, and start it again once all "
                "is copied"
            )
        for table in TABLES:
            if await target.fetchval(f"SELECT EXISTS (SELECT FROM hookd.{table})"):  # noqa: S608
                raise HookdError(
                    f"[store] url: the database has {table} already; name another one, or, where nothing of that is "
                    "needed, say DROP SCHEMA hookd CASCADE there"
                )
        yield target


@asynccontextmanager
async def _owned(path: Path, vault: Vault, copy: "Copy", say: Callable[[str], None]) -> AsyncIterator[None]:
    """Own the file, as soon as no daemon does any more; until then keep what is left to copy little."""
    told = False
    while True:
        with suppress(OwnedError):
            lock = FileLock(path, vault.first.id)
            break
        if not told:
            say(f"{path}: copied; stop the hookd that runs on it: what has changed by then follows at once")
            told = True
        await asyncio.sleep(LOOK)
        if time.monotonic() >= copy.again_at:
            await copy.round()
    try:
        yield
    finally:
        lock.release()


class Copy:
    """What is copied: which marks the blocks of each part had when they were."""

    def __init__(self, source: sqlite3.Connection, target: Connection, numbers: Numbers) -> None:
        self._source = source
        self._target = target
        self._numbers = numbers
        self._copied: dict[Part, dict[int, int]] = {part: {} for part in PARTS}
        self.again_at = 0.0
        """When (monotonic seconds) it is time for another round."""

    async def round(self) -> None:
        """Copy every block that is not there as it is in the file; each of them is of one moment."""
        began = time.monotonic()
        for part, copied in self._copied.items():
            marks = {block: hash(mark) for block, mark in self._source.execute(part.marks)}
            for block in sorted(copied.keys() | marks.keys()):
                if copied.get(block) != marks.get(block):
                    with _moment(self._source):
                        await self._again(part, block)
        self.again_at = time.monotonic() + SPARED * (time.monotonic() - began)

    async def end(self, path: Path) -> Counts:
        """Copy what has changed by now, and answer how many rows there are; HookdError where they are not as many."""
        with _moment(self._source):
            await self.round()
            await self._target.execute(LEFT, f"the hookd of {path}")
            await self._go_on()
            await self._target.execute("DELETE FROM hookd.changes")  # there is nobody who would have to know
            return {table: await self._counted(table, path) for table in TABLES}

    async def _counted(self, table: str, path: Path) -> int:
        """Count the rows of a table; HookdError where both have not as many."""
        count = int(self._source.execute(f"SELECT count(*) FROM {table}").fetchone()[0])  # noqa: S608
        there = await self._target.fetchval(f"SELECT count(*) FROM hookd.{table}", timeout=LONG)  # noqa: S608
        if there != count:
            raise HookdError(f"{path} has {count} {table}, and the copy {there}; nothing is kept of the copy")
        return count

    async def _go_on(self) -> None:
        """Let what comes next come behind all that was copied."""
        await self._target.execute(GO_ON, max(self._numbers.events.known, self._numbers.deliveries.known))
        for table in WITHOUT_DAY:
            await self._target.execute(GO_ON_IN.format(table=table))

    async def _again(self, part: Part, block: int) -> None:
        """Copy a block in the place of what was copied of it before."""
        first, end = block * part.width, (block + 1) * part.width
        await self._learn("events", self._numbers.events)
        await self._learn("outbox", self._numbers.deliveries)
        if self._copied[part].pop(block, None) is not None:
            for table in part.tables:
                await self._clear(table, first, end)
        for _, mark in self._source.execute(part.marks_between, (first, end)).fetchall():
            self._copied[part][block] = hash(mark)
            for table in part.tables:
                await self._fill(table, first, end)

    async def _learn(self, table: str, numbers: Renumbering) -> None:
        """Know what new sequences are at the server, and make their days there."""
        made = self._source.execute(MADE.format(table=table), {"known": numbers.known})
        for day in numbers.learn(Made(*row) for row in made):
            await self._target.execute("SELECT hookd.make_day($1)", day)

    async def _clear(self, table: Table, first: int, end: int) -> None:
        await self._target.execute(
            f"DELETE FROM hookd.{table.name} WHERE {table.key} >= $1 AND {table.key} < $2",  # noqa: S608
            table.number(first, self._numbers),
            table.number(end, self._numbers),
        )

    async def _fill(self, table: Table, first: int, end: int) -> None:
        rows = self._source.execute(
            f"SELECT * FROM {table.name} WHERE {table.key} >= ? AND {table.key} < ?",  # noqa: S608
            (first, end),
        )
        columns = [column[0] for column in rows.description]
        await self._target.copy_records_to_table(
            table.name, schema_name="hookd", columns=columns, records=self._as_there(table, columns, rows)
        )

    def _as_there(self, table: Table, columns: Sequence[str], rows: Iterable[Row]) -> Iterable[Row]:
        for row in rows:
            named = dict(zip(columns, row, strict=True))
            table.adapt(named, self._numbers)
            yield tuple(named.values())


@contextmanager
def _moment(source: sqlite3.Connection) -> Iterator[None]:
    """See a file as it is at one moment."""
    if source.in_transaction:
        yield
        return
    source.execute("BEGIN")
    try:
        yield
    finally:
        source.execute("COMMIT")
