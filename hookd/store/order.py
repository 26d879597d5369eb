"""Order: of an ordered destination's deliveries with the same key, one at a time may be claimed, the first.

Each that waits or is being sent has a turn, and all but the first are held. Whatever happens to one of them, `settle`
then holds and lets go what has to be.

Where several processes accept events, none knows what the others are about to store. So each puts a delivery behind all
that it knows of, and leaves it to the owner of the lane to take it in: whatever was published before is there by then.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from hookd.model import Delivery, Destination
from hookd.store.context import Context
from hookd.store.statement import ALONE, Many, Query, Steps, statements

SQL = statements("order")
CLUSTER = statements("cluster")

NEWCOMER = 2
"""`held` of a delivery that the owner of its lane has yet to take in."""


class Line(NamedTuple):
    """Those of one destination that keep their order among each other."""

    endpoint: str
    ordering_key: str


def line_of(delivery: Delivery) -> Line:
    """Answer the line that a delivery stands in if its destination is ordered."""
    return Line(delivery.destination.id, delivery.event.ordering_key)


def is_ordered(destination: Destination | None) -> bool:
    """Say whether a destination's deliveries keep their order; one that is deleted has none."""
    return destination is not None and destination.ordered


def last_turns(lines: Sequence[Line]) -> Steps[dict[Line, int]]:
    """Answer the last turn in each line where any delivery waits, or is being sent; a retried one's counts as 0."""
    if not lines:
        return {}
    found = yield Many(SQL.last_turns, lines)
    last = {Line(lane, key): [turn for turn in turns if turn is not None] for lane, key, *turns in found}
    return {line: max(0, *turns) for line, turns in last.items() if turns}


def take_in(context: Context, destinations: Sequence[Destination]) -> Steps[None]:
    """Let those stand in line that other processes, or this one, have accepted for ordered destinations of this one."""
    ordered = [(each.id,) for each in destinations if each.ordered]
    if context.share.shared and ordered:
        found = yield Many(CLUSTER.take_in, ordered)
        yield from settle(context, [Line(*line) for line in found])


def settle(context: Context, lines: Iterable[Line]) -> Steps[None]:
    """Let the first of each line be claimed, unless one is being sent; hold the others."""
    wanted = list(dict.fromkeys(lines))
    if wanted:
        yield Many(SQL.hold, wanted)
        for lane, due_at in (yield Many(SQL.let_go, wanted)):
            context.wake(lane, due_at)


def arrange(context: Context, destination: Destination) -> Steps[None]:
    """Give turns to all that waits for a destination, or take them away, as it is ordered or not.

    What came just before may have turns already, which count from the first of them.
    """
    yield ALONE
    named = {"endpoint": destination.id}
    yield Query(SQL.dissolve, named)
    if destination.ordered:
        yield Query(SQL.line_up_waiting, named)
        yield Query(SQL.line_up_sending, named)
        found = yield Query(SQL.keys, named)
        yield from settle(context, [Line(*line) for line in found])
    context.wake(destination.id, context.now)


def is_arranged(destination: Destination) -> Steps[bool]:
    """Say whether all that waits or is being sent has turns where a destination is ordered, and none where not."""
    sql = SQL.out_of_line if destination.ordered else SQL.in_line
    return not (yield Query(sql, {"endpoint": destination.id}))


def being_sent(by: dict[str, int]) -> Steps[list[Line]]:
    """Answer the lines of which one is being sent, by the process with the number `owner`."""
    return [Line(*line) for line in (yield Query(SQL.keys_sending, by))]
