"""The daemon as its operator meets it: how it starts, refuses to start, reloads and stops."""

import asyncio
import json
import re
import shlex
import signal
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from hookd.store.sqlite import migrations
from hookd.version import VERSION
from tests.crash.waiting import until
from tests.daemons import LOOPBACK, Daemon, clean_environment, with_keys
from tests.nouns import NEW_KEY, OLD_KEY, in_base64
from tests.receivers import OK, Connection, Receiver, Request

TRIGGER = (
    LOOPBACK
    + """
[[triggers]]
path = "/api/purchase"
type = "purchase"
required = ["name"]
"""
)
FAILED = 1
MISUSED = 2
KILLED = 130


# Refusing to start.


@pytest.fixture
def taken() -> Iterator[int]:
    """A port that somebody else listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening.getsockname()[1]


def refusal(folder: Path, status: int, config: str = LOOPBACK, **environment: str) -> str:
    """Try to run a daemon, and answer the one line with which it refuses; the log comes before it, if at all."""
    path = folder / "config.toml"
    path.write_text(config, "utf-8")
    ended = subprocess.run(
        [sys.executable, "-m", "hookd", "run", "--config", str(path)],
        cwd=folder,
        env=clean_environment(**{"HOOKD_SERVER__PORT": "0", "HOOKD_LOG__LEVEL": "error"} | environment),
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert ended.returncode == status, ended.stderr
    (line,) = ended.stderr.splitlines()
    assert line.startswith("hookd: ")
    return line


def test_a_port_that_is_in_use(tmp_path: Path, taken: int) -> None:
    line = refusal(tmp_path, FAILED, HOOKD_SERVER__PORT=str(taken))
    assert f"can't listen on 127.0.0.1:{taken}: Address already in use" in line


def test_an_inbound_port_that_is_in_use(tmp_path: Path, taken: int) -> None:
    line = refusal(tmp_path, FAILED, HOOKD_SERVER__INBOUND=f"127.0.0.1:{taken}")
    assert f"127.0.0.1:{taken}" in line


def test_a_file_that_is_no_database(tmp_path: Path) -> None:
    (tmp_path / "hookd.db").write_text("dear diary, " * 1000)
    assert "hookd.db: file is not a database" in refusal(tmp_path, FAILED)


def test_a_store_of_a_newer_version(tmp_path: Path) -> None:
    raw = sqlite3.connect(tmp_path / "hookd.db")
    raw.execute(f"PRAGMA user_version = {migrations()[-1][0] + 1}")
    raw.close()
    assert "upgrade hookd" in refusal(tmp_path, FAILED)


def test_a_store_in_a_folder_that_is_not_there(tmp_path: Path) -> None:
    line = refusal(tmp_path, FAILED, HOOKD_STORE__URL="sqlite:missing/hookd.db")
    assert f"there is no folder {tmp_path}/missing; make it" in line


def test_a_setting_that_does_not_exist(tmp_path: Path) -> None:
    assert "server.prot" in refusal(tmp_path, MISUSED, "[server]\nprot = 1\n")


def test_an_address_that_others_reach_needs_a_token(tmp_path: Path) -> None:
    assert "token" in refusal(tmp_path, MISUSED, '[server]\nhost = "0.0.0.0"\n')


async def test_a_second_daemon_on_the_same_file(tmp_path: Path) -> None:
    async with Daemon(tmp_path) as daemon:
        line = await asyncio.to_thread(refusal, tmp_path, FAILED)
        assert "belongs to another running hookd" in line
        await daemon.call("GET", "/api/v1/endpoints")


async def test_secrets_whose_key_is_not_configured(tmp_path: Path, taken: int) -> None:
    async with Daemon(tmp_path, with_keys(OLD_KEY)) as daemon:
        await daemon.register("http://127.0.0.1:9/")
    for config in (LOOPBACK, with_keys(NEW_KEY)):
        line = await asyncio.to_thread(refusal, tmp_path, FAILED, config, HOOKD_SERVER__PORT=str(taken))
        assert line.startswith("hookd: [store] keys: "), "it is found before the port that is in use"
        for key in (OLD_KEY, NEW_KEY):
            assert in_base64(key) not in line
    async with Daemon(tmp_path, with_keys(NEW_KEY, OLD_KEY)) as daemon:
        assert len((await daemon.call("GET", "/api/v1/endpoints"))["data"]) == 1
        await daemon.logs("run hookd migrate --rekey")


DYING = (
    "-c",
    """
