"""The receiver of every measurement: answers each POST with 200, and remembers when which event came."""

import asyncio
import contextlib
import time
from typing import cast

from hookd.bench.wire import Message, Reader
from hookd.bench.worker import Answer, Command, obey, run

_ANSWER = b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 2\r\n\r\nok"
_REFUSAL = b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n"
_FLAKY = b"POST /flaky "


class Arrivals:
    """When the first byte of each event came, by its `webhook-id`, in seconds of the monotonic clock."""

    def __init__(self) -> None:
        self._first: dict[bytes, float] = {}
        self._received = 0
        self._last = 0.0
        self._expected = 0
        self._complete = asyncio.Event()

    def add(self, event_id: bytes, moment: float) -> None:
        """Remember a delivery."""
        self._received += 1
        self._last = moment
        self._first.setdefault(event_id, moment)
        if len(self._first) == self._expected:
            self._complete.set()

    async def expect(self, count: int) -> Answer:
        """Forget what came, and expect this many events."""
        self._first.clear()
        self._received = 0
        self._expected = count
        self._complete.clear()
        return {}

    async def wait(self, seconds: float) -> Answer:
        """Wait until all are there or the time is over; say how many are, and when the last one came."""
        with contextlib.suppress(TimeoutError):  # the numbers tell
            await asyncio.wait_for(self._complete.wait(), seconds)
        return {"received": self._received, "distinct": len(self._first), "last": self._last}

    async def moments(self) -> Answer:
        """Say when each event came."""
        return {event_id.decode(): moment for event_id, moment in self._first.items()}


class Sink(asyncio.Protocol):
    """One connection to the sink."""

    def __init__(self, arrivals: Arrivals) -> None:
        self._arrivals = arrivals
        self._reader = Reader()
        self._began = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the way back."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is one in deed, not by name

    def data_received(self, data: bytes) -> None:
        """Answer each request that these bytes complete; its moment is that of its first bytes."""
        now = time.monotonic()
        if self._reader.idle:
            self._began = now
        requests = self._reader.feed(data)
        for request in requests:
            self._arrivals.add(request.header(b"webhook-id"), self._began)
            self._began = now
        if requests:
            self._transport.write(b"".join(map(_answer, requests)))


def _answer(request: Message) -> bytes:
    """Answer 200; at `/flaky`, every first attempt is refused."""
    refused = request.head.startswith(_FLAKY) and request.header(b"x-webhook-attempt") == b"1"
    return _REFUSAL if refused else _ANSWER


async def main() -> None:
    """Listen on a free port of 127.0.0.1 and obey."""
    arrivals = Arrivals()
    server = await asyncio.get_running_loop().create_server(lambda: Sink(arrivals), "127.0.0.1", 0)
    async with server:
        commands: dict[str, Command] = {
            "expect": arrivals.expect,
            "wait": arrivals.wait,
            "moments": arrivals.moments,
        }
        await obey(commands, {"port": server.sockets[0].getsockname()[1]})


if __name__ == "__main__":
    run(main())
