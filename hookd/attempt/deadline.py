"""Deadlines of many exchanges at once: one timer for the earliest, where asyncio.timeout sets one for each."""

import asyncio
from types import TracebackType
from typing import Self


class Deadlines:
    """The deadlines that are open in an event loop."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._open: set[Deadline] = set()
        self._timer: asyncio.TimerHandle | None = None

    def within(self, seconds: float) -> "Deadline":
        """`with deadlines.within(15):` raises a TimeoutError in the current task where the block takes longer."""
        return Deadline(self, self._loop.time() + seconds)

    def add(self, deadline: "Deadline") -> None:
        """Watch a deadline; the timer stays as it is unless this one is earlier, which it hardly ever is."""
        self._open.add(deadline)
        if self._timer is None:
            self._timer = self._loop.call_at(deadline.at, self._sweep)
        elif deadline.at < self._timer.when():
            self._timer.cancel()
            self._timer = self._loop.call_at(deadline.at, self._sweep)

    def discard(self, deadline: "Deadline") -> None:
        """Watch it no more."""
        self._open.discard(deadline)

    def _sweep(self) -> None:
        now = self._loop.time()
        for deadline in [deadline for deadline in self._open if deadline.at <= now]:
            self._open.discard(deadline)
            deadline.expire()
        earliest = min((deadline.at for deadline in self._open), default=None)
        self._timer = None if earliest is None else self._loop.call_at(earliest, self._sweep)


class Deadline:
    """One block's deadline, at a moment of the loop's clock; like asyncio.timeout it ends the block by cancelling."""

    __slots__ = ("_cancelling", "_deadlines", "_expired", "_task", "at")

    def __init__(self, deadlines: Deadlines, at: float) -> None:
        self.at = at
        self._deadlines = deadlines
        self._expired = False

    def __enter__(self) -> Self:
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("a deadline belongs to a task")
        self._task = task
        self._cancelling = task.cancelling()
        self._deadlines.add(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._deadlines.discard(self)
        if self._expired and self._task.uncancel() <= self._cancelling and kind is asyncio.CancelledError:
            raise TimeoutError from error

    def expire(self) -> None:
        """End the block."""
        self._expired = True
        self._task.cancel()
