"""What is on disk when the daemon is dead, read from a copy, so that the next life finds the file as it was left."""

import shutil
import sqlite3
from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple


class Key(NamedTuple):
    """Which delivery: to whom, of which event."""

    endpoint: str
    event: str


class Row(NamedTuple):
    """A row of the outbox."""

    id: str
    status: str
    attempt_count: int
    reason: str | None


@dataclass(frozen=True, slots=True)
class Image:
    """Everything on record. Lists keep what is there twice."""

    integrity: str
    events: list[str]
    """In the order of their commits."""
    inbound: list[bytes]
    """The payloads of inbound events."""
    deliveries: list[tuple[Key, Row]]
    outbox: dict[Key, Row]

    def in_flight(self, endpoint: str) -> list[Row]:
        """List what was being sent to an endpoint."""
        return [row for key, row in self.deliveries if key.endpoint == endpoint and row.status == "sending"]


EMPTY = Image("ok", [], [], [], {})

DELIVERIES = """\
SELECT outbox.endpoint, events.id, outbox.id, outbox.status, outbox.attempt_count, outbox.reason
FROM outbox JOIN events ON events.sequence = outbox.event"""

ATTEMPTS = """\
SELECT outbox.endpoint, events.id, attempts.number, attempts.status_code
FROM attempts JOIN outbox ON outbox.sequence = attempts.delivery JOIN events ON events.sequence = outbox.event
ORDER BY attempts.delivery, attempts.number"""


def copy(database: Path, folder: Path) -> Path:
    """Copy a database that nobody has open, with its journal."""
    folder.mkdir(exist_ok=True)
    for name in (database.name, f"{database.name}-wal"):
        target = folder / name
        target.unlink(missing_ok=True)
        if (source := database.with_name(name)).exists():
            shutil.copy(source, target)
    return folder / database.name


def read(database: Path) -> Image:
    """Read all that is on record, and check the file itself."""
    with closing(sqlite3.connect(database)) as connection:
        deliveries = [(Key(*row[:2]), Row(*row[2:])) for row in connection.execute(DELIVERIES)]
        return Image(
            integrity="; ".join(_column(connection.execute("PRAGMA integrity_check"))),
            events=_column(connection.execute("SELECT id FROM events ORDER BY sequence")),
            inbound=_column(connection.execute("SELECT payload FROM events WHERE origin = 'inbound'")),
            deliveries=deliveries,
            outbox=dict(deliveries),
        )


def read_attempts(database: Path) -> dict[Key, list[tuple[int, int | None]]]:
    """Read the attempts on record, by delivery: each its number and the status that was answered."""
    found: dict[Key, list[tuple[int, int | None]]] = {}
    with closing(sqlite3.connect(database)) as connection:
        for endpoint, event, number, status in connection.execute(ATTEMPTS):
            found.setdefault(Key(endpoint, event), []).append((number, status))
    return found


def _column(rows: Iterable[tuple[Any, ...]]) -> list[Any]:
    return [row[0] for row in rows]
