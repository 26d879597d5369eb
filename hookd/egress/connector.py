"""The connector: opens connections to receivers, and to no address that the guard blocks."""

import ssl
from functools import partial
from typing import Any

from aiohttp import TCPConnector

from hookd.egress.guard import Guard
from hookd.egress.resolver import GuardedResolver
from hookd.egress.wire import Wire


class Connector(TCPConnector):
    """Dials what the guard lets pass; its connections stand no flood, and the resolver ends with them.

    With a `proxy` it dials that alone, unjudged, since the operator named it. It sets no limit: the delivery loop
    bounds what is in flight. `trusted` stands in for the system's certificates.
    """

    def __init__(self, guard: Guard, resolver: GuardedResolver, *, proxy: bool, trusted: ssl.SSLContext | None) -> None:
        super().__init__(
            limit=0,
            ssl=trusted or True,
            resolver=None if proxy else resolver,
            socket_factory=None if proxy else guard.open_socket,
        )
        self._guarded = resolver
        self._factory = partial(Wire, loop=self._loop)  # type: ignore[assignment] # partial is invariant

    async def close(self, **options: Any) -> None:
        """Close the connections and the resolver."""
        await super().close(**options)
        await self._guarded.close()
