"""The connections of all callers: how many there may be, and how long they may keep hookd waiting."""

import asyncio
from dataclasses import dataclass
from typing import Protocol


class Waiting(Protocol):
    """A connection on which it is the caller's turn."""

    def expire(self) -> None:
        """Have waited long enough."""

    def abandon(self) -> None:
        """End the connection at once."""


@dataclass(frozen=True, slots=True)
class Patience:
    """For how many seconds a caller is waited for, however much comes before the time is over."""

    head: float = 15.0
    """From a connection, or the first byte of a request, to the end of the request's head."""
    body: float = 30.0
    """From the end of the head to the end of the body."""
    idle: float = 75.0
    """From an answer to the next request: longer than the proxies in front of it keep theirs, commonly 60 s."""
    answer: float = 30.0
    """For the caller to read on, where more of an answer waits than the kernel takes."""
    say: float = 1.0
    """For a caller to have a say, before somebody else may take the place."""


PATIENCE = Patience()


class Connections:
    """Counts the connections, and knows those that wait for their caller: the longest wait first.

    One timer serves all of them. It goes often enough for nobody to wait a tenth longer than is said above.
    """

    def __init__(self, most: int, patience: Patience = PATIENCE) -> None:
        self.most = most
        """How many there may be at once."""
        self.patience = patience
        self.open = 0
        self._loop = asyncio.get_running_loop()
        self._waits: dict[Waiting, tuple[float, float]] = {}
        """Since when, and until when, by the loop's clock."""
        self._pause = min(patience.head, patience.body, patience.idle, patience.answer) / 10
        self._timer: asyncio.TimerHandle | None = None

    def wait(self, connection: Waiting, seconds: float) -> None:
        """Wait for a caller from now on, for so long."""
        now = self._loop.time()
        self._waits.pop(connection, None)
        self._waits[connection] = now, now + seconds
        if self._timer is None:
            self._timer = self._loop.call_later(self._pause, self._sweep)

    def hasten(self, connection: Waiting, seconds: float) -> None:
        """Wait for no longer than so many seconds from now, for somebody who is waited for."""
        if connection in self._waits:
            since, until = self._waits[connection]
            self._waits[connection] = since, min(until, self._loop.time() + seconds)

    def go_on(self, connection: Waiting) -> None:
        """Wait no more: it is hookd's turn."""
        self._waits.pop(connection, None)

    def leave(self, connection: Waiting) -> None:
        """Forget a connection that was lost."""
        self.open -= 1
        self._waits.pop(connection, None)

    @property
    def room(self) -> int:
        """How many more there may be."""
        return max(0, self.most - self.open)

    def give_way(self) -> bool:
        """End the one that has waited longest; answer whether there is one that has had its say."""
        longest = next(iter(self._waits), None)
        if longest is None or self._waits[longest][0] + self.patience.say > self._loop.time():
            return False
        del self._waits[longest]
        longest.abandon()
        return True

    def _sweep(self) -> None:
        now = self._loop.time()
        for connection in [connection for connection, (_, until) in self._waits.items() if until <= now]:
            del self._waits[connection]
            connection.expire()
        self._timer = self._loop.call_later(self._pause, self._sweep) if self._waits else None
