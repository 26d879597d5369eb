"""Claiming: the oldest rows of each lane that is due and able."""

from collections.abc import Sequence

import msgspec

from hookd.errors import Unavailable
from hookd.model import Delivery, Destination, Event, Origin, Status
from hookd.store.context import Context
from hookd.store.order import is_ordered, line_of, settle
from hookd.store.rows import text
from hookd.store.statement import Query, Steps, statements

SQL = statements("claim")
STOPPED = statements("record").stopped

_decode = msgspec.json.Decoder(list[tuple[int, str, int, int, int, str, str, str, str, str, int, str, int]]).decode


def claim(context: Context, batches: Sequence[Sequence[str]]) -> Steps[list[None]]:
    """Claim from lanes, named by their endpoints' ids, as many deliveries as each has room for.

    What was claimed, and when each lane is due next, goes to the changes.
    """
    claimed: list[Delivery] = []
    lanes = dict.fromkeys(lane for batch in batches for lane in batch)
    for among, lane in zip(range(len(lanes), 0, -1), lanes, strict=True):
        claimed += yield from _claim_lane(context, lane, among)
    if claimed:
        yield Query(SQL.mark, {"sequences": text([delivery.sequence for delivery in claimed])})
        context.changes.claimed += claimed
    return [None] * len(batches)


def _claim_lane(context: Context, lane: str, among: int) -> Steps[list[Delivery]]:
    destination = yield from _find(context, lane)
    sent_from = None if destination is None else context.sent_from(destination)
    if destination is None or sent_from != context.now:
        context.changes.scanned[lane] = sent_from  # None: what wakes the lane again is a change of its endpoint
        return []
    room = 0 if context.room is None else min(context.claim_rows, context.room.claimable(destination, among))
    found = yield Query(SQL.oldest, {"endpoint": lane, "now": context.now, "limit": room + 1})
    claimed, due = _read(found[0][0], found[0][1] or b"", destination, room, context.now)
    context.hold(destination, len(claimed))
    context.changes.scanned[lane] = due
    return claimed


def _find(context: Context, lane: str) -> Steps[Destination | None]:
    """Find a lane's destination; one whose secrets can't be decrypted holds up no other lane."""
    try:
        return (yield from context.directory.find(lane))
    except Unavailable:  # the log tells of it
        return None


def _read(
    columns: str, payloads: bytes, destination: Destination, room: int, now: int
) -> tuple[list[Delivery], int | None]:
    """Read at most `room` due deliveries, and when the next one is due."""
    claimed: list[Delivery] = []
    start = 0
    for row in _decode(columns):
        (
            sequence,
            identity,
            attempt_count,
            step,
            due_at,
            event,
            tenant,
            type_,
            origin,
            content_type,
            created_at,
            ordering_key,
            size,
        ) = row
        if due_at > now or len(claimed) == room:
            return claimed, due_at
        payload = payloads[start : start + size]
        start += size
        noun = Event(event, tenant or None, type_, Origin(origin), payload, content_type, created_at, ordering_key)
        claimed.append(Delivery(sequence, identity, noun, destination, attempt_count, step))
    return claimed, None


def release(context: Context, batches: Sequence[Sequence[Delivery]]) -> Steps[list[None]]:
    """Put claimed deliveries back that were not attempted to an end: the daemon stops."""
    deliveries = [delivery for batch in batches for delivery in batch]
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
