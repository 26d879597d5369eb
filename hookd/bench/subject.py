"""The daemon under measurement: hookd as its users run it, spoken to over HTTP alone."""

import asyncio
import contextlib
import re
import socket
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp

from hookd.bench.wire import BenchError
from hookd.bench.worker import last_line, started

IN_FLIGHT = 64
EVENT_TYPE = "bench.event"

_CONFIG = """\
[server]
host = "127.0.0.1"
port = {port}

[store]
url = "sqlite:hookd.db"

[delivery]
max_in_flight = {in_flight}
per_endpoint = {in_flight}

[network]
allow = ["loopback"]

[log]
level = "warning"
"""
_DELIVERED = re.compile(rb'^hookd_deliveries_total\{status="delivered"\} (\S+)$', re.MULTILINE)
_DEPTH = re.compile(rb"^hookd_outbox_depth\{[^}]*\} (\S+)$", re.MULTILINE)
_STARTING = 30.0
_GLANCE = 0.01


class Subject:
    """A running daemon."""

    def __init__(self, port: int, process: asyncio.subprocess.Process, session: aiohttp.ClientSession) -> None:
        self.port = port
        self.pid = process.pid
        self._session = session

    async def register(self, sink_port: int, *, path: str = "/hook", **fields: Any) -> str:
        """Register a sink as an endpoint and answer its id."""
        url = f"http://127.0.0.1:{sink_port}{path}"
        endpoint = await self._call("POST", "/api/v1/endpoints", {"url": url, **fields})
        return str(endpoint["id"])

    async def set_state(self, endpoint: str, state: str) -> float:
        """Pause or activate an endpoint; answer the monotonic moment of asking."""
        asked = time.monotonic()
        await self._call("PATCH", f"/api/v1/endpoints/{endpoint}", {"state": state})
        return asked

    async def delivered(self, count: int) -> float:
        """Wait until so many deliveries are recorded since the start; answer the monotonic moment."""
        while True:
            async with self._session.get("/metrics") as response:
                found = _DELIVERED.search(await response.read())
            if found and float(found[1]) >= count:
                return time.monotonic()
            await asyncio.sleep(_GLANCE)

    async def settled(self, seconds: float) -> None:
        """Wait until nothing waits or is being sent; BenchError after so many seconds."""
        until = time.monotonic() + seconds
        while await self._depth():
            if time.monotonic() > until:
                raise BenchError(f"deliveries still wait after {seconds:.0f} s")
            await asyncio.sleep(_GLANCE)

    async def _depth(self) -> float:
        async with self._session.get("/metrics") as response:
            return sum(map(float, _DEPTH.findall(await response.read())))

    async def ready(self) -> None:
        """Wait until it says that it can do its work."""
        while True:
            with contextlib.suppress(aiohttp.ClientConnectionError):
                async with self._session.get("/readyz") as response:
                    if response.status == 200:
                        return
            await asyncio.sleep(_GLANCE)

    async def _call(self, method: str, path: str, body: dict[str, Any]) -> dict[str, Any]:
        async with self._session.request(method, path, json=body) as response:
            if response.status >= 300:
                raise BenchError(f"{method} {path}: {response.status} {(await response.text())[:300]}")
            answer: dict[str, Any] = await response.json()
            return answer


@contextlib.asynccontextmanager
async def subject(directory: Path) -> AsyncIterator[Subject]:
    """Run a fresh daemon with a fresh store in the directory, and wait until it is ready."""
    port = _free_port()
    config = directory / "config.toml"
    config.write_text(_CONFIG.format(port=port, in_flight=IN_FLIGHT))
    log = directory / "hookd.log"
    command = [sys.executable, "-m", "hookd", "run", "--config", str(config)]
    base = f"http://127.0.0.1:{port}"
    async with started(command, log) as process, aiohttp.ClientSession(base, trust_env=False) as session:
        running = Subject(port, process, session)
        await _ready_or_ended(running, process, log)
        yield running


async def _ready_or_ended(running: Subject, process: asyncio.subprocess.Process, log: Path) -> None:
    ready = asyncio.ensure_future(running.ready())
    ended = asyncio.ensure_future(process.wait())
    try:
        await asyncio.wait({ready, ended}, timeout=_STARTING, return_when=asyncio.FIRST_COMPLETED)
        if not ready.done():
            raise BenchError(f"hookd did not start: {last_line(log)}")
        await ready
    finally:
        ready.cancel()
        ended.cancel()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
