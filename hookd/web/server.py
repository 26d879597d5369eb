"""The server that an application runs on."""

import logging

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from hookd.text import one_line

log = logging.getLogger(__name__)


def runner(app: web.Application, drain: float) -> web.AppRunner:
    """Make the server of an application; when it stops, requests under way have `drain` seconds to end.

    Bodies are not decompressed: a signature covers the bytes that were sent.
    """
    return web.AppRunner(app, access_log=None, logger=log, auto_decompress=False, shutdown_timeout=drain)


def _in_one_line(record: logging.LogRecord) -> bool:
    """Log what is not HTTP in one line, so that nobody can fill the log with tracebacks; its answer is a 400."""
    error = record.exc_info[1] if record.exc_info else None
    if isinstance(error, HttpProcessingError):
        record.msg = f"{record.msg}: not HTTP: {one_line(error.message).replace('%', '%%')}"
        record.exc_info = None
        record.levelno, record.levelname = logging.INFO, "INFO"
    return log.isEnabledFor(record.levelno)


log.addFilter(_in_one_line)
