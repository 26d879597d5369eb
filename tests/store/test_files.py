"""The database's files, removed, replaced and overwritten while they are open: noticed, and nothing is mixed up."""

import asyncio
import os
import shutil
import sqlite3
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from hookd.errors import Unavailable
from hookd.model import Status
from hookd.store.files import FileError
from tests.crash.waiting import until
from tests.store.stand import PATIENCE, Open, Stand, file_of, sqlite, stand_on


@pytest.fixture
def open_in() -> Open:
    """What is said here is said of files."""
    return sqlite


GONE = "was removed or replaced; restore it or restart hookd"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """The database file of the stand."""
    return tmp_path / "hookd.db"


def backup(path: Path) -> Path:
    """Copy a database as it is now, through SQLite."""
    copy = path.with_name("backup.db")
    with closing(sqlite3.connect(path)) as source, closing(sqlite3.connect(copy)) as target:
        source.backup(target)
    return copy


def left_by_a_kill(path: Path) -> Path:
    """Copy all files as they are now, as a process that is killed leaves them."""
    folder = path.parent.with_name(path.parent.name + "-killed")
    shutil.copytree(path.parent, folder)
    return folder / path.name


def events(path: Path) -> list[str]:
    """List the events in a whole file, as the next to open it sees them."""
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        return [identity for (identity,) in connection.execute("SELECT id FROM events ORDER BY sequence")]


async def refused(stand: Stand) -> str:
    """Let nothing be acknowledged, and answer the cause."""
    with pytest.raises(Unavailable) as caught:
        await stand.accept()
    assert stand.store.fault == str(caught.value)
    return str(caught.value)


def unlink(path: Path) -> None:
    path.unlink()


def rename(path: Path) -> None:
    path.rename(path.with_name("moved.db"))


def rename_back(path: Path) -> None:
    path.with_name("moved.db").rename(path)


def replace(path: Path) -> None:
    backup(path).replace(path)


def rename_folder(path: Path) -> None:
    path.parent.rename(path.parent.with_name("moved"))


@pytest.mark.parametrize("how", [unlink, rename, replace, rename_folder])
async def test_nothing_is_acknowledged_where_the_file_is_gone(
    stand: Stand, path: Path, how: Callable[[Path], None]
) -> None:
    await stand.accept()
    how(path)
    assert await refused(stand) == f"the database file {path} {GONE}"


async def test_a_file_that_is_put_back_is_gone_on_with(stand: Stand, path: Path) -> None:
    await stand.endpoint()
    delivery = await stand.sent()
    rename(path)
    stand.store.record(stand.result(delivery))
    assert GONE in await refused(stand)
    rename_back(path)
    await stand.mended()
    assert await stand.statuses() == [Status.DELIVERED]
    assert [attempt.number for attempt in await stand.attempts(delivery.id)] == [1]
    await stand.accept()


@pytest.mark.parametrize("end", ["", "-wal", "-shm", ".lock"])
async def test_what_is_gone_is_noticed_while_nothing_is_written(stand: Stand, path: Path, end: str) -> None:
    await stand.store.notice()
    lost = path.with_name(path.name + end)
    moved = lost.rename(path.with_name("moved"))
    with pytest.raises(Unavailable, match=GONE):
        await stand.store.notice()
    begun: list[str] = []
    await file_of(stand.store).writer.run(lambda raw: raw.set_trace_callback(begun.append))
    for _ in range(100):
        await asyncio.sleep(0)  # the store is free to try again, and may find the file itself in its place
    await file_of(stand.store).writer.run(lambda raw: raw.set_trace_callback(None))
    assert "BEGIN IMMEDIATE" not in begun
    assert stand.store.fault == f"the database file {lost} {GONE}"
    moved.rename(lost)
    await stand.mended()
    await stand.store.notice()


async def test_what_the_removed_journal_held_is_kept(stand: Stand, path: Path) -> None:
    accepted = await stand.accept()
    path.with_name("hookd.db-wal").unlink()
    with pytest.raises(Unavailable):
        await stand.store.notice()
    assert events(left_by_a_kill(path)) == [accepted.event]


