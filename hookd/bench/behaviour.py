"""How receivers that are not as they should be answer, each by the path at which they are found."""

import asyncio
from collections.abc import Callable

from hookd.bench.wire import Message

PROMPT = b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 2\r\n\r\nok"
"""The answer of one that is."""
_REFUSAL = b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n"
_SLOWNESS = 2.0
_BETWEEN_BYTES = 1.0


def _flaky(transport: asyncio.Transport, request: Message) -> None:
    """Refuse every first attempt."""
    transport.write(_REFUSAL if request.header(b"x-webhook-attempt") == b"1" else PROMPT)


def _silent(transport: asyncio.Transport, request: Message) -> None:
    """Never answer."""


def _slow(transport: asyncio.Transport, _: Message) -> None:
    """Answer after two seconds."""
    asyncio.get_running_loop().call_later(_SLOWNESS, _drop, transport, PROMPT, len(PROMPT))


def _drip(transport: asyncio.Transport, _: Message) -> None:
    """Answer a byte a second."""
    _drop(transport, PROMPT, 1)


def _drop(transport: asyncio.Transport, answer: bytes, size: int) -> None:
    """Write so many bytes, and the rest in a while; end where nobody listens any more."""
    if answer and not transport.is_closing():
        transport.write(answer[:size])
        asyncio.get_running_loop().call_later(_BETWEEN_BYTES, _drop, transport, answer[size:], size)


BEHAVIOURS: dict[bytes, Callable[[asyncio.Transport, Message], None]] = {
    b"/flaky": _flaky,
    b"/silent": _silent,
    b"/slow": _slow,
    b"/drip": _drip,
}
