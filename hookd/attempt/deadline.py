"""Deadlines of many exchanges at once: one timer for the earliest, where asyncio.timeout sets one for each."""

import asyncio
import math
from types import TracebackType
from typing import Self


class Deadlines:
    """The deadlines that are open in an event loop."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self.open: set[Deadline] = set()
        self.earliest = math.inf
        """When the timer ends: no later than the earliest of them."""
        self._timer: asyncio.TimerHandle | None = None

    def within(self, seconds: float) -> "Deadline":
        """`with deadlines.within(15):` raises a TimeoutError in the current task where the block takes longer."""
        return Deadline(self, self._loop.time() + seconds)

    def hasten(self, at: float) -> None:
        """Set the timer to an earlier moment, which is hardly ever needed."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_at(at, self._sweep)
        self.earliest = at

    def _sweep(self) -> None:
        now = self._loop.time()
        for deadline in [deadline for deadline in self.open if deadline.at <= now]:
            self.open.discard(deadline)
            deadline.expire()
        self._timer, self.earliest = None, math.inf
        if self.open:
            self.hasten(min(deadline.at for deadline in self.open))


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
        deadlines = self._deadlines
        deadlines.open.add(self)
        if self.at < deadlines.earliest:
            deadlines.hasten(self.at)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._deadlines.open.discard(self)
        if self._expired and self._task.uncancel() <= self._cancelling and kind is asyncio.CancelledError:
            raise TimeoutError from error

    def expire(self) -> None:
        """End the block."""
        self._expired = True
        self._task.cancel()
