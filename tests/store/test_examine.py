"""Damaged files at start: refused with SQLite's own words, and left as they are."""

import random
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from hookd.errors import StartError, Unavailable
from hookd.ids import IdFactory
from hookd.store import Page, examine
from tests.store.stand import Open, sqlite, stand_on


@pytest.fixture
def open_in() -> Open:
    """What is said here is said of files."""
    return sqlite


PAGE = 4096
FILL = b"\xff"
PAYLOADS = 51


@pytest.fixture
async def path(open_in: Open, tmp_path: Path) -> Path:
    """A database with some rows in every large table, closed."""
    async with stand_on(open_in, tmp_path) as stand:
        await stand.endpoint()
        for number in range(PAYLOADS):
            await stand.end(await stand.sent(payload=payload(number)))
    return tmp_path / "hookd.db"


def payload(number: int) -> bytes:
    """Answer a payload that needs a page of its own beside that of its row."""
    return b"%05d" % number * 1000


def spoil_text(path: Path) -> None:
    """Let a text of the newest event be none."""
    contents = bytearray(path.read_bytes())
    found = contents.rfind(b"application/json")
    contents[found : found + 1] = FILL
    path.write_bytes(contents)


def root(path: Path, name: str) -> int:
    """Answer the number of the root page of a table or an index; the first page is 1."""
    with closing(sqlite3.connect(path)) as connection:
        page: int = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = ?", (name,)).fetchone()[0]
        return page


def spoil(path: Path, page: int) -> None:
    """Overwrite one page."""
    with path.open("r+b") as file:
        file.seek((page - 1) * PAGE)
        file.write(FILL * PAGE)


def spoil_header(path: Path) -> None:
    with path.open("r+b") as file:
        file.write(FILL * 16)


def spoil_schema(path: Path) -> None:
    with path.open("r+b") as file:
        file.seek(100)
        file.write(FILL * 100)


def cut(path: Path) -> None:
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size // 2)


def spoil_events(path: Path) -> None:
    spoil(path, root(path, "events"))


def spoil_index(path: Path) -> None:
    spoil(path, root(path, "outbox_type"))


def spoil_payload(path: Path) -> None:
    """Spoil the page in which a payload goes on that is neither the first nor the last."""
    spoil(path, path.read_bytes().rfind(payload(PAYLOADS // 2)[-1000:]) // PAGE + 1)


async def refused(open_in: Open, path: Path) -> str:
    """Fail to start, and answer why; the file is as before."""
    before = contents(path)
    with pytest.raises(StartError) as caught:
        await open_in(path.parent, lambda: 5, IdFactory(lambda: 5, random.Random(1))).__aenter__()
    assert contents(path) == before
    return str(caught.value)


def contents(path: Path) -> bytes:
    return path.read_bytes()


@pytest.mark.parametrize(
    ("how", "words"),
    [
        (spoil_header, "file is not a database"),
        (spoil_schema, "database disk image is malformed"),
        (cut, "database disk image is malformed"),
        (spoil_events, "btreeInitPage() returns error code 11"),
        (spoil_index, "btreeInitPage() returns error code 11"),
        (spoil_payload, "invalid page number"),
    ],
)
async def test_a_damaged_file_is_refused_and_left_as_it_is(
    open_in: Open, path: Path, how: Callable[[Path], None], words: str
) -> None:
    how(path)
    text = await refused(open_in, path)
    assert text.startswith(f"[store] url: {path}: ")
    assert words in text
    assert text.endswith("the file is damaged: restore a backup")


@pytest.fixture
def large(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take every file for one that is too large to look through."""
    monkeypatch.setattr(examine, "WHOLE", 0)


@pytest.mark.usefixtures("large")
@pytest.mark.parametrize("table", ["events", "outbox", "attempts", "dedupe", "endpoints", "subscriptions"])
async def test_of_a_large_file_every_table_is_tried(open_in: Open, path: Path, table: str) -> None:
    spoil(path, root(path, table))
    assert "database disk image is malformed; the file is damaged" in await refused(open_in, path)


@pytest.mark.usefixtures("large")
async def test_of_a_large_file_the_newest_rows_are_tried(open_in: Open, path: Path) -> None:
    spoil(path, last_leaf(path))
    assert "database disk image is malformed; the file is damaged" in await refused(open_in, path)


@pytest.mark.usefixtures("large")
async def test_what_is_no_text_is_not_shown(open_in: Open, path: Path) -> None:
    spoil_text(path)
    assert "Could not decode to UTF-8 column 'content_type'; the file is damaged" in await refused(open_in, path)


@pytest.mark.usefixtures("large")
async def test_damage_that_is_met_while_running_ends_all_writing(open_in: Open, path: Path) -> None:
    async with stand_on(open_in, path.parent) as stand:
        middle = (await stand.store.events(None, Page(250))).items[PAYLOADS // 2]
    spoil_payload(path)
    async with stand_on(open_in, path.parent) as stand:
        await stand.accept()
        with pytest.raises(Unavailable, match=f"the database file {path} is damaged: Could not decode"):
            await stand.store.event(middle.id, None)
        with pytest.raises(Unavailable, match="stop hookd and restore a backup"):
            await stand.accept()


def last_leaf(path: Path) -> int:
    """Answer the page that the root of `events` names as its rightmost (fileformat2.html, section 1.6)."""
    start = (root(path, "events") - 1) * PAGE
    header = path.read_bytes()[start : start + 12]
    assert header[0] == 5, "an interior page of a table"
    return int.from_bytes(header[8:12], "big")
