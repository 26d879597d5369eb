"""The session of all attempts: POSTs to receivers, over connections that are kept for the next time."""

import asyncio
import socket
import ssl
from collections import deque
from collections.abc import Mapping
from functools import lru_cache
from time import monotonic
from types import TracebackType
from typing import Final, NamedTuple, Self

from aiohttp import BasicAuth, ClientConnectorError, ClientRequest, ClientTimeout, StreamReader
from aiohttp.client_reqrep import ConnectionKey
from aiohttp.connector import Connection
from aiohttp.http import RawResponseMessage
from yarl import URL

from hookd.egress.connector import Connector
from hookd.egress.guard import Guard, literal
from hookd.egress.resolver import GuardedResolver
from hookd.egress.wire import Wire

KEEP_ALIVE: Final = 4.0
"""Seconds a connection is kept idle: below the 5 s after which common receivers close theirs."""

KEPT: Final = 4096
"""Connections that are kept idle at the most."""

_TARGETS: Final = 4096
"""URLs that are remembered as targets."""

_NO_TIMEOUT: Final = ClientTimeout()


class Target(NamedTuple):
    """Where a request goes."""

    dialled: ClientRequest
    """What aiohttp's connector has to know, so as to connect; it is never sent."""
    key: ConnectionKey
    """What connections that can carry the request have in common."""
    start: str
    """The request line, and the headers that are the same for every request."""


class Answer:
    """An answer whose head has come; `content` is its body as it comes. `end` it in any case."""

    __slots__ = ("_connection", "_key", "_session", "_wire", "content", "headers", "status")

    def __init__(
        self,
        message: RawResponseMessage,
        content: StreamReader,
        wire: Wire,
        session: "Session",
        key: ConnectionKey,
        connection: Connection,
    ) -> None:
        self.status = message.code
        self.headers = message.headers
        self.content = content
        self._wire = wire
        self._session = session
        self._key = key
        self._connection = connection

    @property
    def whole(self) -> bool:
        """Say whether nothing is missing at the end of its body."""
        return self._wire.whole

    def end(self) -> None:
        """Keep the connection for another request, or close it where more of this answer could come."""
        self._session.keep(self._key, self._connection)


