"""Waiting lines: what is wanted by more than can have it at once."""

from collections import deque
from collections.abc import Callable
from functools import partial

from hookd.bench.simulate.calendar import Action, Calendar

SLICE = 0.0005
"""Seconds after which long work goes to the end of the line, as a scheduler has threads take turns."""

Serve = Callable[[float, Action], None]
"""Works for so many seconds, then does what follows."""


class Line:
    """A number of alike servers, and one line in front of them: cores, or an interpreter, which is one."""

    def __init__(self, servers: int, serve: Serve) -> None:
        """`serve` is what a server does its work by: the calendar, or another line."""
        self.servers = servers
        self.busy = 0.0
        """Seconds of work that were begun, of all servers together."""
        self._idle = servers
        self._serve = serve
        self._waiting: deque[tuple[float, Action]] = deque()

    def ask(self, seconds: float, done: Action) -> None:
        """Have work done, and then what follows."""
        self._waiting.append((seconds, done))
        self._go_on()

    def _go_on(self) -> None:
        while self._idle and self._waiting:
            seconds, done = self._waiting.popleft()
            piece = min(seconds, SLICE)
            self._idle -= 1
            self.busy += piece
            self._serve(piece, partial(self._ended, seconds - piece, done))

    def _ended(self, left: float, done: Action) -> None:
        self._idle += 1
        if left > 0:
            self._waiting.append((left, done))
        else:
            done()
        self._go_on()


class Journal:
    """A log on disk: who commits while it is being flushed waits for the next flush, which is for all of them."""

    def __init__(self, calendar: Calendar, fsync: float, rate: float) -> None:
        """`fsync` in seconds; `rate` in bytes a second."""
        self.writing = 0.0
        """Seconds that the bytes alone took."""
        self.flushes = 0
        self._calendar = calendar
        self._fsync = fsync
        self._rate = rate
        self._flushing = False
        self._size = 0.0
        self._waiting: list[Action] = []

    def flush(self, size: float, done: Action) -> None:
        """Have so many bytes on disk, and then what follows."""
        self._size += size
        self._waiting.append(done)
        if not self._flushing:
            self._begin()

    def _begin(self) -> None:
        waiting, self._waiting = self._waiting, []
        writing, self._size = self._size / self._rate, 0.0
        self._flushing = True
        self.writing += writing
        self.flushes += 1
        self._calendar.after(self._fsync + writing, partial(self._ended, waiting))

    def _ended(self, waiting: list[Action]) -> None:
        self._flushing = False
        if self._waiting:
            self._begin()
        for done in waiting:
            done()
