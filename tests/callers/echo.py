"""An application that says what it was asked, and how it may be asked."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiohttp import web

from hookd.web.body import Bodies, read_body
from tests.web.serving import serve

MOST = 100
"""Bytes of a body that the application reads."""

NEXT = b"GET /next HTTP/1.1\r\nHost: a\r\n\r\n"
"""A request that is tacked on behind another."""


@dataclass
class Echo:
    """A served application that says what it was asked, and remembers it."""

    url: str = ""
    seen: list[str] = field(default_factory=list)
    begun: asyncio.Event = field(default_factory=asyncio.Event)
    go_on: asyncio.Event = field(default_factory=asyncio.Event)
    """While it is clear, requests wait."""

    def __post_init__(self) -> None:
        self.go_on.set()

    async def act(self, request: web.Request) -> web.Response:
        self.begun.set()
        await self.go_on.wait()
        body = await read_body(request, MOST, Bodies())
        self.seen.append(f"{request.method} {request.path} {body.decode()}")
        return web.Response(text=self.seen[-1])


@asynccontextmanager
async def open_echo() -> AsyncIterator[Echo]:
    opened = Echo()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", opened.act)
    async with serve(app) as opened.url:
        yield opened


def get(*headers: bytes, target: bytes = b"/") -> bytes:
    return b"GET %b HTTP/1.1\r\nHost: a\r\n%b\r\n" % (target, b"".join(header + b"\r\n" for header in headers))


def post(*headers: bytes, body: bytes = b"") -> bytes:
    return b"POST / HTTP/1.1\r\nHost: a\r\n%b\r\n%b" % (b"".join(header + b"\r\n" for header in headers), body)


def chunked(body: bytes) -> bytes:
    return post(b"Transfer-Encoding: chunked", body=body)
