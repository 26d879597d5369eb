"""Programs under a whole daemon: its configuration, reload, stop, and death."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.daemons import LOOPBACK, Daemon, clean_environment
from tests.handlers.programs import gone, runs, script, told

TOP = Path(__file__).parent.parent
MISUSED = 2


def config(run: str, server: str = "") -> str:
    return f"{server}\n{LOOPBACK}\n[[handlers]]\nname = 'it'\nevent_types = ['order']\nrun = '{run}'\n"


async def publish(daemon: Daemon, **payload: object) -> str:
    return str((await daemon.call("POST", "/api/v1/events", {"type": "order", "payload": payload}))["id"])


async def attempts(daemon: Daemon, event: str, status: str) -> list[dict[str, Any]]:
    """Wait until an event's only delivery has been tried and has a status, and answer its attempts."""
    found: list[dict[str, Any]] = []
    while not found:
        (delivery,) = await daemon.settled(event, status)
        found = (await daemon.call("GET", f"/api/v1/deliveries/{delivery['id']}"))["attempts"]
    return found


async def reload(daemon: Daemon, text: str, line: str) -> None:
    daemon.config.write_text(text, "utf-8")
    daemon.process.send_signal(signal.SIGHUP)
    await daemon.logs(line)


async def test_what_a_program_writes_is_on_record(tmp_path: Path) -> None:
    script(tmp_path, "cat", "printf '\\377 %s' $HOOKD_TYPE$HOOKD_TOKEN", "echo oh no >&2", "exit 4")
    async with Daemon(tmp_path, config("exec:./program"), token="s3cret") as daemon:
        (attempt,) = await attempts(daemon, await publish(daemon, course="Analysis"), "pending")
    assert (attempt["outcome"], attempt["error"]) == ("handler_error", "program exited with status 4")
    assert attempt["response_body"] == '{"course": "Analysis"}\N{REPLACEMENT CHARACTER} orderoh no\n'
    assert (attempt["status_code"], attempt["truncated"]) == (None, False)


