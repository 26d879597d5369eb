"""The source of load: POSTs one request over and over, as fast as it is answered or one by one."""

import asyncio
import itertools
import json
import random
import time
from collections import deque
from collections.abc import Callable
from typing import cast

from hookd.bench.rhythm import pauses
from hookd.bench.wire import BenchError, Message, Reader
from hookd.bench.worker import Answer, obey, run


class Connection(asyncio.Protocol):
    """A keep-alive connection; whoever opened it hears of each answer, and of a fault."""

    def __init__(self, answered: Callable[["Connection", Message], None], failed: Callable[[BenchError], None]) -> None:
        self._answered = answered
        self._failed = failed
        self._reader = Reader()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the way out."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is one in deed, not by name

    def send(self, request: bytes) -> None:
        """Send a request; at most one is under way."""
        self._transport.write(request)

    def close(self) -> None:
        """Close the connection."""
        self._transport.close()

    def data_received(self, data: bytes) -> None:
        """Pass each answer on; anything but 2xx is a fault."""
        try:
            for message in self._reader.feed(data):
                _check(message)
                self._answered(self, message)
        except BenchError as error:
            self._failed(error)

    def connection_lost(self, error: Exception | None) -> None:
        """Count as a fault what we did not close ourselves."""
        self._failed(BenchError(f"the server closed the connection ({error or 'end of stream'})"))


def _check(answer: Message) -> None:
    if not 200 <= answer.status < 300:
        raise BenchError(f"{answer.status} {answer.body[:200].decode(errors='replace')}")


class Burst:
    """Sends a number of requests, one after the other on each connection."""

    def __init__(self, request: bytes, count: int) -> None:
        self._request = request
        self._unsent = count
        self._unanswered = count
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def send(self, connection: Connection) -> None:
        """Send the next request, if one is left."""
        if self._unsent:
            self._unsent -= 1
            connection.send(self._request)

    def answered(self, connection: Connection, _: Message) -> None:
        """Count an answer and send the next request."""
        self._unanswered -= 1
        if not self._unanswered and not self.done.done():
            self.done.set_result(None)
        self.send(connection)

    def failed(self, error: BenchError) -> None:
        """End with an error, unless it is over."""
        if not self.done.done():
            self.done.set_exception(error)


async def burst(port: int, path: str, body: str, count: int, connections: int) -> Answer:
    """POST so many times over so many connections; answer when it began and when all was answered."""
    load = Burst(request_bytes(port, path, body), count)
    opened = [await _connect(port, load.answered, load.failed) for _ in range(connections)]
    started = time.monotonic()
    for connection in opened:
        load.send(connection)
    await load.done
    ended = time.monotonic()
    for connection in opened:
        connection.close()
    return {"started": started, "ended": ended}


_TICK = 0.005
_FLOW_CONNECTIONS = 64


async def flow(port: int, path: str, body: str, rate: int, seconds: float) -> Answer:
    """POST at a rate, whatever the answers take, as far as the connections go; answer how many were answered."""
    tide = Flow(request_bytes(port, path, body))
    opened = [await _connect(port, tide.answered, tide.failed) for _ in range(_FLOW_CONNECTIONS)]
    tide.idle.extend(opened)
    started = time.monotonic()
    while (passed := time.monotonic() - started) < seconds and not tide.ended.done():
        tide.send_until(int(passed * rate))
        await asyncio.sleep(_TICK)
    tide.close()
    await tide.ended
    for connection in opened:
        connection.close()
    return {"answered": tide.sent}


class Flow:
    """Sends requests as they fall due, each over the connection that has been idle for longest, lest it be closed."""

    def __init__(self, request: bytes) -> None:
        self._request = request
        self._closing = False
        self.idle: deque[Connection] = deque()
        self.sent = 0
        self._answered = 0
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def send_until(self, count: int) -> None:
        """Send until so many have been sent, or no connection is idle."""
        while self.sent < count and self.idle:
            self.sent += 1
            self.idle.popleft().send(self._request)

    def close(self) -> None:
        """Send no more: it ends once all is answered."""
        self._closing = True
        self._end()

    def answered(self, connection: Connection, _: Message) -> None:
        """Have the connection back."""
        self._answered += 1
        self.idle.append(connection)
        self._end()

    def _end(self) -> None:
        if self._closing and self._answered == self.sent and not self.ended.done():
            self.ended.set_result(None)

    def failed(self, error: BenchError) -> None:
        """End with an error, unless it is over."""
        if not self.ended.done():
            self.ended.set_exception(error)


async def paced(port: int, path: str, body: str, count: int, seed: int) -> Answer:
    """POST one by one with irregular pauses; answer, by the id answered, when each was sent and answered."""
    request = request_bytes(port, path, body)
    answers: asyncio.Queue[Message | BenchError] = asyncio.Queue()
    connection = await _connect(port, lambda _, message: answers.put_nowait(message), answers.put_nowait)
    moments = {}
    for pause in itertools.islice(pauses(random.Random(seed)), count):  # noqa: S311 -- a rhythm, no secret
        await asyncio.sleep(pause)
        sent = time.monotonic()
        connection.send(request)
        answer = await answers.get()
        answered = time.monotonic()
        if isinstance(answer, BenchError):
            raise answer
        moments[json.loads(answer.body)["id"]] = {"sent": sent, "answered": answered}
    connection.close()
    return moments


async def _connect(
    port: int, answered: Callable[[Connection, Message], None], failed: Callable[[BenchError], None]
) -> Connection:
    try:
        _, connection = await asyncio.get_running_loop().create_connection(
            lambda: Connection(answered, failed), "127.0.0.1", port
        )
    except OSError as error:
        raise BenchError(f"can't connect to 127.0.0.1:{port}: {error}") from error
    return connection


def request_bytes(port: int, path: str, body: str) -> bytes:
    """Write the POST as it goes over the wire, with nothing a curl user would not send."""
    content = body.encode()
    head = (
        f"POST {path} HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\n"
        f"content-type: application/json\r\ncontent-length: {len(content)}\r\n\r\n"
    )
    return head.encode() + content


if __name__ == "__main__":
    run(obey({"burst": burst, "flow": flow, "paced": paced}, {}))
