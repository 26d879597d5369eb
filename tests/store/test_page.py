"""Paging: newest first, forward and back, while rows arrive."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import pytest

from hookd.model import Origin, Outcome, Status
from hookd.store import Listing, Page
from tests.store.stand import SECOND, Stand

Ask = Callable[[Page], Awaitable[Listing[Any]]]


def events(stand: Stand) -> Ask:
    return lambda page: stand.store.events(None, page)


async def publish(stand: Stand, count: int) -> list[str]:
    """Publish events one after another, and answer their ids, oldest first."""
    return [(await stand.accept()).event for _ in range(count)]


def ids(listing: Listing[Any]) -> list[str]:
    return [item.id for item in listing.items]


async def forward(ask: Ask, limit: int) -> list[list[str]]:
    """Follow the pages to the end."""
    listing = await ask(Page(limit))
    pages = [ids(listing)]
    while listing.next is not None:
        listing = await ask(Page(limit, before=listing.next))
        pages.append(ids(listing))
    return pages


def flat(pages: Sequence[Sequence[str]]) -> list[str]:
    return [identity for page in pages for identity in page]


@pytest.mark.parametrize("limit", [1, 2, 3, 6, 7, 8])
async def test_forward_every_row_comes_once_newest_first(stand: Stand, limit: int) -> None:
    made = await publish(stand, 7)
    pages = await forward(events(stand), limit)
    assert flat(pages) == made[::-1]
    assert all(len(page) == limit for page in pages[:-1])
    assert pages[-1]


async def test_back_from_the_end_to_the_beginning(stand: Stand) -> None:
    made = await publish(stand, 7)
    ask = events(stand)
    listing = await ask(Page(3))
    assert listing.previous is None
    while listing.next is not None:
        listing = await ask(Page(3, before=listing.next))
    seen = [ids(listing)]
    while listing.previous is not None:
        listing = await ask(Page(3, after=listing.previous))
        seen.insert(0, ids(listing))
    assert flat(seen) == made[::-1]


async def test_rows_that_arrive_move_no_page(stand: Stand) -> None:
    made = await publish(stand, 6)
    ask = events(stand)
    first = await ask(Page(3))
    assert first.next is not None
    newer = await publish(stand, 4)
    second = await ask(Page(3, before=first.next))
    assert ids(first) + ids(second) == made[::-1]
    assert second.previous is not None
    back = await ask(Page(3, after=second.previous))
    assert ids(back) == ids(first)
    assert back.previous is not None
    assert ids(await ask(Page(9, after=back.previous))) == newer[::-1]


async def test_at_the_newest_row_one_turns_round_without_missing_any(stand: Stand) -> None:
    made = await publish(stand, 2)
    ask = events(stand)
    newest = await ask(Page(2, before=None))
    assert newest.previous is None
    ((last,),) = await stand.ask("SELECT max(sequence) FROM events")
    waiting = await ask(Page(2, after=last))
    assert (ids(waiting), waiting.previous) == ([], None)
    assert waiting.next is not None
    assert ids(await ask(Page(2, before=waiting.next))) == made[::-1]


async def test_an_empty_list(stand: Stand) -> None:
    listing = await stand.store.events(None, Page(3))
    assert (list(listing.items), listing.next, listing.previous) == ([], None, None)


async def test_tenants_page_through_their_own(stand: Stand) -> None:
    for tenant in ("a", "b", None) * 3:
        await stand.endpoint(f"ep_{len(await stand.types())}_{tenant}".lower(), tenant=tenant, event_types=("x",))
        await stand.accept(tenant=tenant)
    assert len(flat(await forward(lambda page: stand.store.events("a", page), 2))) == 3
    assert len(flat(await forward(lambda page: stand.store.endpoints("b", page), 2))) == 3
    assert len(flat(await forward(lambda page: stand.store.events(None, page), 2))) == 9


async def test_deliveries_are_found_by_what_is_asked(stand: Stand) -> None:
    await stand.endpoint("ep_1", event_types=("a",))
    await stand.endpoint("ep_2", event_types=("b",), tenant="t")
    first = await stand.sent("a")
    await stand.end(first)
    stand.pass_time(10 * SECOND)
    second = await stand.sent("b", tenant="t")
    await stand.end(second, Outcome.TIMEOUT, schedule=())

    async def found(**wanted: Any) -> list[str]:
        return [each.id for each in await stand.deliveries(**wanted)]

    assert await found() == [first.id, second.id]
    for wanted, one in (
        ({"status": Status.DELIVERED}, first),
        ({"status": Status.FAILED}, second),
        ({"endpoint": "ep_1"}, first),
        ({"event": second.event.id}, second),
        ({"type": "b"}, second),
        ({"tenant": "t"}, second),
        ({"since": stand.now}, second),
        ({"until": stand.now}, first),
        ({"since": stand.now - 10 * SECOND, "until": stand.now - 1}, first),
        ({"status": Status.FAILED, "endpoint": "ep_2", "type": "b", "tenant": "t", "since": stand.now}, second),
    ):
        assert await found(**wanted) == [one.id], wanted
    for nothing in (
        {"since": stand.now + 1},
        {"until": stand.now - 10 * SECOND},
        {"status": Status.PENDING},
        {"tenant": "u"},
        {"event": "evt_missing"},
        {"endpoint": "ep_1", "type": "b"},
    ):
        assert await found(**nothing) == [], nothing


async def test_an_event_is_read_by_its_tenant_alone(stand: Stand) -> None:
    accepted = await stand.accept(tenant="a", origin=Origin.INBOUND, payload=b"\xff\x00", content_type="text/plain")
    event = await stand.store.event(accepted.event, "a")
    assert (event.tenant, event.origin, event.payload, event.content_type) == (
        "a",
        "inbound",
        b"\xff\x00",
        "text/plain",
    )
    with pytest.raises(Exception, match=accepted.event):
        await stand.store.event(accepted.event, "b")


async def test_two_tenants_may_use_the_same_id(stand: Stand) -> None:
    await asyncio.gather(*(stand.accept(id="order-1", tenant=tenant, payload=tenant.encode()) for tenant in ("a", "b")))
    assert (await stand.store.event("order-1", "a")).payload == b"a"
    assert (await stand.store.event("order-1", "b")).payload == b"b"
