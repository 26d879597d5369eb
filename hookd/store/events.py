"""Events as people see them: list and read; and the expiry of what was remembered of them."""

from collections.abc import Sequence
from dataclasses import dataclass

from hookd.errors import NotFound
from hookd.model import Event, Origin
from hookd.store import rows
from hookd.store.context import Context
from hookd.store.endpoints import Named
from hookd.store.page import Listing, Page, cut
from hookd.store.statement import Query, Steps, statements

SQL = statements("events")

EXPIRED_AT_ONCE = 1_000


@dataclass(frozen=True, slots=True)
class EventRecord:
    """An event in a list: all but its payload."""

    id: str
    tenant: str | None
    type: str
    origin: Origin
    content_type: str
    created_at: int
    ordering_key: str


def events(tenant: str | None, page: Page) -> Steps[Listing[EventRecord]]:
    """List events, newest first; `tenant` None lists every tenant's."""
    condition = "" if tenant is None else "tenant = :tenant AND tenant <> '' AND "
    parameters = {} if tenant is None else {"tenant": tenant}
    found = yield Query(f"{SQL.page_columns} WHERE {condition}{page.order}", parameters | page.parameters)
    kept, older, newer = cut(page, found)
    records = [EventRecord(row[0], row[1] or None, row[2], Origin(row[3]), row[4], row[5], row[6]) for row in kept]
    return Listing(records, older, newer)


def event(named: Named) -> Steps[Event]:
    """Answer an event with its payload, or raise NotFound; the newest, where tenants use the same id."""
    for row in (yield Query(SQL.read, {"id": named.id})):
        found = rows.event(row)
        if named.tenant in (None, found.tenant):
            return found
    raise NotFound(f"there is no event {named.id}, or it was pruned")


def expire_keys(context: Context, asked: Sequence[None]) -> Steps[list[bool]]:
    """Delete some dedupe keys that have expired; answer whether there may be more."""
    deleted = yield Query(SQL.expire_keys, {"oldest": context.now - context.dedupe, "limit": EXPIRED_AT_ONCE})
    return [len(deleted) == EXPIRED_AT_ONCE] * len(asked)
