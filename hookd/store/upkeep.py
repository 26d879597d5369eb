"""Upkeep of the file by a command: an ordinary writer, beside a daemon or without one."""

import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from hookd.errors import HookdError
from hookd.store import endpoints, rejections
from hookd.store.examine import SIZE
from hookd.store.prune import OLDEST, Found, Removal, look, remove
from hookd.store.sqlite import open_file, owner_mark, perform, prepare, roll_back, schema
from hookd.store.vacuum import give_back
from hookd.store.vault import Vault

AT_ONCE: Final = 100
"""Endpoints in one transaction, so that a daemon's commits wait for milliseconds."""

PAUSE: Final = 0.02
"""Seconds between transactions, in which a daemon that waits to commit gets its turn."""

TRIES: Final = 5
"""How often it is tried to empty the log: a daemon may be about to do the same, or be reading."""

REWRITE: Final = """
BEGIN IMMEDIATE;
CREATE TEMP TABLE kept AS SELECT * FROM endpoints;
DELETE FROM endpoints;
INSERT INTO endpoints SELECT * FROM kept;
DROP TABLE kept;
COMMIT;
"""
"""Moves the table to fresh pages, in less than a second for a hundred thousand endpoints.

SQLite overwrites what is deleted, and every page that becomes free; but where it has moved rows from one page to
another, a copy of them may be left between the rows of the first.
"""


def migrate(path: Path) -> tuple[int, int]:
    """Bring the schema up to date; answer which one it was (0 for an empty file), and which it is."""
    with opened(path) as connection:
        before = schema(connection)
        prepare(connection, path)
        return before, schema(connection)


def rekey(path: Path, vault: Vault, pause: Callable[[float], None]) -> int:
    """Encrypt all secrets with the vault's first key; answer of how many endpoints they were not yet.

    Whatever it was before is then neither in the file nor in its log. May be interrupted at any moment: every secret
    is readable with the vault, and to do it again finishes it.
    """
    if owner_mark(path) not in (None, vault.first.id):
        raise HookdError(
            f"the hookd that runs on {path} does not encrypt with the first of [store] keys: restart it, and then "
            "run this again"
        )
    with opened(path) as connection:
        prepare(connection, path)
        count = sum(_reencrypted(connection, vault, pause))
        connection.executescript(REWRITE)
        _empty_log(connection, path, pause)
        return count


def _reencrypted(connection: sqlite3.Connection, vault: Vault, pause: Callable[[float], None]) -> Iterator[int]:
    vault.expect(perform(connection, endpoints.key_ids()))
    while True:
        connection.execute("BEGIN IMMEDIATE")
        count = perform(connection, endpoints.reencrypt(vault, AT_ONCE))
        connection.execute("COMMIT")
        if not count:
            return
        yield count
        pause(PAUSE)


def prune(path: Path, before: int, pause: Callable[[float], None]) -> tuple[int, int]:
    """Delete the events that are over since before a time (epoch ms); answer how many, and the file's size in bytes.

    The rejections from before that time go as well. May be interrupted at any moment, and done again.
    """
    with _existing(path) as connection:
        count = 0
        for found in _looks(connection, before):
            if found.over:
                connection.execute("BEGIN IMMEDIATE")
                count += perform(connection, remove(Removal(found.over, before)))
                connection.execute("COMMIT")
                give_back(connection)  # the fewer are free, the faster
                pause(PAUSE)
        while old := perform(connection, rejections.old(before)):
            connection.execute("BEGIN IMMEDIATE")
            perform(connection, rejections.remove(old))
            connection.execute("COMMIT")
            pause(PAUSE)
        while give_back(connection):
            pause(PAUSE)
        connection.execute("PRAGMA wal_checkpoint").fetchone()  # the file itself follows, as far as nobody reads it
        return count, _size(connection)


def count_old(path: Path, before: int) -> tuple[int, int]:
    """Answer how many events are over since before a time (epoch ms), and the file's size in bytes."""
    with _existing(path) as connection:
        return sum(len(found.over) for found in _looks(connection, before)), _size(connection)


def _looks(connection: sqlite3.Connection, before: int) -> Iterator[Found]:
    """Walk along all events that are old."""
    place, more = OLDEST, True
    while more:
        found = perform(connection, look(place, before))
        yield found
        place, more = found.place, found.more


def _size(connection: sqlite3.Connection) -> int:
    return int(connection.execute(SIZE).fetchone()[0])


@contextmanager
def _existing(path: Path) -> Iterator[sqlite3.Connection]:
    if not path.exists():
        raise HookdError(f"there is no database at {path}; see [store] url")
    with opened(path) as connection:
        prepare(connection, path)
        yield connection


def _empty_log(connection: sqlite3.Connection, path: Path, pause: Callable[[float], None]) -> None:
    for _ in range(TRIES):
        busy, *_rest = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        if not busy:
            return
        pause(PAUSE)
    raise HookdError(f"another process keeps reading {path}-wal, which may hold former secrets; run this again later")


@contextmanager
def opened(path: Path) -> Iterator[sqlite3.Connection]:
    """Open a file that is there, for a while; HookdError for whatever SQLite says of it meanwhile."""
    if not os.path.lexists(path):
        raise HookdError(
            f"there is no store at {path}; under systemd it is in $STATE_DIRECTORY: set [store] url, or run this with "
            "that variable"
        )
    connection = open_file(path)
    try:
        yield connection
    except sqlite3.Error as error:
        raise HookdError(f"{path}: {error}; run this again once that is mended") from None
    finally:
        roll_back(connection)
        connection.close()
