"""An event loop for one seed: its clock jumps to the next timer, and what the store's threads do keeps to it.

What a thread is asked for happens at a moment of the simulated time, while everything else waits, and is heard of
later. So every order of events can come about, and each comes about again with its seed. Since nothing runs beside it,
the loop carries it out itself: real threads would do the same, and hand over to each other at some cost.
"""

import asyncio
import selectors
from collections import deque
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any

MOST_TURNS = 100_000
"""Turns of the loop in one moment, after which it goes round in circles."""

LONGEST = 400 * 86_400
"""Seconds of simulated time after which a course that has not ended never will."""

Call = tuple[asyncio.Future[Any] | None, Callable[[], Any]]


class StuckError(Exception):
    """Nothing will ever happen again, or time stands still."""


class SimulatedLoop(asyncio.SelectorEventLoop):
    """`latency` answers how long the next step between loop and thread takes, `rest` is told before a jump."""

    def __init__(self, latency: Callable[[], float], rest: Callable[[float], None]) -> None:
        self._moment = 0.0
        self._turns = 0
        self._latency = latency
        self._rest = rest
        self.calls = 0
        """What threads were asked for and is not heard of yet."""
        super().__init__(_Jump(self))
        self._clock_resolution = 1e-6  # months of seconds leave no room for the usual one

    def time(self) -> float:
        return self._moment

    def jump(self, seconds: float | None) -> None:
        """Let time pass until the next timer, where nothing is left to do before."""
        self._turns = 0 if seconds else self._turns + 1
        if seconds is None:
            raise StuckError("nothing will ever happen again")
        if self._turns > MOST_TURNS or self._moment > LONGEST:
            raise StuckError("time stands still" if self._turns else "it never ends")
        if seconds:
            self._rest(seconds)
            self._moment += seconds

    def call(self, thread: "Thread", call: Call) -> None:
        """Ask a thread for something; calls of one thread are carried out, and heard of, one after the other."""
        self.calls += 1
        thread.asked.append(call)
        self.call_later(self._latency(), self._carry_out, thread)

    def _carry_out(self, thread: "Thread") -> None:
        if thread.asked:
            future, function = thread.asked.popleft()
            thread.answers.append((future, *_outcome(function)))
            self.call_later(self._latency(), self._hear, thread)

    def _hear(self, thread: "Thread") -> None:
        if thread.answers:
            self.calls -= 1
            future, answer, error = thread.answers.popleft()
            if future is None or future.done():
                return
            if error is not None:
                future.set_exception(error)
            else:
                future.set_result(answer)

    def lose(self, thread: "Thread") -> None:
        """Let nothing come of what a thread was asked for and has not done, and nobody hear of what it has done."""
        self.calls -= len(thread.asked) + len(thread.answers)
        thread.asked.clear()
        thread.answers.clear()


class _Jump(selectors.SelectSelector):
    """In place of waiting for sockets, of which there are none, time passes."""

    def __init__(self, loop: SimulatedLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        self._loop.jump(timeout)
        return []


class Thread(SimpleQueue[Call]):
    """The queue in front of one of aiosqlite's threads."""

    def __init__(self) -> None:
        self.asked: deque[Call] = deque()
        self.answers: deque[tuple[asyncio.Future[Any] | None, Any, Exception | None]] = deque()

    def put_nowait(self, item: Call) -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, SimulatedLoop)
        loop.call(self, item)


def _outcome(function: Callable[[], Any]) -> tuple[Any, Exception | None]:
    try:
        return function(), None
    except Exception as error:  # noqa: BLE001 - whatever it is, who asked hears of it
        return None, error
