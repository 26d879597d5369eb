"""Programs as handlers: real processes, on both event loops."""

import asyncio
import os
import random
import shlex
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hookd.handlers import Runner, load, located
from hookd.handlers.exec import INHERITED, Program
from hookd.handlers.work import Output
from hookd.ids import IdFactory
from hookd.model import Attempt, Handler, Outcome, wall_clock
from tests.handlers.programs import gone, runs, script, told, zombies
from tests.nouns import EVENT, delivery_to

KEPT = 100
SOON = 1000
"""A timeout, in milliseconds, for programs that never finish."""
LONG = 60_000
EVERY_BYTE = bytes(range(256))
MEBIBYTE = 1 << 20
HERE = Path("/")


@pytest.fixture
async def runner() -> AsyncIterator[Runner]:
    """A runner that leaves no zombie and lets no callback of the event loop fail."""
    faults: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, fault: faults.append(fault))
    yield Runner(timeout=LONG, response_kept=KEPT, clock=wall_clock, ids=IdFactory(wall_clock, random.Random(1)))
    assert (zombies(), faults) == ([], [])


def handler(run: str, timeout: int | None = None) -> Handler:
    return Handler(name="h", event_types=("*",), run=located(run, HERE, os.environ["PATH"]), timeout=timeout)


async def run(runner: Runner, what: str, within: int | None = None, **event: Any) -> Attempt:
    """Make an attempt, and wait until the program has really ended."""
    released = asyncio.Event()
    attempt = await runner.attempt(delivery_to(handler(what, within), attempt_count=1, **event), released.set)
    await released.wait()
    return attempt


# What goes in.


@pytest.mark.parametrize("payload", [b"", EVERY_BYTE, b"\xff\0\n" * MEBIBYTE])
async def test_a_program_reads_the_payload_byte_for_byte(runner: Runner, tmp_path: Path, payload: bytes) -> None:
    copy = tmp_path / "copy"
    attempt = await run(runner, f"exec:tee {shlex.quote(str(copy))}", payload=payload)
    assert (attempt.outcome, attempt.error, attempt.number) == (Outcome.SUCCESS, None, 2)
    assert copy.read_bytes() == payload
    assert (attempt.response_body, attempt.truncated) == (payload[:KEPT], len(payload) > KEPT)


