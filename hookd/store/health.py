"""What attempts tell of an endpoint: how long it has been failing, its breaker, and when it is disabled."""

from collections.abc import Sequence
from dataclasses import replace

from msgspec import structs

from hookd.model import Destination, Endpoint, EndpointState, Outcome
from hookd.policy import breaker, failing
from hookd.policy.breaker import Tally
from hookd.policy.failing import Failing
from hookd.policy.retry import GONE, LONGEST_RETRY_AFTER
from hookd.store.accept import accept, operational
from hookd.store.context import Context
from hookd.store.endpoints import closed, disable
from hookd.store.result import Result
from hookd.store.statement import Many, Steps, statements
from hookd.units import format_duration, format_time

SQL = statements("endpoints")

TOO_MUCH = (429, 503)
"""Statuses whose `Retry-After` is about the receiver, not one delivery (RFC 6585, section 4; RFC 9110, 15.6.4)."""


def judge(context: Context, results: Sequence[Result], destinations: dict[str, Destination | None]) -> Steps[None]:
    """Take in what results tell of their endpoints; `destinations` are what these are now, and are then."""
    changed: dict[str, Endpoint] = {}
    for result in results:
        endpoint = destinations[result.delivery.destination.id]
        if isinstance(endpoint, Endpoint):
            tally = _count(context, endpoint, result)
            if not _is_as_ever(endpoint, result):
                after = yield from _after(context, endpoint, result, tally)
                destinations[endpoint.id] = changed[endpoint.id] = after
    if changed:
        yield Many(SQL.update_health, [(each.id, *_health(each)) for each in changed.values()])


def _health(endpoint: Endpoint) -> tuple[int | None, ...]:
    lane = endpoint.breaker
    failing = endpoint.failing_since, endpoint.failing_attempts
    return *failing, lane.opened_at, lane.openings, lane.blocked_until, lane.told


def _is_as_ever(endpoint: Endpoint, result: Result) -> bool:
    """Say whether a success comes from an endpoint that has not failed."""
    healthy = endpoint.failing_since is None and endpoint.breaker == breaker.CLOSED
    return healthy and result.attempt.outcome is Outcome.SUCCESS


def _count(context: Context, endpoint: Endpoint, result: Result) -> Tally:
    tallies = context.directory.tallies
    success = result.attempt.outcome is Outcome.SUCCESS
    tally = breaker.counted(tallies.get(endpoint.id, Tally()), result.breaker.window, context.now, success=success)
    tallies[endpoint.id] = tally
    return tally


def _after(context: Context, before: Endpoint, result: Result, tally: Tally) -> Steps[Endpoint]:
    success = result.attempt.outcome is Outcome.SUCCESS
    health = failing.after(Failing(before.failing_since, before.failing_attempts), success=success, now=context.now)
    endpoint = replace(before, failing_since=health.since, failing_attempts=health.attempts)
    context.directory.put(endpoint)
    if endpoint.state is EndpointState.DISABLED:
        return endpoint
    reason = None if success else _reason_to_disable(endpoint, result, context.now)
    if reason is not None:
        return (yield from disable(context, endpoint, reason, tell=result.reportable))
    endpoint = _switched(context, endpoint, result, tally)
    if endpoint.breaker.opened_at is None:
        yield from closed(context, before, endpoint)
    elif before.breaker.opened_at is None:
        yield from _tell(context, endpoint, result)
    return endpoint


def _reason_to_disable(endpoint: Endpoint, result: Result, now: int) -> str | None:
    if result.attempt.status_code == GONE:
        return "the receiver answered 410 Gone"
    if failing.given_up(Failing(endpoint.failing_since, endpoint.failing_attempts), now, result.disable_after):
        attempts, error = endpoint.failing_attempts, result.attempt.error
        return f"no success in {attempts} attempts over {format_duration(result.disable_after)}; last: {error}"
    return None


def _switched(context: Context, endpoint: Endpoint, result: Result, tally: Tally) -> Endpoint:
    """Answer the endpoint with its breaker opened or closed as the result asks for, and let its lane know."""
    before, attempt = endpoint.breaker, result.attempt
    if attempt.outcome is Outcome.SUCCESS:
        after = breaker.after_success(before, context.now)
    else:
        after = breaker.after_failure(
            before,
            result.breaker,
            failed_in_a_row=endpoint.failing_attempts,
            tally=tally,
            pause=min(attempt.retry_after or 0, LONGEST_RETRY_AFTER) if attempt.status_code in TOO_MUCH else 0,
            now=context.now,
        )
    if after == before:
        return endpoint
    if before.opened_at is None and after.opened_at is not None:
        after = structs.replace(after, told=result.reportable)
    endpoint = replace(endpoint, breaker=after)
    context.directory.put(endpoint)
    context.learn(endpoint)  # what is claimed ahead may have to wait as well
    if before.opened_at is not None and after.opened_at is None:
        context.make_due(endpoint)
    return endpoint


def _tell(context: Context, endpoint: Endpoint, result: Result) -> Steps[None]:
    """Let the log know that a breaker has opened, and its subscribers, unless an operational event was the cause."""
    error = result.attempt.error or result.attempt.outcome.value
    context.changes.failing[endpoint.id] = error
    if endpoint.breaker.told:
        since = format_time(endpoint.failing_since or context.now)
        told = {"endpoint": endpoint.id, "url": endpoint.url, "last_error": error, "failing_since": since}
        yield from accept(context, [operational(context, endpoint.tenant, "hookd.endpoint.failing", told)])
