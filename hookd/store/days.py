"""Days at a PostgreSQL server: partitions that are made ahead, and dropped when they are old and nothing in them waits.

A day is one by the server's clock, in UTC, and named by its number since 1970.
"""

from collections.abc import Sequence
from typing import Final

from hookd.store.context import Context
from hookd.store.statement import ALONE, Query, Steps, statements

SQL = statements("days")

AHEAD: Final = 3
"""Days that are made before they come, so that events are accepted though nobody makes any for so long."""


def make(context: Context, asked: Sequence[None]) -> Steps[list[None]]:  # noqa: ARG001 - as every group's
    """Make today and the days that come next, where they are missing; writers wait for nothing."""
    yield Query(SQL.make, {"ahead": AHEAD})
    return [None] * len(asked)


def old(age: int) -> Steps[list[int]]:
    """Answer the days that ended longer ago than `age` (ms), the oldest first."""
    return [day for (day,) in (yield Query(SQL.old, {"age": age}))]


def drop(context: Context, days: Sequence[int]) -> Steps[list[bool]]:  # noqa: ARG001 - as every group's
    """Drop days with all that is theirs; answer of each whether it is gone, or something of it waits."""
    dropped: list[bool] = []
    for day in days:
        gone = yield from drop_one(day)
        dropped.append(gone)
    return dropped


def drop_one(day: int) -> Steps[bool]:
    """Drop a day, as `drop` does."""
    yield ALONE
    ((gone,),) = yield Query(SQL.drop, {"day": day})
    return bool(gone)