from hookd.cli import main
from hookd.deliver import Deliverer

async def run(self):
    raise ZeroDivisionError("on purpose")

Deliverer.run = run
main()
""",
)


async def test_a_loop_that_dies_takes_the_daemon_down_with_a_line(tmp_path: Path) -> None:
    daemon = Daemon(tmp_path, program=DYING)
    with suppress(AssertionError):  # it has ended already; else it was ready for a moment
        await daemon.__aenter__()
    assert await daemon.process.wait() == FAILED
    await daemon._session.close()
    assert "a loop died, and the daemon with it" in daemon.logged()
    line = "hookd: the daemon died: ZeroDivisionError('on purpose'); its log says more"
    assert daemon.logged().splitlines()[-1] == line


HASTY_UPKEEP = ("-c", "from hookd import cli, daemon\ndaemon.EXPIRE_EVERY = 0.01\ncli.main()")


async def test_what_was_deleted_is_soon_in_none_of_its_files(tmp_path: Path) -> None:
    async with Daemon(tmp_path, program=HASTY_UPKEEP) as daemon:
        identity = await daemon.register("http://127.0.0.1:9/", token="find-me-token")
        await daemon.call("DELETE", f"/api/v1/endpoints/{identity}")
        await until(lambda: b"find-me-token" not in files(tmp_path), "the journal is emptied")


def files(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.glob("hookd.db*"))


# Starting.


async def test_it_says_what_runs_and_how_to_try_it(tmp_path: Path) -> None:
    async with Daemon(tmp_path, TRIGGER) as daemon:
        await daemon.logs("try:")
        logged = daemon.logged()
        for said in (f"hookd {VERSION}", daemon.url, str(tmp_path / "hookd.db"), "1 trigger,", "0 endpoints", "curl"):
            assert said in logged
        command = re.search(r"try: (.*)$", logged, re.MULTILINE)
        assert command is not None
        curl, option, body, url = shlex.split(command[1])
        assert (curl, option) == ("curl", "--json")
        assert (await daemon.call("POST", url.removeprefix(daemon.url), json.loads(body)))["id"].startswith("evt_")


# Stopping.


class Gate:
    """A receiver's behaviour: requests wait until it is open."""

    def __init__(self) -> None:
        self.open = asyncio.Event()
        self.reached = asyncio.Event()

    async def behave(self, connection: Connection, _: Request) -> None:
        self.reached.set()
        await self.open.wait()
        await connection.send(OK)


async def publish(daemon: Daemon, **fields: Any) -> str:
    """Publish an event, and answer its id."""
    told = await daemon.call("POST", "/api/v1/events", {"type": "order.created", "payload": {}, **fields})
    return str(told["id"])


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
async def test_a_stop_lets_end_what_is_in_flight(tmp_path: Path, how: signal.Signals) -> None:
    gate = Gate()
    async with Receiver(gate.behave) as receiver, Daemon(tmp_path) as daemon:
        await daemon.register(receiver.url())
        event = await publish(daemon)
        await gate.reached.wait()
        daemon.process.send_signal(how)
        await daemon.logs("stopping")
        gate.open.set()
        assert await daemon.process.wait() == 0
        await daemon.start()
        await daemon.settled(event, "delivered")
        assert len(receiver.requests) == 1
        assert "Traceback" not in daemon.logged()


async def test_a_stop_gives_up_what_does_not_end_and_the_next_start_sends_it_again(tmp_path: Path) -> None:
    gate = Gate()
    config = LOOPBACK + '[server]\ndrain = "0s"\n'
    async with Receiver(gate.behave) as receiver, Daemon(tmp_path, config) as daemon:
        await daemon.register(receiver.url())
        event = await publish(daemon)
        await gate.reached.wait()
        assert await daemon.stop() == 0
        gate.open.set()
        await daemon.start()
        await daemon.settled(event, "delivered")
        sent = [(each.headers["webhook-id"], each.headers["x-webhook-attempt"]) for each in receiver.requests]
        assert sent == [(event, "1")] * 2


