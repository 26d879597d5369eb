"""The real command `migrate`, in a process of its own, beside a daemon that goes on delivering."""

import asyncio
import json
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from standardwebhooks import Webhook

from hookd.store.sqlite import migrations
from hookd.store.upkeep import AT_ONCE
from tests.cli.upkeep import command, ran
from tests.daemons import LOOPBACK, Daemon, clean_environment, with_keys
from tests.nouns import NEW_KEY, OLD_KEY, OTHER_KEY, in_base64
from tests.receivers import Receiver, Request

NEWEST = migrations()[-1][0]
FAILED = 1
MISUSED = 2
DONE, LEFT = 21, 172
"""Endpoints that are under the new key from the beginning, and that are not."""


def migrate(folder: Path, *arguments: str, status: int = 0) -> str:
    """Run the command, and answer what it says, which is never a key."""
    said, silent = ran("migrate", folder, *arguments, status=status)
    if status:
        silent = silent.partition("schema")[0]
    assert silent in ("", f"{folder}/hookd.db: ")
    for key in (NEW_KEY, OLD_KEY, OTHER_KEY):
        assert in_base64(key) not in said
    return said


def configure(folder: Path, config: str) -> None:
    (folder / "config.toml").write_text(config, "utf-8")


def test_it_says_what_it_did(tmp_path: Path) -> None:
    configure(tmp_path, LOOPBACK)
    number, sql = migrations()[0]
    raw = sqlite3.connect(tmp_path / "hookd.db")
    raw.executescript(f"{sql}; PRAGMA user_version = {number};")
    raw.close()
    assert migrate(tmp_path) == f"{tmp_path}/hookd.db: schema {NEWEST}, brought up from {number}\n"
    assert migrate(tmp_path) == f"{tmp_path}/hookd.db: schema {NEWEST}, up to date\n"


def test_without_keys_it_says_what_it_needs(tmp_path: Path) -> None:
    configure(tmp_path, LOOPBACK)
    said = migrate(tmp_path, "--rekey", status=MISUSED)
    assert said == "hookd: store.keys: --rekey encrypts with the first of them; expected at least one key\n"
    assert not (tmp_path / "hookd.db").exists()


@pytest.mark.parametrize("arguments", [[], ["--rekey"]])
def test_where_there_is_no_store_none_is_made(tmp_path: Path, arguments: list[str]) -> None:
    configure(tmp_path, with_keys(NEW_KEY))
    said = migrate(tmp_path, *arguments, status=FAILED)
    assert said == (
        f"hookd: there is no store at {tmp_path}/hookd.db; under systemd it is in $STATE_DIRECTORY: set [store] url, "
        "or run this with that variable\n"
    )
    assert not list(tmp_path.glob("hookd.db*"))


async def test_a_running_daemon_without_the_key_is_left_alone(tmp_path: Path) -> None:
    async with Daemon(tmp_path) as daemon:
        identity = await daemon.register("http://127.0.0.1:9/", secret=SECRET)
        daemon.config.write_text(with_keys(NEW_KEY), "utf-8")
        said = await asyncio.to_thread(migrate, tmp_path, "--rekey", status=FAILED)
        assert "does not encrypt with the first of [store] keys: restart it" in said
        assert said.count("\n") == 1
        assert (await daemon.call("GET", f"/api/v1/endpoints/{identity}/secret"))["secret"] == SECRET
        await daemon.stop()
        assert "the secrets of 1 endpoint;" in await asyncio.to_thread(migrate, tmp_path, "--rekey")
        daemon.config.write_text(with_keys(OTHER_KEY), "utf-8")
        assert "[store] keys: " in await asyncio.to_thread(migrate, tmp_path, "--rekey", status=FAILED)


# Beside a daemon.

SECRET = "whsec_ZmluZC1tZS1zZWNyZXQtZmluZC1tZS1zZWNyZXQ="
TOKEN = "find-me-token"
HEADER = "find-me-header"
FORMER = "whsec_ZmluZC1tZS1mb3JtZXItLWZpbmQtbWUtZm9ybWVy"
HIDDEN = (SECRET, FORMER, TOKEN, HEADER, in_base64(NEW_KEY), in_base64(OLD_KEY))


class Scene:
    """A daemon with endpoints at one receiver, of which all but a few never get anything."""

    def __init__(self, daemon: Daemon, receiver: Receiver) -> None:
        self.daemon = daemon
        self.receiver = receiver
        self.endpoints: list[str] = []
        self.events: list[str] = []

    async def endpoint(self, **definition: object) -> str:
        """Register one whose secret has just been rotated."""
        definition = {"token": TOKEN, "headers": {"X-Own": HEADER}} | definition
        identity = await self.daemon.register(self.receiver.url(), secret=FORMER, **definition)
        await self.daemon.call("POST", f"/api/v1/endpoints/{identity}/secret/rotate", {"secret": SECRET})
        return identity

    async def crowd(self, count: int) -> None:
        """Register many that never get anything, and one that does."""
        await asyncio.gather(*(self.endpoint(event_types=["never"]) for _ in range(count)))
        self.endpoints.append(await self.endpoint(event_types=["order"]))

    async def publish(self) -> None:
        told = await self.daemon.call("POST", "/api/v1/events", {"type": "order", "payload": {"number": 1}})
        assert told["deliveries"] == len(self.endpoints)
        self.events.append(told["id"])

    async def delivered(self) -> None:
        """Publish once more, wait until everything is delivered, and judge what has arrived."""
        await self.publish()
        for event in self.events:
            await self.daemon.settled(event, "delivered")
        arrived = sorted(map(judged, self.receiver.requests))
        assert arrived == sorted(self.events * len(self.endpoints))

    async def shown(self) -> str:
        """Answer all that the daemon shows to whoever may not see secrets."""
        texts = [self.daemon.logged(), json.dumps(await self.daemon.call("GET", "/api/v1/endpoints?limit=250"))]
        async with aiohttp.ClientSession(self.daemon.url) as session:
            for path in ("/", "/metrics", f"/api/v1/events/{self.events[0]}"):
                async with session.get(path) as answer:
                    assert answer.status == 200
                    texts.append(await answer.text())
        deliveries = await self.daemon.call("GET", "/api/v1/deliveries")
        story = await self.daemon.call("GET", f"/api/v1/deliveries/{deliveries['data'][0]['id']}")
        return "\n".join([*texts, json.dumps(story)])


