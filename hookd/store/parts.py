"""The parts of a store that is moved: which rows are copied together, and how it shows that they have changed.

A part is cut into blocks, by ranges of a column. Each block has a mark, which differs once anything in it does: what a
daemon does to the file while it is copied is found so, and copied again.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from hookd.store.renumber import Renumbering


@dataclass(frozen=True, slots=True)
class Numbers:
    """What the sequences of events and deliveries are at the server."""

    events: Renumbering
    deliveries: Renumbering


Named = dict[str, Any]
"""A row, by its columns."""


def _as_it_is(row: Named, numbers: Numbers) -> None:
    """Leave a row as it is."""


def _kept(key: int, numbers: Numbers) -> int:  # noqa: ARG001 - as every table's
    return key


@dataclass(frozen=True, slots=True)
class Table:
    """A table, and the column by whose ranges it is cut.

    `adapt` makes a row of the file one of the server, and `number` what it is cut by.
    """

    name: str
    key: str
    adapt: Callable[[Named, Numbers], None] = _as_it_is
    number: Callable[[int, Numbers], int] = _kept


@dataclass(frozen=True, slots=True)
class Part:
    """Tables whose rows change together; the first one's tell it. `width` is a block's, in values of the key."""

    tables: tuple[Table, ...]
    width: int
    mark: str
    """An aggregate over the rows of a block."""

    @property
    def marks(self) -> str:
        """The statement that answers the numbers of all blocks, and their marks."""
        return self._marks("")

    @property
    def marks_between(self) -> str:
        """The statement that answers the same for the rows with a key from one on to before another."""
        key = self.tables[0].key
        return self._marks(f"WHERE {key} >= ? AND {key} < ?")

    def _marks(self, condition: str) -> str:
        table = self.tables[0]
        what = f"{table.key} / {self.width} AS block, {self.mark}"
        return f"SELECT {what} FROM {table.name} {condition} GROUP BY block"  # noqa: S608 - all of it stands here


def _all_of(*columns: str) -> str:
    """Answer a mark that tells all of these columns, of every row; what changes with another one need not be there."""
    return f"json_group_array(json_array({', '.join(columns)}))"


RETRIED: Final = 1 << 62
"""The turn of a delivery that was retried by hand is the sequence of its event less this: see deliveries.sql."""


def _event(row: Named, numbers: Numbers) -> None:
    row["sequence"] = numbers.events(row["sequence"])


def _delivery(row: Named, numbers: Numbers) -> None:
    row["sequence"] = numbers.deliveries(row["sequence"])
    row["event"] = numbers.events(row["event"])
    if row["turn"] is not None and row["turn"] < 0:
        row["turn"] = row["event"] - RETRIED


def _attempt(row: Named, numbers: Numbers) -> None:
    row["delivery"] = numbers.deliveries(row["delivery"])


EVENTS: Final = Table("events", "sequence", _event, lambda key, numbers: numbers.events(key))
DELIVERIES: Final = Table("outbox", "sequence", _delivery, lambda key, numbers: numbers.deliveries(key))
ATTEMPTS: Final = Table("attempts", "delivery", _attempt, lambda key, numbers: numbers.deliveries(key))

PARTS: Final = (
    Part((EVENTS,), 1024, "count(*) || ' ' || sum(sequence)"),  # they come at the end, are pruned, and never change
    Part(
        (DELIVERIES, ATTEMPTS),  # an attempt is recorded together with what came of it
        1024,
        _all_of(
            "sequence", "status", "reason", "stop", "attempt_count", "step", "crashes", "due_at", "last_error",
            "ordering_key", "turn", "held",
        ),
    ),
    Part((Table("dedupe", "created_at"),), 60_000, _all_of("kind", "owner", "key")),
    Part((Table("rejections", "sequence"),), 64, _all_of("sequence", "event")),
    Part((Table("published", "sequence"),), 256, _all_of("sequence", "fault")),
    Part(
        (Table("endpoints", "sequence"),),
        256,
        _all_of(
            "sequence", "url", "event_types", "description", "scheme", "token", "secret", "previous_secrets",
            "headers", "max_in_flight", "timeout", "retry", "metadata", "state", "state_reason", "state_since",
            "failing_since", "failing_attempts", "updated_at", "key_id", "rate_limit", "ordered", "opened_at",
            "openings", "blocked_until", "filter", "format", "told_failing",
        ),
    ),
    Part((Table("subscriptions", "0"),), 1, _all_of("tenant", "pattern", "endpoint")),
)  # fmt: skip
"""All that a store holds."""

TABLES: Final[Sequence[str]] = [table.name for part in PARTS for table in part.tables]
