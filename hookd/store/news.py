"""News between processes that share a store: whose lanes have something due, by LISTEN and NOTIFY.

It is told after a commit, never in it: a transaction that notifies is committed after all others that do, one by one
(PostgreSQL, src/backend/commands/async.c). What is lost, since a process dies or a connection does, is found by the
poll.
"""

import asyncio
import logging
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import Final

import msgspec

from hookd.store.database import StorageError
from hookd.store.membership import Membership
from hookd.store.server import FAULTS, Connection, Server

EVERYBODY: Final = "hookd"
"""The channel on which all listen: members have come or gone, or an application has published something."""

PUBLISHED: Final = "published"
"""The letter that hookd.publish sends there; see the migration."""

GATHERED: Final = 0.005
"""Seconds between notifications of one process, in which more is gathered."""

LONGEST: Final = 7_000
"""Bytes of a notification; PostgreSQL takes 8000. Where that is too short for the lanes, it says to look."""

PAUSE: Final = 1.0
"""Seconds between attempts to listen again."""

log = logging.getLogger("hookd.store")


class News:
    """Tells other processes, and hears what they tell."""

    def __init__(self, server: Server, member: Membership, *, listens: bool) -> None:
        self.listens = listens
        """Whether there is any news; behind PgBouncer in transaction mode nobody can listen."""
        self._server = server
        self._member = member
        self._untold: defaultdict[int, set[str]] = defaultdict(set)
        self._wake = asyncio.Event()
        self._followed: int | None = None
        self.on_lanes: Callable[[Sequence[str]], None] = lambda _: None
        """Called with lanes of this process that have something due."""
        self.on_change: Callable[[], None] = lambda: None
        """Called when there may be more to hear than was told: members came or went, or news was missed."""
        self.on_publication: Callable[[], None] = lambda: None
        """Called when an application has published something."""

    def tell(self, number: int | None, lane: str) -> None:
        """Let a process know, soon, that a lane of its own has something due; None where nobody is known to have it."""
        if self.listens and number is not None and number != self._member.number:
            self._untold[number].add(lane)
            self._wake.set()

    def follow(self) -> None:
        """Listen to what is told this process, which may have a new number."""
        if self._member.number != self._followed:
            self._wake.set()

    async def run(self) -> None:
        """Listen, and tell what there is to tell; connect again as often as is needed."""
        while True:
            if self.listens:
                with suppress(StorageError, *FAULTS):
                    await self._talk()
            await asyncio.sleep(PAUSE)

    async def _talk(self) -> None:
        connection = await self._server.connect()
        try:
            connection.add_termination_listener(self._end)
            await connection.add_listener(EVERYBODY, self._hear_all)
            self._followed = None
            while not connection.is_closed():
                if self._member.number != self._followed:
                    self._followed = self._member.number
                    await connection.add_listener(f"{EVERYBODY}_{self._followed}", self._hear_lanes)
                    await connection.execute(NOTIFY, [EVERYBODY], [""])  # which it hears itself, and looks around
                await self._tell(connection)
                await asyncio.sleep(GATHERED)
                await self._wake.wait()
                self._wake.clear()
        finally:
            connection.terminate()

    def _end(self, _: object) -> None:
        self._wake.set()

    async def _tell(self, connection: Connection) -> None:
        untold, self._untold = self._untold, defaultdict(set)
        if untold:
            channels = [f"{EVERYBODY}_{number}" for number in untold]
            await connection.execute(NOTIFY, channels, [_letter(lanes) for lanes in untold.values()])

    async def tell_all(self) -> None:
        """Let all processes know that members have come or gone."""
        if not self.listens:
            return
        with suppress(StorageError):
            async with self._server.connected() as connection:
                await connection.execute(NOTIFY, [EVERYBODY], [""])

    def _hear_lanes(self, _: object, __: int, ___: str, letter: object) -> None:
        lanes = _lanes(str(letter))
        if lanes:
            self.on_lanes(lanes)
        else:
            self.on_change()

    def _hear_all(self, _: object, __: int, ___: str, letter: object) -> None:
        if letter == PUBLISHED:
            self.on_publication()
        else:
            self.on_change()


NOTIFY: Final = "SELECT pg_notify(channel, letter) FROM unnest($1::text[], $2::text[]) AS news (channel, letter)"


def _letter(lanes: Iterable[str]) -> str:
    """Write lanes as a letter; an empty one where they are too many."""
    text = msgspec.json.encode(sorted(lanes))
    return text.decode() if len(text) <= LONGEST else ""


def _lanes(letter: str) -> Sequence[str]:
    """Read a letter; whoever may connect can write one, and what is none names no lanes."""
    with suppress(msgspec.DecodeError):
        return msgspec.json.decode(letter, type=list[str])
    return ()
