"""A copy of the file as of one moment, made beside a daemon or without one, and looked through before it gets its name.

SQLite copies page by page what one read transaction sees, which keeps no writer waiting. VACUUM INTO does it all in one
step, and what it then brings to the disk at once holds up the commits of a busy daemon.
"""

import os
import sqlite3
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final, NamedTuple

from hookd.errors import HookdError
from hookd.store.examine import CHECK
from hookd.store.files import PRIVATE, words
from hookd.store.sqlite import schema
from hookd.store.upkeep import opened
from hookd.text import one_line

AT_ONCE: Final = 1024
"""Pages that one step copies and brings to the disk: all at the end would hold up a commit's fsync for as long."""

COUNT: Final = """
SELECT (SELECT count(*) FROM events),
    (SELECT count(*) FROM outbox WHERE status IN ('pending', 'sending') AND status <> 'delivered'),
    (SELECT count(*) FROM endpoints)
"""


class Backup(NamedTuple):
    """What a backup holds: its size in bytes, how many events, deliveries that wait or were being sent, endpoints."""

    size: int
    events: int
    waiting: int
    endpoints: int


def back_up(path: Path, target: Path) -> Backup:
    """Copy the store to a file that is not there yet, and answer what is in it, which is all that is on disk by now.

    HookdError where that can't be done; then there is no such file. Killed, it leaves a folder `.TARGET.*` beside.
    """
    _expect_free(target)
    try:
        with TemporaryDirectory(prefix=f".{target.name}.", dir=target.parent) as folder:
            draft = Path(folder, target.name)
            with opened(path) as source:
                source.execute("BEGIN")
                if not schema(source):  # the first look, and it is all of that moment
                    raise HookdError(f"{path} is empty: there is nothing to back up; see [store] url")
                _copy(source, draft)
            found = _examine(draft, path)
            _expect_free(target)
            draft.rename(target)
            _sync(target.parent)
            return found
    except OSError as error:
        raise HookdError(f"{target} can't be written: {error.strerror}") from None


def _expect_free(target: Path) -> None:
    if os.path.lexists(target):
        raise HookdError(f"{target} is there already, and stays as it is; name another file")


def _copy(source: sqlite3.Connection, draft: Path) -> None:
    """Copy what the source's transaction sees, and bring each step to the disk."""
    descriptor = os.open(draft, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, PRIVATE)
    try:
        with closing(sqlite3.connect(draft, isolation_level=None)) as copy:
            copy.execute("PRAGMA synchronous = OFF")  # SQLite would sync once, at the end
            source.backup(copy, pages=AT_ONCE, progress=lambda *_: os.fdatasync(descriptor))
        os.fsync(descriptor)
    except sqlite3.Error as error:
        raise HookdError(f"{draft.name} can't be written: {words(error)}") from None
    finally:
        os.close(descriptor)


def _examine(draft: Path, path: Path) -> Backup:
    """Make the copy of a file one without a journal, and look through all its pages."""
    try:
        with closing(sqlite3.connect(draft, isolation_level=None)) as copy:
            copy.execute("PRAGMA journal_mode = DELETE")
            (found,) = copy.execute(CHECK).fetchone()
            if found == "ok":
                return Backup(draft.stat().st_size, *copy.execute(COUNT).fetchone())
    except sqlite3.Error as error:
        found = words(error)
    raise HookdError(f"{path} is damaged: {one_line(found)}; no copy is kept: stop hookd and restore a backup")


def _sync(folder: Path) -> None:
    """Bring a new name to the disk."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
