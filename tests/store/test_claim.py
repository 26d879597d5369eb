"""Claiming: the oldest rows of each lane, with their payloads as they came."""

import sqlite3
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hookd.model import EndpointState, Origin
from hookd.store.claim import MOST_BYTES, _choose, _Found, _Open
from tests.nouns import ENDPOINT
from tests.store.stand import SECOND, Stand, file_of, in_a_file

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
    assert [len(await stand.claim("ep_1", "ep_2")) for _ in range(3)] == [2, 1, 0]


async def test_lanes_for_which_nothing_is_left_are_named_and_have_their_turn_next(stand: Stand) -> None:
    stand.lanes.reconfigure(2, 16)
    names = ["ep_1", "ep_2", "ep_3", "ep_4"]
    for name in names:
        await stand.endpoint(name)
    await stand.accept()
    await stand.accept()
    assert [delivery.destination.id for delivery in await stand.claim(*names)] == ["ep_1", "ep_2"]
    changes = stand.commits[-1].changes
    assert (list(changes.scanned), changes.unasked) == (["ep_1", "ep_2"], ["ep_3", "ep_4"])


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


def found(lane: str, sequence: int, due_at: int, event: int, size: int) -> _Found:
    where = (lane, sequence, "dlv", 0, 0, due_at, event)
    return _Found(*where, "evt", "", "a", Origin.PUBLISHED, "text/plain", 0, "", size)


rows = st.lists(st.tuples(st.integers(0, 20), st.integers(1, 4), st.sampled_from([0, 1, MOST_BYTES // 2, MOST_BYTES])))


@settings(max_examples=100)
@given(st.lists(rows, max_size=3), st.integers(0, 4))
def test_what_is_due_is_chosen_as_far_as_there_is_room_and_memory(lanes: list[Any], room: int) -> None:
    now, sizes = 10, dict[int, int]()
    waiting = {
        f"ep_{number}": sorted((due_at, event, sizes.setdefault(event, size)) for due_at, event, size in rows)
        for number, rows in enumerate(lanes)
    }
    open_lanes = {lane: _Open(ENDPOINT, room) for lane in waiting}
    chosen = _choose(
        (found(lane, place, *row) for lane, rows in waiting.items() for place, row in enumerate(rows[: room + 1])),
        open_lanes,
        now,
    )
    held = sum(sizes[event] for event in {row.event for row in chosen})
    assert held <= MOST_BYTES or len({row.event for row in chosen if row.size}) == 1
    for lane, rows in waiting.items():
        mine = [row.due_at for row in chosen if row.lane == lane]
        assert mine == [due_at for due_at, *_ in rows][: len(mine)]
        assert all(due_at <= now for due_at in mine)
        assert len(mine) <= room
        left = [due_at for due_at, *_ in rows[len(mine) : room + 1]]
        assert open_lanes[lane].due_at == (left[0] if left else None)
        small = all(size <= 1 for _, _, size in rows)
        if small and held < MOST_BYTES // 2 and left and left[0] <= now:
            assert len(mine) == room


async def test_payloads_are_cut_apart_by_their_lengths_and_one_event_is_read_once(stand: Stand) -> None:
    for name in ("ep_1", "ep_2"):
        await stand.endpoint(name)
    payloads = [b"{}", b"", b"\x00\xff{", b"a" * 5000]
    for payload in payloads:
        await stand.accept(payload=payload)
    claimed = await stand.claim("ep_1", "ep_2")
    assert [delivery.event.payload for delivery in claimed] == payloads * 2
    assert claimed[0].event is claimed[4].event


async def test_each_lane_gets_as_many_as_it_has_room_for(stand: Stand) -> None:
    for name, most in (("ep_1", 2), ("ep_2", 5), ("ep_3", 1)):
        await stand.endpoint(name, max_in_flight=most)
    for _ in range(4):
        await stand.accept()
    claimed = await stand.claim("ep_1", "ep_2", "ep_none", "ep_3")
    assert [delivery.destination.id for delivery in claimed] == ["ep_1"] * 2 + ["ep_2"] * 4 + ["ep_3"]
    expected = {"ep_1": stand.now, "ep_2": None, "ep_none": None, "ep_3": stand.now}
    assert stand.commits[-1].changes.scanned == expected


async def test_no_more_is_claimed_at_once_than_memory_has_room_for(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hookd.store.claim.MOST_BYTES", 100)
    await stand.endpoint()
    for _ in range(3):
        await stand.accept(payload=b"a" * 40)
    await stand.accept(payload=b"a" * 200)
    assert [len(await stand.claim()) for _ in range(4)] == [2, 1, 1, 0]


@in_a_file
async def test_what_is_large_is_claimed_by_itself(stand: Stand, monkeypatch: pytest.MonkeyPatch) -> None:
    """All of it together would be more than SQLite can answer."""
    monkeypatch.setattr("hookd.store.claim.MOST_BYTES", 2_000_000)
    payloads = [bytes([number]) * length for number, length in enumerate([1_000_000, 2_500_000, 3, 1_500_000])]
    await stand.endpoint()
    for payload in payloads:
        await stand.accept(payload=payload)
    await file_of(stand.store).writer.run(lambda raw: raw.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, 3_000_000))
    claims = [[delivery.event.payload for delivery in await stand.claim()] for _ in range(3)]
    assert claims == [payloads[:1], payloads[1:2], payloads[2:]]
    assert stand.commits[-1].changes.scanned == {"ep_1": None}
