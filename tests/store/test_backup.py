"""Copies of a store: what is in them, that they are whole, and that nothing is ever written over."""

import asyncio
import os
import sqlite3
import stat
from contextlib import closing
from pathlib import Path

import pytest

from hookd.errors import HookdError
from hookd.store.backup import AT_ONCE, back_up
from hookd.store.sqlite import migrations
from tests.nouns import NEW_KEY
from tests.store.stand import Open, sqlite, stand_on
from tests.store.test_encryption import under

PAGE = 4096
MANY = 20_000
"""Commits that take far longer than a backup."""


@pytest.fixture
def open_in() -> Open:
    """What is said here is said of files."""
    return sqlite


@pytest.fixture
async def path(open_in: Open, tmp_path: Path) -> Path:
    """A closed store with two events, one of which waits, and one endpoint."""
    async with stand_on(open_in, tmp_path) as stand:
        await stand.endpoint()
        await stand.end(await stand.sent())
        await stand.accept()
    return tmp_path / "hookd.db"


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def contents(path: Path) -> list[str]:
    """Answer all that a database holds, as SQL."""
    with closing(sqlite3.connect(path)) as connection:
        return list(connection.iterdump())


async def test_it_holds_all_and_says_how_much(path: Path, tmp_path: Path) -> None:
    (tmp_path / "backups").mkdir()
    target = tmp_path / "backups" / "hookd.db"
    found = back_up(path, target)
    assert found == (target.stat().st_size, 2, 1, 1)
    assert contents(target) == contents(path)
    assert names(target.parent) == ["hookd.db"], "one file, and no trace of the making"
    assert target.read_bytes()[18:20] == b"\1\1", "it needs no journal beside it, so it can be read where none can be"


async def test_it_is_its_owners_alone_whatever_the_umask(path: Path, tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        back_up(path, tmp_path / "copy.db")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "copy.db").stat().st_mode) == 0o600


async def test_of_an_open_store_it_is_what_was_acknowledged(open_in: Open, tmp_path: Path) -> None:
    restored = tmp_path / "restored"
    restored.mkdir()
    async with stand_on(open_in, tmp_path) as stand:
        await stand.endpoint()
        accepted = await stand.accept()
        found = await asyncio.to_thread(back_up, tmp_path / "hookd.db", restored / "hookd.db")
        assert (found.events, found.waiting, found.endpoints) == (1, 1, 1)
        await stand.accept()
    async with stand_on(open_in, restored) as stand:
        await stand.recover()
        assert [delivery.event.id for delivery in await stand.claim()] == [accepted.event]


async def test_it_is_of_one_moment_while_others_commit_between_its_steps(path: Path, tmp_path: Path) -> None:
    """Every transaction of the writer moves one unit between two rows, at both ends of a file of many steps."""
    with closing(sqlite3.connect(path, isolation_level=None)) as writer:
        writer.execute("PRAGMA wal_autocheckpoint = 10")
        writer.executescript(
            f"CREATE TABLE first (units); INSERT INTO first VALUES (0); CREATE TABLE filler (noise);"
            f"INSERT INTO filler VALUES (zeroblob({8 * AT_ONCE * PAGE}));"
            f"CREATE TABLE last (units); INSERT INTO last VALUES (0);"
        )
        copying = asyncio.create_task(asyncio.to_thread(back_up, path, tmp_path / "copy.db"))
        moved = 0
        while not copying.done() and moved < MANY:
            writer.executescript("BEGIN; UPDATE first SET units = units - 1; UPDATE last SET units = units + 1; COMMIT")
            moved += 1
            await asyncio.sleep(0)
    await copying
    assert 1 < moved < MANY, "it goes on, whoever commits"
    with closing(sqlite3.connect(tmp_path / "copy.db")) as copy:
        ((first, last),) = copy.execute("SELECT first.units, last.units FROM first, last").fetchall()
    assert first == -last


