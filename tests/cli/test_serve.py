"""The commands that begin with the configuration: `init`, `check` and `run`."""

import json
import os
import re
import signal
import stat
import subprocess
import sys
import threading
import tomllib
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

import hookd
from hookd.cli import main
from tests.cli.upkeep import PASSWORD, SERVER

SECRET = re.compile(r"whsec_[A-Za-z0-9+/=]+")
ADDRESS = re.compile(r"http://127\.0\.0\.1:[1-9][0-9]*")


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Work in a folder of one's own, without settings from outside."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    for name in [name for name in os.environ if name.startswith(("HOOKD_", "STATE_DIRECTORY"))]:
        monkeypatch.delenv(name)


def status(*arguments: str) -> object:
    with pytest.raises(SystemExit) as ended:
        main(list(arguments))
    return ended.value.code


def test_init_writes_a_configuration_that_holds(capsys: pytest.CaptureFixture[str]) -> None:
    assert status("init") == 0
    assert stat.S_IMODE(Path("config.toml").stat().st_mode) == 0o600
    assert not SECRET.search(capsys.readouterr().out)
    assert status("check") == 0
    assert tomllib.loads(capsys.readouterr().out)["sources"][0]["secrets"] == ["***"]


def test_init_makes_another_secret_each_time(capsys: pytest.CaptureFixture[str]) -> None:
    secrets = set()
    for _ in range(2):
        assert status("init") == 0
        secrets.add(tomllib.loads(Path("config.toml").read_text())["sources"][0]["secrets"][0])
        Path("config.toml").unlink()
    assert len(secrets) == 2


def test_init_writes_a_fresh_key_that_needs_only_to_be_put_in(capsys: pytest.CaptureFixture[str]) -> None:
    keys = set()
    for _ in range(2):
        assert status("init") == 0
        text = Path("config.toml").read_text()
        assert tomllib.loads(text)["store"] == {}
        Path("config.toml").write_text(text.replace("# keys = ", "keys = "))
        (key,) = tomllib.loads(Path("config.toml").read_text())["store"]["keys"]
        keys.add(key)
        assert status("check") == 0
        shown = capsys.readouterr().out
        assert 'keys = ["***"]' in shown
        assert key not in shown
        Path("config.toml").unlink()
    assert len(keys) == 2


def test_init_leaves_an_existing_file_alone(capsys: pytest.CaptureFixture[str]) -> None:
    Path("config.toml").write_text("mine")
    assert status("init") == 1
    assert Path("config.toml").read_text() == "mine"
    assert re.fullmatch(r"hookd: config\.toml exists already.*\n", capsys.readouterr().err)


def test_init_where_nothing_can_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    assert status("init") == 1
    assert re.fullmatch(r"hookd: config\.toml can't be written: .+\n", capsys.readouterr().err)


def test_check_without_a_file_shows_the_defaults(capsys: pytest.CaptureFixture[str]) -> None:
    assert status("check") == 0
    shown = capsys.readouterr().out
    assert shown.startswith("# built-in defaults\n")
    assert tomllib.loads(shown)["server"]["port"] == 8080


def test_check_shows_what_is_in_effect(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    Path("mine.toml").write_text("[server]\nport = 1\n")
    monkeypatch.setenv("HOOKD_TOKEN", "a-secret-token")
    monkeypatch.setenv("HOOKD_SERVER__DRAIN", "7s")
    assert status("check", "--config", "mine.toml") == 0
    shown = capsys.readouterr().out
    assert "a-secret-token" not in shown
    found = tomllib.loads(shown)
    assert (found["server"]["port"], found["server"]["drain"]) == (1, "7s")
    assert found["auth"]["tokens"][0]["hash"] == "***"


def test_the_password_of_a_server_is_never_shown(capsys: pytest.CaptureFixture[str]) -> None:
    Path("config.toml").write_text(SERVER)
    assert status("check") == 0
    Path("config.toml").write_text(SERVER.replace("db.example", "127.0.0.1:1"))
    assert status("run") == 1
    Path("config.toml").write_text(SERVER.replace("db.example", "db.example:many"))
    assert status("check") == 2
    said = "".join(capsys.readouterr())
    assert said.count("me:***@db.example/hookd") == 1
    assert said.count("hookd: [store] url: can't reach the database: ") == 1, "nobody listens there"
    assert said.count('hookd: store.url: expected "postgresql://USER:PASSWORD@HOST:PORT/DATABASE"') == 1
    assert PASSWORD not in said


@pytest.mark.parametrize("command", ["check", "run"])
def test_every_problem_has_a_line(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    Path("config.toml").write_text('[server]\nport = "x"\n[delivery]\ntimeout = 15\nretires = []\n')
    assert status(command) == 2
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(": ")[:2] for line in lines] == [
        ["hookd", "server.port"],
        ["hookd", "delivery.timeout"],
        ["hookd", "delivery.retires"],
    ]


@pytest.mark.parametrize("command", ["check", "run"])
def test_a_missing_file_is_one_line(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert status(command, "--config", "nowhere.toml") == 2
    assert capsys.readouterr().err == "hookd: nowhere.toml: can't be read: No such file or directory\n"


def test_a_handlers_function_may_stand_beside_the_configuration(tmp_path: Path) -> None:
    (tmp_path / "mail").mkdir()
    (tmp_path / "mail" / "handlers_of_this_test.py").write_text("def send(message): ...\n")
    config = tmp_path / "mail" / "config.toml"
    config.write_text('[[handlers]]\nname = "mail"\nrun = "python:handlers_of_this_test:send"\n')
    assert status("check", "--config", str(config)) == 0


@pytest.fixture
def daemon() -> Iterator[subprocess.Popen[str]]:
    """What `hookd init && hookd run` starts, on a free port."""
    assert status("init") == 0
    process = subprocess.Popen(
        [sys.executable, "-m", "hookd", "run"],
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"HOOKD_SERVER__PORT": "0"},
    )
    patience = threading.Timer(60, process.kill)  # so that a daemon that hangs ends the test, not the patience
    patience.start()
    with process:
        yield process
        patience.cancel()
        process.kill()


def line_with(process: subprocess.Popen[str], pattern: re.Pattern[str]) -> str:
    """Wait for a line of the log; fails where the daemon ends without one."""
    assert process.stderr is not None
    for line in process.stderr:
        if found := pattern.search(line):
            return found[0]
    raise AssertionError(f"the daemon ended without {pattern.pattern}")


def test_after_init_run_works_as_it_is(daemon: subprocess.Popen[str]) -> None:
    (source,) = tomllib.loads(Path("config.toml").read_text())["sources"]
    body = json.dumps({"type": "order.created", "name": "Ada"}).encode()
    url = line_with(daemon, ADDRESS) + source["path"]
    headers = hookd.sign(source["scheme"], source["secrets"], body)
    with urllib.request.urlopen(urllib.request.Request(url, body, headers)) as response:
        assert response.status == 200
    line_with(daemon, re.compile("Order received from Ada"))
    daemon.send_signal(signal.SIGTERM)
    assert daemon.wait(30) == 0
