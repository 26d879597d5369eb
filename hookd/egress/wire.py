"""A connection to a receiver, which may send what it likes."""

import asyncio
import sys
from contextlib import suppress
from typing import Any, Final

from aiohttp import ServerDisconnectedError, StreamReader
from aiohttp.client_proto import ResponseHandler
from aiohttp.http import RawResponseMessage
from aiohttp.http_exceptions import HttpProcessingError

BEFORE_ANSWER: Final = 64 * 1024
"""Bytes that may come before an answer's head has ended, interim answers among them (RFC 9110, 15.2)."""

LARGE: Final = 1 << 20
"""Bytes of a body beyond which it is written piece by piece, so that the event loop turns in between."""

_PIECE: Final = 1 << 18
_UNBOUNDED: Final = sys.maxsize


class Wire(ResponseHandler):
    """A connection that stands no flood: it ends where too much comes before an answer, or anything after it.

    aiohttp would parse all that arrives in one go, and keep each interim answer. What came after an answer would
    be taken for the next one.
    """

    _room = BEFORE_ANSWER

    def is_connected(self) -> bool:
        """Say whether the connection can carry another request."""
        return super().is_connected() and not self.should_close

    async def exchange(self, head: bytes, body: bytes) -> tuple[RawResponseMessage, StreamReader]:
        """Send a request, and answer the head of its answer, with the body as it comes."""
        transport = self.transport
        if transport is None:
            raise ServerDisconnectedError
        self.set_response_params(read_until_eof=True, auto_decompress=False)
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
                transport.write(body[start : start + _PIECE])
                await self._drain_helper()
                await asyncio.sleep(0)

    def set_response_params(self, **params: Any) -> None:
        """Expect the answer to a new request."""
        self._room = BEFORE_ANSWER
        super().set_response_params(**params)

    def data_received(self, data: bytes) -> None:
        """Parse what there is room for; an answer's body has all the room it wants."""
        room = self._room
        if len(data) <= room:
            self._room = room - len(data)
            super().data_received(data)
            return
        self._room = 0
        super().data_received(data[:room])
        self._go_on(data[room:])

    def feed_data(self, data: tuple[RawResponseMessage, StreamReader], size: int = 0) -> None:
        """Take the head of an answer, unless nobody waits for one; what is interim says nothing."""
        if self._room > BEFORE_ANSWER:
            self._end()
            return
        status = data[0].code
        if status // 100 != 1 or status == 101:
            self._room = _UNBOUNDED
            super().feed_data(data, size)

    def _go_on(self, rest: bytes) -> None:
        """Go on where the answer's head was among what has been parsed, and break off where it was not."""
        if self._room > BEFORE_ANSWER:
            self.data_received(rest)
            return
        self._end()
        text = f"more than {BEFORE_ANSWER // 1024} KiB came before its answer"
        self.set_exception(HttpProcessingError(code=0, message=text))

    def _end(self) -> None:
        self.force_close()
        if self.transport is not None:
            self.transport.abort()
