"""What a daemon does first: take up what a crash left in the middle, and see which lanes have something waiting."""

import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from hookd.model import Origin, Status
from hookd.store.context import Context
from hookd.store.endpoints import cancel_waiting
from hookd.store.order import arrange, being_sent, is_arranged, settle
from hookd.store.record import DeadLetter, report_failed
from hookd.store.statement import Query, Row, Steps, statements

SQL = statements("claim")
CLUSTER = statements("cluster")

CRASHES_TO_GIVE_UP = 3
"""A handler that was running in so many crashes is taken to be their cause."""

log = logging.getLogger("hookd.store")


@dataclass(frozen=True, slots=True)
class Recovered:
    """What a crash had left: deliveries that are taken up again, and those that are given up."""

    taken_up: int
    given_up: list[DeadLetter]


def recover(context: Context, owners: Sequence[int]) -> Steps[list[Recovered]]:
    """Take up what processes that died were sending, by their numbers; the process of a file has none, and says 0."""
    answers: list[Recovered] = []
    for owner in owners:
        recovered = yield from _recover(context, {"owner": owner, "crashes": CRASHES_TO_GIVE_UP})
        answers.append(recovered)
    return answers


def _recover(context: Context, parameters: dict[str, int]) -> Steps[Recovered]:
    """Make every delivery that was being sent when the process died pending again, due when it was.

    But for those that were to stop, and tests of disabled endpoints, for which nothing waits.
    """
    lines = yield from being_sent(parameters)
    yield Query(SQL.stop_tests, parameters)
    ((sending, stopped),) = yield Query(SQL.count_sending, parameters)
    crashed = yield Query(SQL.crashed, parameters)
    context.changes.concluded += Counter({Status.CANCELLED: stopped, Status.FAILED: len(crashed)})
    yield Query(SQL.recover_crashed, parameters)
    yield from settle(context, lines)
    dead_letters = [_dead_letter(row) for row in crashed]
    reportable = [dead for dead, row in zip(dead_letters, crashed, strict=True) if row[-1] != Origin.OPERATIONAL]
    yield from report_failed(context, reportable)
    return Recovered(sending - stopped - len(crashed), dead_letters)


def _dead_letter(row: Row) -> DeadLetter:
    delivery, endpoint, type_, attempt_count, crashes, event, tenant, _ = row
    return DeadLetter(
        tenant=tenant or None,
        delivery=delivery,
        event=event,
        event_type=type_,
        endpoint=endpoint,
        attempt_count=attempt_count,
        reason=f"the handler was running in {crashes} crashes",
    )


def tell(recovered: Recovered) -> None:
    """Say what was left, of which no attempt is on record."""
    for dead in recovered.given_up:
        fields = {
            "delivery": dead.delivery,
            "event": dead.event,
            "type": dead.event_type,
            "endpoint": dead.endpoint,
            "reason": dead.reason,
        }
        log.warning("a delivery was given up", extra={"fields": fields})
    if recovered.taken_up:
        log.warning("deliveries that were interrupted are made again", extra={"fields": {"count": recovered.taken_up}})


def scan(context: Context, asked: Sequence[None]) -> Steps[list[None]]:
    """Note, for the delivery loop, every lane that has something waiting, and when it is due."""
    for lane, due_at in (yield Query(SQL.lanes, {})):
        context.wake(lane, due_at)
    return [None] * len(asked)


def arrange_handlers(context: Context, asked: Sequence[None]) -> Steps[list[None]]:
    """Order what waits for the handlers that the configuration now says are ordered, and no more for the others."""
    for handler in context.directory.handlers.values():
        if context.share.owns(handler.id) and not (yield from is_arranged(handler)):
            yield from arrange(context, handler)
    return [None] * len(asked)


def orphans(context: Context, asked: Sequence[None]) -> Steps[list[list[str]]]:
    """Cancel what waits for handlers that no configuration has any more; answer their ids.

    Of processes that share a store, one may have a handler that another does not know, or not yet.
    """
    handlers = context.directory.handlers
    if context.share.shared:
        yield Query(CLUSTER.configure, {"number": context.owner, "handlers": list(handlers)})
    lanes = yield Query(SQL.handlers_waited_for, {})
    gone = [lane for (lane,) in lanes if lane not in handlers]
    for lane in gone:
        yield from cancel_waiting(context, lane, "the handler was taken out of the configuration")
    return [gone] * len(asked)
