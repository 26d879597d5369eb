"""The real command `backup`, in a process of its own; and what is restored from what it made beside a busy daemon."""

import asyncio
import re
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from hookd.store.sqlite import migrations
from tests.cli.upkeep import SERVER, command, ran
from tests.daemons import LOOPBACK, Daemon, clean_environment
from tests.receivers import Receiver
from tests.troubles import cramped

FAILED = 1
MISUSED = 2
LARGE = 20_000_000
"""Bytes of a store that is not copied in a moment."""
PUBLISHERS = 4
MANY = 200
"""Events that are published before the backup begins."""
PATIENCE = 30.0
"""Seconds after which what should have happened fails the test."""


def backup(folder: Path, *arguments: str, status: int = 0) -> str:
    """Run the command, and answer the one line that it says."""
    said, silent = ran("backup", folder, *arguments, status=status)
    assert silent == ""
    assert said.count("\n") == 1
    return said


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """A folder with a configuration, a large store, and a folder for backups."""
    (tmp_path / "config.toml").write_text(LOOPBACK, "utf-8")
    (tmp_path / "backups").mkdir()
    with closing(sqlite3.connect(tmp_path / "hookd.db")) as raw:
        for number, sql in migrations():
            raw.executescript(f"{sql}; PRAGMA user_version = {number};")
        raw.execute(
            "INSERT INTO events (id, tenant, type, origin, payload, content_type, created_at)"
            " VALUES ('evt_1', '', 'old', 'published', zeroblob(?), 'text/plain', 1)",
            [LARGE],
        )
        raw.commit()
    return tmp_path


@contextmanager
def amid(folder: Path, target: Path) -> Iterator[subprocess.Popen[str]]:
    """Begin a backup, and stop the process in its midst; it is killed in the end, if it has not ended."""
    process = subprocess.Popen(
        command("backup", folder, str(target)),
        env=clean_environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        deadline = time.monotonic() + PATIENCE
        while not list(target.parent.glob(f".{target.name}.*/{target.name}")):
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.0005)  # looked for all the time, it would slow down what it looks for
        process.send_signal(signal.SIGSTOP)
        assert not target.exists()
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_it_says_what_it_holds(store: Path) -> None:
    target = store / "backups" / "hookd.db"
    said = backup(store, str(target))
    size = f"{target.stat().st_size / 1024 / 1024:.1f}"
    assert said == f"{target}: {size} MiB, 1 event, 0 waiting deliveries, 0 endpoints\n"
    assert names(target.parent) == ["hookd.db"]
    assert backup(store, str(target), status=FAILED).startswith(f"hookd: {target} is there already")


def test_of_a_server_it_tells_the_command(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text(SERVER, "utf-8")
    assert backup(tmp_path, "a copy", status=MISUSED) == (
        "hookd: store.url: PostgreSQL has a command of its own for this: pg_dump --schema=hookd --format=custom "
        "--file='a copy' postgresql://me@db.example/hookd\n"
    )


def test_it_has_to_be_told_where(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text(LOOPBACK, "utf-8")
    assert backup(tmp_path, status=MISUSED) == "hookd: Missing argument 'TARGET'.\n"


def test_help_shows_an_example(tmp_path: Path) -> None:
    done = subprocess.run(command("backup", tmp_path, "--help"), capture_output=True, text=True, timeout=60, check=True)
    assert "Example:\n    hookd backup /backup/hookd.db\n" in done.stdout


def test_what_comes_there_meanwhile_is_not_written_over(store: Path) -> None:
    target = store / "backups" / "hookd.db"
    with amid(store, target) as process:
        target.write_text("mine")
        process.send_signal(signal.SIGCONT)
        _, said = process.communicate(timeout=PATIENCE)
    assert process.returncode == FAILED
    assert said == f"hookd: {target} is there already, and stays as it is; name another file\n"
    assert target.read_text() == "mine"
    assert names(target.parent) == ["hookd.db"]


def test_killed_in_its_midst_it_leaves_no_backup_and_can_be_run_again(store: Path) -> None:
    target = store / "backups" / "hookd.db"
    with amid(store, target) as process:
        process.kill()
    assert not target.exists()
    assert "1 event" in backup(store, str(target))


def test_interrupted_it_leaves_nothing(store: Path) -> None:
    target = store / "backups" / "hookd.db"
    with amid(store, target) as process:
        process.send_signal(signal.SIGINT)
        process.send_signal(signal.SIGCONT)
        _, said = process.communicate(timeout=PATIENCE)
    assert (process.returncode, said.strip()) == (FAILED, "hookd: interrupted")
    assert names(target.parent) == []


def test_without_room_it_leaves_nothing(store: Path) -> None:
    words = command("backup", store, str(store / "backups" / "hookd.db"))
    done = subprocess.run(
        [sys.executable, *cramped(LARGE // 2), *words[words.index("backup") :]],
        env=clean_environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == FAILED
    assert done.stderr == "hookd: hookd.db can't be written: disk I/O error\n"
    assert names(store / "backups") == []


# Beside a busy daemon.


class Publishers:
    """They publish one event after another, each told once it is acknowledged, until they are to stop."""

    def __init__(self, daemon: Daemon) -> None:
        self.told: list[str] = []
        self.many = asyncio.Event()
        self.stop = asyncio.Event()
        self._daemon = daemon

    async def run(self) -> None:
        async with asyncio.TaskGroup() as publishing:
            for _ in range(PUBLISHERS):
                publishing.create_task(self._publish())

    async def _publish(self) -> None:
        while not self.stop.is_set():
            body = {"type": "order", "payload": {"number": len(self.told)}}
            self.told.append((await self._daemon.call("POST", "/api/v1/events", body))["id"])
            if len(self.told) >= MANY:
                self.many.set()


async def busy_backup(daemon: Daemon, target: Path) -> list[str]:
    """Back up while events are published; answer those acknowledged before it began."""
    publishers = Publishers(daemon)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(publishers.run())
        await publishers.many.wait()
        before = [*publishers.told]
        said = await daemon.in_thread(backup, daemon.directory, str(target))
        during = len(publishers.told) - len(before)
        publishers.stop.set()
    assert re.fullmatch(rf"{target}: \d+\.\d MiB, \d+ events, \d+ waiting deliveries, 2 endpoints\n", said)
    assert during > 0, "it was busy meanwhile"
    return before


async def test_what_was_accepted_before_is_restored_and_delivered(tmp_path: Path) -> None:
    """Of two endpoints one is paused: so each event waits in the backup, whatever became of it before."""
    restored = tmp_path / "restored"
    restored.mkdir()
    async with Receiver() as receiver:
        async with Daemon(tmp_path) as daemon:
            await daemon.register(receiver.url("/now"))
            paused = await daemon.register(receiver.url("/later"))
            await daemon.call("PATCH", f"/api/v1/endpoints/{paused}", {"state": "paused"})
            before = await busy_backup(daemon, restored / "hookd.db")
            await daemon.kill()
        assert names(restored) == ["hookd.db"]
        async with Daemon(restored) as daemon:
            await daemon.call("PATCH", f"/api/v1/endpoints/{paused}", {"state": "active"})
            for event in before:
                assert len(await daemon.settled(event, "delivered")) == 2
            await daemon.quiet()
    for path in ("/now", "/later"):
        arrived = {request.headers["webhook-id"] for request in receiver.requests if f" {path} " in request.line}
        assert arrived >= set(before)
