"""A daemon under load whose storage fails, and mends: what it answers, and that nothing is lost or done twice."""

import asyncio
import json
import sqlite3
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import aiohttp
import pytest

from tests.crash.waiting import PATIENCE, until, until_answered
from tests.daemons import HOOKD, LOOPBACK, Daemon
from tests.receivers import OK, Connection, Receiver, Request
from tests.test_daemon import gauge
from tests.troubles import (
    HASTY,
    POWERLESS,
    Trouble,
    another_writer,
    cramped,
    full_disk,
    moved_away,
    no_growth,
    no_writing,
    small_disk,
)

CONFIG = LOOPBACK + '[log]\nlevel = "warning"\n'
ERROR = b"HTTP/1.1 500 Oh\r\nContent-Length: 0\r\n\r\n"
PRODUCERS = 4
IN_FLIGHT = 4
"""Attempts that the fault finds under way."""
GLANCE = 0.01


class Producers:
    """Publish events under ids of their own, each until it is acknowledged."""

    def __init__(self, daemon: Daemon, session: aiohttp.ClientSession) -> None:
        self._url = f"{daemon.url}/api/v1/events"
        self._session = session
        self._count = 0
        self.enough = False
        self.told: list[str] = []
        self.refused: list[str] = []
        """The details of refusals."""

    async def publish(self) -> None:
        """Publish one event after the other until it is enough."""
        while not self.enough:
            self._count += 1
            await self._publish(f"order_{self._count}")

    async def _publish(self, identity: str) -> None:
        body = json.dumps({"id": identity, "type": "order.created", "payload": {"text": "x" * 1000}})
        while True:
            async with self._session.post(self._url, data=body, headers={"Content-Type": "application/json"}) as answer:
                if answer.status in (200, 202):
                    self.told.append(identity)
                    return
                assert answer.status == 503, await answer.text()
                assert int(answer.headers["Retry-After"]) > 0
                self.refused.append((await answer.json())["detail"])
            await asyncio.sleep(GLANCE)


class Late:
    """A receiver's behaviour: every request waits until it is open; the first attempt at each event fails."""

    def __init__(self) -> None:
        self.open = asyncio.Event()

    async def behave(self, connection: Connection, request: Request) -> None:
        await self.open.wait()
        await connection.send(ERROR if request.headers["x-webhook-attempt"] == "1" else OK)


