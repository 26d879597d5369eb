"""The receivers of docs/library.md: each runs as it stands there, takes in what is signed, and nothing else."""

import asyncio
import os
import re
import shlex
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

import hookd
from tests.daemons import free_port

DOCUMENT = Path(__file__).parent.parent / "docs" / "library.md"
SECTION = re.compile(r"^### (\w+)\n\n```python\n(.*?)```\n\n```sh\n(.*?)\n```", re.MULTILINE | re.DOTALL)
RECEIVERS = {name: (program, command) for name, program, command in SECTION.findall(DOCUMENT.read_text("utf-8"))}
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
BODIES = [b'{"name": "Ada"}', "{'näme': '🎓'}".encode(), b"", bytes(range(256))]
START = 30.0


def test_every_framework_is_there() -> None:
    assert set(RECEIVERS) == {"aiohttp", "FastAPI", "Flask", "Django"}


@asynccontextmanager
async def running(name: str, folder: Path) -> AsyncIterator[str]:
    """Run a receiver as its document says, at a port of its own; answer its URL."""
    program, command = RECEIVERS[name]
    (folder / "receiver.py").write_text(program, "utf-8")
    port = str(free_port())
    arguments = shlex.split(command.replace("8000", port))[1:]
    process = await asyncio.create_subprocess_exec(
        sys.executable, *arguments, cwd=folder, env=os.environ | {"WEBHOOK_SECRET": SECRET, "PYTHONPATH": str(folder)},
        stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    try:
        yield f"http://127.0.0.1:{port}/webhook"
    finally:
        process.terminate()
        await process.wait()


async def status(session: aiohttp.ClientSession, url: str, headers: dict[str, str], body: bytes) -> int:
    """POST once the receiver listens, and answer the status."""
    until = time.monotonic() + START
    while True:
        try:
            async with session.post(url, data=body, headers=headers) as response:
                return response.status
        except aiohttp.ClientConnectorError:
            assert time.monotonic() < until, "it does not listen"
            await asyncio.sleep(0.05)


@pytest.mark.parametrize("name", RECEIVERS)
async def test_a_receiver_takes_in_what_is_signed_and_nothing_else(name: str, tmp_path: Path) -> None:
    async with running(name, tmp_path) as url, aiohttp.ClientSession() as session:
        for body in BODIES:
            signed = {"content-type": "application/json", **hookd.sign("standard", SECRET, body)}
            assert await status(session, url, signed, body) == 200
            assert await status(session, url, signed, body + b" ") == 401
        old = hookd.sign("standard", SECRET, b"{}", now=time.time() - 3600)
        assert await status(session, url, old, b"{}") == 401
        assert await status(session, url, {}, b"{}") == 401
