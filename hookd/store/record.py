"""Recording what came of attempts, in one transaction with all that follows from it."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace

from msgspec import Struct

from hookd.model import (
    Attempt,
    Delivery,
    Destination,
    Endpoint,
    EndpointState,
    Origin,
    Outcome,
    Status,
)
from hookd.policy import failing
from hookd.policy.failing import Failing
from hookd.policy.retry import GONE, Decision
from hookd.store import rows
from hookd.store.accept import accept, operational
from hookd.store.context import Context
from hookd.store.endpoints import disable
from hookd.store.statement import Many, Query, Row, Steps, statements
from hookd.units import format_duration

SQL = statements("record")


class Result(Struct, frozen=True):
    """An attempt that was made, and what was decided; `disable_after` is in milliseconds."""

    delivery: Delivery
    attempt: Attempt
    decision: Decision
    disable_after: int


def record(context: Context, results: Sequence[Result]) -> Steps[list[None]]:
    """Record a batch of results: attempts, the deliveries' new statuses, the endpoints' health, what to tell whom."""
    yield Many(SQL.insert_attempts, [rows.attempt_row(each.delivery.sequence, each.attempt) for each in results])
    stopped = yield from _stopped(results)
    yield Many(SQL.conclude, [_conclusion(each, context.now) for each in results])
    for each in results:
        if each.delivery.sequence in stopped:
            context.changes.concluded[Status.CANCELLED] += 1
        elif each.decision.due_at is not None:
            context.changes.make_due(each.delivery.destination.id, each.decision.due_at)
        else:
            context.changes.concluded[each.decision.status] += 1
    yield from _judge(context, results)
    failed = [
        each
        for each in results
        if each.decision.status is Status.FAILED and each.delivery.sequence not in stopped and _reportable(each)
    ]
    yield from report_failed(context, map(_dead_letter, failed))
    return [None] * len(results)


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


def _judge(context: Context, results: Sequence[Result]) -> Steps[None]:
    """Keep count of each endpoint's failures, and disable the ones that are gone or have failed for too long."""
    changed: dict[str, Endpoint] = {}
    for result in results:
        destination = result.delivery.destination
        success = result.attempt.outcome is Outcome.SUCCESS
        if not isinstance(destination, Endpoint):
            continue
        endpoint = changed.get(destination.id) or (yield from context.directory.find(destination.id))
        if isinstance(endpoint, Endpoint) and not (success and endpoint.failing_since is None):
            changed[endpoint.id] = yield from _after(context, endpoint, result, success=success)
    if changed:
        yield Many(SQL_FAILING, [(each.id, each.failing_since, each.failing_attempts) for each in changed.values()])


SQL_FAILING = statements("endpoints").update_failing


def _after(context: Context, endpoint: Endpoint, result: Result, *, success: bool) -> Steps[Endpoint]:
    before = Failing(endpoint.failing_since, endpoint.failing_attempts)
    now = failing.after(before, success=success, now=context.now)
    endpoint = replace(endpoint, failing_since=now.since, failing_attempts=now.attempts)
    context.directory.put(endpoint)
    if endpoint.state is EndpointState.DISABLED or success:
        return endpoint
    reason = None
    if result.attempt.status_code == GONE:
        reason = "the receiver answered 410 Gone"
    elif failing.given_up(now, context.now, result.disable_after):
        span = format_duration(result.disable_after)
        reason = f"no success in {now.attempts} attempts over {span}; last: {result.attempt.error}"
    if reason is not None:
        endpoint = yield from disable(context, endpoint, reason, tell=_reportable(result))
    return endpoint


def _reportable(result: Result) -> bool:
    return result.delivery.event.origin is not Origin.OPERATIONAL


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
