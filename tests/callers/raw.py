"""Callers over raw sockets, who may send what they like."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any, Self

WAITING = 10.0
"""Seconds after which an answer, or the end, that does not come fails the test."""


@dataclass(frozen=True)
class Answer:
    """An answer as it arrived. Header names are in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def pointers(self) -> list[str]:
        """Where the faults are."""
        return [error["pointer"] for error in self.json["errors"]]

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Caller:
    """One connection."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def send(self, data: bytes) -> Self:
        """Send bytes as they are; whether the other side still wants them is its affair."""
        self.writer.write(data)
        with suppress(ConnectionError):
            await self.writer.drain()
        return self

    async def answer(self) -> Answer:
        """Read the next answer; IncompleteReadError where the connection has ended."""
        async with asyncio.timeout(WAITING):
            return await self._answer()

    async def _answer(self) -> Answer:
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        pairs = (line.partition(": ") for line in head[1:] if line)
        headers = {name.lower(): value for name, _, value in pairs}
        body = await self.reader.readexactly(int(headers.get("content-length", "0")))
        return Answer(int(head[0].split(" ")[1]), headers, body)

    async def answers(self) -> list[Answer]:
        """Read all answers until the connection ends."""
        found = []
        while True:
            try:
                found.append(await self.answer())
            except (asyncio.IncompleteReadError, ConnectionError):
                return found

    async def ended(self) -> bytes:
        """Wait until the other side has ended the connection, and answer what came before."""
        async with asyncio.timeout(WAITING):
            return await self.reader.read()

    def close(self) -> None:
        """End the connection at once."""
        self.writer.transport.abort()


@asynccontextmanager
async def caller(url: str) -> AsyncIterator[Caller]:
    """Open a connection to the server of a URL, and close it at the end."""
    host, port = url.removeprefix("http://").rstrip("/").split(":")
    opened = Caller(*await asyncio.open_connection(host, int(port)))
    try:
        yield opened
    finally:
        opened.close()


async def ask(url: str, path: str, body: bytes, *headers: str) -> Answer:
    """Post a body to a server, and read what it answers."""
    lines = ("Host: localhost", "Content-Type: application/json", f"Content-Length: {len(body)}", *headers)
    head = "\r\n".join((f"POST {path} HTTP/1.1", *lines, "", ""))
    async with caller(url) as connection:
        sending = asyncio.create_task(connection.send(head.encode() + body))
        try:
            return await connection.answer()
        finally:
            sending.cancel()
