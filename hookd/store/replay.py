"""Replay: what an endpoint missed is sent to it, at the tail of what already waits."""

from collections.abc import Sequence
from dataclasses import dataclass

from hookd.errors import Conflict, HookdError
from hookd.model import Endpoint, EndpointState, Origin, Status
from hookd.policy.filter import Subject, passes
from hookd.policy.match import matches
from hookd.store.context import Context
from hookd.store.endpoints import read
from hookd.store.order import Line, last_turns, settle, take_in
from hookd.store.statement import ALONE, Insert, Many, Query, Row, Steps, statements

SQL = statements("replay")
CLUSTER = statements("cluster")
INSERT = statements("accept").insert_outbox

AT_ONCE = 250
"""Events that are looked at in one transaction."""
FILTERED_AT_ONCE = 50
"""As many where each payload may have to be read and parsed."""

MISSED = frozenset({Status.FAILED, Status.CANCELLED})


@dataclass(frozen=True, slots=True)
class Replay:
    """What to replay: events from `since` until before `until` (epoch ms).

    Of those that the endpoint has a delivery of, the ones with these statuses. `event_types` None means whatever the
    endpoint subscribes to. `dry_run` only counts.
    """

    endpoint: str
    tenant: str | None
    since: int
    until: int
    event_types: tuple[str, ...] | None = None
    statuses: frozenset[Status] = MISSED
    dry_run: bool = False


@dataclass(frozen=True, slots=True)
class Step:
    """A part of a replay: the events behind `after`, up to `last`."""

    replay: Replay
    after: int
    last: int


@dataclass(frozen=True, slots=True)
class Stepped:
    """How many deliveries a step came to, and behind which event the next begins; None where it was the last."""

    deliveries: int
    after: int | None


@dataclass(frozen=True, slots=True)
class _Candidate:
    """An event, and the delivery of it that the endpoint has already, if any."""

    event: int
    type: str
    origin: Origin
    ordering_key: str
    created_at: int
    addressed: bool
    delivery: int | None
    status: Status | None


def span(wanted: Replay) -> Steps[tuple[int, int]]:
    """Answer the first event of the time, and the last; the last is before the first where there is none."""
    first, last = (yield Query(SQL.span, {"since": wanted.since, "until": wanted.until}))[0]
    return first or 0, last or -1


def replay(context: Context, steps: Sequence[Step]) -> Steps[list[Stepped | HookdError]]:
    """Take steps of replays."""
    yield ALONE
    answers: list[Stepped | HookdError] = []
    for step in steps:
        try:
            answers.append((yield from _replay(context, step)))
        except HookdError as error:
            answers.append(error)
    return answers


def _replay(context: Context, step: Step) -> Steps[Stepped]:
    wanted = step.replay
    endpoint = yield from read(context, wanted.endpoint, wanted.tenant)
    if endpoint.state is EndpointState.DISABLED:
        raise Conflict(f"{endpoint.id} is disabled: {endpoint.state_reason}; set its state to active first")
    limit = AT_ONCE if endpoint.filter is None else FILTERED_AT_ONCE
    parameters = {
        "endpoint": endpoint.id,
        "tenant": endpoint.tenant or "",
        "after": step.after,
        "last": step.last,
        "limit": limit,
    }
    found = [_candidate(row) for row in (yield Query(SQL.candidates, parameters))]
    chosen = [each for each in found if _is_wanted(each, wanted, endpoint)]
    if endpoint.filter is not None:
        chosen = yield from _passing(endpoint.filter, chosen)
    if chosen and not wanted.dry_run:
        yield from _queue(context, endpoint, chosen)
    return Stepped(len(chosen), found[-1].event if len(found) == limit else None)


def _candidate(row: Row) -> _Candidate:
    event, event_type, origin, ordering_key, created_at, addressed, delivery, status = row
    known = None if status is None else Status(status)
    return _Candidate(event, event_type, Origin(origin), ordering_key, created_at, bool(addressed), delivery, known)


def _is_wanted(candidate: _Candidate, wanted: Replay, endpoint: Endpoint) -> bool:
    if not wanted.since <= candidate.created_at < wanted.until:
        return False
    if wanted.event_types is not None and not matches(wanted.event_types, candidate.type, candidate.origin):
        return False
    if candidate.status is not None:
        return candidate.status in wanted.statuses
    return not candidate.addressed and matches(endpoint.event_types, candidate.type, candidate.origin)


def _passing(text: str, chosen: Sequence[_Candidate]) -> Steps[list[_Candidate]]:
    """Answer those that pass a filter, and those that the endpoint has got already; one payload is read at a time."""
    passing = []
    for each in chosen:
        if each.delivery is None:
            ((payload,),) = yield Query(SQL.payload, {"sequence": each.event})
            if not passes(text, Subject(each.type, payload)):
                continue
        passing.append(each)
    return passing


def _queue(context: Context, endpoint: Endpoint, chosen: Sequence[_Candidate]) -> Steps[None]:
    """Queue deliveries behind all that waits, those that were made before under their own ids."""
    yield from take_in(context, [endpoint])
    lines = [Line(endpoint.id, each.ordering_key) for each in chosen]
    turns = iter((yield from _turns(context, lines))) if endpoint.ordered else iter([None] * len(chosen))
    again: list[Row] = []
    new: list[Row] = []
    for each, turn in zip(chosen, turns, strict=True):
        key = each.ordering_key if endpoint.ordered else ""
        if each.delivery is not None:
            again.append((each.delivery, context.now, key, turn))
        else:
            new.append(
                (
                    context.ids("dlv"), each.event, endpoint.id, endpoint.tenant or "", each.type,
                    Status.PENDING.value, None, context.now, context.now, key, turn, turn is not None,
                )
            )  # fmt: skip
    if again:
        yield Many(SQL.requeue, again)
    if new:
        yield Insert(INSERT, new)
    if endpoint.ordered:
        yield from settle(context, lines)
    context.make_due(endpoint)


def _turns(context: Context, lines: Sequence[Line]) -> Steps[list[int]]:
    """Answer a turn for each delivery, behind all others of its line and before all that are yet to come."""
    if context.share.shared:
        return sorted(turn for (turn,) in (yield Query(CLUSTER.turns, {"count": len(lines)})))
    last = yield from last_turns(list(dict.fromkeys(lines)))
    turns: list[int] = []
    for line in lines:
        last[line] = last.get(line, 0) + 1
        turns.append(last[line])
    return turns