async def test_the_environment_says_what_the_event_is_and_nothing_else(
    runner: Runner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOOKD_TOKEN", "secret")
    monkeypatch.setenv("SHOP_SECRET", "secret")
    seen = tmp_path / "seen"
    event: dict[str, Any] = {"type": "shop.a", "tenant": "Åcme", "content_type": "text/plain; charset=latin-1"}
    await run(runner, script(tmp_path, f"exec env > {shlex.quote(str(seen))}"), **event)
    variables = dict(line.split("=", 1) for line in seen.read_text().splitlines())
    assert {name: value for name, value in variables.items() if name.startswith("HOOKD")} == {
        "HOOKD_HANDLER": "h",
        "HOOKD_ID": EVENT.id,
        "HOOKD_TYPE": "shop.a",
        "HOOKD_TENANT": "Åcme",
        "HOOKD_CONTENT_TYPE": "text/plain; charset=latin-1",
        "HOOKD_ATTEMPT": "2",
    }
    assert variables["PATH"] == os.environ["PATH"]
    assert variables.keys() <= {*INHERITED, "PWD", "OLDPWD", "SHLVL", "_"} | {
        name for name in variables if name.startswith("HOOKD")
    }


async def test_without_a_tenant_there_is_no_variable_for_it(runner: Runner) -> None:
    attempt = await run(runner, "exec:printenv HOOKD_TENANT")
    assert attempt.error == "printenv exited with status 1"


async def test_no_shell_reads_the_setting(runner: Runner) -> None:
    attempt = await run(runner, "exec:echo '$HOME' `id` * > /dev/null ; exit 3")
    assert attempt.response_body == b"$HOME `id` * > /dev/null ; exit 3\n"


async def test_a_program_sees_no_descriptor_of_the_daemon(runner: Runner, tmp_path: Path) -> None:
    with (tmp_path / "open").open("wb") as file:
        os.set_inheritable(file.fileno(), True)
        probe = f"import os\ntry: os.fstat({file.fileno()}); print('open')\nexcept OSError: print('closed')"
        attempt = await run(runner, shlex.join([f"exec:{sys.executable}", "-c", probe]))
    assert attempt.response_body == b"closed\n"


async def test_a_program_leads_a_session_of_its_own(runner: Runner) -> None:
    probe = "import os; print(os.getpid() == os.getsid(0) == os.getpgid(0))"
    attempt = await run(runner, shlex.join([f"exec:{sys.executable}", "-c", probe]))
    assert attempt.response_body == b"True\n"


async def test_pipes_may_be_opened_by_their_names_and_break_as_usual(runner: Runner, tmp_path: Path) -> None:
    attempt = await run(runner, script(tmp_path, "cat /dev/stdin > /dev/stderr", "yes | head -n 1"), payload=b"in\n")
    assert (attempt.outcome, attempt.response_body) == (Outcome.SUCCESS, b"in\ny\n")


@pytest.mark.parametrize("line", ["exec 0<&-", ":", "exec 0<&-; sleep 0.1", "head -c 1 > /dev/null"])
@pytest.mark.parametrize("status", [0, 3])
async def test_a_program_need_not_read_its_input(runner: Runner, tmp_path: Path, line: str, status: int) -> None:
    attempt = await run(runner, script(tmp_path, line, f"exit {status}"), payload=b"x" * MEBIBYTE)
    assert attempt.error == (f"program exited with status {status}" if status else None)


# What comes out.


async def test_both_outputs_are_kept_in_their_order(runner: Runner, tmp_path: Path) -> None:
    attempt = await run(runner, script(tmp_path, "echo out", "echo err >&2", "printf '\\377\\000'", "exit 1"))
    assert (attempt.outcome, attempt.response_body) == (Outcome.HANDLER_ERROR, b"out\nerr\n\xff\0")
    assert not attempt.truncated


async def test_a_flood_of_output_is_neither_kept_nor_held_up(runner: Runner, tmp_path: Path) -> None:
    attempt = await run(runner, script(tmp_path, f"yes | head -c {64 * MEBIBYTE}", "exit 3"))
    assert attempt.error == "program exited with status 3"
    assert (attempt.response_body, attempt.truncated) == (b"y\n" * (KEPT // 2), True)


@given(st.integers(0, 20), st.lists(st.binary(max_size=30)))
def test_an_output_keeps_its_beginning(most: int, pieces: list[bytes]) -> None:
    output, whole = Output(most), b"".join(pieces)
    for piece in pieces:
        output.write(piece)
    assert (output.kept, output.truncated) == (whole[:most], len(whole) > most)


# How it ends.


@pytest.mark.parametrize("status", [1, 2, 126, 255])
async def test_the_exit_status_is_the_outcome(runner: Runner, tmp_path: Path, status: int) -> None:
    attempt = await run(runner, script(tmp_path, f"exit {status}"))
    assert (attempt.outcome, attempt.error) == (Outcome.HANDLER_ERROR, f"program exited with status {status}")


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGSEGV, signal.SIGRTMAX])
async def test_a_signal_is_told_in_words(runner: Runner, tmp_path: Path, number: signal.Signals) -> None:
    attempt = await run(runner, script(tmp_path, f"kill -{int(number)} $$"))
    words = signal.strsignal(number)
    assert words
    assert (attempt.outcome, attempt.error) == (
        Outcome.HANDLER_ERROR,
        f"program was ended by signal {int(number)} ({words})",
    )


async def test_at_its_timeout_a_program_ends_with_all_that_it_started(runner: Runner, tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    lines = ("trap '' TERM", "sleep 1000 &", f"echo $! > {shlex.quote(str(pid))}", "echo I begin", "wait")
    attempt = await run(runner, script(tmp_path, *lines), SOON)
    assert (attempt.outcome, attempt.error) == (Outcome.TIMEOUT, "timeout: h did not return within 1 s")
    assert attempt.response_body == b"I begin\n"
    await gone(await told(pid))


@pytest.mark.parametrize("ending", ["exit 0", "exit 3"])
async def test_what_a_program_starts_ends_with_it(runner: Runner, tmp_path: Path, ending: str) -> None:
    """It has the output open, and holds up nothing."""
    pid = tmp_path / "pid"
    lines = ("trap '' TERM", "sleep 1000 &", f"echo $! > {shlex.quote(str(pid))}", "echo hello", ending)
    attempt = await run(runner, script(tmp_path, *lines))
    expected = Outcome.SUCCESS if ending == "exit 0" else Outcome.HANDLER_ERROR
    assert (attempt.outcome, attempt.response_body) == (expected, b"hello\n")
    await gone(await told(pid))


async def test_what_leaves_the_session_holds_up_nothing(runner: Runner, tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    away = f"import os, time; os.setsid(); open({str(pid)!r}, 'w').write(f'{{os.getpid()}}\\n'); time.sleep(1000)"
    leaving = f"{shlex.join([sys.executable, '-c', away])} &"
    waiting = f"while ! test -s {shlex.quote(str(pid))}; do sleep 0.01; done"
    attempt = await run(runner, script(tmp_path, leaving, waiting, "echo hello"))
    process = await told(pid)
    try:
        assert (attempt.outcome, attempt.response_body) == (Outcome.SUCCESS, b"hello\n")
        assert runs(process)
    finally:
        os.kill(process, signal.SIGKILL)


async def cancelled(runner: Runner, what: str, pid: Path) -> tuple[int, asyncio.Event]:
    """Cancel an attempt once the program has written its process id; the event is set once its slot is released."""
    released = asyncio.Event()
    task = asyncio.create_task(runner.attempt(delivery_to(handler(what)), released.set))
    process = await told(pid)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    return process, released


async def test_cancellation_lets_a_program_end_tidily(runner: Runner, tmp_path: Path) -> None:
    pid, tidied = tmp_path / "pid", tmp_path / "tidied"
    tidy = f"trap 'echo done > {shlex.quote(str(tidied))}; exit 0' TERM"
    lines = (tidy, f"echo $$ > {shlex.quote(str(pid))}", "while :; do sleep 0.01; done")
    process, released = await cancelled(runner, script(tmp_path, *lines), pid)
    await released.wait()
    assert not runs(process)
    assert tidied.read_text() == "done\n"


async def test_a_program_that_ignores_sigterm_holds_its_slot_until_it_is_killed(runner: Runner, tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    lines = ("trap '' TERM", f"echo $$ > {shlex.quote(str(pid))}", "while :; do sleep 0.01; done")
    process, released = await cancelled(runner, script(tmp_path, *lines), pid)
    assert runs(process)
    assert not released.is_set()
    await released.wait()
    assert not runs(process)


# What can't be run.


async def test_a_script_that_names_no_interpreter(runner: Runner, tmp_path: Path) -> None:
    run_of_it = script(tmp_path)
    (tmp_path / "program").write_text("echo hello\n")
    attempt = await run(runner, run_of_it)
    assert (attempt.outcome, attempt.error) == (Outcome.HANDLER_ERROR, "program can't be run: Exec format error")


async def test_a_program_that_is_gone(runner: Runner, tmp_path: Path) -> None:
    destination = handler(script(tmp_path))
    (tmp_path / "program").unlink()
    attempt = await runner.attempt(delivery_to(destination), lambda: None)
    assert attempt.error == "program can't be run: No such file or directory"


async def test_what_no_environment_can_hold_is_an_outcome(runner: Runner, tmp_path: Path) -> None:
    attempt = await run(runner, script(tmp_path, ":"), tenant="a\0b")
    assert (attempt.outcome, attempt.error) == (Outcome.HANDLER_ERROR, "program can't be run: embedded null byte")


async def test_what_a_program_raises_that_nobody_foresaw_is_an_outcome(
    runner: Runner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unforeseen(words: list[str], environment: object) -> None:
        raise LookupError(f"{len(words)} words")

    monkeypatch.setattr("hookd.handlers.exec._spawned", unforeseen)
    attempt = await run(runner, script(tmp_path, ":"))
    assert (attempt.outcome, attempt.error) == (Outcome.HANDLER_ERROR, "LookupError: 1 words")


async def test_without_a_thread_nothing_is_left_running(
    runner: Runner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(Thread, "start", refuse)
    attempt = await run(runner, "exec:sleep 1000")
    assert attempt.error == "sleep can't be run: can't start new thread"


# Where it is.


def test_a_path_is_relative_to_the_folder(tmp_path: Path) -> None:
    (tmp_path / "a b").mkdir()
    script(tmp_path / "a b", name="it")
    assert located("exec:'a b/it' -x '1 2'", tmp_path, "") == f"exec:'{tmp_path}/a b/it' -x '1 2'"
    assert located("exec:./it", tmp_path / "a b", "") == f"exec:'{tmp_path}/a b/it'"


def test_a_name_is_looked_for_on_the_path(tmp_path: Path) -> None:
    script(tmp_path, name="it")
    assert located("exec:it", HERE, f"/nowhere:{tmp_path}") == f"exec:{tmp_path}/it"


@pytest.mark.parametrize(
    ("what", "error"),
    [
        ("exec:it", "no program 'it' on the PATH; one beside the configuration is \"./it\""),
        ("exec:./missing", "there is no program '{folder}/missing'"),
        ("exec:/", "there is no program '/'"),
        ("exec:./plain x", "'{folder}/plain' is not executable for this user; `chmod +x` makes it so"),
        ("exec:", "expected \"exec:PROGRAM ARGS\", got 'exec:'"),
        ("exec:'it", 'expected "exec:PROGRAM ARGS", got "exec:\'it": no closing quotation'),
    ],
)
def test_what_is_no_program(tmp_path: Path, what: str, error: str) -> None:
    (tmp_path / "plain").write_text("no program")
    with pytest.raises(ValueError, match=r"program|PROGRAM|executable") as caught:
        located(what, tmp_path, str(tmp_path))
    assert str(caught.value) == error.format(folder=tmp_path)


def test_other_kinds_stay_as_they_are() -> None:
    assert located("log:exec: {name}", HERE, "") == "log:exec: {name}"


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))))
def test_arguments_survive_being_located(arguments: list[str]) -> None:
    words = located(f"exec:{shlex.join(['sh', *arguments])}", HERE, os.defpath)
    work = load(words)
    assert isinstance(work, Program)
    assert work._words[1:] == arguments
