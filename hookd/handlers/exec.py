"""`exec:`: a program, run without a shell, with the payload on its standard input."""

import asyncio
import os
import shlex
import shutil
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from subprocess import PIPE, STDOUT, Popen, SubprocessError
from threading import Thread
from typing import IO, Final

from hookd.handlers.message import Message
from hookd.handlers.work import Output
from hookd.model import Handler
from hookd.text import one_line

INHERITED: Final = ("PATH", "HOME", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "TMPDIR")
"""The variables of the daemon's environment that a program sees; any other may be a secret."""

PATIENCE: Final = 1.0
"""Seconds that a program has to end after SIGTERM; then comes SIGKILL."""

REST: Final = 0.5
"""Seconds that what a program leaves running has to close its output, once the program itself has ended."""

GULP: Final = 64 * 1024
"""Bytes that are read from a program, or written to it, at once: what a pipe holds."""

_KIND: Final = "exec:"


def located(run: str, folder: Path, path: str) -> str:
    """Answer a `run` with its program's whole path; ValueError says why it can't be run. Other kinds stay as they are.

    A name with a slash is relative to the folder, any other is looked for in the directories of `path`, as in a shell.
    """
    if not run.startswith(_KIND):
        return run
    program, *arguments = _split(run.removeprefix(_KIND))
    return _KIND + shlex.join([str(_find(program, folder, path)), *arguments])


def _split(command: str) -> list[str]:
    try:
        words = shlex.split(command)
    except ValueError as error:  # a quotation that is not closed
        raise ValueError(f'expected "exec:PROGRAM ARGS", got {_KIND + command!r}: {str(error).lower()}') from None
    if not words or not words[0] or "\0" in command:
        raise ValueError(f'expected "exec:PROGRAM ARGS", got {_KIND + command!r}')
    return words


def _find(program: str, folder: Path, path: str) -> Path:
    if "/" not in program:
        found = shutil.which(program, path=path)
        if found is None:
            raise ValueError(f'no program {program!r} on the PATH; one beside the configuration is "./{program}"')
        return Path(found).absolute()
    file = (folder / program).absolute()
    if not file.is_file():
        raise ValueError(f"there is no program {str(file)!r}")
    if not os.access(file, os.X_OK):
        raise ValueError(f"{str(file)!r} is not executable for this user; `chmod +x` makes it so")
    return file


class Program:
    """A program at work, in a process group of its own: what it starts, and what stays in the group, ends with it."""

    def __init__(self, command: str) -> None:
        self._words = _split(command)
        self._name = Path(self._words[0]).name

    def start(self, handler: Handler, message: Message, output: Output) -> asyncio.Future[str | None]:
        """Run the program; cancelled, it is ended."""
        return asyncio.create_task(self._run(handler, message, output))

    async def _run(self, handler: Handler, message: Message, output: Output) -> str | None:
        try:
            process = _spawned(self._words, _environment(handler, message))
            async with _talking(process, message.payload, output) as silent, _ending(process) as ended:
                await ended.wait()
                with suppress(TimeoutError):
                    async with asyncio.timeout(REST):
                        await silent.wait()
        except OSError as error:
            return one_line(f"{self._name} can't be run: {error.strerror}")
        except (RuntimeError, ValueError, SubprocessError) as error:  # no thread to be had, or a NUL in a name
            return one_line(f"{self._name} can't be run: {error}")
        return self._told(process.returncode)

    def _told(self, status: int) -> str | None:
        if status == 0:
            return None
        if status > 0:
            return f"{self._name} exited with status {status}"
        return f"{self._name} was ended by signal {-status} ({signal.strsignal(-status)})"


def _environment(handler: Handler, message: Message) -> dict[bytes, bytes]:
    """Answer all that a program sees of the environment; what is hookd's own is UTF-8, whatever the locale."""
    own = {
        "HOOKD_HANDLER": handler.name,
        "HOOKD_ID": message.id,
        "HOOKD_TYPE": message.type,
        "HOOKD_CONTENT_TYPE": message.content_type,
        "HOOKD_ATTEMPT": str(message.attempt),
    }
    if message.tenant is not None:
        own["HOOKD_TENANT"] = message.tenant
    inherited = {name: os.environb[name] for name in map(str.encode, INHERITED) if name in os.environb}
    return inherited | {name.encode(): value.encode() for name, value in own.items()}


def _spawned(words: list[str], environment: dict[bytes, bytes]) -> Popen[bytes]:
    """Start a program; OSError or ValueError says why it can't be."""
    return Popen(  # noqa: S603 - it stands in the configuration, and the payload is nowhere in it
        [word.encode("utf-8", "surrogateescape") for word in words],
        bufsize=0,
        stdin=PIPE,
        stdout=PIPE,
        stderr=STDOUT,
        env=environment,
        start_new_session=True,
    )


@asynccontextmanager
async def _talking(process: Popen[bytes], payload: bytes, output: Output) -> AsyncIterator[asyncio.Event]:
    """Write the payload to a program, and take what it writes as fast as it comes, as long as the block lasts.

    The event is set once nobody has the output open any more. A program that does not read is none of our business.
    """
    loop, silent, left = asyncio.get_running_loop(), asyncio.Event(), memoryview(payload)

    def write() -> None:
        nonlocal left
        try:
            left = left[os.write(source, left[:GULP]) :]
        except BlockingIOError:
            return
        except BrokenPipeError:
            left = left[:0]
        if not left:
            loop.remove_writer(source)
            stdin.close()

    def read() -> None:
        data = os.read(sink, GULP)
        output.write(data)
        if not data:
            loop.remove_reader(sink)
            silent.set()

    stdin, stdout = _pipes(process)
    source, sink = stdin.fileno(), stdout.fileno()
    os.set_blocking(source, False)
    loop.add_writer(source, write)
    loop.add_reader(sink, read)
    try:
        yield silent
    finally:
        if not stdin.closed:
            loop.remove_writer(source)
            stdin.close()
        loop.remove_reader(sink)
        stdout.close()


def _pipes(process: Popen[bytes]) -> tuple[IO[bytes], IO[bytes]]:
    if process.stdin is None or process.stdout is None:
        raise AssertionError("a program is started with pipes")
    return process.stdin, process.stdout


@asynccontextmanager
async def _ending(process: Popen[bytes]) -> AsyncIterator[asyncio.Event]:
    """Wait for a program's end, as long as the block lasts; with it ends all that is left of its group."""
    loop, ended = asyncio.get_running_loop(), asyncio.Event()

    def wait() -> None:
        process.wait()
        with suppress(RuntimeError):  # the loop is closed: the daemon has stopped
            loop.call_soon_threadsafe(ended.set)

    try:
        Thread(target=wait, name=f"process {process.pid}", daemon=True).start()
    except RuntimeError:
        _signal(process.pid, signal.SIGKILL)
        process.wait()
        raise
    try:
        yield ended
    finally:
        await _end(process.pid, ended)


async def _end(group: int, ended: asyncio.Event) -> None:
    """End a program, politely first, and then whatever is left of its group."""
    try:
        if not ended.is_set():
            _signal(group, signal.SIGTERM)
            with suppress(TimeoutError):
                async with asyncio.timeout(PATIENCE):
                    await ended.wait()
    finally:
        _signal(group, signal.SIGKILL)
    await ended.wait()


def _signal(group: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError, PermissionError):  # nobody is left; or, on macOS, zombies alone
        os.killpg(group, number)
