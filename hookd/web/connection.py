"""A caller's connection: what is no HTTP is told as a problem like any other, and ends it."""

import logging
from http import HTTPStatus
from typing import Any, Final

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError, InvalidURLError, LineTooLong
from aiohttp.streams import EMPTY_PAYLOAD, StreamReader
from aiohttp.web_protocol import RequestHandler, _ErrInfo

from hookd.text import printable
from hookd.web.problems import note_refusal, refusal

LONGEST_TARGET: Final = 8000
"""Bytes of a request's target (RFC 9110 section 4.1 asks for at least so many)."""

LONGEST_FIELD: Final = 8190
"""Bytes of one header field, its name and its value together."""

log = logging.getLogger(__name__)


class Connection(RequestHandler):
    """aiohttp's connection, which here says what it refuses in hookd's words, and to whoever waits for a body."""

    __slots__ = ("_body", "_broken")

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, max_line_size=LONGEST_TARGET, max_field_size=LONGEST_FIELD, **options)
        self._body: StreamReader = EMPTY_PAYLOAD
        """The body of the latest request, which may still be coming."""
        self._broken = False

    def data_received(self, data: bytes) -> None:
        """Take in what has arrived."""
        super().data_received(data)
        if self._messages:
            message, body = self._messages[-1]
            if not isinstance(message, _ErrInfo):
                self._body = body
            elif not self._body.is_eof():
                self._break_off(_judge(message.exc, message.message)[1])

    def _break_off(self, fault: str) -> None:
        """Tell the reader of a body that its rest is no HTTP, which aiohttp would have it wait for."""
        self._broken = True
        self._body.set_exception(web.RequestPayloadError(fault))

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        """Write the answer."""
        if self._broken:
            resp.force_close()
        return await super().finish_response(request, resp, start_time)

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Answer what could not be read as a request."""
        if not isinstance(exc, HttpProcessingError):
            return super().handle_error(request, status, exc, message)
        return refusal(*_judge(exc, message or ""))

    def log_exception(self, *args: Any, **options: Any) -> None:
        """Log what is a fault of hookd with its traceback, and what is one of the caller in a line."""
        error = options.get("exc_info")
        if isinstance(error, web.RequestPayloadError):
            note_refusal(HTTPStatus.BAD_REQUEST, str(error))
        else:
            log.error(*args, **options)


def _judge(error: BaseException, said: str) -> tuple[HTTPStatus, str]:
    """Answer the status of what is no HTTP, and what is wrong with it: never its bytes, which may hold a secret."""
    match error:
        case LineTooLong() if error.args[1] == LONGEST_TARGET:
            return HTTPStatus.REQUEST_URI_TOO_LONG, f"the target is longer than {LONGEST_TARGET} bytes"
        case LineTooLong():
            return HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, f"a header is longer than {LONGEST_FIELD} bytes"
        case InvalidURLError():
            return HTTPStatus.BAD_REQUEST, "not HTTP: Invalid target"
        case _:
            return HTTPStatus.BAD_REQUEST, f"not HTTP: {printable(said.partition(':')[0].rstrip('.'))}"
