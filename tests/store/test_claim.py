"""Claiming: the oldest rows of each lane, with their payloads as they came."""

from hypothesis import given, settings
from hypothesis import strategies as st

from hookd.model import EndpointState
from hookd.store import CLAIM_BYTES
from hookd.store.claim import _read
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
    import json

    now = 10
    rows = sorted(rows, key=lambda row: row[0])[: room + 1]
    columns = [
        (number, "dlv", 0, 0, due, "evt", "", "a", "published", "text/plain", 0, "", len(payload) if due <= now else 0)
        for number, (due, payload) in enumerate(rows)
    ]
    payloads = b"".join(payload for due, payload in rows if due <= now)
    claimed, due = _read(json.dumps(columns), payloads, ENDPOINT, room, now)
    expected = [payload for due, payload in rows if due <= now][:room]
    assert [delivery.event.payload for delivery in claimed] == expected
    assert due == (rows[len(expected)][0] if len(expected) < len(rows) else None)


async def test_no_more_is_claimed_at_once_than_memory_has_room_for(stand: Stand) -> None:
    await stand.endpoint()
    for _ in range(3):
        await stand.accept()
    stand.store.expect_payloads(CLAIM_BYTES // 2)
    assert len(await stand.claim()) == 2
    stand.store.expect_payloads(CLAIM_BYTES * 2)
    assert len(await stand.claim()) == 1
