"""The receiver of every measurement: answers each POST with 200, and remembers when which event came.

It is every host of 127.0.0.0/8, which is all loopback on Linux, so that it can be a thousand destinations.
"""

import asyncio
import contextlib
import time
from typing import cast

from hookd.bench.behaviour import BEHAVIOURS, PROMPT
from hookd.bench.wire import Reader
from hookd.bench.worker import Answer, Command, obey, run


class Arrivals:
    """When the first byte of each event came to each path, by its `webhook-id`, in seconds of the monotonic clock."""

    def __init__(self) -> None:
        self._first: dict[tuple[bytes, bytes], float] = {}
        self._received = 0
        self._skipped = 0
        self._expected = 0
        self._began = 0.0
        self._last = 0.0
        self._complete = asyncio.Event()

    def add(self, event_id: bytes, target: bytes, moment: float) -> None:
        """Remember a delivery."""
        self._received += 1
        if (event_id, target) in self._first:
            return
        self._first[event_id, target] = moment
        count = len(self._first)
        if count == self._skipped:
            self._began = moment
        if count <= self._expected:
            self._last = moment
        if count == self._expected:
            self._complete.set()

    async def expect(self, count: int, skipped: int = 0) -> Answer:
        """Forget what came, and expect so many deliveries; how long they take counts from the last one skipped."""
        self._first.clear()
        self._received = 0
        self._skipped = skipped
        self._expected = count
        self._complete.clear()
        return {}

    async def wait(self, seconds: float) -> Answer:
        """Wait until all are there or the time is over; say how many are, and when the first and the last came."""
        with contextlib.suppress(TimeoutError):  # the numbers tell
            await asyncio.wait_for(self._complete.wait(), seconds)
        return {
            "received": self._received,
            "distinct": len(self._first),
            "began": self._began,
            "last": self._last,
        }

    async def moments(self) -> Answer:
        """Say when each event came."""
        return {event_id.decode(): moment for (event_id, _), moment in self._first.items()}


class Sink(asyncio.Protocol):
    """One connection to the sink."""

    def __init__(self, arrivals: Arrivals) -> None:
        self._arrivals = arrivals
        self._reader = Reader()
        self._began = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the way back; nobody but this machine has any business here."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is one in deed, not by name
        if not transport.get_extra_info("peername")[0].startswith("127."):
            self._transport.abort()

    def data_received(self, data: bytes) -> None:
        """Answer each request that these bytes complete; its moment is that of its first bytes."""
        now = time.monotonic()
        if self._reader.idle:
            self._began = now
        answers = []
        for request in self._reader.feed(data):
            target = request.target
            self._arrivals.add(request.header(b"webhook-id"), target, self._began)
            self._began = now
            behave = BEHAVIOURS.get(target)
            if behave is None:
                answers.append(PROMPT)
            else:
                behave(self._transport, request)
        if answers:
            self._transport.write(b"".join(answers))


async def main() -> None:
    """Listen on a free port and obey."""
    arrivals = Arrivals()
    server = await asyncio.get_running_loop().create_server(
        lambda: Sink(arrivals),
        "0.0.0.0",  # noqa: S104 -- all of 127.0.0.0/8; others are turned away
        0,
        backlog=1024,
    )
    async with server:
        commands: dict[str, Command] = {
            "expect": arrivals.expect,
            "wait": arrivals.wait,
            "moments": arrivals.moments,
        }
        await obey(commands, {"port": server.sockets[0].getsockname()[1]})


if __name__ == "__main__":
    run(main())
