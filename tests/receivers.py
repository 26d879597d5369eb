"""Receivers on loopback, over raw sockets, so that each can misbehave byte by byte."""

import asyncio
import socket
import ssl
import struct
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@dataclass(frozen=True)
class Request:
    """A request as it arrived. Header names are in lower case."""

    line: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Connection:
    """What a behaviour writes to; once it has closed the writer, no more requests are read."""

    reader: asyncio.StreamReader = field(repr=False)
    writer: asyncio.StreamWriter = field(repr=False)

    async def send(self, data: bytes) -> None:
        """Write bytes as they are."""
        self.writer.write(data)
        await self.writer.drain()

    def close(self) -> None:
        """End the connection after what was written."""
        self.writer.close()

    def reset(self) -> None:
        """End the connection at once, by a RST (socket(7), SO_LINGER)."""
        raw = self.writer.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()

    def half_close(self) -> None:
        """Say that nothing more will come; what the other side sends still arrives."""
        self.writer.write_eof()

    async def ended(self) -> None:
        """Wait until the other side has closed."""
        while await self.reader.read(65536):
            pass


Behaviour = Callable[[Connection, Request], Awaitable[None]]
Talk = Callable[[Connection], Awaitable[None]]


def answering(data: bytes, *, close: bool = False) -> Behaviour:
    """Answer every request with these bytes."""

    async def behave(connection: Connection, request: Request) -> None:
        await connection.send(data)
        if close:
            connection.close()

    return behave


class Receiver:
    """A TCP server on loopback that reads requests and leaves the answer to a behaviour.

    It keeps every request, and counts the connections.
    """

    def __init__(
        self,
        behave: Behaviour | None = None,
        *,
        talk: Talk | None = None,
        tls: ssl.SSLContext | None = None,
        host: str = "127.0.0.1",
    ) -> None:
        """`talk` has the connection from its first byte on, in place of `listen`."""
        self.behave = behave or answering(OK)
        self.talk = talk or self.listen
        self.requests: list[Request] = []
        self.connections = 0
        self._tls = tls
        self._host = host
        self._serving: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, self._host, 0, ssl=self._tls)
        self.port: int = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.close()
        for task in self._serving:
            task.cancel()
        await asyncio.gather(*self._serving, return_exceptions=True)

    def url(self, path: str = "/hook", host: str | None = None) -> str:
        """Answer the URL of a path here."""
        return f"{'https' if self._tls else 'http'}://{host or self._host}:{self.port}{path}"

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        task = asyncio.create_task(self._serve(Connection(reader, writer)))
        self._serving.add(task)
        task.add_done_callback(self._serving.discard)

    async def _serve(self, connection: Connection) -> None:
        try:
            await self.talk(connection)
        except (asyncio.IncompleteReadError, ConnectionError):
            return  # the other side has had enough
        finally:
            connection.writer.transport.abort()
            with suppress(ConnectionError):
                await connection.writer.wait_closed()

    async def listen(self, connection: Connection) -> None:
        """Read requests, and behave at each."""
        while not connection.writer.is_closing():
            request = await _read(connection.reader)
            self.requests.append(request)
            await self.behave(connection, request)


async def _read(reader: asyncio.StreamReader) -> Request:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    pairs = (line.partition(": ") for line in head[1:] if line)
    headers = {name.lower(): value for name, _, value in pairs}
    return Request(head[0], headers, await reader.readexactly(int(headers.get("content-length", "0"))))
