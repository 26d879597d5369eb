"""Claiming: the oldest rows of each lane that is due and able."""

from collections.abc import Sequence

import msgspec

from hookd.errors import Unavailable
from hookd.model import Delivery, Destination, Endpoint, EndpointState, Event, Origin, Status
from hookd.store.context import Context
from hookd.store.rows import text
from hookd.store.statement import Query, Steps, statements

SQL = statements("claim")
STOPPED = statements("record").stopped

CLAIM_ROWS = 256
"""Rows that are claimed from a lane at once, at the most."""

LARGE = 1024 * 1024
"""Bytes beyond which a payload is claimed alone: so a claim brings no more than CLAIM_ROWS of these into memory."""

Claimable = tuple[int, str, int, int, int, str, str, str, str, str, int, int]
"""The columns of `claim.oldest`, without payloads."""

_decode = msgspec.json.Decoder(list[Claimable]).decode


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
    if destination is None or (isinstance(destination, Endpoint) and destination.state is not EndpointState.ACTIVE):
        context.changes.scanned[lane] = None  # what wakes the lane again is a change of its endpoint
        return []
    room = 0 if context.room is None else min(CLAIM_ROWS, context.room.claimable(destination, among))
    found = yield Query(SQL.oldest, {"endpoint": lane, "now": context.now, "limit": room + 1, "large": LARGE})
    rows, payloads = _decode(found[0][0]), found[0][1] or b""
    if room and rows and _large(rows[0]):
        room, payloads = 1, (yield Query(SQL.payload, {"sequence": rows[0][0]}))[0][0]
    claimed, due = _read(rows, payloads, destination, room, context.now)
    context.hold(destination, len(claimed))
    context.changes.scanned[lane] = due
    return claimed


def _find(context: Context, lane: str) -> Steps[Destination | None]:
    """Find a lane's destination; one whose secrets can't be decrypted holds up no other lane."""
    try:
        return (yield from context.directory.find(lane))
    except Unavailable:  # the log tells of it
        return None


def _large(row: Claimable) -> bool:
    return row[-1] > LARGE


def _read(
    rows: Sequence[Claimable], payloads: bytes, destination: Destination, room: int, now: int
) -> tuple[list[Delivery], int | None]:
    """Read at most `room` due deliveries, a large one only as the first, and when the next one is due."""
    claimed: list[Delivery] = []
    start = 0
    for row in rows:
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
            size,
        ) = row
        if due_at > now or len(claimed) == room or (claimed and size > LARGE):
            return claimed, due_at
        payload = payloads[start : start + size]
        start += size
        noun = Event(event, tenant or None, type_, Origin(origin), payload, content_type, created_at)
        claimed.append(Delivery(sequence, identity, noun, destination, attempt_count, step))
    return claimed, None


def release(context: Context, batches: Sequence[Sequence[Delivery]]) -> Steps[list[None]]:
    """Put claimed deliveries back that were not attempted to an end: the daemon stops."""
    deliveries = [delivery for batch in batches for delivery in batch]
    sequences = {"sequences": text([delivery.sequence for delivery in deliveries])}
    context.changes.concluded[Status.CANCELLED] += len((yield Query(STOPPED, sequences)))
    yield Query(SQL.release, sequences)
    for delivery in deliveries:
        context.changes.make_due(delivery.destination.id, context.now)
    return [None] * len(batches)
