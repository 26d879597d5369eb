"""What is SQLite's own: opening the file, owning it, migrating it, and carrying out a transaction's statements."""

import fcntl
import os
import re
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from functools import lru_cache, partial
from importlib import resources
from itertools import chain
from pathlib import Path
from typing import Concatenate, ParamSpec, Self, TypeGuard, TypeVar

import aiosqlite

from hookd.errors import StartError
from hookd.store.examine import damaged, examine
from hookd.store.files import PRIVATE, is_damage, named, words
from hookd.store.statement import Alone, Each, Many, Query, Row, Statement, Steps

P = ParamSpec("P")
T = TypeVar("T")

BUSY_TIMEOUT = 5.0
"""Seconds to wait for another writer of the file: an upkeep command, or an application."""

NAP = 0.0005
"""Seconds between looks at whether another writer has ended."""

ROWS_PER_STATEMENT = 256


class Connection(aiosqlite.Connection):
    """aiosqlite's connection, which here carries a whole function to its thread in one hop, not one a statement."""

    async def run(
        self, function: Callable[Concatenate[sqlite3.Connection, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Call `function(sqlite3 connection, …)` on the connection's thread."""
        result: T = await self._execute(function, self._conn, *args, **kwargs)  # type: ignore[no-untyped-call]
        return result

    @classmethod
    async def open(cls, path: Path, prepare: Callable[[sqlite3.Connection], object]) -> Self:
        """Open the file, made where it is missing, and prepare the connection."""
        connection = cls(lambda: open_file(path), iter_chunk_size=64)
        try:
            await connection
            await connection.run(prepare)
        except BaseException:
            connection.stop()
            connection._thread.join()  # it ends at once, and must not outlive the event loop
            raise
        return connection


class OwnedError(StartError):
    """Another daemon owns the file."""


class FileLock:
    """One daemon owns the file: a lock on `PATH.lock`, never on the database itself, let go when the process dies.

    `mark` is written into it, for upkeep commands to read.
    """

    def __init__(self, path: Path, mark: str) -> None:
        self._path = _lock_path(path)
        try:
            self._path.touch(PRIVATE)
            self._file = self._path.open("a+")
        except FileNotFoundError:
            raise StartError(f"[store] url: there is no folder {path.parent}; make it, or set another path") from None
        except OSError as error:
            raise StartError(f"[store] url: can't open {self._path}: {error.strerror}") from None
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self._file.close()
            raise OwnedError(
                f"[store] url: {path} belongs to another running hookd; stop that one or give this one its own file"
            ) from None
        self._write(mark)

    def _write(self, mark: str) -> None:
        try:
            os.ftruncate(self._file.fileno(), 0)
            os.write(self._file.fileno(), mark.encode())
        except OSError as error:
            self._file.close()
            raise StartError(f"[store] url: can't write {self._path}: {error.strerror}") from None

    def release(self) -> None:
        """Let another daemon have the file."""
        self._file.close()


def owner_mark(path: Path) -> str | None:
    """Answer the mark of the daemon that owns the file; None where none does."""
    try:
        with _lock_path(path).open() as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return file.read()
    except OSError:  # no daemon of this machine has ever opened it, or this user may not know
        return None
    return None


def _lock_path(path: Path) -> Path:
    return path.with_name(path.name + ".lock")


async def connect(path: Path) -> Connection:
    """Open the file, made where it is missing, in WAL mode with every commit fsynced, for `begin_immediate`."""

    def impatient(raw: sqlite3.Connection) -> None:
        prepare(raw, path)
        raw.execute("PRAGMA busy_timeout = 0")  # see begin_immediate

    return await Connection.open(path, impatient)


async def connect_reader(path: Path) -> Connection:
    """Open a second connection, for lists and look-ups, that never waits for the writer."""
    return await Connection.open(path, lambda raw: raw.execute("PRAGMA query_only = ON"))


def open_file(path: Path) -> sqlite3.Connection:
    """Open the file, made where it is missing."""
    _expect_one_name(path)
    try:
        return sqlite3.connect(path, isolation_level=None, timeout=BUSY_TIMEOUT, cached_statements=512)
    except sqlite3.Error as error:
        raise StartError(f"[store] url: can't open {path}: {error}") from None


def _expect_one_name(path: Path) -> None:
    """Locks and journal belong to a name: under another, two could write the file without knowing of each other."""
    names = path.stat().st_nlink if path.is_file() else 1
    if names > 1:
        raise StartError(
            f"[store] url: {path} has {names} names (hard links), and another hookd may use it under one of them; "
            f"remove the others, which `find -samefile {path}` lists, or copy the file"
        )


def prepare(connection: sqlite3.Connection, path: Path) -> None:
    """Make a connection one that may write: WAL, every commit fsynced, what is deleted overwritten, schema new."""
    try:
        examine(connection, path)
        connection.execute("PRAGMA auto_vacuum = INCREMENTAL")  # SQLite can't switch it on once tables exist
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA temp_store = MEMORY")
        connection.execute("PRAGMA secure_delete = ON")  # a deleted secret is overwritten; not every SQLite's default
        _migrate(connection, path)
    except sqlite3.Error as error:
        text = damaged(path, words(error)) if is_damage(error) else f"[store] url: {path}: {named(error)}"
        raise StartError(text) from None


def migrations() -> list[tuple[int, str]]:
    """List the numbered migrations, in order, as (number, SQL)."""
    folder = resources.files("hookd.store").joinpath("migrations")
    files = sorted(file.name for file in folder.iterdir() if file.name.endswith(".sql"))
    return [(int(name.split("_")[0]), folder.joinpath(name).read_text("utf-8")) for name in files]


def schema(connection: sqlite3.Connection) -> int:
    """Answer the number of the last migration that the file has been through; 0 where it is new."""
    number: int = connection.execute("PRAGMA user_version").fetchone()[0]
    return number


def _migrate(connection: sqlite3.Connection, path: Path) -> None:
    current = schema(connection)
    steps = migrations()
    if current > steps[-1][0]:
        raise StartError(
            f"[store] url: {path} has schema {current}, newer than this hookd's {steps[-1][0]}; upgrade hookd"
        )
    for number, sql in steps:
        if number > current:
            _step(connection, number, sql)


def _step(connection: sqlite3.Connection, number: int, sql: str) -> None:
    try:
        connection.executescript(f"BEGIN IMMEDIATE;\n{sql}\nPRAGMA user_version = {number};\nCOMMIT;")
    except sqlite3.OperationalError:
        roll_back(connection)
        if schema(connection) < number:  # or else another process has just done the same
            raise


def begin_immediate(connection: sqlite3.Connection) -> None:
    """Begin a transaction that writes, as soon as no other does; SQLITE_BUSY where one does for BUSY_TIMEOUT.

    Left to itself, SQLite would look again after up to 0.1 s. Where an application writes one transaction after the
    other, it would find one under way each time.
    """
    until = time.monotonic() + BUSY_TIMEOUT
    while True:
        try:
            connection.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() >= until:
                raise
            time.sleep(NAP)
        else:
            return


def perform(connection: sqlite3.Connection, steps: Steps[T]) -> T:
    """Carry out the statements of a transaction, inside whatever transaction is open.

    An error that is none of the storage's is met by the transaction itself, at its statement.
    """
    step = partial(steps.send, None)
    while True:
        try:
            statement = step()
        except StopIteration as stop:
            result: T = stop.value
            return result
        try:
            step = partial(steps.send, _execute(connection, statement))
        except Exception as error:
            if is_fault(error):
                raise
            step = partial(steps.throw, error)


def _execute(connection: sqlite3.Connection, statement: Statement) -> Sequence[Row] | range:
    if isinstance(statement, Query):
        return connection.execute(statement.sql, statement.parameters).fetchall()
    if isinstance(statement, Each):
        return [row for rows in _pieces(statement.rows) for row in _union(connection, statement, rows)]
    if isinstance(statement, Many):
        return [row for rows in _pieces(statement.rows) for row in _batch(connection, statement.sql, rows).fetchall()]
    if isinstance(statement, Alone):  # as every transaction of a file is
        return ()
    first = 0
    for rows in _pieces(statement.rows):
        last = _batch(connection, statement.sql, rows).lastrowid or 0
        first = first or last - len(rows) + 1  # consecutive, since this transaction alone writes
    return range(first, first + len(statement.rows))


def _pieces(rows: Sequence[Row]) -> Iterator[Sequence[Row]]:
    for start in range(0, len(rows), ROWS_PER_STATEMENT):
        yield rows[start : start + ROWS_PER_STATEMENT]


def _batch(connection: sqlite3.Connection, sql: str, rows: Sequence[Row]) -> sqlite3.Cursor:
    """Run one statement over some rows, padded with NULLs to one of a few sizes so that few texts need compiling."""
    width = len(rows[0])
    size = _size(len(rows))
    padding = (None,) * (width * (size - len(rows)))
    return connection.execute(_expand(sql, width, size), (*chain.from_iterable(rows), *padding))


def _union(connection: sqlite3.Connection, statement: Each, rows: Sequence[Row]) -> Sequence[Row]:
    size = _size(len(rows))
    parameters = chain.from_iterable((*rows, *[statement.nothing] * (size - len(rows))))
    return connection.execute(_joined(statement.sql, statement.part, size), tuple(parameters)).fetchall()


@lru_cache(maxsize=128)
def _joined(sql: str, part: str, size: int) -> str:
    return sql.replace(":parts", "\nUNION ALL\n".join([part] * size))


def _size(count: int) -> int:
    """Round up to four significant bits: at most eight sizes between a power of two and the next."""
    spare = max(0, count.bit_length() - 4)
    return -(-count >> spare) << spare


@lru_cache(maxsize=512)
def _expand(sql: str, width: int, size: int) -> str:
    row = "(" + ", ".join("?" * width) + ")"
    return re.sub(r":rows\([^)]*\)", ", ".join([row] * size), sql)


def data_version(connection: sqlite3.Connection) -> int:
    """Answer a number that changes when another connection has written the file."""
    version: int = connection.execute("PRAGMA data_version").fetchone()[0]
    return version


def empty_journal(connection: sqlite3.Connection) -> None:
    """Bring all that the journal holds to the file, and leave nothing in it; not now, where another is reading it."""
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()


def is_fault(error: BaseException) -> TypeGuard[sqlite3.Error]:
    """Say whether an error is about where something is written, not about what: the storage is at fault."""
    of_a_writer = sqlite3.IntegrityError | sqlite3.DataError | sqlite3.ProgrammingError
    return isinstance(error, sqlite3.DatabaseError) and not isinstance(error, of_a_writer)


def roll_back(connection: sqlite3.Connection) -> None:
    """End the open transaction, if SQLite has not done so by itself (as it does where the disk is full)."""
    with suppress(sqlite3.OperationalError):  # a failing disk can fail this too; the journal undoes it at next open
        if connection.in_transaction:
            connection.execute("ROLLBACK")
