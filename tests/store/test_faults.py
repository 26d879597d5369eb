"""The storage at fault: who is refused, what is kept, and that it is written once, in order, and never blindly."""

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from hookd.errors import Unavailable
from hookd.model import Status
from hookd.store import commit
from hookd.store.context import Context
from hookd.store.statement import Query, Steps
from tests.crash.waiting import until
from tests.store.faults import held_up, under_way, without_room
from tests.store.stand import PATIENCE, Open, Stand, file_of, in_a_file, stand_on


class Journal:
    """A group that writes down its arguments; `calls` has those of every transaction that was tried."""

    def __init__(self) -> None:
        self.calls: list[list[str]] = []
        self._tried = asyncio.Event()
        self._loop = asyncio.get_running_loop()

    def write(self, _: Context, arguments: Sequence[str]) -> Steps[list[None]]:
        self.calls.append(list(arguments))
        self._loop.call_soon_threadsafe(self._tried.set)
        for argument in arguments:
            yield Query("INSERT INTO subscriptions VALUES ('', :name, '')", {"name": argument})
        return [None] * len(arguments)

    async def tried(self) -> None:
        """Wait until it is tried once more."""
        self._tried.clear()
        async with asyncio.timeout(PATIENCE):
            await self._tried.wait()


async def test_what_is_kept_is_written_once_and_in_order(stand: Stand, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commit, "LONGEST_PAUSE", 0.01)
    journal, names = Journal(), [f"{number}" + "x" * 100_000 for number in range(4)]
    async with without_room(stand):
        for name in names:
            stand.store._committer.entrust(journal.write, name)
            await journal.tried()
    await stand.mended()
    assert len(journal.calls) > len(names)
    assert journal.calls[-1] == names
    assert await stand.ask("SELECT pattern FROM subscriptions ORDER BY pattern") == [(name,) for name in names]


async def traced(stand: Stand, trace: Callable[[str], object] | None) -> None:
    """Have a function told of every statement of the writer, before it is carried out."""
    await file_of(stand.store).writer.run(lambda raw: raw.set_trace_callback(trace))


@in_a_file
async def test_those_who_queue_behind_a_fault_are_refused_with_it(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hookd.store.sqlite.BUSY_TIMEOUT", 0.1)
    begun: list[Context] = []

    def begin() -> Context:
        begun.append(stand.store._begin())
        return begun[-1]

    monkeypatch.setattr(stand.store._committer, "_begin", begin)
    async with held_up(stand.store):
        first = stand.store.accept(stand.draft())
        await until(lambda: bool(begun), "the commit begins")
        behind = [stand.store.accept(stand.draft()) for _ in range(3)]
        refused = await asyncio.gather(first, *behind, return_exceptions=True)
        assert [type(each) for each in refused] == [Unavailable] * 4
        assert len(begun) == 1, "they did not wait for a turn of their own"


async def test_a_commit_that_hangs_is_a_fault_until_it_ends(stand: Stand, monkeypatch: pytest.MonkeyPatch) -> None:
    await stand.endpoint()
    delivery = await stand.sent()
    monkeypatch.setattr(commit, "STALLED", 0.05)
    async with held_up(stand.store):
        begun = stand.store.accept(stand.draft())
        await under_way(stand.store)
        queued = stand.store.accept(stand.draft())
        with pytest.raises(Unavailable, match="the disk is slow, or hangs"):
            await queued
        with pytest.raises(Unavailable, match="the disk is slow, or hangs"):
            await stand.accept()
        stand.store.record(stand.result(delivery))
        assert not begun.done(), "it is not on disk"
        assert stand.store.fault == commit.HANGING
    assert (await begun).deliveries == 1
    await stand.settle()
    assert await stand.statuses() == [Status.DELIVERED, Status.PENDING]


@in_a_file
async def test_nothing_is_written_to_a_damaged_file(open_in: Open, tmp_path: Path) -> None:
    path, journal = tmp_path / "hookd.db", Journal()
    async with stand_on(open_in, tmp_path) as stand:
        await stand.endpoint()
    async with stand_on(open_in, tmp_path) as stand:
        damage(path)
        await file_of(stand.store).writer.run(lambda raw: raw.execute("PRAGMA shrink_memory"))
        stand.store._committer.entrust(journal.write, "kept")
        with pytest.raises(Unavailable, match=r"is damaged: .* \bstop hookd and restore a backup"):
            await stand.accept()
        before = sizes(tmp_path)
        with pytest.raises(Unavailable, match="is damaged"):
            await stand.accept()
        assert stand.store.fault is not None
        assert stand.committing is not None
        stand.store.stop()
        await stand.committing
        assert sizes(tmp_path) == before
        assert len(journal.calls) == 1, "it is not tried again"


def damage(path: Path) -> None:
    """Overwrite all but the file's first page, which has been read already."""
    with path.open("r+b") as file:
        length = file.seek(0, 2)
        file.seek(4096)
        file.write(b"\xff" * (length - 4096))


def sizes(folder: Path) -> dict[str, int]:
    return {each.name: each.stat().st_size for each in folder.iterdir()}
