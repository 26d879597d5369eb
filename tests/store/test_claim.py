"""Claiming: the oldest rows of each lane, with their payloads as they came."""

import asyncio
import sqlite3

from hypothesis import given, settings
from hypothesis import strategies as st

from hookd.model import EndpointState
from hookd.store.claim import CLAIM_ROWS, LARGE, Claimable, _read
from tests.nouns import ENDPOINT
from tests.store.stand import SECOND, Stand

AWKWARD = [b"", b"\x00", b"a\x00b", b"\xff\xfe", "ü".encode(), b'{"a": [1]}', b"x" * 70_000, b""]


async def test_payloads_come_byte_for_byte(stand: Stand) -> None:
    await stand.endpoint()
    for payload in AWKWARD:
        await stand.accept(payload=payload)
    assert [delivery.event.payload for delivery in await stand.claim()] == AWKWARD


async def test_the_oldest_come_first_and_the_lane_says_when_it_is_due_next(stand: Stand) -> None:
    await stand.endpoint(max_in_flight=2)
    made = []
    for _ in range(3):
        made.append((await stand.accept()).event)
        stand.pass_time(SECOND)
    assert [delivery.event.id for delivery in await stand.claim()] == made[:2]
    assert stand.commits[-1].changes.scanned == {"ep_1": stand.now - SECOND}
    assert await stand.claim() == []
    assert stand.commits[-1].changes.scanned == {"ep_1": stand.now - SECOND}


async def test_a_lane_with_nothing_left_is_due_no_more(stand: Stand) -> None:
    await stand.endpoint()
    await stand.accept()
    assert len(await stand.claim("ep_1", "ep_missing")) == 1
    assert stand.commits[-1].changes.scanned == {"ep_1": None, "ep_missing": None}


async def test_all_lanes_together_have_a_limit(stand: Stand) -> None:
    stand.lanes.reconfigure(3, 16)
    for name in ("ep_1", "ep_2"):
        await stand.endpoint(name)
    for _ in range(4):
        await stand.accept()
    assert len(await stand.claim("ep_1", "ep_2")) == 3


async def test_one_claim_is_not_made_twice(stand: Stand) -> None:
    await stand.endpoint()
    await stand.accept()
    assert len(await stand.claim("ep_1", "ep_1")) == 1
    assert await stand.claim() == []
    assert stand.lanes.in_flight == 1


async def test_nothing_is_claimed_where_there_is_no_room_at_all(stand: Stand) -> None:
    await stand.endpoint()
    await stand.accept()
    await stand.store.claim(["ep_1"])
    assert stand.commits[-1].changes.claimed == []


async def test_a_paused_endpoint_is_left_alone_and_a_resumed_one_is_not(stand: Stand) -> None:
    await stand.endpoint(state=EndpointState.PAUSED)
    await stand.accept()
    assert await stand.claim() == []
    assert stand.commits[-1].changes.scanned == {"ep_1": None}


@settings(max_examples=30)
@given(st.lists(st.tuples(st.integers(0, 20), st.binary(max_size=5)), max_size=8), st.integers(0, 4))
def test_rows_are_cut_apart_by_their_lengths(rows: list[tuple[int, bytes]], room: int) -> None:
    now = 10
    rows = sorted(rows, key=lambda row: row[0])[: room + 1]
    columns: list[Claimable] = [
        (number, "dlv", 0, 0, due, "evt", "", "a", "published", "text/plain", 0, len(payload))
        for number, (due, payload) in enumerate(rows)
    ]
    payloads = b"".join(payload for due, payload in rows if due <= now)
    claimed, due = _read(columns, payloads, ENDPOINT, room, now)
    expected = [payload for due, payload in rows if due <= now][:room]
    assert [delivery.event.payload for delivery in claimed] == expected
    assert due == (rows[len(expected)][0] if len(expected) < len(rows) else None)


LENGTHS = [LARGE, LARGE + 1, 3, 2 * LARGE, LARGE + 2]


async def test_what_is_large_is_claimed_alone(stand: Stand) -> None:
    """All of it together would be more than SQLite can answer."""
    payloads = [bytes([number]) * length for number, length in enumerate(LENGTHS)]
    await stand.endpoint()
    for payload in payloads:
        await stand.accept(payload=payload)
    await stand.store._writer.run(lambda raw: raw.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, 3 * LARGE))
    claims = [[delivery.event.payload for delivery in await stand.claim()] for _ in range(5)]
    assert claims == [payloads[:1], payloads[1:2], payloads[2:3], payloads[3:4], payloads[4:]]
    assert stand.commits[-1].changes.scanned == {"ep_1": None}


async def test_a_large_one_that_is_not_due_is_left_alone(stand: Stand) -> None:
    await stand.endpoint()
    for _ in range(2):
        await stand.accept(payload=b"x" * (LARGE + 1))
    assert len(await stand.claim()) == 1
    stand.pass_time(-SECOND)
    assert await stand.claim() == []
    assert stand.commits[-1].changes.scanned == {"ep_1": stand.now + SECOND}


async def test_what_is_claimed_at_once_is_bounded_and_never_too_long_for_sqlite(stand: Stand) -> None:
    stand.lanes.reconfigure(1000, 1000)
    await stand.endpoint()
    await asyncio.gather(*(stand.accept() for _ in range(CLAIM_ROWS + 1)))
    assert len(await stand.claim()) == CLAIM_ROWS
    longest = await stand.store._writer.run(lambda raw: raw.getlimit(sqlite3.SQLITE_LIMIT_LENGTH))
    assert longest > (CLAIM_ROWS + 1) * LARGE
