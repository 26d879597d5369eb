"""What is on disk, as a second reader sees it while a course is under way."""

import sqlite3
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

from hookd.model import Breaker

ROWS = """
SELECT outbox.endpoint, events.id, outbox.id, outbox.type, outbox.status, coalesce(outbox.stop, outbox.reason),
    outbox.attempt_count, outbox.due_at, coalesce(endpoints.state, 'active'), endpoints.max_in_flight,
    endpoints.ordered, events.ordering_key, outbox.turn, outbox.held, endpoints.opened_at, endpoints.blocked_until
FROM outbox JOIN events ON events.sequence = outbox.event LEFT JOIN endpoints ON endpoints.id = outbox.endpoint
"""
ATTEMPTS = """
SELECT outbox.endpoint, events.id, attempts.number, attempts.outcome, attempts.started_at
FROM attempts JOIN outbox ON outbox.sequence = attempts.delivery JOIN events ON events.sequence = outbox.event
ORDER BY attempts.delivery, attempts.number
"""
BREAKERS = "SELECT id, opened_at, openings, blocked_until, told_failing FROM endpoints"


class Row(NamedTuple):
    """A delivery, and what there is to know of its destination."""

    target: str
    event: str
    id: str
    type: str
    status: str
    reason: str | None
    attempt_count: int
    due_at: int
    state: str
    max_in_flight: int | None
    ordered: bool | None
    """None where it is for a handler, or for an endpoint that is deleted."""
    ordering_key: str
    turn: int | None
    held: bool
    opened_at: int | None
    blocked_until: int | None

    @property
    def key(self) -> tuple[str, str]:
        return self.target, self.event

    @property
    def is_aside(self) -> bool:
        """Whether it is a test, which is sent at once; one that is asked for again stands in line."""
        return self.type == "hookd.test" and self.turn is None

    @property
    def is_able(self) -> bool:
        """Whether a claim sees it, once its time has come."""
        return self.status == "pending" and self.state == "active" and not self.held

    @property
    def able_at(self) -> int:
        """When its time has come."""
        return max(self.due_at, self.blocked_until or 0)


class Lane:
    """What waits for one destination or is being sent to it, and what there is to know of it until the next commit."""

    def __init__(self, rows: list[Row]) -> None:
        sending = [row for row in rows if row.status == "sending"]
        self.rows = rows
        self.sending = len(sending)
        self.tests = sum(row.type == "hookd.test" for row in sending)
        self.max_in_flight = next((row.max_in_flight for row in rows), None)
        self.is_tried = any(row.opened_at is not None for row in rows)
        self.first = min((row for row in rows if row.is_able), key=lambda row: row.able_at, default=None)
        """What a claim sees first."""


class Try(NamedTuple):
    """An attempt."""

    target: str
    event: str
    number: int
    outcome: str
    started_at: int

    @property
    def key(self) -> tuple[str, str]:
        return self.target, self.event


class Record:
    """Reads the file through a connection of its own."""

    def __init__(self, path: Path) -> None:
        self._connection = sqlite3.connect(path, isolation_level=None)
        self._version = -1
        self._open: list[Row] = []
        self._lanes: dict[str, Lane] = {}

    def rows(self, condition: str = "true") -> list[Row]:
        """List deliveries in the order in which they were made."""
        return list(map(Row._make, self._connection.execute(f"{ROWS} WHERE {condition} ORDER BY outbox.sequence")))

    def open(self) -> list[Row]:
        """List those that wait or are being sent."""
        self._refresh()
        return self._open

    def lanes(self) -> dict[str, Lane]:
        """Answer the same by destination, in a new dictionary after each commit alone."""
        self._refresh()
        return self._lanes

    def _refresh(self) -> None:
        ((version,),) = self._connection.execute("PRAGMA data_version")
        if version != self._version:
            self._open = self.rows("outbox.status IN ('pending', 'sending') AND outbox.status <> 'delivered'")
            self._lanes = {name: Lane(rows) for name, rows in _by_target(self._open)}
            self._version = version

    def breakers(self) -> dict[str, Breaker]:
        """Answer every endpoint's breaker."""
        found = self._connection.execute(BREAKERS)
        return {name: Breaker(opened, count, until, bool(told)) for name, opened, count, until, told in found}

    def attempts(self) -> list[Try]:
        """List attempts, by delivery and number."""
        return [Try(*row) for row in self._connection.execute(ATTEMPTS)]

    def events(self) -> list[str]:
        """List the ids of all events."""
        return [row[0] for row in self._connection.execute("SELECT id FROM events ORDER BY sequence")]

    def close(self) -> None:
        self._connection.close()


def _by_target(rows: list[Row]) -> Iterator[tuple[str, list[Row]]]:
    for name, theirs in groupby(sorted(rows, key=lambda row: row.target), key=lambda row: row.target):
        yield name, list(theirs)
