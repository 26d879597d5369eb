"""Pruning: events that are over, and old, go with their deliveries and attempts, in steps that hold up nobody.

An event is over once nothing of it waits or is being sent, and old once that and the event itself are: so one that is
retried by hand stays for as long again. Looking needs no lock; what was found is judged again where it is deleted.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Final, NamedTuple

import msgspec

from hookd.store.context import Context
from hookd.store.rows import text
from hookd.store.statement import Query, Steps, statements

SQL = statements("prune")

AT_ONCE: Final = 512
"""Pages and rows that one step touches, a few milliseconds' work; an event that has more is a step of its own."""

PAGE: Final = 4096
"""Bytes of a page of the file."""

IN_VAIN: Final = 1_000
"""Events that stay, for as many of which there is a round that does not look at them again."""

_decode = msgspec.json.Decoder(list[tuple[int, int, int, float, int]]).decode


class Place(NamedTuple):
    """How far a walk has come, in the order of age."""

    created_at: int
    sequence: int


OLDEST: Final = Place(-1 << 62, 0)
"""Before every event."""


@dataclass(frozen=True, slots=True)
class Found:
    """What a look found: events that can go, how many stay, where to look next, and whether there may be more."""

    over: Sequence[int]
    stayed: int
    place: Place
    more: bool


@dataclass(frozen=True, slots=True)
class Removal:
    """Events that were found to be over, by their sequences, and (epoch ms) since before when."""

    events: Sequence[int]
    before: int


@dataclass(slots=True)
class Walk:
    """Where pruning goes on: once from the oldest event to the end, and then further for some rounds.

    They are the more, the more events were met that stay: a million that wait for a paused endpoint are passed over
    every thousandth round.
    """

    place: Place = OLDEST
    stayed: int = 0
    rest: int = 0

    def go_on(self, found: Found) -> None:
        """Go to where to look next."""
        self.place = found.place
        self.stayed += found.stayed

    def end_round(self) -> None:
        """Begin again from the oldest event, if it is time to."""
        self.rest = self.rest - 1 if self.rest else self.stayed // IN_VAIN
        if not self.rest:
            self.place, self.stayed = OLDEST, 0


class _Met(NamedTuple):
    """An event that is old, and what it costs to delete it."""

    place: Place
    stays: bool
    pages: float


def look(place: Place, before: int) -> Steps[Found]:
    """Find the next events that are over since before a time (epoch ms), as many as one step may delete."""
    limit = AT_ONCE // 3  # mostly there is an event, its delivery and an attempt
    while True:
        parameters = {**place._asdict(), "before": before, "page": PAGE, "limit": limit}
        rows = _decode((yield Query(SQL.met, parameters))[0][0])
        met = list(_events(rows))
        if len(rows) < limit:
            return _choose(met, place, more=False)
        if len(met) > 1:
            return _choose(met[:-1], place, more=True)  # of the last one there may be more
        limit *= 4


def _events(rows: Iterable[tuple[int, int, int, float, int]]) -> Iterator[_Met]:
    """Put together what was met of each event, a row for each of its deliveries."""
    for (created_at, sequence), group in groupby(rows, key=lambda row: row[:2]):
        deliveries = list(group)
        pages = 1 + deliveries[0][4] + sum(row[3] for row in deliveries)
        yield _Met(Place(created_at, sequence), any(row[2] for row in deliveries), pages)


def _choose(met: Sequence[_Met], place: Place, *, more: bool) -> Found:
    """Choose as many as may be deleted at once, and at least one."""
    over: list[int] = []
    stayed, pages = 0, 0.0
    for event in met:
        if event.stays:
            stayed += 1
        elif over and pages + event.pages > AT_ONCE:
            return Found(over, stayed, place, more=True)
        else:
            over.append(event.place.sequence)
            pages += event.pages
        place = event.place
    return Found(over, stayed, place, more)


def remove(removal: Removal) -> Steps[int]:
    """Delete those of the events that are still over, with all that is theirs; answer how many there were."""
    over = yield Query(SQL.over, {"events": text(removal.events), "before": removal.before})
    events = {"events": over[0][0]}
    yield Query(SQL.delete_attempts, events)
    yield Query(SQL.delete_outbox, events)
    return len((yield Query(SQL.delete_events, events)))


def prune(context: Context, removals: Sequence[Removal]) -> Steps[list[int]]:  # noqa: ARG001 - as every group's
    """Delete what was found, as `remove` does."""
    counts: list[int] = []
    for removal in removals:
        count = yield from remove(removal)
        counts.append(count)
    return counts