async def test_a_second_interrupt_ends_it_at_once(tmp_path: Path) -> None:
    gate = Gate()
    async with Receiver(gate.behave) as receiver, Daemon(tmp_path) as daemon:
        await daemon.register(receiver.url())
        event = await publish(daemon)
        await gate.reached.wait()
        daemon.process.send_signal(signal.SIGINT)
        await daemon.logs("stopping")
        assert await daemon.stop(signal.SIGINT) == KILLED
        gate.open.set()
        await daemon.start()
        await daemon.settled(event, "delivered")
        assert [each.headers["x-webhook-attempt"] for each in receiver.requests] == ["1", "1"]


async def test_while_it_stops_it_takes_nothing_in(tmp_path: Path) -> None:
    gate = Gate()
    async with Receiver(gate.behave) as receiver, Daemon(tmp_path) as daemon:
        await daemon.register(receiver.url())
        await publish(daemon)
        await gate.reached.wait()
        daemon.process.send_signal(signal.SIGTERM)
        await daemon.logs("stopping")
        for told in (publish(daemon), daemon.call("GET", "/readyz")):
            with pytest.raises(AssertionError, match=r"503 .*hookd is stopping"):
                await told
        gate.open.set()
        assert await daemon.process.wait() == 0


# Reloading.


async def reload(daemon: Daemon, config: str, line: str) -> None:
    """Let it read another configuration, and wait until its log says so."""
    daemon.config.write_text(config, "utf-8")
    daemon.process.send_signal(signal.SIGHUP)
    await daemon.logs(line)


async def gauge(daemon: Daemon, name: str) -> float:
    async with aiohttp.ClientSession() as session, session.get(f"{daemon.url}/metrics") as response:
        found = re.search(rf"^{name} (\S+)$", await response.text(), re.MULTILINE)
    assert found is not None
    return float(found[1])


async def test_a_good_configuration_takes_effect_as_a_whole(tmp_path: Path) -> None:
    async with Daemon(tmp_path) as daemon:
        with pytest.raises(AssertionError, match="404"):
            await daemon.call("POST", "/api/purchase", {"name": "Ada"})
        await reload(daemon, TRIGGER, "the configuration was reloaded")
        await daemon.call("POST", "/api/purchase", {"name": "Ada"})
        assert await gauge(daemon, "hookd_config_last_reload_successful") == 1


async def test_a_bad_one_leaves_everything_as_it_is(tmp_path: Path) -> None:
    async with Daemon(tmp_path, TRIGGER) as daemon:
        await reload(daemon, LOOPBACK + '[delivery]\ntimeout = "soon"\n', "the configuration was not reloaded")
        assert "delivery.timeout" in daemon.logged()
        await daemon.call("POST", "/api/purchase", {"name": "Ada"})
        assert await gauge(daemon, "hookd_config_last_reload_successful") == 0
        await reload(daemon, TRIGGER, "the configuration was reloaded")
        assert await gauge(daemon, "hookd_config_last_reload_successful") == 1


async def test_no_reload_takes_the_tokens_away_from_an_address_that_others_reach(tmp_path: Path) -> None:
    token = f'[[auth.tokens]]\nname = "a"\nhash = "{sha256(b"t0ken").hexdigest()}"\nscopes = ["read"]\n'
    async with Daemon(tmp_path, f'[server]\nhost = "0.0.0.0"\n{token}') as daemon, aiohttp.ClientSession() as session:
        await reload(daemon, '[server]\nhost = "127.0.0.1"\n', "the configuration was not reloaded")
        assert "0.0.0.0 is listened on until a restart, and without a token only this machine" in daemon.logged()
        async with session.get(f"{daemon.url}/api/v1/endpoints", headers={"Host": "localhost"}) as response:
            assert response.status == 401


async def test_what_needs_a_restart_is_named(tmp_path: Path) -> None:
    async with Daemon(tmp_path) as daemon:
        await reload(daemon, LOOPBACK + '[store]\nurl = "sqlite:other.db"\n', "the configuration was reloaded")
        assert "store.url" in daemon.logged()
        assert not (tmp_path / "other.db").exists()
        await publish(daemon)


