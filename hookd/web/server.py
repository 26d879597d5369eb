"""The server that an application runs on."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

from aiohttp import web

from hookd.errors import StartError
from hookd.web.connection import Connection
from hookd.web.problems import boundary

BACKLOG = 1024
"""Connections that wait to be accepted, at the most."""

GRACE = 1.0
"""Seconds for the last answers to be written, once everything else has ended."""


class _Server(web.Server):
    """Makes a Connection of every connection."""

    def __call__(self) -> Connection:
        return Connection(self, loop=self._loop, **self._kwargs)


class _Runner(web.AppRunner):
    """Runs an application behind the boundary, on connections of ours."""

    async def _make_server(self) -> web.Server:
        made = await super()._make_server()
        guarded = partial(boundary, handler=made.request_handler)
        return _Server(guarded, request_factory=made.request_factory, **self._kwargs)


def runner(app: web.Application, drain: float) -> web.AppRunner:
    """Make the server of an application; when it stops, requests under way have `drain` seconds to end.

    Bodies are not decompressed: a signature covers the bytes that were sent.
    """
    return _Runner(app, access_log=None, auto_decompress=False, shutdown_timeout=drain)


@asynccontextmanager
async def listening(app: web.Application, host: str, port: int) -> AsyncIterator[str]:
    """Serve an application at an address, and answer its URL; StartError where the address can't be had."""
    server = runner(app, GRACE)
    await server.setup()
    try:
        try:
            await web.TCPSite(server, host, port, backlog=BACKLOG).start()
        except OSError as error:
            raise StartError(f"[server]: can't listen on {host}:{port}: {os.strerror(error.errno or 0)}") from None
        bound = server.addresses[0]
        name = f"[{bound[0]}]" if ":" in bound[0] else bound[0]
        yield f"http://{name}:{bound[1]}"
    finally:
        await server.cleanup()
