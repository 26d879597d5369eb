"""Daemons as their users run them: `python -m hookd run` on a free port, spoken to over HTTP, and ended by pid."""

import asyncio
import os
import random
import resource
import signal
import socket
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, ParamSpec, Self, TypeVar

import aiohttp

from tests.nouns import in_base64

LOOPBACK = """\
[network]
allow = ["loopback"]
"""
"""A configuration under which receivers on this machine are reached."""

HOOKD = ("-m", "hookd")


def with_keys(*keys: bytes) -> str:
    """Answer that configuration, with these keys of the store."""
    return f"[store]\nkeys = {[in_base64(key) for key in keys]}\n{LOOPBACK}"


STARTING = 30.0
STOPPING = 30.0
"""Seconds after which a daemon that does not start, or end, fails the test."""

P = ParamSpec("P")
T = TypeVar("T")

_GLANCE = 0.01
_FOREIGN = ("HOOKD_", "STATE_DIRECTORY")


class Daemon:
    """A daemon in a directory of its own: `async with Daemon(tmp_path, config) as daemon`.

    Inside, it is ready. It may be killed or stopped, and started again: port, store and log go on.
    """

    def __init__(
        self,
        directory: Path,
        config: str = LOOPBACK,
        *,
        token: str | None = None,
        program: Sequence[str] = HOOKD,
        descriptors: int | None = None,
        **environment: str,
    ) -> None:
        """`token` is the one token it knows, and shown in every call; `environment` is added to its own.

        `program` are Python's arguments, where something is to happen before hookd begins.
        It may have so many file `descriptors` at once, else as many as this process.
        """
        self.directory = directory
        self.config = directory / "config.toml"
        self.log = directory / "hookd.log"
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.process: asyncio.subprocess.Process
        self.config.write_text(config, "utf-8")
        self._token = token
        self.program = program
        self._descriptors = descriptors
        self._environment = environment | ({} if token is None else {"HOOKD_TOKEN": token})

    @property
    def pid(self) -> int:
        """The process id."""
        return self.process.pid

    async def __aenter__(self) -> Self:
        headers = {} if self._token is None else {"Authorization": f"Bearer {self._token}"}
        self._session = aiohttp.ClientSession(self.url, headers=headers, trust_env=False)
        try:
            await self.start()
        except BaseException:
            await self._session.close()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._session.close()
        if self.process.returncode is None:
            await self.stop()

    async def start(self) -> None:
        """Start it, and wait until it is ready; fail with its log where it ends instead."""
        with self.log.open("ab") as log:
            self.process = await asyncio.create_subprocess_exec(
                *(sys.executable, *self.program, "run", "--config", str(self.config)),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.directory,
                env=clean_environment(HOOKD_SERVER__PORT=str(self.port), **self._environment),
                preexec_fn=self._limit,
            )
        try:
            async with asyncio.timeout(STARTING):
                await self._ready()
        except BaseException:
            await self._end()
            raise

    def _limit(self) -> None:
        if self._descriptors is not None:
            resource.setrlimit(resource.RLIMIT_NOFILE, (self._descriptors, self._descriptors))

    async def stop(self, how: signal.Signals = signal.SIGTERM) -> int:
        """Send it a signal, wait for its end, and answer its exit status."""
        self.process.send_signal(how)
        try:
            async with asyncio.timeout(STOPPING):
                return await self.process.wait()
        except TimeoutError:
            await self._end()
            raise AssertionError(f"the daemon did not stop:\n{self.logged()}") from None

    async def kill(self) -> None:
        """Let it die by SIGKILL, as in a crash."""
        self.process.kill()
        await self.process.wait()

    async def call(self, method: str, path: str, body: object = None) -> Any:
        """Call its API, and answer what it says; fail where that is an error."""
        headers = {"Content-Type": "application/json"}
        async with self._session.request(method, path, json=body, headers=headers) as response:
            assert response.status < 300, f"{method} {path}: {response.status} {await response.text()}"
            return await response.json() if response.status != 204 else None

    async def register(self, url: str, **definition: object) -> str:
        """Register an endpoint, and answer its id."""
        return str((await self.call("POST", "/api/v1/endpoints", {"url": url, **definition}))["id"])

    async def settled(self, event: str, status: str) -> list[dict[str, Any]]:
        """Wait until every delivery of an event has the status, and answer them."""
        while True:
            deliveries: list[dict[str, Any]] = (await self.call("GET", f"/api/v1/events/{event}"))["deliveries"]
            if all(each["status"] == status for each in deliveries):
                return deliveries
            await asyncio.sleep(_GLANCE)

    async def logs(self, line: str) -> None:
        """Wait until its log has a line with this in it."""
        while True:
            if line in self.logged():
                return
            await asyncio.sleep(_GLANCE)

    async def quiet(self) -> None:
        """Wait until nothing waits in the outbox and nothing is being sent."""
        while True:
            waiting = [
                await self.call("GET", f"/api/v1/deliveries?status={status}") for status in ("pending", "sending")
            ]
            if not any(page["data"] for page in waiting):
                return
            await asyncio.sleep(_GLANCE)

    async def in_thread(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call a function that blocks, while the event loop goes on reading what the daemon says."""
        return await asyncio.to_thread(function, *args, **kwargs)

    def logged(self) -> str:
        """Answer its log, from the first start on."""
        return self.log.read_text("utf-8")

    async def _ready(self) -> None:
        while True:
            assert self.process.returncode is None, f"the daemon ended at once:\n{self.logged()}"
            with suppress(aiohttp.ClientConnectionError):
                async with self._session.get("/readyz") as response:
                    if response.status == 200:
                        return
            await asyncio.sleep(_GLANCE)

    async def _end(self) -> None:
        if self.process.returncode is None:
            await self.kill()


def clean_environment(**variables: str) -> Mapping[str, str]:
    """Answer this process's environment without settings of hookd, and with these variables."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(_FOREIGN)}
    return kept | variables


def free_port() -> int:
    """Answer a port that nobody listens on, and that the system gives nobody who asks for any before it is taken."""
    while True:
        port = random.randrange(20_000, 32_000)
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
