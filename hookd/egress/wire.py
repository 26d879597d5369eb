"""A connection to a receiver, which may send what it likes, when it likes."""

import asyncio
import re
import sys
from contextlib import suppress
from typing import Any, Final

from aiohttp import ServerDisconnectedError, StreamReader
from aiohttp.client_proto import ResponseHandler
from aiohttp.http import RawResponseMessage
from aiohttp.http_exceptions import HttpProcessingError

BEFORE_ANSWER: Final = 64 * 1024
"""Bytes that may come before an answer's head has ended, interim answers among them (RFC 9110, 15.2)."""

AHEAD: Final = 64 * 1024
"""Bytes of a body beyond which no more is taken in before it is read."""

LARGE: Final = 1 << 20
"""Bytes of a body beyond which it is written piece by piece, so that the event loop turns in between."""

SWITCHING: Final = 101
"""The one status below 200 after which no other follows: the receiver speaks another protocol from then on."""

_PIECE: Final = 1 << 18
_UNBOUNDED: Final = sys.maxsize
_END_OF_HEAD: Final = re.compile(rb"\n\r?\n")
_STRADDLING: Final = 2
"""Bytes of an end of a head that may have come before its last one did."""


class Wire(ResponseHandler):
    """A connection that stands no flood, and hears nothing that was not asked for.

    aiohttp would parse all that arrives in one go, keep each interim answer, and drop an answer whose body breaks
    off in the same go. What came before a request or after its answer would be taken for the answer to the next.
    """

    whole = True
    """Whether nothing is missing at the end of the answer's body."""
    _room = _UNBOUNDED
    """Bytes that may still come before the head of an answer has ended."""
    _last = b""
    """What came last of a head."""
    _resting = False

    def is_connected(self) -> bool:
        """Say whether the connection can carry another request."""
        return super().is_connected() and not self.should_close

    async def exchange(self, head: bytes, body: bytes) -> tuple[RawResponseMessage, StreamReader]:
        """Send a request, and answer the head of its answer, with the body as it comes."""
        transport = self.transport
        if transport is None or transport.is_closing():
            raise ServerDisconnectedError
        if self._tail:
            raise HttpProcessingError(code=0, message="it spoke before it was asked")
        self.set_response_params(read_until_eof=True, auto_decompress=False, read_bufsize=AHEAD)
        if len(body) <= LARGE:
            transport.write(head + body)
            return await self.read()
        transport.write(head)
        writing = self._loop.create_task(self._write(transport, memoryview(body)))
        try:
            return await self.read()
        finally:
            if not writing.done():  # answered before it was all sent: the rest would be taken for another request
                writing.cancel()
                self.force_close()

    async def _write(self, transport: asyncio.Transport, body: memoryview) -> None:
        with suppress(ConnectionError):  # whoever reads the answer is told
            for start in range(0, len(body), _PIECE):
                if transport.is_closing():
                    return
                transport.write(body[start : start + _PIECE])
                await self._drain_helper()
                await asyncio.sleep(0)

    def rest(self) -> bool:
        """Hear nothing until the next request, and say whether the connection can carry it.

        It can't where the receiver has answered but not read, or more has come than the answer.
        """
        self._resting = True
        transport, parser = self.transport, self._parser
        if transport is None or parser is None or not self.is_connected() or transport.get_write_buffer_size():
            return False
        try:
            return parser.feed_eof() is None
        except HttpProcessingError:
            return False

    def close(self) -> None:
        """End the connection at once: a receiver that does not read could put off any other end for ever."""
        self.set_exception(ServerDisconnectedError())
        self.abort()

    def set_exception(self, exc: BaseException, exc_cause: BaseException | None = None) -> None:
        """Raise an error where an answer is waited for; its body ends with what has come of it."""
        super().set_exception(exc, exc_cause or exc)
        body = self._payload
        if body is not None and not body.is_eof():
            self.whole = False
            body.feed_eof()

    def resume_reading(self, resume_parser: bool = True) -> None:
        """Go on reading where that was paused; aiohttp asks for it at every piece of a body."""
        if self._reading_paused:
            super().resume_reading(resume_parser)

    def set_response_params(self, **params: Any) -> None:
        """Expect the answer to a new request."""
        self._room, self._last, self._resting, self.whole = BEFORE_ANSWER, b"", False, True
        super().set_response_params(**params)

    def data_received(self, data: bytes) -> None:
        """Parse an answer; its body has all the room it wants."""
        if self._resting:
            self.abort()
        elif self._room == _UNBOUNDED:
            super().data_received(data)
        else:
            self._seek_head(data)

    def _seek_head(self, data: bytes) -> None:
        """Parse each head by itself, so that what follows can't undo it, until there is one that is not interim."""
        start, data = len(self._last), self._last + data
        limit = start + self._room
        self._room, self._last = max(0, limit - len(data)), data[-_STRADDLING:]
        for found in _END_OF_HEAD.finditer(data, 0, limit):
            end = found.end()
            super().data_received(data[start:end])
            start = end
            if self._room == _UNBOUNDED or self._exception is not None:
                break
        super().data_received(data[start:] if self._room == _UNBOUNDED else data[start:limit])
        if self._room == 0:
            text = f"more than {BEFORE_ANSWER // 1024} KiB came before its answer"
            self.set_exception(HttpProcessingError(code=0, message=text))
            self.abort()

    def feed_data(self, data: tuple[RawResponseMessage, StreamReader], size: int = 0) -> None:
        """Take the head of an answer; what is interim says nothing."""
        status = data[0].code
        if status // 100 != 1 or status == SWITCHING:
            self._room = _UNBOUNDED
            super().feed_data(data, size)
        if status == SWITCHING:
            self.force_close()
