"""Rejections: requests to sources that were refused; the newest of each source are kept, for a while."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import msgspec

from hookd.errors import NotFound
from hookd.model import Rejection
from hookd.store.context import Context
from hookd.store.endpoints import Named
from hookd.store.page import Listing, Page, cut
from hookd.store.rows import text
from hookd.store.statement import Many, Query, Row, Steps, statements

SQL = statements("rejections")

AT_ONCE: Final = 32
"""Rejections that are deleted in one step, a few milliseconds' work where they are long."""

CONDITIONS: Final = {"source": "source = :source AND ", "tenant": "tenant = :tenant AND tenant <> '' AND "}

_headers = msgspec.json.Decoder(tuple[tuple[str, str], ...]).decode


class Kept(NamedTuple):
    """A rejection to keep, and how many of its source may be."""

    rejection: Rejection
    most: int


class Became(NamedTuple):
    """A rejection that was accepted by hand, and the event that it became."""

    id: str
    event: str


@dataclass(frozen=True, slots=True)
class RejectionRecord:
    """A rejection in a list: all but its headers and its body."""

    id: str
    source: str
    tenant: str | None
    reason: str
    cause: str
    event: str | None
    received_at: int
    size: int


def keep(context: Context, asked: Sequence[Kept]) -> Steps[list[None]]:  # noqa: ARG001 - as every group's
    """Store rejections, and delete the oldest of their sources beyond so many."""
    yield Many(SQL.keep, [_row(rejection) for rejection, _ in asked])
    for source, most in {rejection.source: most for rejection, most in asked}.items():
        yield Query(SQL.thin_out, {"source": source, "kept": most})
    return [None] * len(asked)


def _row(rejection: Rejection) -> Row:
    return (
        rejection.id, rejection.source, rejection.tenant or "", rejection.reason, rejection.cause,
        rejection.received_at, rejection.method, rejection.target, rejection.size, text(rejection.headers),
        rejection.body,
    )  # fmt: skip


def rejections(tenant: str | None, source: str | None, page: Page) -> Steps[Listing[RejectionRecord]]:
    """List rejections, newest first; None as a tenant or a source means any."""
    wanted = {"source": source, "tenant": tenant}
    parameters = {name: value for name, value in wanted.items() if value is not None}
    conditions = "".join(CONDITIONS[name] for name in parameters)
    found = yield Query(f"{SQL.page_columns} WHERE {conditions}{page.order}", parameters | page.parameters)
    kept, older, newer = cut(page, found)
    return Listing([_record(row) for row in kept], older, newer)


def _record(row: Row) -> RejectionRecord:
    return RejectionRecord(row[0], row[1], row[2] or None, row[3], row[4], row[5], row[6], row[7])


def rejection(named: Named) -> Steps[Rejection]:
    """Answer a rejection with its headers and body, or raise NotFound."""
    found = yield Query(SQL.read, {"id": named.id})
    if not found or named.tenant not in (None, found[0][2] or None):
        raise NotFound(f"there is no rejection {named.id}, or it is not kept any more")
    row = found[0]
    return Rejection(
        id=row[0],
        source=row[1],
        tenant=row[2] or None,
        reason=row[3],
        cause=row[4],
        event=row[5],
        received_at=row[6],
        method=row[7],
        target=row[8],
        size=row[9],
        headers=_headers(row[10]),
        body=row[11],
    )


def became(context: Context, asked: Sequence[Became]) -> Steps[list[None]]:  # noqa: ARG001 - as every group's
    """Note what rejections became."""
    for each in asked:
        yield Query(SQL.became, {"id": each.id, "event": each.event})
    return [None] * len(asked)


def old(before: int) -> Steps[list[int]]:
    """Find the next rejections from before a time (epoch ms), by their sequences, as many as one step may delete."""
    found = yield Query(SQL.old, {"before": before, "limit": AT_ONCE})
    return [row[0] for row in found]


def remove(sequences: Sequence[int]) -> Steps[None]:
    """Delete rejections."""
    yield Query(SQL.delete, {"rejections": text(sequences)})


def expire(context: Context, asked: Sequence[Sequence[int]]) -> Steps[list[None]]:  # noqa: ARG001 - as every group's
    """Delete what was found, as `remove` does."""
    for sequences in asked:
        yield from remove(sequences)
    return [None] * len(asked)