@pytest.mark.parametrize(
    ("run", "problem"),
    [
        ("exec:./missing", "there is no program '{folder}/missing'"),
        ("exec:./plain", "'{folder}/plain' is not executable for this user; `chmod +x` makes it so"),
        ("exec:no-such-program", "no program 'no-such-program' on the PATH; one beside the configuration is"),
    ],
)
@pytest.mark.parametrize("command", ["run", "check"])
def test_a_program_that_is_not_there_is_a_fault_of_the_configuration(
    tmp_path: Path, command: str, run: str, problem: str
) -> None:
    (tmp_path / "plain").write_text("no program")
    path = tmp_path / "config.toml"
    path.write_text(config(run))
    ended = subprocess.run(
        [sys.executable, "-m", "hookd", command, "--config", str(path)],
        env=clean_environment(HOOKD_SERVER__PORT="0"),
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert ended.returncode == MISUSED
    (line,) = ended.stderr.splitlines()
    assert f"handlers[0].run: {problem.format(folder=tmp_path)}" in line


async def test_the_program_of_the_docs(tmp_path: Path) -> None:
    page = (TOP / "docs" / "handlers.md").read_text("utf-8")
    [table] = re.findall(r"```toml\n(\[\[handlers\]\]\nname = \"archive\".*?)```", page, flags=re.DOTALL)
    [text] = re.findall(r"```sh\n(#!/bin/sh.*?)```", page, flags=re.DOTALL)
    (tmp_path / "archive.sh").write_text(text)
    (tmp_path / "archive.sh").chmod(0o755)
    folder = tmp_path / "the shop"
    folder.mkdir()
    table = table.replace("/var/spool/shop", f"'{folder}'").replace("shop.*", "order")
    async with Daemon(tmp_path, LOOPBACK + table) as daemon:
        event = await publish(daemon, course="Analysis")
        (attempt,) = await attempts(daemon, event, "delivered")
        assert attempt["response_body"] == ""
        assert [(file.name, file.read_text()) for file in folder.iterdir()] == [(event, '{"course": "Analysis"}')]


async def test_a_reload_takes_another_program_or_leaves_everything_as_it_is(tmp_path: Path) -> None:
    script(tmp_path, "echo old")
    script(tmp_path, "echo new", name="other")
    async with Daemon(tmp_path, config("exec:./program")) as daemon:
        await reload(daemon, config("exec:./missing"), "handlers[0].run")
        (attempt,) = await attempts(daemon, await publish(daemon), "delivered")
        assert attempt["response_body"] == "old\n"
        await reload(daemon, config("exec:./other"), "the configuration was reloaded")
        (attempt,) = await attempts(daemon, await publish(daemon), "delivered")
        assert attempt["response_body"] == "new\n"


async def test_a_reload_ends_no_program_that_runs(tmp_path: Path) -> None:
    script(tmp_path, "echo $$ > pid", "while ! test -e open; do sleep 0.01; done", "echo old")
    async with Daemon(tmp_path, config("exec:./program")) as daemon:
        event = await publish(daemon)
        await told(tmp_path / "pid")
        await reload(daemon, config("exec:./program x"), "the configuration was reloaded")
        (tmp_path / "open").touch()
        (attempt,) = await attempts(daemon, event, "delivered")
        assert attempt["response_body"] == "old\n"


async def test_a_stop_waits_for_the_programs_that_run(tmp_path: Path) -> None:
    script(tmp_path, "echo $$ > pid", "while ! test -e open; do sleep 0.01; done")
    async with Daemon(tmp_path, config("exec:./program")) as daemon:
        event = await publish(daemon)
        await told(tmp_path / "pid")
        daemon.process.send_signal(signal.SIGTERM)
        await daemon.logs("stopping")
        (tmp_path / "open").touch()
        assert await daemon.process.wait() == 0
        await daemon.start()
        (attempt,) = await attempts(daemon, event, "delivered")
        assert attempt["number"] == 1


@pytest.mark.parametrize("temper", ["", "trap '' TERM"])
async def test_a_stop_leaves_no_program_behind(tmp_path: Path, temper: str) -> None:
    script(tmp_path, "test -e open && exit 0", temper, "sleep 1000 & echo $! > child", "echo $$ > pid", "wait; wait")
    async with Daemon(tmp_path, config("exec:./program", '[server]\ndrain = "0s"')) as daemon:
        event = await publish(daemon)
        process, child = await told(tmp_path / "pid"), await told(tmp_path / "child")
        assert await daemon.stop() == 0
        await gone(process)
        await gone(child)
        assert "left behind" not in daemon.logged()
        assert "Traceback" not in daemon.logged()
        (tmp_path / "open").touch()
        await daemon.start()
        (attempt,) = await attempts(daemon, event, "delivered")
        assert attempt["number"] == 1


async def test_a_stop_ends_what_is_past_its_timeout_too(tmp_path: Path) -> None:
    """Its attempt is on record, and nobody waits for it but the end."""
    script(tmp_path, "trap '' TERM", "echo $$ > pid", "while :; do sleep 0.01; done")
    text = config("exec:./program") + 'timeout = "1s"\n'
    async with Daemon(tmp_path, text) as daemon:
        event = await publish(daemon)
        (attempt,) = await attempts(daemon, event, "pending")
        assert attempt["outcome"] == "timeout"
        process = await told(tmp_path / "pid")
        assert await daemon.stop() == 0
        await gone(process)
        assert "left behind" not in daemon.logged()


async def test_a_program_that_ran_at_a_crash_runs_again(tmp_path: Path) -> None:
    script(tmp_path, "test -e open && exit 0", "echo $$ > pid", "exec sleep 1000")
    async with Daemon(tmp_path, config("exec:./program")) as daemon:
        event = await publish(daemon)
        process = await told(tmp_path / "pid")
        await daemon.kill()
        assert runs(process)  # whoever started the daemon may end what it left; it can't any more
        os.kill(process, signal.SIGKILL)
        (tmp_path / "open").touch()
        await daemon.start()
        (attempt,) = await attempts(daemon, event, "delivered")
        assert attempt["number"] == 1


async def test_a_program_is_told_in_utf_8_whatever_the_locale_of_the_daemon(tmp_path: Path) -> None:
    script(tmp_path, "printf %s $HOOKD_TENANT")
    ascii_alone: dict[str, Any] = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    async with Daemon(tmp_path, config("exec:./program 学"), **ascii_alone) as daemon:
        body = {"type": "order", "payload": {}, "tenant": "日本"}
        (attempt,) = await attempts(daemon, (await daemon.call("POST", "/api/v1/events", body))["id"], "delivered")
    assert attempt["response_body"] == "日本"
