"""The way between a process and its PostgreSQL server, which can be cut, mended, broken off, or lose an answer."""

import asyncio
from contextlib import suppress
from enum import Enum
from types import TracebackType
from typing import Self
from urllib.parse import parse_qs, urlsplit

GULP = 65536
COMMIT = b"COMMIT\0"
"""How a commit ends on the wire (PostgreSQL, 55.7: Query)."""


class Loss(Enum):
    """What becomes of the next commit, whose connection breaks off unanswered."""

    REQUEST = "it never reaches the server"
    ANSWER = "the server carries it out"
    DELAYED = "the server carries it out, but only when it is let go"


class Wire:
    """A proxy on loopback; `address` is the URL of the same database through it."""

    def __init__(self, address: str) -> None:
        self._target = urlsplit(address)
        self._links: set[_Link] = set()
        self._serving: set[asyncio.Task[None]] = set()
        self.open = asyncio.Event()
        self.open.set()
        self.loss: Loss | None = None
        """What the next commit meets."""
        self.lost = asyncio.Event()
        """Set once a commit was lost."""
        self.let_go = asyncio.Event()
        self.longest: int | None = None
        """Bytes of one connection's answers after which nothing gets through."""
        self.holds = False
        """Whether a process is not told that the server has closed a connection."""
        self.closed = asyncio.Event()
        """Set once that was so."""

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        port = self._server.sockets[0].getsockname()[1]
        self.address = f"postgresql://{self._target.username or 'postgres'}@127.0.0.1:{port}{self._target.path}"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.close()
        for task in self._serving:
            task.cancel()
        await asyncio.gather(*self._serving, return_exceptions=True)

    def cut(self) -> None:
        """From now on nothing gets through, and nobody is told; what is sent waits."""
        self.open.clear()

    def mend(self) -> None:
        """Let what was sent meanwhile through, and all that comes."""
        self.open.set()

    def break_off(self) -> None:
        """End all connections."""
        for link in self._links:
            link.end()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._serve(reader, writer))
        self._serving.add(task)
        task.add_done_callback(self._serving.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await self.open.wait()
            server_reader, server_writer = await self._connect()
        except OSError:
            writer.transport.abort()
            return
        link = _Link(self, writer, server_writer)
        self._links.add(link)
        try:
            await asyncio.gather(link.ask(reader), link.answer(server_reader))
        finally:
            link.end()
            self._links.discard(link)

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        folder = parse_qs(self._target.query).get("host")
        if folder is not None:
            return await asyncio.open_unix_connection(f"{folder[0]}/.s.PGSQL.{self._target.port or 5432}")
        return await asyncio.open_connection(self._target.hostname, self._target.port or 5432)


class _Link:
    """One connection through the wire."""

    def __init__(self, wire: Wire, client: asyncio.StreamWriter, server: asyncio.StreamWriter) -> None:
        self._wire, self._client, self._server = wire, client, server
        self._loss: Loss | None = None
        self._answered = 0

    async def ask(self, client: asyncio.StreamReader) -> None:
        """Pass on what the process says."""
        with suppress(ConnectionError):
            while data := await client.read(GULP):
                await self._wire.open.wait()
                await self._pass_on(data)
        if self._loss in (None, Loss.REQUEST):
            self.end()

    async def _pass_on(self, data: bytes) -> None:
        if data.endswith(COMMIT) and self._wire.loss is not None:
            self._loss, self._wire.loss = self._wire.loss, None
            self._client.transport.abort()
            self._wire.lost.set()
        if self._loss is Loss.REQUEST:
            return
        if self._loss is Loss.DELAYED:
            await self._wire.let_go.wait()
        self._server.write(data)
        await self._server.drain()

    async def answer(self, server: asyncio.StreamReader) -> None:
        """Pass on what the server says, unless that is to be lost."""
        with suppress(ConnectionError):
            while (data := await server.read(GULP)) and self._loss is None:
                self._answered += len(data)
                if self._wire.longest is not None and self._answered > self._wire.longest:
                    self._wire.cut()
                await self._wire.open.wait()
                self._client.write(data)
                await self._client.drain()
        if self._wire.holds:
            self._wire.closed.set()
        else:
            self.end()

    def end(self) -> None:
        """Break the connection off, to both sides."""
        self._client.transport.abort()
        self._server.transport.abort()
