"""Recording what came of attempts, in one transaction with all that follows from it."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass

from hookd.model import Delivery, Destination, Endpoint, Status
from hookd.store import rows
from hookd.store.accept import accept, operational
from hookd.store.claim import claim, still_ours
from hookd.store.context import Context
from hookd.store.health import judge
from hookd.store.order import is_ordered, line_of, settle
from hookd.store.result import Result
from hookd.store.statement import Many, Query, Row, Steps, statements

SQL = statements("record")


def record(context: Context, results: Sequence[Result]) -> Steps[list[None]]:
    """Record a batch of results: attempts, the deliveries' new statuses, the endpoints' health, what to tell whom."""
    answers = [None] * len(results)
    results = yield from _ours(context, results)
    if not results:
        return answers
    yield Many(SQL.insert_attempts, [rows.attempt_row(each.delivery.sequence, each.attempt) for each in results])
    stopped = yield from _stopped(results)
    yield Many(SQL.conclude, [_conclusion(each, context.now) for each in results])
    destinations = yield from _destinations(context, results)
    yield from judge(context, results, destinations)
    for each in results:
        if each.delivery.sequence in stopped:
            context.changes.concluded[Status.CANCELLED] += 1
        elif each.decision.due_at is not None:
            context.wake(each.delivery.destination.id, each.decision.due_at)
        else:
            context.changes.concluded[each.decision.status] += 1
    yield from _go_on(context, results, destinations)
    failed = [
        each
        for each in results
        if each.decision.status is Status.FAILED and each.delivery.sequence not in stopped and each.reportable
    ]
    yield from report_failed(context, map(_dead_letter, failed))
    return answers


def _ours(context: Context, results: Sequence[Result]) -> Steps[Sequence[Result]]:
    """Answer the results of which this process is still to tell; of the others, another has taken up the delivery."""
    found = yield from still_ours(context, [each.delivery for each in results])
    return [each for each in results if each.delivery in found] if len(found) < len(results) else results


def _stopped(results: Sequence[Result]) -> Steps[set[int]]:
    """Find the deliveries that were to stop unless they succeeded, and did not."""
    failed = [each.delivery.sequence for each in results if each.decision.status is not Status.DELIVERED]
    found = (yield Query(SQL.stopped, {"sequences": rows.text(failed)})) if failed else ()
    return {sequence for (sequence,) in found}


def _conclusion(result: Result, now: int) -> Row:
    delivery, decision = result.delivery, result.decision
    pending = decision.status is Status.PENDING
    return (
        delivery.sequence,
        decision.status.value,
        decision.reason,
        delivery.attempt_count + 1,
        delivery.step + pending,
        decision.due_at if decision.due_at is not None else now,
        result.attempt.error,
    )


def _destinations(context: Context, results: Sequence[Result]) -> Steps[dict[str, Destination | None]]:
    """Answer the destinations as they are now: since they were claimed for, they may have been changed, or deleted."""
    found: dict[str, Destination | None] = {}
    for lane in {each.delivery.destination.id for each in results}:
        found[lane] = yield from context.directory.find(lane)
    return found


def _go_on(context: Context, results: Sequence[Result], destinations: Mapping[str, Destination | None]) -> Steps[None]:
    """Claim at once what an ordered destination is sent next, so that each delivery costs it one commit, not two."""
    in_order = (each.delivery for each in results if is_ordered(destinations[each.delivery.destination.id]))
    lines = [line_of(delivery) for delivery in in_order]
    yield from settle(context, lines)
    if lines and context.room is not None:
        yield from claim(context, [list(dict.fromkeys(line.endpoint for line in lines))])


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A delivery that failed for good, as its operational event tells of it."""

    tenant: str | None
    delivery: str
    event: str
    event_type: str
    endpoint: str
    attempt_count: int
    reason: str | None
    last_error: str | None = None

    @property
    def told(self) -> dict[str, object]:
        """The event's payload."""
        return {name: value for name, value in asdict(self).items() if name != "tenant"}


def _dead_letter(result: Result) -> DeadLetter:
    delivery = result.delivery
    return DeadLetter(
        tenant=_tenant(delivery.destination, delivery),
        delivery=delivery.id,
        event=delivery.event.id,
        event_type=delivery.event.type,
        endpoint=delivery.destination.id,
        attempt_count=delivery.attempt_count + 1,
        reason=result.decision.reason,
        last_error=result.attempt.error,
    )


def _tenant(destination: Destination, delivery: Delivery) -> str | None:
    return destination.tenant if isinstance(destination, Endpoint) else delivery.event.tenant


def report_failed(context: Context, dead_letters: Iterable[DeadLetter]) -> Steps[None]:
    """Publish `hookd.delivery.failed` for each."""
    drafts = [operational(context, dead.tenant, "hookd.delivery.failed", dead.told) for dead in dead_letters]
    if drafts:
        yield from accept(context, drafts)
