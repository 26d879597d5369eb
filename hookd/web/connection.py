"""A caller's connection: what is no HTTP is told as a problem like any other, and ends it."""

import asyncio
import logging
from http import HTTPStatus
from typing import Any, Final

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError, InvalidURLError, LineTooLong
from aiohttp.streams import EMPTY_PAYLOAD, StreamReader
from aiohttp.web_protocol import RequestHandler, _ErrInfo

from hookd.text import printable
from hookd.web.connections import Connections
from hookd.web.problems import RequestError, note_refusal, refusal

LONGEST_TARGET: Final = 8000
"""Bytes of a request's target (RFC 9110 section 4.1 asks for at least so many)."""

LONGEST_FIELD: Final = 8190
"""Bytes of one header field, its name and its value together."""

LONGEST_HEAD: Final = 64 * 1024
"""Bytes of a request's head that may wait for the rest of it."""

log = logging.getLogger(__name__)


class Connection(RequestHandler):
    """aiohttp's connection, which here waits for its caller only so long, and says in hookd's words what it refuses."""

    __slots__ = ("_body", "_broken", "_busy", "_connections", "_head")

    def __init__(self, manager: web.Server, connections: Connections, **options: Any) -> None:
        super().__init__(manager, max_line_size=LONGEST_TARGET, max_field_size=LONGEST_FIELD, **options)
        self._connections = connections
        self._busy = False
        """Whether a request has come that is not answered."""
        self._head = 0
        """Bytes of the head that is coming."""
        self._body: StreamReader = EMPTY_PAYLOAD
        """The body of the latest request, which may still be coming."""
        self._broken = False

    # What the caller does.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Wait for the first request."""
        super().connection_made(transport)
        self._wait(self._connections.patience.head)

    def connection_lost(self, exc: BaseException | None) -> None:
        """Make room for another; nobody waits for the rest of a body any more."""
        super().connection_lost(exc)
        if not self._body.is_eof():
            self._body.set_exception(ConnectionResetError("the caller has gone"))
        self._connections.leave(self)

    def data_received(self, data: bytes) -> None:
        """Take in what has arrived."""
        of_body = not self._body.is_eof()
        super().data_received(data)
        if self._messages:
            self._take_in(*self._messages[-1])
        elif not of_body and not self._busy:
            self._expect_head(len(data))
        elif self._busy and self._body.is_eof():
            self._go_on()

    def _take_in(self, message: Any, body: StreamReader) -> None:
        """Go on with a request, its body may still be coming; or break off where no request has come."""
        self._head = 0
        self._busy = True
        if isinstance(message, _ErrInfo):
            if not self._body.is_eof():
                self._break_off(web.RequestPayloadError(_judge(message.exc, message.message)[1]))
            self._go_on()
        elif body.is_eof():
            self._body = body
            self._go_on()
        elif body is not self._body:
            self._body = body
            self._wait(self._connections.patience.body)

    def _expect_head(self, size: int) -> None:
        """Wait for the rest of a head, from its first byte on."""
        self._head += size
        if self._head > LONGEST_HEAD:
            self._refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, f"the head is longer than {LONGEST_HEAD} bytes")
        elif size:
            self._connections.hasten(self, self._connections.patience.head)

    def pause_writing(self) -> None:
        """Wait for the caller to read."""
        self._wait(self._connections.patience.answer)
        super().pause_writing()

    def resume_writing(self) -> None:
        """Go on writing."""
        super().resume_writing()
        self._go_on()

    def _wait(self, seconds: float) -> None:
        """Wait for the caller, who may owe a request, or to read an answer, which goes first."""
        if self.transport is not None and not self.writing_paused:
            self._connections.wait(self, seconds)

    def _go_on(self) -> None:
        if not self.writing_paused:
            self._connections.go_on(self)

    # A caller who was waited for in vain.

    def expire(self) -> None:
        """Give up a caller who took too long: say so to one who has begun a request."""
        patience = self._connections.patience
        if self.writing_paused:
            self.abandon()
        elif not self._body.is_eof():
            self._break_off(TimeoutError(f"the body did not arrive within {patience.body:g} s"))
        elif self._head:
            self._refuse(HTTPStatus.REQUEST_TIMEOUT, f"the request's head did not arrive within {patience.head:g} s")
        else:
            self.abandon()

    def abandon(self) -> None:
        """End the connection at once."""
        if self.transport is not None:
            self.transport.abort()

    # What is answered.

    def _refuse(self, status: HTTPStatus, detail: str) -> None:
        """Answer so in the place of a request whose head has not ended."""
        self._messages.append((_ErrInfo(status, RequestError(status, detail), detail), EMPTY_PAYLOAD))
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _break_off(self, error: Exception) -> None:
        """Tell the reader of a body that its rest will not come, which aiohttp would have it wait for."""
        self._broken = True
        self._body.set_exception(error)

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        """Write the answer, and wait for the next request."""
        if self._broken:
            resp.force_close()
        finished = await super().finish_response(request, resp, start_time)
        if not self._messages:
            self._busy = False
            self._wait(self._connections.patience.idle)
        return finished

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Answer what could not be read as a request."""
        if isinstance(exc, HttpProcessingError):
            return refusal(*_judge(exc, message or ""), peer=request.remote)
        if isinstance(exc, RequestError):
            return refusal(exc.status, str(exc), peer=request.remote)
        return super().handle_error(request, status, exc, message)

    def log_exception(self, *args: Any, **options: Any) -> None:
        """Log what is a fault of hookd with its traceback, and what is one of the caller in a line."""
        error = options.get("exc_info")
        if isinstance(error, web.RequestPayloadError):
            note_refusal(HTTPStatus.BAD_REQUEST, str(error))
        elif not isinstance(error, ConnectionError):
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
