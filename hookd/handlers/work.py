"""What every kind of handler has in common: it is set to work on a message, and may write something."""

import asyncio
from typing import Protocol

from hookd.handlers.message import Message
from hookd.model import Handler


class Output:
    """What a handler writes, of which only the first bytes are kept."""

    def __init__(self, most: int) -> None:
        """Keep so many bytes at most."""
        self._most = most
        self._kept = bytearray()
        self.truncated = False

    @property
    def kept(self) -> bytes:
        """The bytes that are kept so far."""
        return bytes(self._kept)

    def write(self, data: bytes) -> None:
        """Keep what there is room for."""
        room = self._most - len(self._kept)
        self._kept += data[:room]
        self.truncated |= len(data) > room


class Work(Protocol):
    """What the `run` of a handler stands for."""

    def start(self, handler: Handler, message: Message, output: Output) -> asyncio.Future[str | None]:
        """Set it to work. The future answers the error, None for success, once the work has really ended.

        Where it is a task, its cancellation ends the work. RuntimeError where it can't begin.
        """
