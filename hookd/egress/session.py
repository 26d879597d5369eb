"""The session of all attempts, and its connections."""

import socket
import ssl
from functools import partial
from typing import Any, Final

from aiohttp import (
    ClientHandlerType,
    ClientRequest,
    ClientResponse,
    ClientSession,
    ClientTimeout,
    DummyCookieJar,
    TCPConnector,
)
from multidict import istr

from hookd.egress.guard import Guard, literal
from hookd.egress.resolver import GuardedResolver
from hookd.egress.wire import Wire

KEEP_ALIVE: Final = 4.0
"""Seconds a connection is kept idle: below the 5 s after which common receivers close theirs."""


class BehindProxy:
    """Judges a request's target before the proxy gets it; one that only the proxy resolves is left to it."""

    def __init__(self, guard: Guard, resolver: GuardedResolver) -> None:
        self._guard = guard
        self._resolver = resolver

    async def __call__(self, request: ClientRequest, handler: ClientHandlerType) -> ClientResponse:
        """Pass the request on unless its target may not be dialled."""
        host = request.url.raw_host or ""
        address = literal(host)
        if address is not None:
            self._guard.check(address)
        else:
            await self._resolve(host)
        return await handler(request)

    async def _resolve(self, host: str) -> None:
        try:
            await self._resolver.resolve(host, family=socket.AF_UNSPEC)
        except OSError:
            return


class _Request(ClientRequest):
    """A request that carries the headers it is given, and none by default."""

    DEFAULT_HEADERS: dict[istr, str] = {}  # noqa: RUF012 - as aiohttp declares it


class _Connector(TCPConnector):
    """A connector whose connections stand no flood, and that closes the resolver with them."""

    def __init__(self, guarded: GuardedResolver, **options: Any) -> None:
        super().__init__(**options)
        self._guarded = guarded
        self._factory = partial(Wire, loop=self._loop)  # type: ignore[assignment] # partial is invariant

    async def close(self, **options: Any) -> None:
        """Close the connections and the resolver."""
        await super().close(**options)
        await self._guarded.close()


def open_session(guard: Guard, proxy: str | None = None, trusted: ssl.SSLContext | None = None) -> ClientSession:
    """Open the session of all attempts: it dials what the guard lets pass, and keeps no cookies.

    It sets no limit and no timeout: the loop bounds what is in flight, the attempt its own time. The proxy
    is dialled unjudged, since the operator named it. `trusted` stands in for the system's certificates.
    """
    resolver = GuardedResolver(guard)
    connector = _Connector(
        resolver,
        limit=0,
        keepalive_timeout=KEEP_ALIVE,
        ssl=trusted or True,
        resolver=None if proxy else resolver,
        socket_factory=None if proxy else guard.open_socket,
    )
    return ClientSession(
        connector=connector,
        cookie_jar=DummyCookieJar(),
        auto_decompress=False,
        trust_env=False,
        timeout=ClientTimeout(),
        request_class=_Request,
        proxy=proxy,
        middlewares=(BehindProxy(guard, resolver),) if proxy else (),
    )
