"""A pooler in transaction mode, as PgBouncer is one, and stricter: no two transactions in a row get the same session.

PgBouncer gives a transaction whichever of its sessions is free, which for few clients is mostly the one that they had
before: what relies on that works by chance. Here sessions are handed out in turn.
"""

import asyncio
import struct
from contextlib import suppress
from types import TracebackType
from typing import Final, Never, Self
from urllib.parse import parse_qs, urlsplit

SSL_REQUEST: Final = 80877103
VERSION: Final = 196608
"""Of the protocol: 3.0 (PostgreSQL, "Message Formats")."""
END: Final = b"X"
READY: Final = b"Z"
IDLE: Final = b"I"
PARAMETER: Final = b"S"


KNOWN: Final = {"user", "database", "client_encoding", "application_name"}
"""What a client may ask for when it comes; PgBouncer keeps few of a session's settings apart, too."""


class Session:
    """A session at the server, between two transactions."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.parameters = b""
        """What the server told of itself, for clients to know."""

    async def begin(self, database: str) -> None:
        body = struct.pack("!i", VERSION) + f"user\0postgres\0database\0{database}\0\0".encode()
        self.writer.write(struct.pack("!i", len(body) + 4) + body)
        message = b""
        while message[:1] != READY:
            message = await receive(self.reader)
            self.parameters += message if message[:1] == PARAMETER else b""


async def receive(reader: asyncio.StreamReader) -> bytes:
    """Read one message."""
    head = await reader.readexactly(5)
    return head + await reader.readexactly(struct.unpack("!i", head[1:])[0] - 4)


async def end(writer: asyncio.StreamWriter) -> None:
    """Break a connection off."""
    writer.transport.abort()
    with suppress(ConnectionError):
        await writer.wait_closed()


async def refuse(writer: asyncio.StreamWriter, text: str) -> Never:
    """Tell a client why it is not let in (ErrorResponse), as PgBouncer does, and give it up."""
    fields = f"SFATAL\0C08P01\0M{text}\0\0".encode()
    writer.write(struct.pack("!ci", b"E", len(fields) + 4) + fields)
    await writer.drain()
    raise ConnectionRefusedError(text)


class Pooler:
    """Listens on loopback, and has so many sessions at a server that trusts it, on a unix socket."""

    def __init__(self, address: str, sessions: int = 4) -> None:
        parts = urlsplit(address)
        self._socket = parse_qs(parts.query)["host"][0] + "/.s.PGSQL.5432"
        self._database = parts.path.removeprefix("/")
        self._count = sessions
        self._free: asyncio.Queue[Session] = asyncio.Queue()
        self._clients: set[asyncio.Task[None]] = set()
        self.transactions = 0
        """How many were carried out."""

    async def __aenter__(self) -> Self:
        for _ in range(self._count):
            await self._add()
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        port = self._server.sockets[0].getsockname()[1]
        self.address = f"postgresql://postgres@127.0.0.1:{port}/{self._database}"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.close()
        for task in self._clients:
            task.cancel()
        await asyncio.gather(*self._clients, return_exceptions=True)
        while not self._free.empty():
            await end(self._free.get_nowait().writer)

    async def _add(self) -> None:
        session = Session(*await asyncio.open_unix_connection(self._socket))
        await session.begin(self._database)
        self._free.put_nowait(session)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._serve(reader, writer))
        self._clients.add(task)
        task.add_done_callback(self._clients.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        client = Client(reader, writer)
        with suppress(asyncio.IncompleteReadError, ConnectionError):  # the client has gone
            try:
                await self._greet(reader, writer)
                client.next = asyncio.create_task(receive(reader))
                while (await client.next)[:1] != END:
                    await self._carry_out(client)
            finally:
                client.next.cancel()
                await end(writer)

    async def _greet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Let a client in without asking who it is."""
        while True:
            (size,) = struct.unpack("!i", await reader.readexactly(4))
            message = await reader.readexactly(size - 4)
            (code,) = struct.unpack("!i", message[:4])
            if code != SSL_REQUEST:
                break
            writer.write(b"N")
        if unknown := set(message[4:].decode().split("\0")[:-2:2]) - KNOWN:
            await refuse(writer, f"unsupported startup parameter: {min(unknown)}")
        session = await self._free.get()
        self._free.put_nowait(session)
        allowed, key = struct.pack("!cii", b"R", 8, 0), struct.pack("!ciii", b"K", 12, 0, 0)
        writer.write(allowed + session.parameters + key + struct.pack("!cic", READY, 5, IDLE))

    async def _carry_out(self, client: "Client") -> None:
        """Have a session for a transaction, until the server is idle again."""
        session = await self._free.get()
        self.transactions += 1
        try:
            await client.talk_to(session)
        except BaseException:
            await end(session.writer)  # who knows what it is in the middle of
            await self._add()
            raise
        self._free.put_nowait(session)


class Client:
    """A client, of which the next message is being read all the time."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self.next: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    async def talk_to(self, session: Session) -> None:
        """Let it talk with a session until that is idle."""
        answer: asyncio.Future[bytes] = asyncio.create_task(receive(session.reader))
        try:
            while True:
                await asyncio.wait({self.next, answer}, return_when=asyncio.FIRST_COMPLETED)
                if answer.done():
                    message = answer.result()
                    self._writer.write(message)
                    if message[:1] == READY and message[5:] == IDLE:
                        return
                    answer = asyncio.create_task(receive(session.reader))
                elif self.next.done():
                    session.writer.write(self.next.result())
                    self.next = asyncio.create_task(receive(self._reader))
        finally:
            answer.cancel()