async def test_a_commit_under_way_when_a_file_is_missed_does_not_hide_that(stand: Stand, path: Path) -> None:
    await stand.store.notice()
    path.with_name("hookd.db-wal").unlink()
    held = threading.Event()
    await file_of(stand.store).writer.run(lambda raw: raw.set_trace_callback(lambda _: held.wait(PATIENCE) and None))
    begun = stand.store.accept(stand.draft())
    await until(lambda: not stand.store._committer._writes, "the commit begins")
    stand.store._committer.suffer(FileError("missed"))
    held.set()
    await begun
    assert GONE in await refused(stand) or stand.store.fault == "missed"


async def test_a_renamed_file_holds_all_that_was_acknowledged(stand: Stand, path: Path) -> None:
    accepted = await stand.accept()
    rename(path)
    await refused(stand)
    assert events(left_by_a_kill(path.with_name("moved.db"))) == [accepted.event]


async def test_the_journal_of_a_replaced_file_is_not_applied_to_another(open_in: Open, path: Path) -> None:
    async with stand_on(open_in, path.parent) as stand:
        first = await stand.accept()
        other = backup(path)
        await stand.accept()
        other.replace(path)
        await refused(stand)
        assert events(left_by_a_kill(path)) == [first.event]
    async with stand_on(open_in, path.parent) as stand:
        second = await stand.accept()
    assert events(path) == [first.event, second.event]


@pytest.fixture
def place(path: Path) -> Path:
    """Where the database file is, in another folder: the configured path is a link to it."""
    place = path.with_name("place") / "real.db"
    place.parent.mkdir()
    path.symlink_to(place)
    return place


def link_to(other: Path, path: Path) -> None:
    path.unlink()
    path.symlink_to(other)


async def test_a_link_that_leads_elsewhere_is_noticed(open_in: Open, place: Path, path: Path) -> None:
    async with stand_on(open_in, path.parent) as stand:
        await stand.accept()
        link_to(backup(place), path)
        assert await refused(stand) == f"the database file {path} {GONE}"


async def test_what_a_link_leads_to_is_watched(open_in: Open, place: Path, path: Path) -> None:
    async with stand_on(open_in, path.parent) as stand:
        await stand.accept()
        await stand.store.notice()
        unlink(place.with_name("real.db-wal"))
        with pytest.raises(Unavailable, match=f"{place}-wal {GONE}"):
            await stand.store.notice()


def put_back(path: Path) -> None:
    shutil.copyfile(path.with_name("backup.db"), path)


def empty(path: Path) -> None:
    os.truncate(path, 0)


def write_text(path: Path) -> None:
    path.write_text("dear diary, " * 1000)


@pytest.mark.parametrize("how", [put_back, empty, write_text])
async def test_nothing_is_acknowledged_where_the_file_is_overwritten(
    stand: Stand, path: Path, how: Callable[[Path], None]
) -> None:
    backup(path)
    await checkpointed(stand)
    how(path)
    assert await refused(stand) == f"the database file {path} was overwritten; restore it or restart hookd"


async def test_a_read_that_meets_what_was_overwritten_is_no_damage(stand: Stand, path: Path) -> None:
    await checkpointed(stand)
    former = overwrite(path, b"dear diary, " * 1000)
    await file_of(stand.store).reader.run(lambda raw: raw.execute("PRAGMA shrink_memory"))
    with pytest.raises(Unavailable, match="was overwritten"):
        await stand.deliveries()
    overwrite(path, former)
    await stand.mended()
    await stand.accept()


def overwrite(path: Path, contents: bytes) -> bytes:
    """Write into a file, and answer what it contained."""
    former = path.read_bytes()
    path.write_bytes(contents)
    return former


async def checkpointed(stand: Stand) -> None:
    """Accept an event, and have it brought from the journal to the file."""
    await stand.accept()
    await file_of(stand.store).writer.run(lambda raw: raw.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall())
    await stand.store.notice()


