"""Serves an application on a real socket of this machine."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web

from hookd.web.connections import Connections
from hookd.web.server import listening

PLENTY = 1000


@asynccontextmanager
async def serve(app: web.Application, connections: Connections | None = None) -> AsyncIterator[str]:
    async with listening(app, "127.0.0.1", 0, connections or Connections(PLENTY)) as url:
        yield url + "/"
