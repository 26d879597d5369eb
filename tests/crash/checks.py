"""The Crash paragraph, as questions to what was on disk, what arrived, and what was told. Each yields complaints."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field

from tests.crash.daemon import MAX_IN_FLIGHT
from tests.crash.image import EMPTY, Image, Key, Row
from tests.crash.witness import Arrival

WAITING = ("pending", "sending")

Arrivals = Mapping[Key, Sequence[Arrival]]


@dataclass(slots=True)
class Promises:
    """What clients were told: it holds from then on."""

    published: Set[str]
    """Ids of acknowledged events."""
    received: Set[bytes]
    """Bodies of acknowledged webhooks."""
    delivered: set[str] = field(default_factory=set)
    """Ids of deliveries that the API has shown as delivered."""


@dataclass(slots=True)
class Audit:
    """Follows the lives, one after the other."""

    promises: Promises
    limits: Mapping[str, int]
    """How many deliveries may be in flight, by endpoint."""
    before: Image = EMPTY
    """What was on disk when this life began."""

    def close(self, now: Image, life: Arrivals) -> list[str]:
        """Judge a life by what it left on disk and what arrived in it."""
        complaints = [
            *_sound(now),
            *_kept(self.promises, now),
            *_went_on(self.before, now),
            *_bounded(life, self.limits),
            *(complaint for key in life for complaint in _sent(key, life[key], self.before.outbox.get(key))),
            *(complaint for key, row in now.outbox.items() for complaint in self._recorded(key, row, life)),
            *(f"{key}: arrived, but is on no record" for key in life if key not in now.outbox),
        ]
        self.before = now
        return complaints

    def _recorded(self, key: Key, row: Row, life: Arrivals) -> Iterator[str]:
        """What is on record has happened: in this life or on record before."""
        earlier = self.before.outbox.get(key)
        count = earlier.attempt_count if earlier else 0
        arrived = life.get(key, ())
        last = arrived[-1].attempt if arrived else count
        in_flight = row.status == "sending" and last == row.attempt_count + 1
        if row.attempt_count != last and not in_flight:
            yield f"{key}: attempt {last} was the last to arrive, {row} is on record"
        if row.status == "delivered" and (earlier is None or earlier.status != "delivered"):
            answers = {arrival.attempt: arrival.answer for arrival in arrived}
            if answers.get(row.attempt_count) != 200:
                yield f"{key}: delivered on record, but its attempts were answered with {answers}"


def _sound(now: Image) -> Iterator[str]:
    """The file is whole, and nothing is in it twice."""
    if now.integrity != "ok":
        yield f"the file is damaged: {now.integrity}"
    for what, rows in (
        ("events", now.events),
        ("webhooks", now.inbound),
        ("deliveries", [key for key, _ in now.deliveries]),
    ):
        twice = [row for row, count in Counter[object](rows).items() if count > 1]
        if twice:
            yield f"{what} are there twice: {twice}"


def _kept(promises: Promises, now: Image) -> Iterator[str]:
    """What somebody was told is true."""
    delivered = {row.id for _, row in now.deliveries if row.status == "delivered"}
    for event in promises.published - set(now.events):
        yield f"the event {event} was acknowledged and is lost"
    for body in promises.received - set(now.inbound):
        yield f"the webhook {body!r} was acknowledged and is lost"
    for delivery in promises.delivered - delivered:
        yield f"the delivery {delivery} was shown as delivered and is not"


def _went_on(before: Image, now: Image) -> Iterator[str]:
    """No row is lost, none goes back, and what is concluded stays so."""
    for key, row in before.outbox.items():
        later = now.outbox.get(key)
        if later is None:
            yield f"{key}: lost; it was {row}"
        elif row.status not in WAITING and later != row:
            yield f"{key}: concluded as {row}, and then {later}"
        elif later.attempt_count < row.attempt_count:
            yield f"{key}: went back from {row} to {later}"


def _bounded(life: Arrivals, limits: Mapping[str, int]) -> Iterator[str]:
    """So much at most was under way to each when the process died, and is made again."""
    counts = Counter(key.endpoint for key in life for arrival in life[key] if arrival.answer is None)
    for endpoint, count in counts.items():
        if count > limits[endpoint]:
            yield f"{endpoint}: {count} were in flight, {limits[endpoint]} may be"
    if counts.total() > MAX_IN_FLIGHT:
        yield f"{counts} were in flight, {MAX_IN_FLIGHT} may be"


def _sent(key: Key, arrived: Sequence[Arrival], earlier: Row | None) -> Iterator[str]:
    """Attempts go on from what was on record, one by one; what was concluded is not attempted."""
    if earlier and earlier.status not in WAITING:
        yield f"{key}: attempted although it was {earlier}"
    first = earlier.attempt_count + 1 if earlier else 1
    numbers = [arrival.attempt for arrival in arrived]
    if numbers != list(range(first, first + len(numbers))):
        yield f"{key}: attempts {numbers} in one life, where {first} was the next"
    if not all(arrival.genuine for arrival in arrived):
        yield f"{key}: an attempt was not signed as it should be"
