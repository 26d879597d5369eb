"""The real command `prune`, in a process of its own, without a daemon and beside one; and the daemon that prunes."""

import asyncio
import signal
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from hookd.model import wall_clock
from hookd.store.sqlite import migrations
from tests.cli.upkeep import command, ran
from tests.daemons import LOOPBACK, Daemon, clean_environment
from tests.receivers import Receiver

FAILED = 1
MISUSED = 2
SHORT = f'[store]\nretention = "1s"\n{LOOPBACK}'
LONG_AGO = wall_clock() - 100 * 86_400_000
DELIVERIES = 3
PATIENCE = 30.0
"""Seconds after which what should have happened fails the test."""


def prune(folder: Path, *arguments: str, status: int = 0) -> str:
    """Run the command, and answer the one line that it says."""
    said, silent = ran("prune", folder, *arguments, status=status)
    assert silent == ""
    assert said.count("\n") == 1
    return said


@contextmanager
def database(folder: Path) -> Iterator[sqlite3.Connection]:
    raw = sqlite3.connect(folder / "hookd.db", isolation_level=None, timeout=30)
    try:
        yield raw
    finally:
        raw.close()


def fill(folder: Path, count: int, *, size: int = 100, status: str = "delivered") -> None:
    """Write so many events as of long ago, each with deliveries and an attempt at each."""
    with database(folder) as raw:
        raw.execute("BEGIN IMMEDIATE")
        for _ in range(count):
            event = raw.execute(
                "INSERT INTO events (id, tenant, type, origin, payload, content_type, created_at)"
                " VALUES (hex(randomblob(9)), '', 'old', 'published', zeroblob(?), 'text/plain', ?)",
                [size, LONG_AGO],
            ).lastrowid
            raw.executemany(
                "INSERT INTO outbox (id, event, endpoint, tenant, type, status, attempt_count, due_at, created_at)"
                " VALUES (hex(randomblob(9)), ?, 'ep_gone', '', 'old', ?, 1, ?, ?)",
                DELIVERIES * [(event, status, LONG_AGO, LONG_AGO)],
            )
            raw.execute(
                "INSERT INTO attempts SELECT sequence, 1, 'old', ?, 1.0, 'success', 200, NULL, '{}', '{}', x'', 0"
                " FROM outbox WHERE event = ?",
                [LONG_AGO, event],
            )
        raw.execute("COMMIT")


def counted(folder: Path) -> tuple[int, int, int]:
    """Count the events, deliveries and attempts of long ago."""
    with database(folder) as raw:
        found: tuple[int, int, int] = raw.execute(
            "SELECT (SELECT count(*) FROM events WHERE type = 'old'), (SELECT count(*) FROM outbox WHERE type = 'old'),"
            " (SELECT count(*) FROM attempts WHERE id = 'old')"
        ).fetchone()
    return found


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """A folder with a configuration, and a store that is still empty."""
    (tmp_path / "config.toml").write_text(LOOPBACK, "utf-8")
    with database(tmp_path) as raw:
        raw.execute("PRAGMA auto_vacuum = INCREMENTAL")
        raw.execute("PRAGMA journal_mode = WAL")
        for number, sql in migrations():
            raw.executescript(f"{sql}; PRAGMA user_version = {number};")
    return tmp_path


# Without a daemon.


def test_it_says_what_went_and_how_large_the_file_is(store: Path) -> None:
    fill(store, 400, size=20_000)
    fill(store, 3, status="pending")
    before = (store / "hookd.db").stat().st_size
    said = prune(store)
    assert said.startswith(f"{store}/hookd.db: pruned 400 events, over for more than 30d; the file has ")
    after = (store / "hookd.db").stat().st_size
    assert said.endswith(f" {after / 1024 / 1024:.1f} MiB\n")
    assert after < before / 4
    assert counted(store) == (3, 3 * DELIVERIES, 3 * DELIVERIES)
    assert ": pruned 0 events, " in prune(store)


def test_a_dry_run_leaves_everything(store: Path) -> None:
    fill(store, 1)
    assert ": 1 event would go, over for more than 30d; " in prune(store, "--dry-run")
    assert counted(store) == (1, DELIVERIES, DELIVERIES)


def test_another_age_may_be_asked_for_or_configured(store: Path) -> None:
    fill(store, 2)
    assert ": pruned 0 events, over for more than 101d; " in prune(store, "--older-than", "101d")
    (store / "config.toml").write_text(SHORT, "utf-8")
    assert ": pruned 2 events, over for more than 1s; " in prune(store)


def test_what_is_no_age_is_said_to_be_none(store: Path) -> None:
    said = prune(store, "--older-than", "a week", status=MISUSED)
    assert said.startswith("hookd: Invalid value for '--older-than': expected a duration such as ")


