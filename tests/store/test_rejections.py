"""Rejections: what was refused is kept as it came, the newest of each source alone, and for a while."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from hookd.errors import NotFound, Unavailable
from hookd.model import Rejection
from hookd.store import Page, upkeep
from hookd.store.rejections import AT_ONCE
from tests.store.faults import empty, fill
from tests.store.stand import DAY, NOW, Stand, file_of, in_a_file

REJECTION = Rejection(
    id="rej_1",
    source="shop",
    tenant=None,
    reason="signature_mismatch",
    cause="another secret",
    received_at=NOW,
    method="POST",
    target="/from/shop?a=1",
    size=7,
    headers=(("a", "1"), ("a", "\xe9\x00"), ("webhook-id", "evt")),
    body=b"\xff\x00{",
)
MANY = 1000


def numbered(number: int, **changes: Any) -> Rejection:
    return replace(REJECTION, id=f"rej_{number:04}", **changes)


async def ids(stand: Stand, tenant: str | None = None, source: str | None = None) -> list[str]:
    return [each.id for each in (await stand.store.rejections(tenant, source, Page(250))).items]


async def test_it_is_read_as_it_was_kept(stand: Stand) -> None:
    await stand.store.keep_rejection(REJECTION, MANY)
    assert await stand.store.rejection("rej_1", None) == REJECTION
    await stand.store.rejection_became("rej_1", "evt_1")
    assert await stand.store.rejection("rej_1", None) == replace(REJECTION, event="evt_1")


async def test_what_is_not_there_or_another_tenants_is_not_found(stand: Stand) -> None:
    await stand.store.keep_rejection(replace(REJECTION, tenant="a"), MANY)
    assert (await stand.store.rejection("rej_1", "a")).tenant == "a"
    for identity, tenant in (("rej_2", None), ("rej_1", "b")):
        with pytest.raises(NotFound):
            await stand.store.rejection(identity, tenant)


async def test_each_source_keeps_its_newest(stand: Stand) -> None:
    await stand.store.keep_rejection(numbered(0, source="other", tenant="a"), 3)
    await asyncio.gather(*(stand.store.keep_rejection(numbered(number), 3) for number in range(1, 10)))
    assert await ids(stand) == ["rej_0009", "rej_0008", "rej_0007", "rej_0000"]
    await stand.store.keep_rejection(numbered(10), 3)
    assert await ids(stand, source="shop") == ["rej_0010", "rej_0009", "rej_0008"]
    assert await ids(stand, tenant="a") == await ids(stand, source="other") == ["rej_0000"]
    assert await ids(stand, tenant="a", source="shop") == []


async def test_what_is_old_goes_in_steps(stand: Stand) -> None:
    await asyncio.gather(*(stand.store.keep_rejection(numbered(number), MANY) for number in range(2 * AT_ONCE + 1)))
    young = numbered(MANY, received_at=NOW + 1)
    await stand.store.keep_rejection(young, MANY)
    stand.pass_time(DAY)
    await stand.store.expire_rejections(DAY)
    assert len(await ids(stand)) == 2 * AT_ONCE + 2, "they are not older than that"
    before = len(stand.commits)
    await stand.store.expire_rejections(DAY - 1)
    assert await ids(stand) == [young.id]
    assert len(stand.commits) - before == 3
    await stand.store.expire_rejections(DAY - 1)
    assert len(stand.commits) - before == 3, "there is nothing to commit"


@in_a_file
async def test_the_command_prunes_them_too(stand: Stand) -> None:
    for number in range(AT_ONCE + 2):
        await stand.store.keep_rejection(numbered(number, received_at=NOW + number // AT_ONCE), MANY)
    path = file_of(stand.store).files._path
    await asyncio.to_thread(upkeep.prune, path, NOW + 1, lambda _: None)
    assert await ids(stand) == [f"rej_{AT_ONCE + 1:04}", f"rej_{AT_ONCE:04}"]


@in_a_file
async def test_a_full_disk_keeps_none_and_stops_nothing(stand: Stand) -> None:
    await fill(stand)
    with pytest.raises(Unavailable):
        await stand.store.keep_rejection(replace(REJECTION, body=bytes(1_000_000)), MANY)
    await empty(stand)
    await stand.mended()
    assert await ids(stand) == []
    await stand.accept()
