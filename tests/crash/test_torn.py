"""A journal whose tail is torn, as by a crash in the middle of a write: all that was committed before it is there."""

import random
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from hookd.ids import IdFactory
from hookd.store import Page, open_store
from tests.daemons import Daemon
from tests.receivers import Receiver

EVENTS = 12
TORN = 3
"""Of the last so many commits each is torn, in every way."""

WAL_HEADER = 32
FRAME_HEADER = 24
"""https://sqlite.org/fileformat2.html, section 4.1"""


@dataclass(frozen=True, slots=True)
class Commit:
    """A commit's bytes in the journal: whole frames, the last of which says that it is one."""

    start: int
    last: int
    """Where its last frame begins."""
    end: int


def commits(journal: bytes) -> Iterator[Commit]:
    """List the commits of a journal that was not begun anew."""
    frame = FRAME_HEADER + int.from_bytes(journal[8:12], "big")
    start = WAL_HEADER
    for place in range(WAL_HEADER, len(journal), frame):
        if int.from_bytes(journal[place + 4 : place + 8], "big"):
            yield Commit(start, place, place + frame)
            start = place + frame


Tear = Callable[[bytes, Commit], bytes]


def cut_in_the_header(journal: bytes, commit: Commit) -> bytes:
    return journal[: commit.last + FRAME_HEADER // 2]


def cut_before_the_page(journal: bytes, commit: Commit) -> bytes:
    return journal[: commit.last + FRAME_HEADER]


def cut_at_the_last_byte(journal: bytes, commit: Commit) -> bytes:
    return journal[: commit.end - 1]


def cut_between_frames(journal: bytes, commit: Commit) -> bytes:
    return journal[: commit.last]


def flip(journal: bytes, place: int) -> bytes:
    return journal[:place] + bytes([journal[place] ^ 0x40]) + journal[place + 1 :]


def flip_in_the_first_page(journal: bytes, commit: Commit) -> bytes:
    return flip(journal, commit.start + FRAME_HEADER + 1000)


def flip_in_the_last_page(journal: bytes, commit: Commit) -> bytes:
    return flip(journal, commit.end - 1000)


def flip_in_a_checksum(journal: bytes, commit: Commit) -> bytes:
    return flip(journal, commit.last + FRAME_HEADER - 1)


def leave_the_tail_unwritten(journal: bytes, commit: Commit) -> bytes:
    return journal[: commit.last] + bytes(len(journal) - commit.last)


TEARS: list[Tear] = [
    cut_in_the_header,
    cut_before_the_page,
    cut_at_the_last_byte,
    cut_between_frames,
    flip_in_the_first_page,
    flip_in_the_last_page,
    flip_in_a_checksum,
    leave_the_tail_unwritten,
]


def left_with(database: Path, journal: bytes) -> Path:
    """Answer a copy of the database with this journal, and nothing else."""
    folder = database.parent / "copy"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    (folder / "hookd.db-wal").write_bytes(journal)
    return Path(shutil.copy(database, folder))


def read(database: Path) -> list[str]:
    """List the events of a whole file, as SQLite reads it."""
    with closing(sqlite3.connect(database)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        return [identity for (identity,) in connection.execute("SELECT id FROM events ORDER BY sequence")]


async def started(database: Path) -> list[str]:
    """List the events with which hookd starts."""
    async with open_store(database, lambda: 5, IdFactory(lambda: 5, random.Random(1)), 1000) as store:
        return [event.id for event in (await store.events(None, Page(250))).items][::-1]


async def publish(daemon: Daemon) -> str:
    told = await daemon.call("POST", "/api/v1/events", {"type": "order.created", "payload": {"x": "x" * 5000}})
    return str(told["id"])


async def test_all_before_the_torn_commit_is_there(tmp_path: Path) -> None:
    database = tmp_path / "hookd.db"
    async with Receiver() as receiver, Daemon(tmp_path) as daemon:
        endpoint = await daemon.register(receiver.url())
        await daemon.call("PATCH", f"/api/v1/endpoints/{endpoint}", {"state": "paused"})
        told = [await publish(daemon) for _ in range(EVENTS)]
        await daemon.kill()

        journal = (tmp_path / "hookd.db-wal").read_bytes()
        made = list(commits(journal))[-TORN:]
        assert read(left_with(database, journal)) == told
        for each in made:
            whole = read(left_with(database, journal[: each.start]))
            assert whole == told[: len(whole)]
            for tear in TEARS:
                assert await started(left_with(database, tear(journal, each))) == whole, (each, tear.__name__)
        assert whole == told[:-1], "each event has its commit"

        (tmp_path / "hookd.db-wal").write_bytes(cut_at_the_last_byte(journal, made[-1]))
        await daemon.start()
        await daemon.call("PATCH", f"/api/v1/endpoints/{endpoint}", {"state": "active"})
        await daemon.quiet()
        assert sorted(request.headers["webhook-id"] for request in receiver.requests) == sorted(told[:-1])
        assert await daemon.stop() == 0
    assert read(database) == told[:-1]
    assert "Traceback" not in daemon.logged()
