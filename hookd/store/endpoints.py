"""Endpoints: make, change, delete, disable, and what that does to the deliveries that wait for them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from hookd.errors import HookdError, NotFound
from hookd.model import Breaker, Endpoint, EndpointState, Status
from hookd.store import rows
from hookd.store.accept import accept, operational
from hookd.store.context import Context
from hookd.store.order import arrange
from hookd.store.page import Listing, Page, cut
from hookd.store.statement import ALONE, Many, Query, Row, Steps, statements
from hookd.store.vault import Vault
from hookd.units import format_time

SQL = statements("endpoints")
DELIVERIES = statements("deliveries")


@dataclass(frozen=True, slots=True)
class Change:
    """A change of one endpoint: a pure function of what it is now. `tenant` None means any."""

    id: str
    tenant: str | None
    apply: Callable[[Endpoint], Endpoint]


@dataclass(frozen=True, slots=True)
class Named:
    """One thing asked for by its id; `tenant` None means any."""

    id: str
    tenant: str | None


def create(context: Context, endpoints: Sequence[Endpoint]) -> Steps[list[Endpoint]]:
    """Store new endpoints with their subscriptions."""
    yield ALONE
    for endpoint in endpoints:
        yield Query(SQL.insert, rows.endpoint_row(endpoint, context.directory.vault))
        yield from _subscribe(context, endpoint)
        if context.room is not None and endpoint.rate_limit is not None:
            context.room.welcome(endpoint)
    return list(endpoints)


def _subscribe(context: Context, endpoint: Endpoint) -> Steps[None]:
    patterns = [(endpoint.tenant or "", pattern, endpoint.id) for pattern in dict.fromkeys(endpoint.event_types)]
    if patterns:
        yield Many(SQL.subscribe, patterns)
    context.directory.resubscribed(endpoint.id)


def change(context: Context, changes: Sequence[Change]) -> Steps[list[Endpoint | HookdError]]:
    """Change endpoints; what waits is cancelled where one is disabled, and due at once where it was mended."""
    yield ALONE
    answers: list[Endpoint | HookdError] = []
    for each in changes:
        try:
            before = yield from read(context, each.id, each.tenant)
            after = each.apply(before)
        except HookdError as error:
            answers.append(error)
        else:
            after = yield from _store(context, before, after)
            context.learn(after)
            answers.append(after)
    return answers


def read(context: Context, identity: str, tenant: str | None) -> Steps[Endpoint]:
    """Answer an endpoint, or raise NotFound."""
    found = yield from context.directory.find(identity)
    if not isinstance(found, Endpoint) or tenant not in (None, found.tenant):
        raise NotFound(f"there is no endpoint {identity}")
    return found


def _store(context: Context, before: Endpoint, after: Endpoint) -> Steps[Endpoint]:
    if after.event_types != before.event_types:
        yield Query(SQL.unsubscribe, {"id": after.id})
        yield from _subscribe(context, after)
    if after.ordered != before.ordered:
        yield from arrange(context, after)
    if after.state is EndpointState.DISABLED and before.state is not EndpointState.DISABLED:
        return (yield from disable(context, after, after.state_reason or "by hand"))
    woken = after.state is EndpointState.ACTIVE and before.state is not EndpointState.ACTIVE
    if woken:
        after = replace(after, failing_since=None, failing_attempts=0)
    if woken or after.url != before.url:
        return (yield from _hasten(context, before, after))
    yield from _update(context, after)
    return after


def _update(context: Context, endpoint: Endpoint) -> Steps[None]:
    yield Query(SQL.update, rows.endpoint_row(endpoint, context.directory.vault))
    context.directory.put(endpoint)


def _hasten(context: Context, before: Endpoint, after: Endpoint) -> Steps[Endpoint]:
    """Make all that waits for an endpoint due now, whatever its breaker said, and store the endpoint as it then is."""
    after = replace(after, breaker=Breaker())
    yield from _update(context, after)
    yield Query(DELIVERIES.hasten, {"endpoint": after.id, "now": context.now})
    yield Query(DELIVERIES.hasten_held, {"endpoint": after.id, "now": context.now})
    context.make_due(after)
    yield from closed(context, before, after)
    return after


def closed(context: Context, before: Endpoint, after: Endpoint) -> Steps[None]:
    """Where an endpoint's breaker was open, tell whoever was told so that it is no more, and count anew.

    `failing_since` is that of `hookd.endpoint.failing`, so that the two can be matched.
    """
    if before.breaker.opened_at is None:
        return
    context.directory.tallies.pop(after.id, None)
    context.changes.recovered.append(after.id)
    if before.breaker.told:
        since = format_time(before.failing_since or before.breaker.opened_at)
        told = {"endpoint": after.id, "url": after.url, "failing_since": since}
        yield from accept(context, [operational(context, after.tenant, "hookd.endpoint.recovered", told)])


def disable(context: Context, endpoint: Endpoint, reason: str, *, tell: bool = True) -> Steps[Endpoint]:
    """Disable an endpoint: what waits is cancelled, what is being sent is not tried again, subscribers are told.

    They are told nothing where a delivery of an operational event is the cause, since such deliveries cause no others;
    but who was told that it is failing is told how that ended.
    """
    yield ALONE
    tell = tell or endpoint.breaker.told
    endpoint = replace(
        endpoint,
        state=EndpointState.DISABLED,
        state_reason=reason,
        state_since=context.now,
        updated_at=context.now,
        breaker=Breaker(),
    )
    yield from _update(context, endpoint)
    context.changes.disabled[endpoint.id] = reason
    yield from cancel_waiting(context, endpoint.id, f"the endpoint is disabled: {reason}")
    if tell:
        told = {"endpoint": endpoint.id, "url": endpoint.url, "reason": reason}
        yield from accept(context, [operational(context, endpoint.tenant, "hookd.endpoint.disabled", told)])
    return endpoint


def cancel_waiting(context: Context, identity: str, reason: str) -> Steps[None]:
    """Cancel what waits for a destination; what is being sent is cancelled unless its attempt succeeds."""
    yield ALONE
    context.changes.touch(identity)
    parameters = {"endpoint": identity, "reason": reason, "now": context.now}
    waiting = yield Query(DELIVERIES.count_waiting, {"endpoint": identity})
    context.changes.concluded[Status.CANCELLED] += waiting[0][0]
    yield Query(DELIVERIES.cancel_waiting, parameters)
    yield Query(DELIVERIES.cancel_held, parameters)
    yield Query(DELIVERIES.stop_sending, parameters)


def delete(context: Context, endpoints: Sequence[Named]) -> Steps[list[HookdError | None]]:
    """Delete endpoints and their secrets; what waits is cancelled, history stays."""
    yield ALONE
    answers: list[HookdError | None] = []
    for each in endpoints:
        try:
            endpoint = yield from read(context, each.id, each.tenant)
        except NotFound as error:
            answers.append(error)
            continue
        yield from cancel_waiting(context, endpoint.id, "the endpoint was deleted")
        yield Query(SQL.unsubscribe, {"id": endpoint.id})
        yield Query(SQL.delete, {"id": endpoint.id})
        context.directory.resubscribed(endpoint.id)
        answers.append(None)
    return answers


def hasten_all(context: Context, identities: Sequence[str]) -> Steps[list[None]]:
    """Make all that waits for these endpoints due now."""
    yield ALONE
    for identity in identities:
        endpoint = yield from context.directory.find(identity)
        if isinstance(endpoint, Endpoint):
            yield from _hasten(context, endpoint, endpoint)
    return [None] * len(identities)


def endpoint(named: Named, vault: Vault) -> Steps[Endpoint]:
    """Answer an endpoint as it is on disk, or raise NotFound."""
    for row in (yield Query(SQL.read, {"id": named.id})):
        found = rows.endpoint(row, vault)
        if named.tenant in (None, found.tenant):
            return found
    raise NotFound(f"there is no endpoint {named.id}")


def endpoints(tenant: str | None, page: Page, vault: Vault) -> Steps[Listing[Endpoint]]:
    """List endpoints, newest first; `tenant` None lists every tenant's."""
    condition = "" if tenant is None else "tenant = :tenant AND tenant <> '' AND "
    parameters = {} if tenant is None else {"tenant": tenant}
    found = yield Query(f"{SQL.page} WHERE {condition}{page.order}", parameters | page.parameters)
    kept, older, newer = cut(page, found)
    return Listing([rows.endpoint(row, vault) for row in kept], older, newer)


def key_ids() -> Steps[list[str]]:
    """Answer the ids of the keys that secrets are encrypted with; '' is among them where some are plain."""
    return [key_id for (key_id,) in (yield Query(SQL.key_ids, {}))]


def reencrypt(vault: Vault, limit: int) -> Steps[int]:
    """Encrypt with the first key the secrets of some endpoints that are not; answer of how many."""
    parameters = {"key_id": vault.first.id, "limit": limit}
    found = yield Query(f"{SQL.page} WHERE key_id < :key_id OR key_id > :key_id LIMIT :limit", parameters)
    if found:
        yield Many(SQL.reencrypt, [_reencrypted(rows.endpoint(row, vault), vault) for row in found])
    return len(found)


def _reencrypted(endpoint: Endpoint, vault: Vault) -> Row:
    row = rows.endpoint_row(endpoint, vault)
    return tuple(row[column] for column in ("id", *rows.SECRETS, "key_id"))