class Session:
    """POSTs what it is given, and nothing else: no cookies, no redirects, no headers or timeouts of its own.

    It speaks HTTP/1.1 (RFC 9112) over aiohttp's connections and parser; aiohttp's own session takes three times
    as long for a request.
    """

    def __init__(
        self,
        guard: Guard,
        resolver: GuardedResolver,
        connector: Connector,
        *,
        proxy: URL | None,
        keep_alive: float,
        kept: int,
    ) -> None:
        self._guard = guard
        self._resolver = resolver
        self._connector = connector
        self._proxy = proxy
        self._keep_alive = keep_alive
        self._most = kept
        self._loop = asyncio.get_running_loop()
        self._target = lru_cache(_TARGETS)(self._aim)
        self._kept: dict[ConnectionKey, deque[tuple[float, Connection]]] = {}
        self._count = 0
        self._sweeping: asyncio.TimerHandle | None = None
        self._closed = False

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def post(self, url: str, headers: Mapping[str, str], body: bytes) -> Answer:
        """Send one request, and return once the head of its answer is there.

        BlockedAddress where the URL leads to an address that may not be dialled; aiohttp's ClientError and
        HttpProcessingError, or an OSError, where there is no answer.
        """
        target = self._target(url)
        head = _head(target.start, headers, len(body))
        if self._proxy is not None:
            await self._judge(target.dialled.url.raw_host or "")
        connection = self._take(target.key) or await self._connect(target.dialled)
        try:
            wire = connection.protocol
            assert isinstance(wire, Wire)  # noqa: S101 - the connector makes no other
            message, content = await wire.exchange(head, body)
        except BaseException:
            connection.close()
            raise
        return Answer(message, content, wire, self, target.key, connection)

    async def _connect(self, dialled: ClientRequest) -> Connection:
        try:
            return await self._connector.connect(dialled, [], _NO_TIMEOUT)
        except ClientConnectorError as error:  # its traceback would hold itself, and the buffers of TLS
            raise error.with_traceback(None) from error.__cause__

    def _aim(self, url: str) -> Target:
        dialled = ClientRequest("POST", URL(url), loop=self._loop, proxy=self._proxy)
        path, own = dialled.url.raw_path_qs, f"host: {dialled.headers['Host']}\r\n"
        if self._proxy is not None and not dialled.is_ssl():  # the proxy itself reads the request (RFC 9112, 3.2.2)
            path = str(dialled.url)
            credentials = BasicAuth.from_url(self._proxy)
            if credentials is not None:
                own += f"proxy-authorization: {credentials.encode()}\r\n"
        return Target(dialled, dialled.connection_key, f"POST {path} HTTP/1.1\r\n{own}")

    async def _judge(self, host: str) -> None:
        """Refuse a target behind a proxy that may not be dialled; a name that only the proxy knows is left to it."""
        address = literal(host)
        if address is not None:
            self._guard.check(address)
            return
        try:
            await self._resolver.resolve(host, family=socket.AF_UNSPEC)
        except OSError:
            return

    # Connections that are kept.

    def _take(self, key: ConnectionKey) -> Connection | None:
        """Answer a kept connection that still stands, the latest first, so that those too many grow old."""
        kept = self._kept.get(key)
        while kept:
            since, connection = kept.pop()
            self._count -= 1
            if not connection.closed and monotonic() - since <= self._keep_alive:
                return connection
            connection.close()
        return None

    def keep(self, key: ConnectionKey, connection: Connection) -> None:
        """Keep a connection whose answer has ended; close one that can carry no other request."""
        wire = connection.protocol
        if not isinstance(wire, Wire) or not wire.rest() or self._closed or self._count >= self._most:
            connection.close()
            return
        kept = self._kept.get(key)
        if kept is None:
            kept = self._kept[key] = deque()
        kept.append((monotonic(), connection))
        self._count += 1
        if self._sweeping is None:
            self._sweeping = self._loop.call_later(self._keep_alive, self._sweep)

    def _sweep(self) -> None:
        """Close what has been idle for too long."""
        self._drop(monotonic() - self._keep_alive)
        self._sweeping = self._loop.call_later(self._keep_alive, self._sweep) if self._kept else None

    def _drop(self, before: float) -> None:
        for key, kept in list(self._kept.items()):
            while kept and kept[0][0] <= before:
                kept.popleft()[1].close()
                self._count -= 1
            if not kept:
                del self._kept[key]

    async def close(self) -> None:
        """Close every connection, those in use too."""
        self._closed = True
        if self._sweeping is not None:
            self._sweeping.cancel()
        self._drop(monotonic())
        await self._connector.close()


def _head(start: str, headers: Mapping[str, str], size: int) -> bytes:
    """Write the head of a request; ValueError where a header would break out of its line (RFC 9110, 5.5)."""
    fields = "".join([f"{name}: {value}\r\n" for name, value in headers.items()])
    if fields.count("\r") + fields.count("\n") != 2 * len(headers) or "\0" in fields:
        raise ValueError("a header contains a line break or a NUL")
    return f"{start}{fields}content-length: {size}\r\n\r\n".encode("ascii")


def open_session(
    guard: Guard,
    proxy: str | None = None,
    trusted: ssl.SSLContext | None = None,
    *,
    keep_alive: float = KEEP_ALIVE,
    kept: int = KEPT,
) -> Session:
    """Open the session of all attempts: it dials what the guard lets pass.

    The proxy is dialled unjudged, since the operator named it. `trusted` stands in for the system's certificates;
    of the connections, `kept` at most are kept idle, for `keep_alive` seconds.
    """
    resolver = GuardedResolver(guard, for_proxy=proxy is not None)
    connector = Connector(guard, resolver, proxy=proxy is not None, trusted=trusted)
    behind = None if proxy is None else URL(proxy)
    return Session(guard, resolver, connector, proxy=behind, keep_alive=keep_alive, kept=kept)
