"""What a daemon does first: take up what a crash left in the middle, and see which lanes have something waiting."""

from collections import Counter
from collections.abc import Sequence

from hookd.model import Origin, Status
from hookd.store.context import Context
from hookd.store.endpoints import cancel_waiting
from hookd.store.order import arrange, being_sent, is_arranged, settle
from hookd.store.record import DeadLetter, report_failed
from hookd.store.statement import Query, Steps, statements

SQL = statements("claim")

CRASHES_TO_GIVE_UP = 3
"""A handler that was running in so many crashes is taken to be their cause."""


def recover(context: Context, asked: Sequence[None]) -> Steps[list[None]]:
    """Make every delivery that was being sent when the process died pending again, due when it was.

    But for those that were to stop, and tests of disabled endpoints, for which nothing waits.
    """
    lines = yield from being_sent()
    yield Query(SQL.stop_tests, {})
    stopped = yield Query(SQL.count_stopped, {})
    crashed = yield Query(SQL.crashed, {"crashes": CRASHES_TO_GIVE_UP})
    context.changes.concluded += Counter({Status.CANCELLED: stopped[0][0], Status.FAILED: len(crashed)})
    yield Query(SQL.recover_crashed, {"crashes": CRASHES_TO_GIVE_UP})
    yield from settle(context, lines)
    yield from report_failed(
        context,
        [
            DeadLetter(
                tenant=tenant or None,
                delivery=delivery,
                event=event,
                event_type=type_,
                endpoint=endpoint,
                attempt_count=attempt_count,
                reason=f"the handler was running in {crashes} crashes",
            )
            for delivery, endpoint, type_, attempt_count, crashes, event, tenant, origin in crashed
            if origin != Origin.OPERATIONAL
        ],
    )
    return [None] * len(asked)


def scan(context: Context, asked: Sequence[None]) -> Steps[list[None]]:
    """Note, for the delivery loop, every lane that has something waiting, and when it is due."""
    for lane, due_at in (yield Query(SQL.lanes, {})):
        context.changes.make_due(lane, due_at)
    return [None] * len(asked)


def arrange_handlers(context: Context, asked: Sequence[None]) -> Steps[list[None]]:
    """Order what waits for the handlers that the configuration now says are ordered, and no more for the others."""
    for handler in context.directory.handlers.values():
        if not (yield from is_arranged(handler)):
            yield from arrange(context, handler)
    return [None] * len(asked)


def orphans(context: Context, asked: Sequence[None]) -> Steps[list[list[str]]]:
    """Cancel what waits for handlers that the configuration has no more; answer their ids."""
    lanes = yield Query(SQL.handlers_waited_for, {})
    gone = [lane for (lane,) in lanes if lane not in context.directory.handlers]
    for lane in gone:
        yield from cancel_waiting(context, lane, "the handler was taken out of the configuration")
    return [gone] * len(asked)
