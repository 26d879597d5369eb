"""The runner: makes attempts at handlers."""

import asyncio
from collections.abc import Callable
from functools import cache
from time import perf_counter

from hookd.handlers.exec import Program
from hookd.handlers.log import Line
from hookd.handlers.message import Message, message_of
from hookd.handlers.python import Function, find
from hookd.handlers.work import Output, Work
from hookd.ids import IdFactory
from hookd.model import Attempt, Clock, Delivery, Handler, Outcome
from hookd.text import one_line


@cache
def load(run: str) -> Work:
    """Answer what a handler runs; ValueError says in one line why there is no such thing."""
    kind, _, what = run.partition(":")
    match kind:
        case "log":
            return Function(Line(what))
        case "python":
            return Function(find(what))
        case "exec":
            return Program(what)
    raise ValueError(f'expected "log:TEMPLATE", "python:module:function" or "exec:PROGRAM ARGS", got {run!r}')


class Runner:
    """Makes attempts at handlers.

    `timeout` is in milliseconds, for handlers that set none; `response_kept` is in bytes, of what a program writes.
    """

    def __init__(self, *, timeout: int, response_kept: int, clock: Clock, ids: IdFactory) -> None:
        self._timeout = timeout
        self._response_kept = response_kept
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
        output = Output(self._response_kept)
        outcome, error = await self._run(handler, message_of(delivery), output, released)
        return Attempt(
            id=self._ids("att"),
            number=delivery.attempt_count + 1,
            started_at=started_at,
            duration=(perf_counter() - start) * 1000,
            outcome=outcome,
            error=error,
            response_body=output.kept,
            truncated=output.truncated,
        )

    async def _run(
        self, handler: Handler, message: Message, output: Output, released: Callable[[], None]
    ) -> tuple[Outcome, str | None]:
        timeout = self._timeout if handler.timeout is None else handler.timeout
        try:
            work = load(handler.run).start(handler, message, output)
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
        failure = _failure(work)
        return (Outcome.SUCCESS if failure is None else Outcome.HANDLER_ERROR), failure


def _failure(work: asyncio.Future[str | None]) -> str | None:
    """Answer why work that has ended failed, None where it did not; whatever it raised is an outcome too."""
    if work.cancelled():
        return "CancelledError"
    error = work.exception()
    return work.result() if error is None else one_line(f"{type(error).__name__}: {error}")