async def unready(daemon: Daemon) -> str | None:
    """Answer why it is not ready, or None."""
    async with aiohttp.ClientSession() as session, session.get(f"{daemon.url}/readyz") as answer:
        return None if answer.status == 200 else str((await answer.json())["detail"])


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A folder on a small disk of its own; elsewhere `no_growth` shows the same."""
    with small_disk(tmp_path / "disk") as mounted:
        if not mounted:
            pytest.skip("nothing can be mounted here")
        yield tmp_path / "disk"


TROUBLES = {
    "no_growth": Trouble(no_growth, "/hookd.db: disk I/O error (SQLITE_IOERR_WRITE)"),
    "no_writing": Trouble(no_writing, "/hookd.db: disk I/O error (SQLITE_IOERR_WRITE)"),
    "another_writer": Trouble(another_writer, "/hookd.db: database is locked (SQLITE_BUSY)"),
    "moved_away": Trouble(moved_away, "hookd.db was removed or replaced; restore it or restart hookd"),
}


@pytest.mark.parametrize("name", list(TROUBLES))
async def test_a_fault_that_passes_loses_nothing(tmp_path: Path, name: str) -> None:
    await befallen(tmp_path, tmp_path / "hookd.db", TROUBLES[name])


async def test_a_full_disk_loses_nothing(tmp_path: Path, disk: Path) -> None:
    await befallen(tmp_path, disk / "hookd.db", Trouble(full_disk, "/hookd.db: database or disk is full (SQLITE_FULL)"))


async def befallen(folder: Path, database: Path, trouble: Trouble) -> None:
    """Let something befall the database amid publishing and delivering, and pass."""
    late = Late()
    async with (
        Receiver() as prompt,
        Receiver(late.behave) as slow,
        Daemon(folder, CONFIG, program=HASTY, HOOKD_STORE__URL=f"sqlite:{database}") as daemon,
        aiohttp.ClientSession() as session,
        asyncio.timeout(PATIENCE),
        asyncio.TaskGroup() as load,
    ):
        endpoints = {
            await daemon.register(prompt.url()): prompt,
            await daemon.register(slow.url(), max_in_flight=IN_FLIGHT, retry=["20ms"]): slow,
        }
        producers = Producers(daemon, session)
        publishing = [load.create_task(producers.publish()) for _ in range(PRODUCERS)]
        await until(lambda: len(slow.requests) == IN_FLIGHT and len(producers.told) > IN_FLIGHT, "it is under load")
        with trouble.begin(daemon, database):
            await refused(daemon, producers, trouble.cause)
            late.open.set()
            await stands_still(daemon, producers, [prompt, slow])
        await mends(daemon, producers)
        producers.enough = True
        await asyncio.wait(publishing)
        await daemon.quiet()
        assert await daemon.stop() == 0
    judge(database, producers.told, endpoints, {prompt: 1, slow: 2})


async def refused(daemon: Daemon, producers: Producers, cause: str) -> None:
    """Wait until callers are refused, and see that they, and /readyz, are told the cause."""
    await until(lambda: len(producers.refused) >= PRODUCERS, "everyone is refused")
    assert {detail.endswith(cause) for detail in producers.refused} == {True}, producers.refused
    said = await unready(daemon)
    assert said is not None
    assert said.startswith("the store can't commit: ")
    assert said.endswith(cause)


async def stands_still(daemon: Daemon, producers: Producers, receivers: list[Receiver]) -> None:
    """See that attempts end, and that none begins and nothing is acknowledged until the fault has passed."""

    async def ended() -> bool:
        return await gauge(daemon, "hookd_attempts_in_flight") == 0

    await until_answered(ended, "what is in flight ends")
    sent, told, refusals = [len(each.requests) for each in receivers], len(producers.told), len(producers.refused)
    await until(lambda: len(producers.refused) > refusals + 10 * PRODUCERS, "the fault lasts")
    assert ([len(each.requests) for each in receivers], len(producers.told)) == (sent, told)


async def mends(daemon: Daemon, producers: Producers) -> None:
    """Wait until it is ready by itself, and takes in what it refused."""

    async def ready() -> bool:
        return await unready(daemon) is None

    await until_answered(ready, "it is ready again")
    told = len(producers.told)
    await until(lambda: len(producers.told) >= told + PRODUCERS, "events are acknowledged again")


def judge(database: Path, told: list[str], endpoints: dict[str, Receiver], attempts: dict[Receiver, int]) -> None:
    """See that each event was sent to each endpoint as often as it asked for, and that the record says so."""
    with closing(sqlite3.connect(database)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        record = connection.execute(RECORD).fetchall()
    for endpoint, receiver in endpoints.items():
        sent = Counter(
            (each.headers["webhook-id"], int(each.headers["x-webhook-attempt"])) for each in receiver.requests
        )
        wanted = {(event, number) for event in told for number in range(1, attempts[receiver] + 1)}
        assert sent == Counter(wanted)
        assert sorted(row[1:3] for row in record if row[0] == endpoint) == sorted(wanted)
    assert {status for *_, status in record} == {"delivered"}


RECORD = """\
SELECT outbox.endpoint, events.id, attempts.number, outbox.status
FROM outbox JOIN events ON events.sequence = outbox.event JOIN attempts ON attempts.delivery = outbox.sequence"""


# What does not pass by itself.


async def publish(daemon: Daemon, **fields: object) -> str:
    told = await daemon.call("POST", "/api/v1/events", {"type": "order.created", "payload": {}, **fields})
    return str(told["id"])


async def says(daemon: Daemon, cause: str) -> None:
    """Wait until /readyz says why nothing is taken in, and see that nothing is."""

    async def said() -> bool:
        return cause in (await unready(daemon) or "")

    await until_answered(said, f"/readyz says {cause!r}")
    with pytest.raises(AssertionError, match="503"):
        await publish(daemon)
    await daemon.call("GET", "/healthz")


async def refuses_to_start(daemon: Daemon, line: str) -> None:
    """See that it ends at once, with exit status 1 and one line."""
    with pytest.raises(AssertionError, match="ended at once"):
        await daemon.start()
    assert daemon.process.returncode == 1
    assert daemon.logged().splitlines()[-1] == f"hookd: [store] url: {line}"


async def test_what_a_stop_finds_kept_is_attempted_again(tmp_path: Path) -> None:
    late = Late()
    async with Receiver(late.behave) as receiver, Daemon(tmp_path, CONFIG, program=HASTY) as daemon:
        await daemon.register(receiver.url(), retry=["20ms"])
        event = await publish(daemon)
        await until(lambda: len(receiver.requests) == 1, "it is in flight")
        with no_writing(daemon, tmp_path / "hookd.db"):
            late.open.set()
            await says(daemon, "SQLITE_IOERR_WRITE")
            assert await daemon.stop() == 0
        await daemon.start()
        await daemon.settled(event, "delivered")
        assert [each.headers["x-webhook-attempt"] for each in receiver.requests] == ["1", "1", "2"]


async def test_a_file_that_is_replaced_is_gone_on_with_after_a_restart(tmp_path: Path) -> None:
    database = tmp_path / "hookd.db"
    async with Daemon(tmp_path, CONFIG, program=HASTY) as daemon:
        first = await publish(daemon)
        with closing(sqlite3.connect(database)) as source, closing(sqlite3.connect(tmp_path / "backup.db")) as target:
            source.backup(target)
        await publish(daemon)
        replace(tmp_path / "backup.db", database)
        await says(daemon, f"the database file {database} was removed or replaced; restore it or restart hookd")
        assert await daemon.stop() == 0
        await daemon.start()
        second = await publish(daemon)
        known = (await daemon.call("GET", "/api/v1/events"))["data"]
        assert [event["id"] for event in known] == [second, first]


def replace(file: Path, place: Path) -> None:
    file.replace(place)


async def test_damage_that_is_met_is_told_and_then_refused(tmp_path: Path) -> None:
    database = tmp_path / "hookd.db"
    async with Daemon(tmp_path, CONFIG) as daemon:
        events = [await publish(daemon, payload={"text": "x" * 5000}) for _ in range(3)]
        await daemon.stop()
        await daemon.start()
        damage(database)
        with pytest.raises(AssertionError, match="503"):
            await daemon.call("GET", f"/api/v1/events/{events[0]}")
        await says(daemon, f"the database file {database} is damaged: ")
        assert await daemon.stop() == 0
        await refuses_to_start(
            daemon, f"{database}: database disk image is malformed; the file is damaged: restore a backup"
        )


def damage(database: Path) -> None:
    """Overwrite all but the first page."""
    with database.open("r+b") as file:
        length = file.seek(0, 2)
        file.seek(4096)
        file.write(b"\xff" * (length - 4096))


async def test_a_folder_made_read_only_stops_no_running_daemon_but_the_next_start(tmp_path: Path) -> None:
    folder = tmp_path / "store"
    folder.mkdir()
    database = folder / "hookd.db"
    async with Daemon(tmp_path, CONFIG, program=POWERLESS, HOOKD_STORE__URL=f"sqlite:{database}") as daemon:
        first = await publish(daemon)
        folder.chmod(0o555)
        second = await publish(daemon)
        assert await daemon.stop() == 0
        await refuses_to_start(
            daemon, f"can't write {folder}, which the database needs; make it writable for this user"
        )
        folder.chmod(0o755)
        database.chmod(0o444)
        await refuses_to_start(daemon, f"can't open {database}: Permission denied")
        database.chmod(0o644)
        await daemon.start()
        known = (await daemon.call("GET", "/api/v1/events"))["data"]
        assert [event["id"] for event in known] == [second, first]


async def test_a_start_while_another_program_holds_the_lock(tmp_path: Path) -> None:
    database = tmp_path / "hookd.db"
    async with Daemon(tmp_path, CONFIG, program=HASTY) as daemon:
        await daemon.stop()
        with another_writer(daemon, database):
            await refuses_to_start(daemon, f"{database}: database is locked (SQLITE_BUSY)")
        await daemon.start()
        await publish(daemon)


async def test_a_start_without_room_to_take_up_what_a_crash_left(tmp_path: Path) -> None:
    late, database = Late(), tmp_path / "hookd.db"
    async with Receiver(late.behave) as receiver, Daemon(tmp_path, CONFIG) as daemon:
        await daemon.register(receiver.url(), retry=["20ms"])
        event = await publish(daemon)
        await until(lambda: len(receiver.requests) == 1, "it is in flight")
        await daemon.kill()
        daemon.program = cramped(size(tmp_path / "hookd.db-wal") + FRAME)  # a start as such writes one
        await refuses_to_start(daemon, f"{database}: disk I/O error (SQLITE_IOERR_WRITE)")
        daemon.program = HOOKD
        late.open.set()
        await daemon.start()
        await daemon.settled(event, "delivered")
        assert [each.headers["x-webhook-attempt"] for each in receiver.requests] == ["1", "1", "2"]


FRAME = 24 + 4096
"""Bytes that a page takes in the journal."""


def size(file: Path) -> int:
    return file.stat().st_size
