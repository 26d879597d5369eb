"""A listening socket, and who is let in."""

import asyncio
import logging
import socket
from collections.abc import Callable
from functools import partial
from typing import Any, Final

from hookd.web.connections import Connections

AT_ONCE: Final = 8
"""Connections that are accepted in one round of the loop, so that nothing else waits long."""

REST: Final = 0.1
"""Seconds until a door opens again that was closed for want of room."""

log = logging.getLogger(__name__)


class Door:
    """Accepts connections while there is room for them.

    The loops' own servers know no limit, and where file descriptors run out asyncio's logs a traceback a thousand
    times a second.
    """

    def __init__(
        self, listening: socket.socket, connections: Connections, protocol: Callable[[], asyncio.Protocol]
    ) -> None:
        self._listening = listening
        self._connections = connections
        self._protocol = protocol
        self._loop = asyncio.get_running_loop()
        self._arriving: set[asyncio.Task[Any]] = set()
        self._resting: asyncio.TimerHandle | None = None
        self._told = False
        listening.setblocking(False)
        self._open()

    def close(self) -> None:
        """Let nobody in any more."""
        self._loop.remove_reader(self._listening)
        if self._resting is not None:
            self._resting.cancel()
        self._listening.close()

    def _open(self) -> None:
        self._resting = None
        self._loop.add_reader(self._listening, self._accept)

    def _accept(self) -> None:
        """Let a few in; where it is full somebody goes, and there is room in another round of the loop."""
        room = self._connections.room
        if not room:
            if not self._connections.give_way():
                self._rest(f"there are {self._connections.open} already, and none has been idle for long")
            return
        for _ in range(min(AT_ONCE, room)):
            accepted = self._next()
            if accepted is None:
                return
            self._let_in(accepted)

    def _next(self) -> socket.socket | None:
        try:
            accepted, _ = self._listening.accept()
        except (BlockingIOError, InterruptedError, ConnectionAbortedError):
            return None
        except OSError as error:
            self._rest(str(error))
            return None
        self._told = False
        return accepted

    def _rest(self, fault: str) -> None:
        """Leave it to the kernel for a moment to keep those who knock."""
        if not self._told:
            log.warning("no more connections are accepted for now", extra={"fields": {"fault": fault}})
            self._told = True
        self._loop.remove_reader(self._listening)
        self._resting = self._loop.call_later(REST, self._open)

    def _let_in(self, accepted: socket.socket) -> None:
        accepted.setblocking(False)
        self._connections.open += 1
        task = self._loop.create_task(self._loop.connect_accepted_socket(self._protocol, accepted))
        self._arriving.add(task)
        task.add_done_callback(partial(self._arrived, accepted))

    def _arrived(self, accepted: socket.socket, task: asyncio.Task[Any]) -> None:
        self._arriving.discard(task)
        if task.cancelled() or task.exception() is not None:  # nobody will say that it was lost
            accepted.close()
            self._connections.open -= 1
