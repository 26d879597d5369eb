"""A relay between a process and its PostgreSQL server, which counts what is asked."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import parse_qs, urlencode, urlsplit

QUERY, EXECUTE = ord("Q"), ord("E")
"""The messages that ask for something (PostgreSQL, Message Formats)."""

PORT: Final = 5432
_CHUNK = 65536


@dataclass(slots=True)
class Counter:
    """Counts the requests in what a client sends over one connection."""

    requests: int = 0
    _begun: bool = False
    """Whether the first message has passed, which alone has no type."""
    _pending: bytearray = field(default_factory=bytearray)

    def feed(self, data: bytes) -> None:
        """Take in more of it."""
        self._pending += data
        while True:
            start = 1 if self._begun else 0
            if len(self._pending) < start + 4:
                return
            end = start + int.from_bytes(self._pending[start : start + 4], "big")
            if len(self._pending) < end:
                return
            self.requests += self._begun and self._pending[0] in (QUERY, EXECUTE)
            self._begun = True
            del self._pending[:end]


@dataclass(slots=True)
class Relay:
    """Passes connections on."""

    url: str
    """Where a process is to connect."""
    counters: list[Counter] = field(default_factory=list)

    @property
    def requests(self) -> int:
        """How many requests have passed."""
        return sum(counter.requests for counter in self.counters)


@contextlib.asynccontextmanager
async def relayed(url: str) -> AsyncIterator[Relay]:
    """Listen in front of the server that a URL leads to."""
    relay = Relay("")
    links: set[asyncio.Task[None]] = set()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is not None:
            links.add(task)
        counter = Counter()
        relay.counters.append(counter)
        behind_reader, behind_writer = await _connect(url)
        with contextlib.suppress(OSError):
            await asyncio.gather(_pass(reader, behind_writer, counter), _pass(behind_reader, writer, None))

    listener = await asyncio.start_server(accept, "127.0.0.1", 0)
    relay.url = _at(url, listener.sockets[0].getsockname()[1])
    try:
        yield relay
    finally:
        listener.close()
        for link in links:
            link.cancel()
        await asyncio.gather(*links, return_exceptions=True)


async def _pass(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, counter: Counter | None) -> None:
    try:
        while data := await reader.read(_CHUNK):
            if counter is not None:
                counter.feed(data)
            writer.write(data)
            await writer.drain()
    finally:
        writer.close()


async def _connect(url: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    parts = urlsplit(url)
    host = parse_qs(parts.query).get("host", [parts.hostname or "127.0.0.1"])[0]
    port = parts.port or PORT
    if host.startswith("/"):
        return await asyncio.open_unix_connection(f"{host}/.s.PGSQL.{port}")
    return await asyncio.open_connection(host, port)


def _at(url: str, port: int) -> str:
    """Answer the URL that leads to the relay; in the clear, or nothing could be counted."""
    parts = urlsplit(url)
    user = parts.netloc.rpartition("@")[0]
    query = {name: values[0] for name, values in parse_qs(parts.query).items() if name not in ("host", "sslmode")}
    netloc = f"{user}@127.0.0.1:{port}" if user else f"127.0.0.1:{port}"
    return parts._replace(netloc=netloc, query=urlencode(query | {"sslmode": "disable"})).geturl()
