"""Paging by commit order, newest first, forward and back, while rows arrive."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from hookd.store.statement import Row

T = TypeVar("T")

NEWEST = 1 << 62
"""Greater than any sequence."""


@dataclass(frozen=True, slots=True)
class Page:
    """Which rows of a list: `limit` of them before one sequence, or (going back) after one."""

    limit: int
    before: int | None = None
    after: int | None = None

    @property
    def order(self) -> str:
        """The condition and order in SQL, with the parameters of `parameters`."""
        if self.after is not None:
            return "sequence > :sequence ORDER BY sequence LIMIT :limit"
        return "sequence < :sequence ORDER BY sequence DESC LIMIT :limit"

    @property
    def parameters(self) -> dict[str, int]:
        """One row more than asked for, which tells whether there is a further page."""
        start = self.after if self.after is not None else self.before if self.before is not None else NEWEST
        return {"sequence": start, "limit": self.limit + 1}


@dataclass(frozen=True, slots=True)
class Listing(Generic[T]):
    """One page of a list, and where the neighbouring pages begin, if there are any."""

    items: Sequence[T]
    next: int | None
    """List what stands before this sequence."""
    previous: int | None
    """List what stands after this sequence."""


def cut(page: Page, rows: Sequence[Row]) -> tuple[Sequence[Row], int | None, int | None]:
    """Cut the rows that a page's query found (sequence last) to the page, newest first; see Listing."""
    more = len(rows) > page.limit
    rows = rows[: page.limit]
    if page.after is not None:
        rows = rows[::-1]
    if not rows:
        return rows, _shift(page.after, 1), _shift(page.before, -1)
    first, last = rows[0][-1], rows[-1][-1]
    older = more if page.after is None else True
    newer = more if page.after is not None else page.before is not None
    return rows, last if older else None, first if newer else None


def _shift(sequence: int | None, by: int) -> int | None:
    """Turn round at a sequence: what is listed from there includes it."""
    return None if sequence is None else sequence + by
