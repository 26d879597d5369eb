"""Handlers: the destinations inside the daemon. A handler is a Python function or a line of the log.

They are declared in the configuration alone, since they are code that the daemon runs.
"""

import asyncio
import importlib
import inspect
import json
import logging
import re
import threading
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from time import perf_counter
from typing import Any, Final

from hookd.ids import IdFactory
from hookd.model import Attempt, Clock, Delivery, Handler, Outcome
from hookd.parse import parse
from hookd.text import one_line, printable

LONGEST_VALUE: Final = 200
"""Characters of a field's value in a log line at most."""

logger = logging.getLogger("hookd.handler")


@dataclass(frozen=True, slots=True)
class Message:
    """What a handler gets: the event, and the number of the attempt."""

    id: str
    type: str
    tenant: str | None
    payload: bytes
    content_type: str
    attempt: int

    def json(self) -> Any:
        """Answer the payload as JSON; ValueError where it is none."""
        return parse(self.payload)


Call = Callable[[Message], Any]
"""A handler's function, or a coroutine function; what it returns is ignored."""


@cache
def load(handler: Handler) -> Call:
    """Answer what a handler runs; ValueError says in one line why there is no such thing."""
    kind, _, what = handler.run.partition(":")
    if kind == "log":
        return Line(what)
    if kind == "python":
        return _function(what)
    raise ValueError(f'expected "log:TEMPLATE" or "python:module:function", got {handler.run!r}')


def _function(where: str) -> Call:
    module, _, path = where.partition(":")
    if not module or not path:
        raise ValueError(f'expected "python:module:function", got "python:{where}"')
    try:
        found: Any = importlib.import_module(module)
    except (Exception, SystemExit) as error:  # whatever the module does when it is imported
        raise ValueError(one_line(f"can't import {module}: {type(error).__name__}: {error}")) from error
    for name in path.split("."):
        if not hasattr(found, name):
            raise ValueError(f"the module {module} has no {path}")
        found = getattr(found, name)
    if not callable(found):
        raise ValueError(f"{path} of the module {module} is not a function")  # noqa: TRY004 - a bad setting
    call: Call = found
    return call


class Line:
    """A log line with `{field}` or `{field.field}` of the payload in it."""

    _FIELD: Final = re.compile(r"\{([\w-]+(?:\.[\w-]+)*)\}")

    def __init__(self, template: str) -> None:
        if not template or set("{}") & set(self._FIELD.sub("", template)):
            raise ValueError(f'expected a template such as "log:Invite sent to {{name}}", got "log:{template}"')
        self._template = template

    async def __call__(self, message: Message) -> None:
        """Write the line; a field that the payload lacks stays as it is in the template."""
        try:
            payload = message.json()
        except ValueError:
            payload = None  # not JSON: it has no fields
        logger.info("%s", self._FIELD.sub(lambda field: _value(payload, field), self._template))


def _value(payload: Any, field: re.Match[str]) -> str:
    for name in field[1].split("."):
        if not isinstance(payload, dict) or name not in payload:
            return field[0]
        payload = payload[name]
    text = payload if isinstance(payload, str) else _written(payload)
    return printable(text if len(text) <= LONGEST_VALUE else text[:LONGEST_VALUE] + "…")


def _written(value: Any) -> str:
    try:
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    except RecursionError:  # it is read a few levels deeper than it is written
        return "…"


class Runner:
    """Makes attempts at handlers. `timeout` is in milliseconds, for handlers that set none."""

    def __init__(self, *, timeout: int, clock: Clock, ids: IdFactory) -> None:
        self._timeout = timeout
        self._clock = clock
        self._ids = ids
        self._running: set[asyncio.Future[str | None]] = set()  # the event loop alone would not keep them alive

    async def attempt(self, delivery: Delivery, released: Callable[[], None]) -> Attempt:
        """Run a delivery's handler, once. Only cancellation is raised.

        `released` is called once, when the handler has really ended: a function that runs on after its timeout
        holds its slot, since a thread can't be stopped.
        """
        handler = delivery.destination
        if not isinstance(handler, Handler):
            raise TypeError(f"expected a delivery to a handler, got one to {handler.id}")
        started_at, start = self._clock(), perf_counter()
        outcome, error = await self._run(handler, _message(delivery), released)
        return Attempt(
            id=self._ids("att"),
            number=delivery.attempt_count + 1,
            started_at=started_at,
            duration=(perf_counter() - start) * 1000,
            outcome=outcome,
            error=error,
        )

    async def _run(
        self, handler: Handler, message: Message, released: Callable[[], None]
    ) -> tuple[Outcome, str | None]:
        timeout = self._timeout if handler.timeout is None else handler.timeout
        try:
            work = _start(handler, message)
        except (ValueError, RuntimeError) as error:  # not loadable any more, or no thread to be had
            released()
            return Outcome.HANDLER_ERROR, one_line(str(error))
        self._running.add(work)
        work.add_done_callback(self._running.discard)
        work.add_done_callback(lambda _: released())
        try:
            await asyncio.wait({work}, timeout=timeout / 1000)
        finally:
            if isinstance(work, asyncio.Task):
                work.cancel()
        if not work.done():
            return Outcome.TIMEOUT, f"timeout: {handler.name} did not return within {timeout / 1000:g} s"
        failure = "CancelledError" if work.cancelled() else work.result()
        return (Outcome.SUCCESS if failure is None else Outcome.HANDLER_ERROR), failure


def _message(delivery: Delivery) -> Message:
    event = delivery.event
    return Message(
        id=event.id,
        type=event.type,
        tenant=event.tenant,
        payload=event.payload,
        content_type=event.content_type,
        attempt=delivery.attempt_count + 1,
    )


def _start(handler: Handler, message: Message) -> asyncio.Future[str | None]:
    """Set a handler to work: a coroutine function in a task, any other in a thread of its own.

    The future answers the error, None for success.
    """
    call = load(handler)
    if inspect.iscoroutinefunction(call) or inspect.iscoroutinefunction(type(call).__call__):
        return asyncio.create_task(_awaited(call, handler, message))
    loop = asyncio.get_running_loop()
    future: asyncio.Future[str | None] = loop.create_future()

    def work() -> None:
        error = _called(call, handler, message)
        with suppress(RuntimeError):  # the loop is closed: the daemon has stopped, and waits for nobody
            loop.call_soon_threadsafe(future.set_result, error)

    threading.Thread(target=work, name=handler.id, daemon=True).start()  # a pool's threads would hold up the exit
    return future


async def _awaited(call: Call, handler: Handler, message: Message) -> str | None:
    try:
        await call(message)
    except asyncio.CancelledError:
        raise
    except BaseException as error:  # SystemExit would end the event loop
        logger.exception("%s failed on event %s", handler.id, message.id)
        return _told(error)
    return None


def _called(call: Call, handler: Handler, message: Message) -> str | None:
    try:
        result = call(message)
        if inspect.iscoroutine(result):
            asyncio.run(result)
    except BaseException as error:
        logger.exception("%s failed on event %s", handler.id, message.id)
        return _told(error)
    return None


def _told(error: BaseException) -> str:
    return one_line("".join(traceback.format_exception_only(error)))
