"""The README is run: its curl lines, its Python, its commands, against the shipped configuration."""

import base64
import os
import re
import shlex
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from hookd.cli import COMMANDS
from hookd.web.routes import ROUTES
from tests.daemons import Daemon, clean_environment

TOP = Path(__file__).parent.parent
README = (TOP / "README.md").read_text("utf-8")
ADDRESS = "http://127.0.0.1:8080"

GENERATED = re.compile(r"(?:ep|evt|dlv)_[0-9a-z]{20}|whsec_[\w+/=]+|\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
"""What differs from run to run: ids, secrets, times."""


def console() -> list[tuple[str, list[str]]]:
    """Answer every command of the README with the lines that it shows below it."""
    found: list[tuple[str, list[str]]] = []
    for block in re.findall(r"```console\n(.*?)```", README, flags=re.DOTALL):
        for part in block.split("$ ")[1:]:
            command, *output = part.strip().splitlines()
            found.append((command, output))
    return found


def curl(command: str, url: str) -> str:
    """Do what a curl line does, on a machine that may have no curl."""
    words = iter(shlex.split(command)[1:])
    request = urllib.request.Request(url)
    for word in words:
        if word == "--json":
            request.data = next(words).replace(ADDRESS, url).encode()
            request.add_header("content-type", "application/json")
        elif word == "--header":
            request.add_header(*next(words).split(": ", 1))
        else:
            request.full_url = word.replace(ADDRESS, url)
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request) as response:
            return str(response.read().decode())
    except urllib.error.HTTPError as error:
        with error:
            return error.read().decode()


def masked(text: str) -> list[str]:
    """Answer the words of a text, with what differs from run to run masked."""
    return GENERATED.sub("*", text).split()


@pytest.fixture
async def daemon(tmp_path: Path) -> Daemon:
    return Daemon(tmp_path, (TOP / "config.toml").read_text("utf-8"))


async def test_every_command_answers_what_the_readme_shows(daemon: Daemon) -> None:
    async with daemon:
        compared = 0
        for command, expected in console():
            if command.startswith("curl "):
                answer = await daemon.in_thread(curl, command, daemon.url)
            elif command.startswith(".venv/bin/hookd "):
                await daemon.logs("Invite sent to Ada")
                await daemon.quiet()
                answer = await daemon.in_thread(hookd, command, daemon.url)
            else:
                assert command in ("make run", "make test")
                continue
            if expected:
                assert masked(answer) == masked("\n".join(expected)), command
                compared += 1
        assert compared >= 4


def hookd(command: str, url: str) -> str:
    """Run one of the commands."""
    words = [sys.executable, "-m", "hookd", *shlex.split(command)[1:]]
    environment = clean_environment(HOOKD_URL=url)
    return subprocess.run(words, env=environment, check=True, capture_output=True, text=True).stdout


async def test_the_python_sender_publishes(daemon: Daemon) -> None:
    [sender] = re.findall(r"```python\n(import json.*?)```", README, flags=re.DOTALL)
    assert len(sender.splitlines()) == 5
    async with daemon:
        await daemon.register(f"{daemon.url}/webhook", event_types=["invoice.*"], token="secret")
        script = sender.replace(ADDRESS, daemon.url)
        answer = await daemon.in_thread(python, script)
        assert answer.strip() == '{"id":"invoice-42-paid","deliveries":1}'
        assert '{"id":"invoice-42-paid","deliveries":1}' in README
        [delivery] = await daemon.settled("invoice-42-paid", "delivered")
        assert delivery["type"] == "invoice.paid"


async def test_the_source_takes_in_what_the_readme_signs_for_it(tmp_path: Path) -> None:
    [config] = re.findall(r"```toml\n(\[\[sources\]\].*?)```", README, flags=re.DOTALL)
    [script] = re.findall(r"```sh\n(.*?)\|\n +curl", README, flags=re.DOTALL)
    (tmp_path / "stock.py").write_text("def restock(message):\n    print('restocked', message.json(), flush=True)\n")
    secret = "whsec_" + base64.b64encode(os.urandom(32)).decode()
    async with Daemon(tmp_path, config, SHOP_SECRET=secret) as daemon:
        signed = script.replace("hookd sign", f"{shlex.quote(sys.executable)} -m hookd sign")
        lines = await daemon.in_thread(
            shell, signed.replace("$(head -c 32 /dev/urandom | base64)", secret[6:]), tmp_path
        )
        body = (tmp_path / "body.json").read_bytes()
        headers = dict(line.split(": ", 1) for line in lines.splitlines())
        request = urllib.request.Request(f"{daemon.url}/from/shop", body, headers)
        await daemon.in_thread(urllib.request.build_opener(urllib.request.ProxyHandler({})).open, request)
        await daemon.logs("restocked {'type': 'sold'}")


def shell(script: str, folder: Path) -> str:
    """Run a script in a shell."""
    return subprocess.run(
        ["bash", "-c", script], cwd=folder, env=clean_environment(), check=True, capture_output=True, text=True
    ).stdout


def python(script: str) -> str:
    """Run a script in an interpreter of its own."""
    environment = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    return subprocess.run(
        [sys.executable, "-c", script], env=environment, check=True, capture_output=True, text=True
    ).stdout


def test_every_command_is_in_the_readme() -> None:
    section = README[README.index("## Commands") : README.index("## API")]
    assert set(re.findall(r"`(?:hookd )?([a-z]+)(?: [a-z]+)?`", section)) >= set(COMMANDS)


def test_every_route_of_the_api_is_in_the_readme() -> None:
    section = README[README.index("## API") : README.index("## Who may call")]
    for route in ROUTES:
        path = route.path.removeprefix("/api/v1")
        assert f"{path}`" in section or f"{path} " in section or f"`{path}" in section, route