async def test_secrets_are_in_it_as_they_are_in_the_store(tmp_path: Path) -> None:
    for keys, plain in (((), True), ((NEW_KEY,), False)):
        folder = tmp_path / str(plain)
        folder.mkdir()
        async with stand_on(under(*keys), folder) as stand:
            endpoint = await stand.endpoint()
            assert endpoint.secret is not None
            await asyncio.to_thread(back_up, folder / "hookd.db", folder / "copy.db")
        assert (endpoint.secret.encode() in (folder / "copy.db").read_bytes()) is plain


def test_an_older_store_is_copied_as_it_is(tmp_path: Path) -> None:
    number, sql = migrations()[0]
    with closing(sqlite3.connect(tmp_path / "hookd.db")) as raw:
        raw.executescript(f"{sql}; PRAGMA user_version = {number};")
    before = contents(tmp_path / "hookd.db")
    back_up(tmp_path / "hookd.db", tmp_path / "copy.db")
    assert contents(tmp_path / "copy.db") == before == contents(tmp_path / "hookd.db")


# What keeps it from its work.


@pytest.mark.parametrize("there", ["a file", "the store", "a folder", "a link to nothing"])
def test_what_is_there_is_never_written_over(path: Path, tmp_path: Path, there: str) -> None:
    target = path if there == "the store" else tmp_path / "copy.db"
    if there == "a file":
        target.write_text("mine")
    elif there == "a folder":
        target.mkdir()
    elif there == "a link to nothing":
        target.symlink_to("nowhere")
    before = names(tmp_path), contents(path)
    with pytest.raises(HookdError, match="is there already, and stays as it is; name another file"):
        back_up(tmp_path / "missing.db", target)  # that is said before anything is looked at
    with pytest.raises(HookdError, match="is there already, and stays as it is; name another file"):
        back_up(path, target)
    assert (names(tmp_path), contents(path)) == before
    assert there != "a file" or target.read_text() == "mine"


def test_where_no_file_can_be_made(path: Path, tmp_path: Path) -> None:
    for place, told in (("missing/copy.db", "No such file or directory"), ("hookd.db/copy.db", "Not a directory")):
        with pytest.raises(HookdError, match=f"{place} can't be written: {told}"):
            back_up(path, tmp_path / place)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (None, "there is no store at"),
        (b"", "is empty: there is nothing to back up"),
        (b"dear diary, " * 1000, "file is not a database"),
    ],
)
def test_what_is_no_store(tmp_path: Path, content: bytes | None, told: str) -> None:
    if content is not None:
        (tmp_path / "hookd.db").write_bytes(content)
    before = names(tmp_path)
    with pytest.raises(HookdError, match=told):
        back_up(tmp_path / "hookd.db", tmp_path / "copy.db")
    assert names(tmp_path) == before


def test_a_database_of_something_else(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "hookd.db")) as raw:
        raw.executescript("CREATE TABLE diary (day); PRAGMA user_version = 3;")
    with pytest.raises(HookdError, match="no such table: "):
        back_up(tmp_path / "hookd.db", tmp_path / "copy.db")
    assert names(tmp_path) == ["hookd.db"]


def test_of_a_damaged_store_no_copy_is_kept(path: Path, tmp_path: Path) -> None:
    """A page that nothing has read lately: the store is opened and copied all the same."""
    with closing(sqlite3.connect(path, isolation_level=None)) as raw:
        ((page,),) = raw.execute("SELECT rootpage FROM sqlite_master WHERE name = 'events_created_at'").fetchall()
    with path.open("r+b") as file:
        file.seek((page - 1) * PAGE)
        file.write(b"\xff" * PAGE)
    before = names(tmp_path)
    with pytest.raises(HookdError, match=rf"is damaged: .* Page {page}: .*; no copy is kept: stop hookd and"):
        back_up(path, tmp_path / "copy.db")
    assert names(tmp_path) == before