async def test_other_keys_need_a_restart(tmp_path: Path) -> None:
    async with Daemon(tmp_path, with_keys(OLD_KEY)) as daemon:
        identity = await daemon.register("http://127.0.0.1:9/")
        await reload(daemon, with_keys(NEW_KEY), "the configuration was reloaded")
        assert "takes effect at the next start key=store.keys" in daemon.logged()
        for key in (OLD_KEY, NEW_KEY):
            assert in_base64(key) not in daemon.logged()
        await daemon.call("GET", f"/api/v1/endpoints/{identity}/secret")


async def test_a_network_that_is_allowed_no_more_is_not_dialled_again(tmp_path: Path) -> None:
    async with Receiver() as receiver, Daemon(tmp_path) as daemon:
        await daemon.register(receiver.url())
        await daemon.settled(await publish(daemon), "delivered")
        await reload(daemon, "[delivery]\nretry = []\n", "the configuration was reloaded")
        (refused,) = await daemon.settled(await publish(daemon), "failed")
        assert refused["last_error"].startswith("blocked:")
        assert len(receiver.requests) == 1


HANDLERS = (
    TRIGGER
    + """
[[handlers]]
name = "stubborn"
event_types = ["purchase"]
run = "python:handlers_under_test:refuse"
"""
)


async def test_what_waits_for_a_handler_that_is_taken_out_is_cancelled(tmp_path: Path) -> None:
    (tmp_path / "handlers_under_test.py").write_text("def refuse(message):\n    raise ValueError('not today')\n")
    async with Daemon(tmp_path, HANDLERS) as daemon:
        event = (await daemon.call("POST", "/api/purchase", {"name": "Ada"}))["id"]
        (waiting,) = await daemon.settled(event, "pending")
        assert "not today" in waiting["last_error"]
        await reload(daemon, TRIGGER, "handler:stubborn")
        (cancelled,) = await daemon.settled(event, "cancelled")
        assert cancelled["reason"] == "the handler was taken out of the configuration"


async def test_a_handler_that_was_taken_out_between_two_runs(tmp_path: Path) -> None:
    (tmp_path / "handlers_under_test.py").write_text("def refuse(message):\n    raise ValueError('not today')\n")
    async with Daemon(tmp_path, HANDLERS) as daemon:
        event = (await daemon.call("POST", "/api/purchase", {"name": "Ada"}))["id"]
        await daemon.settled(event, "pending")
        await daemon.stop()
        daemon.config.write_text(TRIGGER)
        await daemon.start()
        await daemon.settled(event, "cancelled")


async def test_a_handler_that_will_not_end_does_not_keep_the_daemon(tmp_path: Path) -> None:
    (tmp_path / "stubborn.py").write_text(STUBBORN)
    async with Daemon(tmp_path, '[server]\ndrain = "0s"\n' + handler("python:stubborn:stay")) as daemon:
        await publish(daemon)
        await daemon.logs("I stay")
        assert await daemon.stop() == 0
        assert "left behind" in daemon.logged()


STUBBORN = """
import asyncio, logging

async def stay(message):
    logging.getLogger("hookd").info("I stay")
    while True:
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            pass
"""


def handler(run: str) -> str:
    return f'[[handlers]]\nname = "stubborn"\nrun = "{run}"\n'


STUCK = """\
import socket
import threading

genuine = socket.getaddrinfo

def look_up(host, *args, **options):
    if host == "dead.example":
        print("asked for dead.example", flush=True)
        threading.Event().wait()
    return genuine(host, *args, **options)

socket.getaddrinfo = look_up

def handle(message):
    pass
"""


async def test_a_look_up_that_is_never_answered_does_not_keep_the_daemon(tmp_path: Path) -> None:
    (tmp_path / "stuck.py").write_text(STUCK)
    async with Daemon(tmp_path, '[server]\ndrain = "0s"\n' + handler("python:stuck:handle")) as daemon:
        await daemon.register("http://dead.example/")
        await daemon.call("POST", "/api/v1/events", {"type": "purchase", "payload": {}})
        await daemon.logs("asked for dead.example")
        assert await daemon.stop() == 0
