"""Those who see what the daemon does: five receivers, each with its own temper, and the handlers' ledger."""

import asyncio
import json
import random
from collections import defaultdict
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from tests.receivers import Connection, Receiver, Request

SECRET = "whsec_ZW5kcG9pbnQgZW5kcG9pbnQgZW5kcG9pbnQgZW5kcG9pbnQ="
"""The secret of every endpoint."""

CLOSED = 0
"""Stands for the status of a request whose connection is closed in place of an answer."""

FAILURES = 2
"""Attempts at each event that the failing receiver refuses."""


@dataclass(slots=True)
class Arrival:
    """One whole request, or one run of a handler; `answer` is the status that was sent, as far as a kill let it be."""

    life: int
    event: str
    attempt: int
    body: bytes
    genuine: bool = True
    answer: int | None = None


Temper = Callable[[Connection, Arrival], Awaitable[int | None]]
"""Decides on the status to answer, or CLOSED; it may take its time. None where the daemon dies over it."""


class Witness(Receiver):
    """A receiver that keeps what arrived, in order, with the life of the daemon that sent it."""

    def __init__(self, temper: Temper, life: Callable[[], int]) -> None:
        super().__init__(self._attend)
        self._temper = temper
        self._life = life
        self._webhook = Webhook(SECRET)
        self.arrivals: list[Arrival] = []
        self.seen: dict[str, asyncio.Event] = defaultdict(asyncio.Event)
        """Set, by event, once it has arrived."""

    async def _attend(self, connection: Connection, request: Request) -> None:
        headers = request.headers
        attempt = int(headers["x-webhook-attempt"])
        arrival = Arrival(self._life(), headers["webhook-id"], attempt, request.body, self._verify(request))
        self.arrivals.append(arrival)
        self.seen[arrival.event].set()
        arrival.answer = await self._temper(connection, arrival)
        if not arrival.answer:
            connection.close()
        else:
            await connection.send(response(arrival.answer))

    def _verify(self, request: Request) -> bool:
        try:
            self._webhook.verify(request.body, request.headers)
        except WebhookVerificationError:
            return False
        return True

    async def quiet(self) -> None:
        """Wait until all that a process sent before it died is read.

        Connections are accepted in their order: once ours is, so are all that the dead process made.
        """
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write_eof()
        with suppress(ConnectionError):
            await reader.read()
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()
        await asyncio.gather(*self._serving)


def response(status: int) -> bytes:
    """Write an answer without a body."""
    return b"HTTP/1.1 %d Whatever\r\nContent-Length: 0\r\n\r\n" % status


async def steady(connection: Connection, arrival: Arrival) -> int:
    """Take everything at once."""
    return 200


async def failing(connection: Connection, arrival: Arrival) -> int:
    """Refuse the first attempts at each event."""
    return 503 if arrival.attempt <= FAILURES else 200


class Slow:
    """Takes everything, after a while."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng

    async def __call__(self, connection: Connection, _arrival: Arrival) -> int | None:
        try:
            async with asyncio.timeout(self._rng.uniform(0.05, 0.2)):
                await connection.ended()
        except TimeoutError:
            return 200
        return None  # the daemon has died over it


class Faltering:
    """Refuses one attempt of so many."""

    def __init__(self, each: int) -> None:
        self._each = each
        self._count = 0

    async def __call__(self, _connection: Connection, _arrival: Arrival) -> int:
        self._count += 1
        return 503 if self._count % self._each == 0 else 200


class Alternating:
    """Closes every other connection without an answer."""

    def __init__(self) -> None:
        self._count = 0

    async def __call__(self, _connection: Connection, _arrival: Arrival) -> int:
        self._count += 1
        return 200 if self._count % 2 else CLOSED


@dataclass(frozen=True, slots=True)
class Held:
    """A request whose answer is held back."""

    connection: Connection
    arrival: Arrival

    def answer(self) -> None:
        """Send the answer, to its last byte, now."""
        self.arrival.answer = 200
        self.connection.writer.write(response(200))


class Holding:
    """Takes everything at once, until it is told to hold its answers back."""

    def __init__(self) -> None:
        self._since: int | None = None
        self.held: list[Held] = []

    def hold(self, since: int) -> None:
        """From now on refuse attempts below `since`, and leave the others unanswered."""
        self._since = since

    def let_go(self) -> None:
        """Answer at once again: those who waited are dead."""
        self._since = None
        self.held = []

    async def __call__(self, connection: Connection, arrival: Arrival) -> int | None:
        if self._since is None:
            return 200
        if arrival.attempt < self._since:
            return 503
        self.held.append(Held(connection, arrival))
        await connection.ended()
        return arrival.answer


def read_ledger(book: Path) -> dict[str, list[Arrival]]:
    """Read what the handlers wrote down, by handler."""
    found: dict[str, list[Arrival]] = {"handler:ledger": [], "handler:stuck": []}
    for line in book.read_text().splitlines() if book.exists() else ():
        run = json.loads(line)
        answer = 200 if run["handler"] == "handler:ledger" else None
        arrival = Arrival(run["life"], run["event"], run["attempt"], run["body"].encode(), answer=answer)
        found[run["handler"]].append(arrival)
    return found