def judged(request: Request) -> str:
    """Answer the id of an event that arrived as it should, signed with the new secret and the former one."""
    for secret in (SECRET, FORMER):
        Webhook(secret).verify(request.body, request.headers)
    assert (request.headers["x-webhook-token"], request.headers["x-own"]) == (TOKEN, HEADER)
    return request.headers["webhook-id"]


@contextmanager
def database(folder: Path) -> Iterator[sqlite3.Connection]:
    raw = sqlite3.connect(folder / "hookd.db", isolation_level=None, timeout=30)
    try:
        yield raw
    finally:
        raw.close()


def in_use(folder: Path) -> list[int]:
    """Count the endpoints under each key."""
    with database(folder) as raw:
        found = raw.execute("SELECT count(*) FROM endpoints GROUP BY key_id").fetchall()
    return [count for (count,) in found]


HANG = f"""
CREATE TRIGGER hang BEFORE UPDATE OF key_id ON endpoints
WHEN (SELECT count(*) FROM endpoints WHERE key_id = NEW.key_id) > {DONE + AT_ONCE}
BEGIN
    SELECT count(*) FROM (WITH RECURSIVE long (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM long) SELECT n FROM long);
END
"""
"""Lets a process that encrypts anew hang in its second transaction: that never ends by itself."""


async def killed_in_the_middle(folder: Path) -> None:
    """Start the command, and kill it after its first transaction, when it can't have ended its second."""
    with database(folder) as raw:
        raw.execute(HANG)
    process = await asyncio.create_subprocess_exec(*command("migrate", folder, "--rekey"), env=clean_environment())
    try:
        async with asyncio.timeout(30):
            while DONE + AT_ONCE not in in_use(folder):
                assert process.returncode is None
                await asyncio.sleep(0.01)
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
    with database(folder) as raw:
        raw.execute("DROP TRIGGER hang")


async def to_its_end(scene: Scene, folder: Path) -> str:
    """Run the command while events are published all the time; answer what it says."""
    process = await asyncio.create_subprocess_exec(
        *command("migrate", folder, "--rekey"), env=clean_environment(), stdout=asyncio.subprocess.PIPE
    )
    saying = asyncio.create_task(process.communicate())
    while not saying.done():
        await scene.publish()
    said, _ = await saying
    assert process.returncode == 0
    return said.decode()


def files(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.glob("hookd.db*"))


@pytest.fixture
async def scene(tmp_path: Path) -> Any:
    """A store with plain endpoints and some under the old key, and a daemon that has both keys."""
    async with Receiver() as receiver, Daemon(tmp_path) as daemon:
        opened = Scene(daemon, receiver)
        await opened.crowd(150)
        for keys in ((OLD_KEY,), (NEW_KEY, OLD_KEY)):
            await daemon.stop()
            daemon.config.write_text(with_keys(*keys), "utf-8")
            await daemon.start()
            await opened.crowd(20)
        yield opened


async def test_it_encrypts_anew_beside_a_daemon_that_delivers_and_may_be_killed(scene: Scene, tmp_path: Path) -> None:
    await scene.delivered()
    assert SECRET.encode() in files(tmp_path)
    with database(tmp_path) as raw:
        ((old,),) = raw.execute("SELECT secret FROM endpoints WHERE id = ?", [scene.endpoints[1]]).fetchall()
    assert old.encode() in files(tmp_path)

    await killed_in_the_middle(tmp_path)
    assert sum(in_use(tmp_path)) == DONE + LEFT
    assert max(in_use(tmp_path)) == DONE + AT_ONCE
    await scene.delivered()
    for identity in scene.endpoints:
        assert (await scene.daemon.call("GET", f"/api/v1/endpoints/{identity}/secret"))["secret"] == SECRET

    said = await to_its_end(scene, tmp_path)
    assert "all are under the first key now" in said
    assert in_use(tmp_path) == [DONE + LEFT]
    await scene.delivered()
    found = files(tmp_path)
    for gone in (SECRET, FORMER, TOKEN, HEADER, old):
        assert gone.encode() not in found

    scene.daemon.config.write_text(with_keys(NEW_KEY), "utf-8")
    await scene.daemon.stop()
    await scene.daemon.start()
    await scene.delivered()
    shown = await scene.shown()
    assert [hidden for hidden in HIDDEN if hidden in shown] == []