async def test_the_journal_of_an_overwritten_file_is_set_aside(open_in: Open, path: Path) -> None:
    async with stand_on(open_in, path.parent) as stand:
        first = await stand.accept()
        backup(path)
        await checkpointed(stand)
        await stand.accept()
        put_back(path)
        await refused(stand)
    assert events(path) == [first.event]
    assert kept(path.with_name("hookd.db-wal.orphan"))
    async with stand_on(open_in, path.parent) as stand:
        await stand.accept()


def kept(journal: Path) -> bool:
    """Say whether there is something in it, for its owner alone."""
    found = journal.stat()
    return found.st_size > 0 and found.st_mode & 0o777 == 0o600


def contents(path: Path) -> bytes:
    return path.read_bytes()


def cut_off(journal: Path) -> None:
    os.truncate(journal, 0)


def cut_in_half(journal: Path) -> None:
    os.truncate(journal, journal.stat().st_size // 2)


CUT = "was cut short, commits that it held are lost; stop hookd and restore a backup, or go on with what is left"


@pytest.mark.parametrize("how", [cut_off, cut_in_half])
async def test_nothing_is_acknowledged_where_the_journal_was_cut_short(
    open_in: Open, path: Path, how: Callable[[Path], None]
) -> None:
    journal = path.with_name("hookd.db-wal")
    async with stand_on(open_in, path.parent) as stand:
        await checkpointed(stand)
        await stand.accept(payload=b"x" * 100_000)
        how(journal)
        rest, before = contents(journal), contents(path)
        assert await refused(stand) == f"the journal {journal} {CUT}"
    assert contents(path) == before, "nothing is applied to it that is not whole"
    assert contents(path.with_name("hookd.db-wal.orphan")) == rest
    assert len(events(path)) == 1
    async with stand_on(open_in, path.parent) as stand:
        await stand.accept()


@pytest.mark.parametrize("how", [cut_off, cut_in_half])
async def test_a_journal_that_was_cut_short_is_noticed_while_nothing_is_written(
    stand: Stand, path: Path, how: Callable[[Path], None]
) -> None:
    await stand.accept()
    how(path.with_name("hookd.db-wal"))
    with pytest.raises(Unavailable, match=CUT):
        await stand.store.notice()
    assert CUT in str(stand.store.fault)


async def test_a_journal_that_was_cut_short_in_the_midst_of_a_commit_is_noticed(stand: Stand, path: Path) -> None:
    await stand.accept()
    cut_off(path.with_name("hookd.db-wal"))
    await file_of(stand.store).writer.run(lambda raw: raw.execute("PRAGMA user_version = 2"))
    with pytest.raises(Unavailable, match=CUT):
        await stand.store.notice()


async def test_others_may_empty_the_journal_all_the_time(stand: Stand, path: Path) -> None:
    enough = threading.Event()

    def empty_it() -> None:
        with closing(sqlite3.connect(path, timeout=PATIENCE)) as other:
            while not enough.wait(0.001):
                checkpoint(other)

    emptying = asyncio.get_running_loop().run_in_executor(None, empty_it)
    try:
        for _ in range(100):
            await stand.accept()
            await stand.store.notice()
    finally:
        enough.set()
        await emptying


def checkpoint(other: sqlite3.Connection) -> None:
    other.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()


def vacuum(other: sqlite3.Connection) -> None:
    other.execute("DELETE FROM events")
    other.commit()
    other.execute("VACUUM")
    checkpoint(other)


@pytest.mark.parametrize("what", [checkpoint, vacuum])
async def test_others_who_write_through_sqlite_are_welcome(
    stand: Stand, path: Path, what: Callable[[sqlite3.Connection], None]
) -> None:
    for _ in range(3):
        await stand.accept(payload=b"x" * 100_000)
    with closing(sqlite3.connect(path)) as other:
        what(other)
    os.utime(path)
    await stand.accept()
    await stand.store.notice()
    assert stand.store.fault is None