def test_where_there_is_no_store_none_is_made(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text(LOOPBACK, "utf-8")
    said = prune(tmp_path, status=FAILED)
    assert said == f"hookd: there is no database at {tmp_path}/hookd.db; see [store] url\n"
    assert not (tmp_path / "hookd.db").exists()


def test_what_is_no_database_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text(LOOPBACK, "utf-8")
    (tmp_path / "hookd.db").write_text("dear diary, " * 1000)
    assert "file is not a database" in prune(tmp_path, status=FAILED)


def test_help_shows_an_example(store: Path) -> None:
    done = subprocess.run(command("prune", store, "--help"), capture_output=True, text=True, timeout=60, check=True)
    assert "Example:\n    hookd prune --older-than 7d --dry-run\n" in done.stdout


HANG = """
CREATE TRIGGER hang BEFORE DELETE ON events WHEN (SELECT count(*) FROM events) < 300
BEGIN
    SELECT count(*) FROM (WITH RECURSIVE long (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM long) SELECT n FROM long);
END
"""
"""Lets a process hang amid the first step that leaves fewer events, when their attempts are deleted already."""


async def test_killed_amid_a_step_it_leaves_whole_events(store: Path) -> None:
    fill(store, 500)
    with database(store) as raw:
        raw.execute(HANG)
    process = await asyncio.create_subprocess_exec(*command("prune", store), env=clean_environment())
    try:
        async with asyncio.timeout(PATIENCE):
            while await asyncio.to_thread(writable, store):
                assert process.returncode is None
    finally:
        process.kill()
        await process.wait()
    events, deliveries, attempts = counted(store)
    assert 300 <= events < 500, "some steps are on disk, and the one amid which it died is not"
    assert (deliveries, attempts) == (events * DELIVERIES, events * DELIVERIES)
    with database(store) as raw:
        raw.execute("DROP TRIGGER hang")
    assert f": pruned {events} events, " in await asyncio.to_thread(prune, store)
    assert counted(store) == (0, 0, 0)


def writable(folder: Path) -> bool:
    """Say whether the lock is to be had within a time in which no step of the command ends; then it hangs."""
    raw = sqlite3.connect(folder / "hookd.db", isolation_level=None, timeout=0.5)
    try:
        raw.execute("BEGIN IMMEDIATE")
        raw.execute("ROLLBACK")
    except sqlite3.OperationalError:
        return False
    else:
        return True
    finally:
        raw.close()


# Beside a daemon, which prunes too.


async def publish(daemon: Daemon, **fields: Any) -> str:
    told = await daemon.call("POST", "/api/v1/events", {"type": "order", "payload": {"number": 1}, **fields})
    return str(told["id"])


async def gone(daemon: Daemon, event: str) -> None:
    """Wait until an event is not there any more."""
    async with asyncio.timeout(PATIENCE):
        while True:
            if event not in await listed(daemon):
                return
            await asyncio.sleep(0.01)


async def listed(daemon: Daemon) -> list[str]:
    return [event["id"] for event in (await daemon.call("GET", "/api/v1/events"))["data"]]


async def test_beside_a_daemon_that_delivers_meanwhile(tmp_path: Path) -> None:
    async with Receiver() as receiver, Daemon(tmp_path, f'[store]\nretention = "365d"\n{LOOPBACK}') as daemon:
        await daemon.register(receiver.url())
        await daemon.in_thread(fill, tmp_path, 1_000)
        pruning = asyncio.create_task(daemon.in_thread(prune, tmp_path, "--older-than", "30d"))
        events = []
        while not pruning.done():
            events.append(await publish(daemon))
        assert ": pruned 1000 events, over for more than 30d; " in await pruning
        assert counted(tmp_path) == (0, 0, 0)
        for event in events:
            await daemon.settled(event, "delivered")
        assert sorted(request.headers["webhook-id"] for request in receiver.requests) == sorted(events)


async def test_a_daemon_prunes_what_ended_and_keeps_what_waits(tmp_path: Path) -> None:
    async with Receiver() as receiver, Daemon(tmp_path, SHORT) as daemon:
        await daemon.register(receiver.url(), event_types=["order"])
        paused = await daemon.register(receiver.url(), event_types=["later"])
        await daemon.call("PATCH", f"/api/v1/endpoints/{paused}", {"state": "paused"})
        waiting = await publish(daemon, type="later")
        unmatched = await publish(daemon, type="nobody")
        for event in (unmatched, await publish(daemon)):
            await gone(daemon, event)
        assert await listed(daemon) == [waiting]
        assert (await daemon.call("GET", f"/api/v1/events/{waiting}"))["deliveries"][0]["status"] == "pending"
        await daemon.call("PATCH", f"/api/v1/endpoints/{paused}", {"state": "active"})
        await gone(daemon, waiting)
        assert len(receiver.requests) == 2
        assert (await daemon.call("GET", "/api/v1/deliveries"))["data"] == []


async def test_a_daemon_gives_the_space_back(tmp_path: Path) -> None:
    async with Daemon(tmp_path) as daemon:
        await daemon.in_thread(fill, tmp_path, 300, size=100_000)
        path = tmp_path / "hookd.db"
        async with asyncio.timeout(PATIENCE):
            while counted(tmp_path)[0] or path.stat().st_size > 10_000_000:
                await publish(daemon)  # the file is cut off when its log is emptied into it


async def test_a_new_retention_needs_a_restart(tmp_path: Path) -> None:
    async with Daemon(tmp_path) as daemon:
        daemon.config.write_text(SHORT, "utf-8")
        daemon.process.send_signal(signal.SIGHUP)
        await daemon.logs("the configuration was reloaded")
        assert "takes effect at the next start key=store.retention" in daemon.logged()
