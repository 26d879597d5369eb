"""The server that an application runs on."""

import logging
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from hookd.errors import StartError
from hookd.text import one_line

BACKLOG = 1024
"""Connections that wait to be accepted, at the most."""

GRACE = 1.0
"""Seconds for the last answers to be written, once everything else has ended."""

log = logging.getLogger(__name__)


def runner(app: web.Application, drain: float) -> web.AppRunner:
    """Make the server of an application; when it stops, requests under way have `drain` seconds to end.

    Bodies are not decompressed: a signature covers the bytes that were sent.
    """
    return web.AppRunner(app, access_log=None, logger=log, auto_decompress=False, shutdown_timeout=drain)


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


def _in_one_line(record: logging.LogRecord) -> bool:
    """Log what is not HTTP in one line, so that nobody can fill the log with tracebacks; its answer is a 400."""
    error = record.exc_info[1] if record.exc_info else None
    if isinstance(error, HttpProcessingError):
        record.msg = f"{record.msg}: not HTTP: {one_line(error.message).replace('%', '%%')}"
        record.exc_info = None
        record.levelno, record.levelname = logging.INFO, "INFO"
    return log.isEnabledFor(record.levelno)


log.addFilter(_in_one_line)
