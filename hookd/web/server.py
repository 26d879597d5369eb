"""The server that an application runs on."""

import asyncio
import os
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import Any

from aiohttp import web

from hookd.errors import StartError
from hookd.web.connection import Connection
from hookd.web.connections import Connections
from hookd.web.door import Door
from hookd.web.problems import boundary

BACKLOG = 1024
"""Connections that wait to be accepted, at the most."""

GRACE = 1.0
"""Seconds for the last answers to be written, once everything else has ended."""


class _Server(web.Server):
    """Makes a Connection of every connection."""

    def __init__(self, handler: Any, connections: Connections, **options: Any) -> None:
        super().__init__(handler, **options)
        self._callers = connections

    def __call__(self) -> Connection:
        return Connection(self, self._callers, loop=self._loop, **self._kwargs)


class _Runner(web.AppRunner):
    """Runs an application behind the boundary, on connections of ours.

    Bodies are not decompressed: a signature covers the bytes that were sent.
    """

    def __init__(self, app: web.Application, connections: Connections) -> None:
        super().__init__(app, access_log=None, auto_decompress=False, shutdown_timeout=GRACE)
        self._connections = connections

    async def _make_server(self) -> web.Server:
        made = await super()._make_server()
        guarded = partial(boundary, handler=made.request_handler)
        return _Server(guarded, self._connections, request_factory=made.request_factory, **self._kwargs)


@asynccontextmanager
async def listening(app: web.Application, host: str, port: int, connections: Connections) -> AsyncIterator[str]:
    """Serve an application at an address, and answer its URL; StartError where the address can't be had."""
    runner = _Runner(app, connections)
    async with AsyncExitStack() as stack:
        stack.push_async_callback(runner.cleanup)
        await runner.setup()
        if runner.server is None:
            raise AssertionError("a runner that is set up has a server")
        sockets = await _listen(host, port)
        for opened in sockets:
            stack.callback(Door(opened, connections, runner.server).close)
        bound = sockets[0].getsockname()
        name = f"[{bound[0]}]" if ":" in bound[0] else bound[0]
        yield f"http://{name}:{bound[1]}"


async def _listen(host: str, port: int) -> list[socket.socket]:
    """Listen at every address of a host."""
    sockets: list[socket.socket] = []
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
        for family, address in dict.fromkeys((family, address) for family, _, _, _, address in found):
            sockets.append(socket.create_server(address, family=family, backlog=BACKLOG))
    except OSError as error:
        for opened in sockets:
            opened.close()
        unknown = isinstance(error, socket.gaierror)
        fault = error.strerror if unknown else os.strerror(error.errno or 0)
        raise StartError(f"[server]: can't listen on {host}:{port}: {fault}") from None
    return sockets
