"""The database's files: whether those on disk are still the ones that SQLite has open, and what is wrong with them."""

import logging
import os
import shutil
import sqlite3
from contextlib import suppress
from pathlib import Path

from hookd.errors import StartError
from hookd.store.database import StorageError
from hookd.store.journal import Journal

PRIVATE = 0o600
"""A new file is its owner's alone: it holds payloads and secrets. SQLite gives those beside it the same mode."""
HEADER = 100
"""Bytes of a database file's header (https://sqlite.org/fileformat2.html, section 1.3)."""
MAGIC = b"SQLite format 3\0"
CHANGES = slice(24, 28)
"""Where the header counts changes; who writes the file through SQLite only raises the count."""

DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
NO_TEXT = "Could not decode to UTF-8"
"""How Python's error begins that has no code: what stands where a text should be is none."""

Identity = tuple[int, int]
"""A file's device and inode."""

log = logging.getLogger("hookd.store")


class FileError(StorageError):
    """The database file is not what it was, whether one reads it or writes it."""


class OverwrittenError(FileError):
    """Another program has written over it."""


class DamagedError(FileError):
    """It is damaged: that does not pass by itself, and nothing more is to be written to it."""

    passes = False


class CutShortError(DamagedError):
    """Its journal lacks commits that were on disk."""


class Files:
    """The files of one database, opened before SQLite opens them and closed after it has closed them.

    In between nobody may open and close the database file: that would end the locks that SQLite holds (fcntl(2)).
    """

    def __init__(self, path: Path) -> None:
        """Open the file, made where it is missing; StartError where it, or what SQLite needs beside it, is not ours."""
        self._path = path
        self._journal, self._index = (_beside(path.resolve(), end) for end in ("-wal", "-shm"))
        _expect_writable(self._journal.parent, self._journal, self._index)
        try:
            self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, PRIVATE)
        except OSError as error:
            raise StartError(f"[store] url: can't open {path}: {error.strerror}") from None
        self._opened = _identity(os.fstat(self._descriptor))
        self._others: dict[Path, Identity | None] = {}
        self._open_journal: Journal | None = None
        self._written: tuple[int, int] | None = None
        self._changes = 0

    def close(self) -> None:
        """Let go of the files."""
        if self._open_journal is not None:
            self._open_journal.close()
        os.close(self._descriptor)

    def learn(self) -> None:
        """Know those beside the file too, now that all are there: its journal, the index of that, and the lock."""
        others = (self._journal, self._index, _beside(self._path, ".lock"))
        self._others = {path: _identity(_find(path)) for path in others}
        try:
            self._open_journal = Journal(self._journal, self._index)
        except OSError as error:
            raise StartError(f"[store] url: can't open {error.filename}: {error.strerror}") from None

    def check(self, connection: sqlite3.Connection, *, others: bool) -> None:
        """Raise FileError where the file was removed, replaced or overwritten: what is committed now would be lost.

        `others` has those beside it looked at as well. A journal would be applied to whatever database stands beside
        it at the next start, or to none; so where the two are parted it is emptied into its own, which is still open.
        """
        if self._open_journal is not None and self._open_journal.cut_short(header=others):
            # Nothing is emptied into the file: what is missing would be taken for zeros.
            raise CutShortError(
                f"the journal {self._journal} was cut short, commits that it held are lost; stop hookd and restore a "
                "backup, or go on with what is left"
            )
        found = _find(self._path)
        missing = self._path if _identity(found) != self._opened else self._missing() if others else None
        if missing in (self._path, self._journal):
            with suppress(sqlite3.Error):  # it may fail for a reason of its own; what is told is the first
                connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        if missing is not None:
            raise FileError(f"the database file {missing} was removed or replaced; restore it or restart hookd")
        if found is not None and self._overwritten(found):
            raise OverwrittenError(f"the database file {self._path} was overwritten; restore it or restart hookd")

    def stamp(self) -> bytes:
        """Answer what is another after each commit, whoever's it was. It takes no system call."""
        return b"" if self._open_journal is None else self._open_journal.stamp()

    def leave(self, connection: sqlite3.Connection) -> None:
        """See, before SQLite closes the files, that the journal is not applied to a file that it does not belong to."""
        try:
            self.check(connection, others=True)
        except (OverwrittenError, CutShortError):
            self._set_aside()
        except FileError:
            pass  # the journal is where it belongs

    def blame(self, connection: sqlite3.Connection, error: sqlite3.Error) -> StorageError:
        """Say what an error comes from that SQLite met."""
        try:
            self.check(connection, others=True)
        except FileError as cause:
            return cause
        if is_damage(error):
            return DamagedError(
                f"the database file {self._path} is damaged: {words(error)}; stop hookd and restore a backup"
            )
        return StorageError(f"{self._path}: {named(error)}")

    def _missing(self) -> Path | None:
        """Answer which of the others is not there any more."""
        return next((path for path, identity in self._others.items() if _identity(_find(path)) != identity), None)

    def _overwritten(self, found: os.stat_result) -> bool:
        """Say whether somebody has written into the file past SQLite. It is read where it was written at all."""
        written = (found.st_mtime_ns, found.st_size)
        if written == self._written:
            return False
        header = os.pread(self._descriptor, HEADER, 0)
        changes = int.from_bytes(header[CHANGES], "big")
        if not header.startswith(MAGIC) or changes < self._changes:
            return True
        self._written, self._changes = written, changes
        return False

    def _set_aside(self) -> None:
        kept = _beside(self._journal, ".orphan")
        try:
            kept.touch(PRIVATE)
            shutil.copyfile(self._journal, kept)
            os.truncate(self._journal, 0)
        except OSError as error:
            fields = {"journal": str(self._journal), "error": error.strerror}
            log.critical("remove the journal: it does not fit the file", extra={"fields": fields})
        else:
            log.error("set the journal aside: it does not fit the file", extra={"fields": {"journal": str(kept)}})


def is_damage(error: sqlite3.Error) -> bool:
    """Say whether an error is about what stands in the file, not about reaching it."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in DAMAGED or str(error).startswith(NO_TEXT)


def words(error: sqlite3.Error) -> str:
    """Answer SQLite's words, without the contents that Python adds to some."""
    return str(error).partition(" with text ")[0]


def named(error: sqlite3.Error) -> str:
    """Answer SQLite's words, and its name for the error (https://sqlite.org/rescode.html)."""
    return f"{words(error)} ({getattr(error, 'sqlite_errorname', 'SQLITE_ERROR')})"


def _expect_writable(*paths: Path) -> None:
    """SQLite would only say that the database is read-only."""
    for path in paths:
        if path.exists() and not os.access(path, os.W_OK):
            raise StartError(
                f"[store] url: can't write {path}, which the database needs; make it writable for this user"
            )


def _beside(path: Path, end: str) -> Path:
    return path.with_name(path.name + end)


def _find(path: Path) -> os.stat_result | None:
    try:
        return path.stat()
    except OSError:
        return None


def _identity(found: os.stat_result | None) -> Identity | None:
    return None if found is None else (found.st_dev, found.st_ino)
