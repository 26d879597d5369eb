"""Deliveries as people see them: list, read, retry, cancel."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from hookd.errors import Conflict, HookdError, NotFound
from hookd.ids import first_id
from hookd.model import Attempt, Endpoint, EndpointState, Status
from hookd.store import rows
from hookd.store.context import Context
from hookd.store.endpoints import Named
from hookd.store.order import Line, settle
from hookd.store.page import Listing, Page, cut
from hookd.store.statement import ALONE, Query, Row, Steps, statements

SQL = statements("deliveries")


@dataclass(frozen=True, slots=True)
class DeliveryRecord:
    """What is on record of a delivery; `next_attempt_at` (epoch ms) where it is pending.

    `reason` is why it is where it is: on record, or of one that is due and waits, what its endpoint keeps it for.
    """

    id: str
    event: str
    type: str
    tenant: str | None
    endpoint: str
    status: Status
    reason: str | None
    attempt_count: int
    next_attempt_at: int | None
    last_error: str | None
    created_at: int


@dataclass(frozen=True, slots=True)
class DeliveryFilter:
    """Which deliveries; None asks for no such thing. `since` and `until` are epoch ms, `until` exclusive."""

    status: Status | None = None
    endpoint: str | None = None
    event: str | None = None
    type: str | None = None
    tenant: str | None = None
    since: int | None = None
    until: int | None = None


# Ids sort by time, so that the first row of a time is found through the index of the ids.
_FIRST = "coalesce((SELECT sequence FROM outbox WHERE id >= {time} ORDER BY id LIMIT 1), 4611686018427387904)"

# SQLite goes along a partial index only where the index's own condition stands in the query.
OPEN = "outbox.status <> 'delivered'"

CONDITIONS = {
    "status": "outbox.status = :status",
    "endpoint": "outbox.endpoint = :endpoint",
    "event": "outbox.event IN (SELECT sequence FROM events WHERE id = :event)",
    "type": "outbox.type = :type",
    "tenant": "outbox.tenant = :tenant AND outbox.tenant <> ''",
    "since": f"outbox.sequence >= {_FIRST.format(time=':since')}",
    "until": f"outbox.sequence < {_FIRST.format(time=':until')}",
}


def page_query(wanted: DeliveryFilter, page: Page, now: int) -> Query:
    """Build the query for one page of the deliveries that a filter lets through."""
    parameters = {
        "status": wanted.status,
        "endpoint": wanted.endpoint,
        "event": wanted.event,
        "type": wanted.type,
        "tenant": wanted.tenant,
        "since": None if wanted.since is None else first_id("dlv", wanted.since),
        "until": None if wanted.until is None else first_id("dlv", wanted.until),
    }
    used = {name: value for name, value in parameters.items() if value is not None}
    conditions = [CONDITIONS[name] for name in used]
    if wanted.status not in (None, Status.DELIVERED):
        conditions.append(OPEN)
    conditions.append(f"outbox.{page.order}".replace("BY s", "BY outbox.s"))
    return Query(f"{SQL.columns} WHERE {' AND '.join(conditions)}", used | page.parameters | {"now": now})


def deliveries(wanted: DeliveryFilter, page: Page, now: int) -> Steps[Listing[DeliveryRecord]]:
    """List deliveries as they are now (epoch ms), newest first."""
    found = yield page_query(wanted, page, now)
    kept, older, newer = cut(page, found)
    return Listing([_record(row) for row in kept], older, newer)


def _record(row: Row) -> DeliveryRecord:
    return DeliveryRecord(
        id=row[0],
        event=row[1],
        type=row[2],
        tenant=row[3] or None,
        endpoint=row[4],
        status=Status(row[5]),
        reason=row[6],
        attempt_count=row[7],
        next_attempt_at=row[8],
        last_error=row[9],
        created_at=row[10],
    )


def delivery(named: Named, latest: int, now: int) -> Steps[tuple[DeliveryRecord, list[Attempt]]]:
    """Answer a delivery as it is now (epoch ms) with its latest attempts, oldest first, or raise NotFound."""
    sequence = (yield from _locate(named)).sequence
    found = yield Query(SQL.attempts, {"delivery": sequence, "latest": latest})
    return (yield from _reread(sequence, now)), [rows.attempt(row) for row in reversed(found)]


class _Located(NamedTuple):
    """A delivery's place in the outbox."""

    sequence: int
    status: Status
    line: Line


def _locate(named: Named) -> Steps[_Located]:
    found = yield Query(SQL.locate, {"id": named.id})
    if not found or named.tenant not in (None, found[0][1] or None):
        raise NotFound(f"there is no delivery {named.id}, or it was pruned")
    sequence, _, endpoint, status, ordering_key = found[0]
    return _Located(sequence, Status(status), Line(endpoint, ordering_key))


def _reread(sequence: int, now: int) -> Steps[DeliveryRecord]:
    found = yield Query(f"{SQL.columns} WHERE outbox.sequence = :sequence", {"sequence": sequence, "now": now})
    return _record(found[0])


def retry(context: Context, named: Sequence[Named]) -> Steps[list[DeliveryRecord | HookdError]]:
    """Put deliveries back at the start of their schedule, due now, whatever became of them before."""
    yield ALONE
    answers: list[DeliveryRecord | HookdError] = []
    for each in named:
        try:
            answers.append((yield from _retry(context, each)))
        except HookdError as error:
            answers.append(error)
    return answers


def _retry(context: Context, named: Named) -> Steps[DeliveryRecord]:
    sequence, status, line = yield from _locate(named)
    if status is Status.SENDING:
        raise Conflict(f"{named.id} is being sent right now; wait for the attempt's outcome")
    lane = line.endpoint
    destination = yield from context.directory.find(lane)
    if destination is None:
        raise Conflict(f"{lane} does not exist any more")
    if isinstance(destination, Endpoint) and destination.state is EndpointState.DISABLED:
        raise Conflict(f"{lane} is disabled: {destination.state_reason}; set its state to active first")
    parameters = {"sequence": sequence, "now": context.now, "ordering_key": line.ordering_key}
    yield Query(SQL.retry, parameters | {"ordered": destination.ordered})
    if destination.ordered:
        yield from settle(context, [line])
    else:
        context.make_due(destination)
    return (yield from _reread(sequence, context.now))


def cancel(context: Context, named: Sequence[Named]) -> Steps[list[DeliveryRecord | HookdError]]:
    """Cancel deliveries; one that is being sent is cancelled unless the attempt in flight succeeds."""
    yield ALONE
    answers: list[DeliveryRecord | HookdError] = []
    for each in named:
        try:
            answers.append((yield from _cancel(context, each)))
        except HookdError as error:
            answers.append(error)
    return answers


def _cancel(context: Context, named: Named) -> Steps[DeliveryRecord]:
    sequence, status, line = yield from _locate(named)
    if status in (Status.DELIVERED, Status.FAILED):
        raise Conflict(f"{named.id} is {status} already; there is nothing left to cancel")
    parameters = {"sequence": sequence, "reason": "cancelled by hand", "now": context.now}
    if status is Status.PENDING:
        yield Query(SQL.cancel, parameters)
        context.changes.concluded[Status.CANCELLED] += 1
        yield from settle(context, [line])
    elif status is Status.SENDING:
        yield Query(SQL.stop, parameters)
        context.changes.touch(line.endpoint)
    return (yield from _reread(sequence, context.now))
