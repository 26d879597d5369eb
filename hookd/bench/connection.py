"""A connection to a server under load: sends POSTs one after the other, and tells of each answer and of a fault."""

import asyncio
from collections.abc import Callable
from typing import cast

from hookd.bench.wire import BenchError, Message, Reader


class Connection(asyncio.Protocol):
    """A keep-alive connection; whoever opened it hears of each answer, and of a fault."""

    def __init__(self, answered: Callable[["Connection", Message], None], failed: Callable[[BenchError], None]) -> None:
        self._answered = answered
        self._failed = failed
        self._reader = Reader()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the way out."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is one in deed, not by name

    def send(self, request: bytes) -> None:
        """Send a request; at most one is under way."""
        self._transport.write(request)

    def close(self) -> None:
        """Close the connection."""
        self._transport.close()

    def data_received(self, data: bytes) -> None:
        """Pass each answer on; anything but 2xx is a fault."""
        try:
            for message in self._reader.feed(data):
                _check(message)
                self._answered(self, message)
        except BenchError as error:
            self._failed(error)

    def connection_lost(self, error: Exception | None) -> None:
        """Count as a fault what we did not close ourselves."""
        self._failed(BenchError(f"the server closed the connection ({error or 'end of stream'})"))


def _check(answer: Message) -> None:
    if not 200 <= answer.status < 300:
        raise BenchError(f"{answer.status} {answer.body[:200].decode(errors='replace')}")


async def connect(
    port: int, answered: Callable[[Connection, Message], None], failed: Callable[[BenchError], None]
) -> Connection:
    """Open a connection to a port of 127.0.0.1."""
    try:
        _, connection = await asyncio.get_running_loop().create_connection(
            lambda: Connection(answered, failed), "127.0.0.1", port
        )
    except OSError as error:
        raise BenchError(f"can't connect to 127.0.0.1:{port}: {error}") from error
    return connection


def request_bytes(port: int, path: str, body: str) -> bytes:
    """Write the POST as it goes over the wire, with nothing a curl user would not send."""
    content = body.encode()
    head = (
        f"POST {path} HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\n"
        f"content-type: application/json\r\ncontent-length: {len(content)}\r\n\r\n"
    )
    return head.encode() + content
