import asyncio
import logging
import random
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hookd.handlers import Message, Runner, load
from hookd.handlers.log import LONGEST_VALUE, Line
from hookd.handlers.python import Function, find
from hookd.ids import IdFactory
from hookd.model import Attempt, Handler, Outcome, wall_clock
from tests.nouns import ENDPOINT, EVENT, delivery_to

SOON = 100
"""A timeout, in milliseconds, for handlers that never finish."""

SEEN: list[Message] = []
THREADS: list[threading.Thread] = []
GATE = threading.Event()
"""Holds the sync handlers below until a test lets them go."""


def note(message: Message) -> None:
    SEEN.append(message)
    THREADS.append(threading.current_thread())


async def note_later(message: Message) -> None:
    await asyncio.sleep(0)
    note(message)


def note_by_coroutine(message: Message) -> Any:
    return note_later(message)


class Notes:
    async def __call__(self, message: Message) -> None:
        note(message)

    def bound(self, message: Message) -> None:
        note(message)


notes = Notes()
number = 7


class MuteError(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text")


def fail(message: Message) -> None:
    raise ValueError("no such\ncourse")


async def fail_later(message: Message) -> None:
    raise ValueError("no such\ncourse")


def leave(message: Message) -> None:
    sys.exit(3)


async def leave_later(message: Message) -> None:
    sys.exit(3)


def interrupt(message: Message) -> None:
    raise KeyboardInterrupt


def fail_mutely(message: Message) -> None:
    raise MuteError


async def cancel_itself(message: Message) -> None:
    raise asyncio.CancelledError


def hang(message: Message) -> None:
    GATE.wait()


async def hang_later(message: Message) -> None:
    try:
        await asyncio.Event().wait()
    finally:
        SEEN.append(message)


async def hang_on(message: Message) -> None:
    """Heed no cancellation until the gate opens."""
    while not GATE.is_set():
        try:
            await asyncio.sleep(0.01)
        except asyncio.CancelledError:
            SEEN.append(message)


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    SEEN.clear()
    THREADS.clear()
    GATE.clear()
    yield
    GATE.set()


@pytest.fixture
def runner() -> Runner:
    return Runner(timeout=5000, response_kept=100, clock=wall_clock, ids=IdFactory(wall_clock, random.Random(1)))


def handler(run: str, timeout: int | None = None) -> Handler:
    return Handler(name="h", event_types=("*",), run=run, timeout=timeout)


def here(function: str, timeout: int | None = None) -> Handler:
    return handler(f"python:{__name__}:{function}", timeout)


async def run(runner: Runner, destination: Handler, **event: Any) -> tuple[Attempt, asyncio.Event]:
    """Make an attempt; the event beside it is set once the slot is released, and it must be so only once."""
    released = asyncio.Event()

    def release() -> None:
        assert not released.is_set()
        released.set()

    return await runner.attempt(delivery_to(destination, attempt_count=1, **event), release), released


# Functions


@pytest.mark.parametrize("function", ["note", "note_later", "note_by_coroutine", "notes", "notes.bound"])
async def test_a_function_gets_the_event(runner: Runner, function: str) -> None:
    attempt, released = await run(runner, here(function), tenant="acme")
    await released.wait()
    assert attempt.id.startswith("att_")
    assert (attempt.outcome, attempt.error, attempt.number) == (Outcome.SUCCESS, None, 2)
    [message] = SEEN
    assert message == Message(EVENT.id, EVENT.type, "acme", EVENT.payload, EVENT.content_type, 2)
    assert message.json() == {"name": "Ada"}


@pytest.mark.parametrize(("function", "beside"), [("note", True), ("note_later", False), ("notes", False)])
async def test_only_what_may_block_gets_a_thread_of_its_own(runner: Runner, function: str, beside: bool) -> None:
    await run(runner, here(function))
    [thread] = THREADS
    assert (thread is not threading.current_thread()) is beside


def test_a_payload_that_is_not_json() -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - the text is the decoder's
        Message("evt_1", "a.b", None, b"\xff", "text/plain", 1).json()


@pytest.mark.parametrize(
    ("function", "error"),
    [
        ("fail", "ValueError: no such course"),
        ("fail_later", "ValueError: no such course"),
        ("leave", "SystemExit: 3"),
        ("leave_later", "SystemExit: 3"),
        ("interrupt", "KeyboardInterrupt"),
        ("cancel_itself", "CancelledError"),
        ("fail_mutely", f"{__name__}.MuteError: <exception str() failed>"),
    ],
)
async def test_whatever_a_function_raises_is_a_failed_attempt(runner: Runner, function: str, error: str) -> None:
    attempt, released = await run(runner, here(function))
    await released.wait()
    assert (attempt.outcome, attempt.error) == (Outcome.HANDLER_ERROR, error)


async def test_an_error_is_logged_with_its_traceback(runner: Runner, caplog: pytest.LogCaptureFixture) -> None:
    await run(runner, here("fail"))
    [record] = caplog.records
    assert record.getMessage() == f"handler:h failed on event {EVENT.id}"
    assert "in fail" in caplog.text


async def test_a_thread_holds_its_slot_beyond_its_timeout(runner: Runner) -> None:
    attempt, released = await run(runner, here("hang", timeout=SOON))
    assert (attempt.outcome, attempt.error) == (
        Outcome.TIMEOUT,
        "timeout: h did not return within 0.1 s",
    )
    assert not released.is_set()
    GATE.set()
    await released.wait()


async def test_a_coroutine_is_cancelled_at_its_timeout(runner: Runner) -> None:
    attempt, released = await run(runner, here("hang_later", timeout=SOON))
    assert attempt.outcome is Outcome.TIMEOUT
    await released.wait()
    assert SEEN


async def test_a_coroutine_that_heeds_no_cancellation_holds_its_slot(runner: Runner) -> None:
    attempt, released = await run(runner, here("hang_on", timeout=SOON))
    assert attempt.outcome is Outcome.TIMEOUT
    assert not released.is_set()
    GATE.set()
    await released.wait()
    assert SEEN


@pytest.mark.parametrize("function", ["hang", "hang_later"])
async def test_cancellation_is_raised_and_releases_the_slot_in_the_end(runner: Runner, function: str) -> None:
    released = asyncio.Event()
    task = asyncio.create_task(runner.attempt(delivery_to(here(function)), released.set))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    GATE.set()
    await released.wait()


def test_a_function_that_hangs_does_not_keep_the_process() -> None:
    script = f"""
        import asyncio, random, sys
        sys.path[:0] = {sys.path!r}
        from hookd.handlers import Runner
        from hookd.ids import IdFactory
        from hookd.model import Handler, wall_clock
        from tests.nouns import delivery_to

        async def main():
            runner = Runner(timeout=1, response_kept=100, clock=wall_clock, ids=IdFactory(wall_clock, random.Random(1)))
            hang = Handler("h", (), "python:tests.test_handlers:hang")
            attempt = await runner.attempt(delivery_to(hang), lambda: None)
            print(attempt.outcome)

        asyncio.run(main())
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)], capture_output=True, text=True, timeout=60, check=True
    )
    assert (done.stdout, done.stderr) == ("timeout\n", "")


async def test_what_can_not_be_loaded_is_a_failed_attempt(runner: Runner) -> None:
    attempt, released = await run(runner, here("no_such_function"))
    assert released.is_set()
    assert attempt.outcome is Outcome.HANDLER_ERROR
    assert attempt.error == f"the module {__name__} has no no_such_function"


async def test_only_handlers_are_run(runner: Runner) -> None:
    with pytest.raises(TypeError, match="ep_1"):
        await runner.attempt(delivery_to(ENDPOINT), lambda: None)


# Loading


@pytest.mark.parametrize(
    ("run", "error"),
    [
        ("", r'expected "log:TEMPLATE", "python:module:function" or "exec:PROGRAM ARGS", got \'\''),
        ("shell:true", r'expected "log:TEMPLATE", "python:module:function" or "exec:PROGRAM ARGS", got \'shell:true\''),
        ("note", r'expected "log:TEMPLATE", "python:module:function" or "exec:PROGRAM ARGS", got \'note\''),
        ("python:", r'expected "python:module:function", got "python:"'),
        ("python:os", r'expected "python:module:function", got "python:os"'),
        ("python::note", r'expected "python:module:function", got "python::note"'),
        ("python:no_such_module:note", r"can't import no_such_module: ModuleNotFoundError: .+"),
        ("python:.os:getcwd", r"can't import \.os: .+"),
        (f"python:{__name__}:nothing", rf"the module {__name__} has no nothing"),
        (f"python:{__name__}:notes.nothing", rf"the module {__name__} has no notes\.nothing"),
        (f"python:{__name__}:number", rf"number of the module {__name__} is not a function"),
        ("exec:", r'expected "exec:PROGRAM ARGS", got \'exec:\''),
        ("exec:  ", r'expected "exec:PROGRAM ARGS", got \'exec:  \''),
        ("exec:'' x", r'expected "exec:PROGRAM ARGS", got "exec:\'\' x"'),
        ("exec:a\0b", r"expected .+"),
        ("exec:a 'b", r'expected "exec:PROGRAM ARGS", got "exec:a \'b": no closing quotation'),
        ("log:", r"expected a template .+"),
        ("log:{", r"expected a template .+"),
        ("log:}", r"expected a template .+"),
        ("log:{}", r"expected a template .+"),
        ("log:{a b}", r"expected a template .+"),
        ("log:{a.}", r"expected a template .+"),
        ("log:{a!r}", r"expected a template .+"),
        ("log:{{a}}", r"expected a template .+"),
    ],
)
def test_what_can_not_be_loaded_is_an_error_of_one_line(run: str, error: str) -> None:
    with pytest.raises(ValueError, match=rf"\A{error}\Z") as caught:
        load(run)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("body", ["1 / 0", "raise SystemExit(3)", "raise ValueError('a\\nb')", "def"])
def test_a_module_that_breaks_when_it_is_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, body: str) -> None:
    (tmp_path / "broken_module.py").write_text(body)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ValueError, match=r"\Acan't import broken_module: [^\n]+\Z"):
        load("python:broken_module:run")


# Log lines


async def logged(template: str, payload: bytes, caplog: pytest.LogCaptureFixture) -> str:
    caplog.clear()
    with caplog.at_level(logging.INFO, "hookd.handler"):
        await Line(template)(Message("evt_1", "a.b", None, payload, "application/json", 1))
    [record] = caplog.records
    assert (record.name, record.levelname) == ("hookd.handler", "INFO")
    return record.getMessage()


async def test_the_line_of_the_seed(runner: Runner, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "hookd.handler"):
        attempt, released = await run(runner, handler("log:Invite sent to {name}"))
    await released.wait()
    assert attempt.outcome is Outcome.SUCCESS
    assert caplog.messages == ["Invite sent to Ada"]


@pytest.mark.parametrize(
    ("template", "payload", "line"),
    [
        ("plain", b"{}", "plain"),
        ("100 % of {name}", b'{"name": "Ada %s"}', "100 % of Ada %s"),
        ("{a}{b}", b'{"a": "{b}", "b": 1}', "{b}1"),
        ("{user.name}", b'{"user": {"name": "Ada"}}', "Ada"),
        ("{user.name.first}", b'{"user": {"name": "Ada"}}', "{user.name.first}"),
        ("{name}", b"{}", "{name}"),
        ("{name}", b"[]", "{name}"),
        ("{name}", b"", "{name}"),
        ("{name}", b"\xff\xfe", "{name}"),
        ("{name}", b"[" * 100_000, "{name}"),
        ("{__class__}", b"{}", "{__class__}"),
        ("{a} {b} {c} {d}", b'{"a": 1.5, "b": true, "c": null, "d": [1, {"x": 2}]}', '1.5 true null [1,{"x":2}]'),
        ("{a}", b'{"a": 123456789012345678901234567890}', "123456789012345678901234567890"),
        ("{name}", b'{"name": "a\\nb\\r\\u0000\\u001b[31m"}', "a\\nb\\r\\x00\\x1b[31m"),
        ("{name}", b'{"name": "\\u2028\\u202e\\u2066\\u0085"}', "\\u2028\\u202e\\u2066\\x85"),
        ("{name}", '{"name": "Åda 🎓"}'.encode(), "Åda 🎓"),
        ("{name}", b'{"name": "A\\ud800B"}', "A\\ud800B"),
        ("{name}", b'{"name": ["A\\ud800B"]}', '["A\\ud800B"]'),
        ("{name}", b'{"name": "Ada", "x": ' + b"9" * 5000 + b"}", "Ada"),
        ("{größe}", '{"größe": 1}'.encode(), "1"),
    ],
)
async def test_a_line(template: str, payload: bytes, line: str, caplog: pytest.LogCaptureFixture) -> None:
    assert await logged(template, payload, caplog) == line


async def test_a_long_value_is_cut(caplog: pytest.LogCaptureFixture) -> None:
    line = await logged("{name}!", b'{"name": "' + b"x" * 10_000 + b'"}', caplog)
    assert line == "x" * LONGEST_VALUE + "…!"


@given(st.binary() | st.text().map(lambda text: text.encode("utf-8", "replace")))
def test_any_payload_makes_one_printable_line(payload: bytes) -> None:
    lines: list[str] = []

    class Keep(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(record.getMessage())

    logger, keep = logging.getLogger("hookd.handler"), Keep()
    level = logger.level
    logger.addHandler(keep)
    logger.setLevel(logging.INFO)
    try:
        for body in (payload, b'{"name": ' + payload + b"}"):
            message = Message("evt_1", "a.b", None, body, "application/json", 1)
            asyncio.run(Line("to {name}")(message))
    finally:
        logger.removeHandler(keep)
        logger.setLevel(level)
    assert len(lines) == 2
    assert all(line.isprintable() for line in lines)


def test_handlers_that_differ_run_differently() -> None:
    one, other = here("note").run, here("note_later").run
    assert load(one) is load(one) is not load(other)
    assert isinstance(load(one), Function)
    assert find(f"{__name__}:note_later") is note_later
