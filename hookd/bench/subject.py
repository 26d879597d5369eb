"""The daemon under measurement: hookd as its users run it, spoken to over HTTP alone."""

import asyncio
import contextlib
import socket
import sys
import time
from collections.abc import AsyncIterator, Iterable
from pathlib import Path
from typing import Any

import aiohttp

from hookd.bench.place import store_url
from hookd.bench.wire import BenchError
from hookd.bench.worker import last_line, started

IN_FLIGHT = 64
EVENT_TYPE = "bench.event"

_CONFIG = """\
[server]
host = "127.0.0.1"
port = {port}
drain = "1s"

[store]
url = "{url}"

[delivery]
{delivery}

[network]
allow = ["loopback"]

[log]
level = "{level}"
"""
DELIVERED = 'hookd_deliveries_total{status="delivered"}'
"""The metric of what was delivered."""
_STARTING = 30.0
_GLANCE = 0.01

Definition = dict[str, Any]
"""An endpoint, as `POST /api/v1/endpoints` takes it."""


class Subject:
    """A running daemon."""

    def __init__(self, port: int, process: asyncio.subprocess.Process, session: aiohttp.ClientSession) -> None:
        self.port = port
        self.pid = process.pid
        self.started_in = 0.0
        """Seconds from the start of its process until it was ready."""
        self._session = session

    async def register(self, sink_port: int, *, path: str = "/hook", **fields: Any) -> str:
        """Register a sink as an endpoint and answer its id."""
        (identity,) = await self.register_all([{"url": f"http://127.0.0.1:{sink_port}{path}", **fields}])
        return identity

    async def register_all(self, definitions: Iterable[Definition]) -> list[str]:
        """Register endpoints, many at once, and answer their ids in the same order."""
        calls = (self._call("POST", "/api/v1/endpoints", definition) for definition in definitions)
        return [str(endpoint["id"]) for endpoint in await asyncio.gather(*calls)]

    async def set_state(self, endpoint: str, state: str) -> float:
        """Pause or activate an endpoint; answer the monotonic moment of asking."""
        asked = time.monotonic()
        await self._call("PATCH", f"/api/v1/endpoints/{endpoint}", {"state": state})
        return asked

    async def delivered(self, count: int) -> float:
        """Wait until so many deliveries are recorded since the start; answer the monotonic moment."""
        while True:
            if (await self.metrics())[DELIVERED] >= count:
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
        samples = await self.metrics()
        return sum(value for name, value in samples.items() if name.startswith("hookd_outbox_depth{"))

    async def metrics(self) -> dict[str, float]:
        """Read the samples of /metrics, by their names with the labels as they stand there."""
        async with self._session.get("/metrics") as response:
            lines = (await response.text()).splitlines()
        samples = (line.rpartition(" ") for line in lines if not line.startswith("#"))
        return {name: float(value) for name, _, value in samples}

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


_WITHOUT_LIMITS = """\
max_in_flight = {in_flight}
per_endpoint = {in_flight}
breaker = "off"
"""


@contextlib.asynccontextmanager
async def subject(
    directory: Path, *, level: str = "warning", in_flight: int | None = IN_FLIGHT
) -> AsyncIterator[Subject]:
    """Run a daemon on the store in the directory, made where there is none, and wait until it is ready.

    `in_flight` bounds its attempts, all together and for one endpoint, and nothing else does; None leaves it the limits
    and the breaker that it ships with.
    """
    port = _free_port()
    config = directory / "config.toml"
    delivery = "" if in_flight is None else _WITHOUT_LIMITS.format(in_flight=in_flight)
    config.write_text(_CONFIG.format(port=port, delivery=delivery, level=level, url=store_url(directory)))
    log = directory / "hookd.log"
    command = [sys.executable, "-m", "hookd", "run", "--config", str(config)]
    base = f"http://127.0.0.1:{port}"
    began = time.monotonic()
    async with started(command, log) as process, aiohttp.ClientSession(base, trust_env=False) as session:
        running = Subject(port, process, session)
        await _ready_or_ended(running, process, log)
        running.started_in = time.monotonic() - began
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
