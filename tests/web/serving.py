"""Serves an application on a real socket of this machine."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web

from hookd.web.server import runner


@asynccontextmanager
async def serve(app: web.Application) -> AsyncIterator[str]:
    server = runner(app, drain=1)
    await server.setup()
    try:
        await web.TCPSite(server, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{server.addresses[0][1]}/"
    finally:
        await server.cleanup()
