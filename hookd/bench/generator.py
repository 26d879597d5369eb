"""The source of load: POSTs one request over and over, as fast as it is answered or one by one, or some at a rate."""

import asyncio
import itertools
import json
import random
import time
from collections import deque
from collections.abc import Sequence

from hookd.bench.connection import Connection, connect, request_bytes
from hookd.bench.rhythm import pauses, steady
from hookd.bench.wire import BenchError, Message
from hookd.bench.worker import Answer, obey, run


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
    opened = [await connect(port, load.answered, load.failed) for _ in range(connections)]
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
    opened = [await connect(port, tide.answered, tide.failed) for _ in range(_FLOW_CONNECTIONS)]
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
    connection = await connect(port, lambda _, message: answers.put_nowait(message), answers.put_nowait)
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


async def timed(port: int, path: str, bodies: list[str], rate: float, count: int, seed: int) -> Answer:
    """POST one of the bodies at random, so many times at a rate, each in its time whatever the answers take.

    Answer, by the id answered, when each fell due and when it was answered.
    """
    chance = random.Random(seed)  # noqa: S311 -- a rhythm, no secret
    load = Timed([request_bytes(port, path, body) for body in bodies], count)
    opened = [await connect(port, load.answered, load.failed) for _ in range(_FLOW_CONNECTIONS)]
    load.idle.extend(opened)
    due = time.monotonic()
    for pause in itertools.islice(steady(chance, rate), count):
        due += pause
        await asyncio.sleep(max(0.0, due - time.monotonic()))
        load.send(chance)
    await load.ended
    for connection in opened:
        connection.close()
    return load.moments


class Timed:
    """Sends each request when it falls due, or else, without an idle connection, as soon as there is one."""

    def __init__(self, requests: Sequence[bytes], count: int) -> None:
        self._requests = requests
        self._count = count
        self._waiting: deque[tuple[bytes, float]] = deque()
        self._sent: dict[Connection, float] = {}
        self.idle: deque[Connection] = deque()
        self.moments: Answer = {}
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def send(self, chance: random.Random) -> None:
        """Send any of the requests; its moment is now, even where it has to wait."""
        self._waiting.append((chance.choice(self._requests), time.monotonic()))
        self._go_on()

    def _go_on(self) -> None:
        while self._waiting and self.idle:
            request, due = self._waiting.popleft()
            connection = self.idle.popleft()
            self._sent[connection] = due
            connection.send(request)

    def answered(self, connection: Connection, answer: Message) -> None:
        """Note when, and have the connection back."""
        sent = self._sent.pop(connection)
        self.moments[json.loads(answer.body)["id"]] = {"sent": sent, "answered": time.monotonic()}
        self.idle.append(connection)
        if len(self.moments) == self._count and not self.ended.done():
            self.ended.set_result(None)
        self._go_on()

    def failed(self, error: BenchError) -> None:
        """End with an error, unless it is over."""
        if not self.ended.done():
            self.ended.set_exception(error)


if __name__ == "__main__":
    run(obey({"burst": burst, "flow": flow, "paced": paced, "timed": timed}, {}))
