"""The processes of a measurement: each obeys commands, one JSON object a line, until its standard input ends.

So none outlives the bench, however the bench ends.
"""

import asyncio
import contextlib
import json
import os
import resource
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping
from pathlib import Path
from typing import Any

from hookd.bench.wire import BenchError
from hookd.errors import HookdError

Answer = dict[str, Any]
Command = Callable[..., Awaitable[Answer]]

_LONGEST_ANSWER = 1 << 24
_GRACE = 5.0


def run(main: Coroutine[Any, Any, Any]) -> None:
    """Run a process's main coroutine, on uvloop where it is installed, with as many sockets as the machine allows."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):  # some systems name no limit, and then refuse to be taken at it
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    factory: Callable[[], asyncio.AbstractEventLoop] | None = None
    with contextlib.suppress(ImportError):
        import uvloop

        factory = uvloop.new_event_loop
    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(main)


async def obey(commands: Mapping[str, Command], greeting: Answer) -> None:
    """In the worker: say the greeting, then answer one command after the other until standard input ends."""
    lines = asyncio.StreamReader(limit=_LONGEST_ANSWER)
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    _say(greeting)
    while line := await lines.readline():
        order = json.loads(line)
        try:
            _say(await commands[order.pop("do")](**order))
        except HookdError as error:
            _say({"error": str(error)})


def _say(answer: Answer) -> None:
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


class Worker:
    """A process that obeys, seen from the bench."""

    def __init__(self, name: str, process: asyncio.subprocess.Process, log: Path) -> None:
        self.name = name
        self.pid = process.pid
        self.greeting: Answer = {}
        self._process = process
        self._log = log

    @property
    def port(self) -> int:
        """Where on 127.0.0.1 it listens."""
        return int(self.greeting["port"])

    async def ask(self, do: str, **arguments: Any) -> Answer:
        """Give a command and wait for its answer; raise BenchError if it fails or the worker ends."""
        assert self._process.stdin  # noqa: S101 -- it was started with a pipe
        self._process.stdin.write(json.dumps({"do": do, **arguments}).encode() + b"\n")
        return await self.listen()

    async def listen(self) -> Answer:
        """Wait for the next answer."""
        assert self._process.stdout  # noqa: S101 -- it was started with a pipe
        line = await self._process.stdout.readline()
        if not line:
            raise BenchError(f"the {self.name} ended: {last_line(self._log)}")
        answer: Answer = json.loads(line)
        if "error" in answer:
            raise BenchError(f"the {self.name} failed: {answer['error']}")
        return answer


@contextlib.asynccontextmanager
async def hire(name: str, directory: Path) -> AsyncIterator[Worker]:
    """Start `hookd.bench.NAME` as a worker; its standard error goes to a file in the directory."""
    log = directory / f"{name}.log"
    async with started([sys.executable, "-m", f"hookd.bench.{name}"], log, talks=True) as process:
        worker = Worker(name, process, log)
        worker.greeting = await worker.listen()
        yield worker


@contextlib.asynccontextmanager
async def started(command: list[str], log: Path, *, talks: bool = False) -> AsyncIterator[asyncio.subprocess.Process]:
    """Start a process out of reach of the terminal's Ctrl-C, and end it afterwards whatever happens.

    One that talks is spoken to over pipes; of any other, the output goes to the log too.
    """
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.PIPE if talks else asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE if talks else output,
            stderr=output,
            limit=_LONGEST_ANSWER,
            env=_environment(),
            start_new_session=True,
        )
    try:
        yield process
    finally:
        await asyncio.shield(_end(process))


def _environment() -> dict[str, str]:
    """Leave out the settings of whatever hookd runs here besides."""
    return {name: value for name, value in os.environ.items() if not name.startswith("HOOKD_")}


async def _end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        process.send_signal(signal.SIGTERM)
    try:
        await asyncio.wait_for(process.communicate(), _GRACE)
    except TimeoutError:
        process.kill()
        await process.wait()


def last_line(log: Path) -> str:
    """Answer the last line a process wrote to its log: for Python, what went wrong."""
    lines = log.read_text(errors="replace").split("\n")
    return next((line.strip() for line in reversed(lines) if line.strip()), "it said nothing")
