"""Claiming: the oldest rows of each lane that is due and able."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import msgspec

from hookd.errors import Unavailable
from hookd.model import Delivery, Destination, Event, Origin, Status
from hookd.store.context import Context
from hookd.store.order import is_ordered, line_of, settle, take_in
from hookd.store.rows import text
from hookd.store.statement import Each, Many, Query, Steps, statements

SQL = statements("claim")
CLUSTER = statements("cluster")
STOPPED = statements("record").stopped

MOST_BYTES = 64 * 1024 * 1024
"""Bytes of payloads that one claim may bring into memory; a single one may be longer."""


class _Found(NamedTuple):
    """A waiting delivery, with all of its event but the payload."""

    lane: str
    sequence: int
    id: str
    attempt_count: int
    step: int
    due_at: int
    event: int
    event_id: str
    tenant: str
    type: str
    origin: Origin
    content_type: str
    created_at: int
    ordering_key: str
    size: int


_decode = msgspec.json.Decoder(list[_Found]).decode


@dataclass(slots=True)
class _Open:
    """A lane that may be claimed from: how many more, and when it is due next."""

    destination: Destination
    room: int
    due_at: int | None = None


def claim(context: Context, batches: Sequence[Sequence[str]]) -> Steps[list[None]]:
    """Claim from lanes, named by their endpoints' ids, as many deliveries as each has room for.

    What was claimed, and when each lane is due next, goes to the changes.
    """
    lanes = yield from _lanes(context, dict.fromkeys(lane for batch in batches for lane in batch))
    yield from take_in(context, [each.destination for each in lanes.values()])
    if lanes:
        wanted = [(lane, each.room + 1) for lane, each in lanes.items()]
        found = yield Each(SQL.oldest, SQL.oldest_of_lane, wanted, ("", 0))
        chosen = _choose((row for (rows,) in found for row in _decode(rows)), lanes, context.now)
        if chosen:
            yield from _take(context, chosen, lanes)
        context.changes.scanned |= {lane: each.due_at for lane, each in lanes.items()}
    return [None] * len(batches)


def _lanes(context: Context, wanted: Iterable[str]) -> Steps[dict[str, _Open]]:
    """Answer the lanes that may be sent to, with how many deliveries each; what is left in all together is shared."""
    destinations: list[Destination] = []
    for lane in wanted:
        destination = (yield from _find(context, lane)) if context.share.owns(lane) else None
        sent_from = None if destination is None else context.sent_from(destination)
        if destination is None or sent_from != context.now:
            context.changes.scanned[lane] = sent_from  # None: what wakes the lane again is a change of its endpoint
        else:
            destinations.append(destination)
    if context.room is None:
        return {destination.id: _Open(destination, 0) for destination in destinations}
    left = context.room.left
    share = max(1, left // max(1, len(destinations)))
    found: dict[str, _Open] = {}
    for destination in destinations:
        if left <= 0:
            context.changes.unasked.append(destination.id)
            continue
        found[destination.id] = _Open(destination, min(share, left, context.room.claimable(destination)))
        left -= found[destination.id].room
    return found


def _find(context: Context, lane: str) -> Steps[Destination | None]:
    """Find a lane's destination; one whose secrets can't be decrypted holds up no other lane."""
    try:
        return (yield from context.directory.find(lane))
    except Unavailable:  # the log tells of it
        return None


def _choose(rows: Iterable[_Found], lanes: Mapping[str, _Open], now: int) -> list[_Found]:
    """Choose what is due and has room, in memory too, and note when each lane is due next."""
    chosen: list[_Found] = []
    events: set[int] = set()
    left = MOST_BYTES
    for row in rows:
        lane = lanes[row.lane]
        if lane.due_at is not None:
            continue
        size = 0 if row.event in events else row.size
        if row.due_at > now or not lane.room or (size > left and chosen):
            lane.due_at = row.due_at
            continue
        chosen.append(row)
        events.add(row.event)
        lane.room -= 1
        left -= size
    return chosen


def _take(context: Context, chosen: Sequence[_Found], lanes: Mapping[str, _Open]) -> Steps[None]:
    """Mark deliveries as being sent, and hand them over with their events."""
    yield Query(SQL.mark, {"sequences": text([row.sequence for row in chosen])})
    events = yield from _events(list({row.event: row for row in chosen}.values()))
    for row in chosen:
        destination = lanes[row.lane].destination
        event = events[row.event]
        delivery = Delivery(row.sequence, row.id, event, destination, row.attempt_count, row.step, context.owner)
        context.changes.claimed.append(delivery)
        context.hold(destination, 1)


def _events(rows: Sequence[_Found]) -> Steps[dict[int, Event]]:
    """Read the payloads, each once however many deliveries its event has."""
    found = yield Query(SQL.payloads, {"events": text([row.event for row in rows])})
    payloads, start = found[0][0], 0
    events: dict[int, Event] = {}
    for row in rows:
        payload = payloads[start : start + row.size]
        start += row.size
        events[row.event] = Event(
            row.event_id,
            row.tenant or None,
            row.type,
            row.origin,
            payload,
            row.content_type,
            row.created_at,
            row.ordering_key,
        )
    return events


def release(context: Context, batches: Sequence[Sequence[Delivery]]) -> Steps[list[None]]:
    """Put claimed deliveries back that were not attempted to an end."""
    deliveries = yield from still_ours(context, [delivery for batch in batches for delivery in batch])
    sequences = {"sequences": text([delivery.sequence for delivery in deliveries])}
    context.changes.concluded[Status.CANCELLED] += len((yield Query(STOPPED, sequences)))
    yield Query(SQL.release, sequences)
    for delivery in deliveries:
        destination = yield from _find(context, delivery.destination.id)
        if destination is not None:
            context.make_due(destination)
        if is_ordered(destination):
            yield from settle(context, [line_of(delivery)])
    return [None] * len(batches)


def still_ours(context: Context, deliveries: Sequence[Delivery]) -> Steps[Sequence[Delivery]]:
    """Answer the deliveries that nobody has taken from this process since it claimed them, be it this one itself."""
    if not context.share.shared:
        return deliveries
    wanted = [(delivery.sequence, delivery.attempt_count, delivery.owner) for delivery in deliveries]
    found = {row[0] for row in (yield Many(CLUSTER.still_ours, wanted))} if wanted else set()
    return [delivery for delivery in deliveries if delivery.sequence in found]
