"""What there is to count: the outbox's depth, what is due, the endpoints by state."""

from collections.abc import Mapping
from dataclasses import dataclass

from hookd.model import EndpointState, Status
from hookd.store.statement import Query, Steps, statements


@dataclass(frozen=True, slots=True)
class Totals:
    """Counts; `oldest_due_at` (epoch ms) is when the delivery that has waited longest, and may be sent, was due."""

    depth: Mapping[Status, int]
    oldest_due_at: int | None
    endpoints: Mapping[EndpointState, int]


def totals() -> Steps[Totals]:
    """Count what waits, and the endpoints by state."""
    depth = yield Query(statements("deliveries").depth, {})
    paused = {endpoint for (endpoint,) in (yield Query(statements("endpoints").paused, {}))}
    due = [at for lane, at in (yield Query(statements("claim").lanes, {})) if lane not in paused]
    states = yield Query(statements("endpoints").count_by_state, {})
    return Totals(
        {Status(status): count for status, count in depth},
        min(due, default=None),
        {EndpointState(state): count for state, count in states},
    )
