"""Secrets in the file: nothing of them is readable there, and every path to them decrypts."""

import asyncio
import logging
import os
import sqlite3
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hookd import store
from hookd.errors import StartError, Unavailable
from hookd.ids import IdFactory
from hookd.model import Clock, Endpoint, EndpointState, Origin, Outcome, PreviousSecret
from hookd.store import Page, Store, Vault, examine
from hookd.store.rows import endpoint_row
from tests.nouns import ENDPOINT, NEW_KEY, OLD_KEY, OTHER_KEY
from tests.store.faults import carry_out
from tests.store.stand import Open, Stand, encrypted, file_of, sqlite, stand_on

SECRETIVE: dict[str, Any] = {
    "token": "find-me-1",
    "secret": "find-me-2",
    "previous_secrets": (PreviousSecret("find-me-3", 5),),
    "headers": {"X-Own": "find-me-4"},
}


def under(*keys: bytes, open_in: Open = sqlite) -> Open:
    """Open a store with these keys."""

    def opened(folder: Path, clock: Clock, ids: IdFactory) -> AbstractAsyncContextManager[Store]:
        return open_in(folder, clock, ids, Vault(keys, os.urandom))

    return opened


def secrets(endpoint: object) -> dict[str, Any]:
    return {name: getattr(endpoint, name) for name in SECRETIVE}


async def files(stand: Stand, folder: Path) -> bytes:
    """Answer all bytes of the database and its log, as they are and once the log is in the database."""
    before = everything_in(folder)
    await file_of(stand.store).writer.run(lambda raw: raw.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall())
    return before + everything_in(folder)


def everything_in(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.iterdir())


async def create(stand: Stand) -> Endpoint:
    return await stand.endpoint(**SECRETIVE)


async def change(stand: Stand) -> Endpoint:
    await stand.endpoint()
    return await stand.store.change_endpoint("ep_1", None, lambda it: replace(it, **SECRETIVE))


async def rotate(stand: Stand) -> Endpoint:
    await stand.endpoint(token="find-me-1", secret="find-me-3", headers={"X-Own": "find-me-4"})
    previous = (PreviousSecret("find-me-3", 5),)
    return await stand.store.change_endpoint(
        "ep_1", None, lambda it: replace(it, secret="find-me-2", previous_secrets=previous)
    )


async def disable(stand: Stand) -> Endpoint:
    await create(stand)
    return await stand.store.change_endpoint("ep_1", None, lambda it: replace(it, state=EndpointState.DISABLED))


async def fail(stand: Stand) -> Endpoint:
    await create(stand)
    await stand.end(await stand.sent(), Outcome.TIMEOUT)
    return await stand.store.endpoint("ep_1", None)


WRITES = [create, change, rotate, disable, fail]


@pytest.mark.parametrize("write", WRITES)
async def test_what_is_written_is_read_and_is_not_in_the_file(
    tmp_path: Path, write: Callable[[Stand], Awaitable[Endpoint]]
) -> None:
    async with stand_on(encrypted, tmp_path) as stand:
        made = await write(stand)
        assert secrets(made) == SECRETIVE
        assert b"find-me" not in await files(stand, tmp_path)
        assert await stand.store.endpoint("ep_1", None) == made
        assert (await stand.store.endpoints(None, Page(5))).items == [made]
    async with stand_on(under(OTHER_KEY, OLD_KEY, NEW_KEY), tmp_path) as stand:
        assert await stand.store.endpoint("ep_1", None) == made


@pytest.mark.parametrize("write", WRITES)
async def test_without_keys_it_is_plain(tmp_path: Path, write: Callable[[Stand], Awaitable[Endpoint]]) -> None:
    async with stand_on(sqlite, tmp_path) as stand:
        await write(stand)
        found = await files(stand, tmp_path)
        assert all(f"find-me-{number}".encode() in found for number in (1, 2, 3, 4))


@pytest.fixture
def keyed(open_in: Open) -> Open:
    """Open a store of either kind, whose secrets are encrypted."""
    return under(NEW_KEY, OLD_KEY, open_in=open_in)


async def test_an_attempt_is_made_with_what_was_decrypted(keyed: Open, tmp_path: Path) -> None:
    async with stand_on(keyed, tmp_path) as stand:
        await create(stand)
    async with stand_on(keyed, tmp_path) as stand:  # its directory is empty: matching reads the row
        delivery = await stand.sent()
        assert secrets(delivery.destination) == SECRETIVE


async def test_a_row_is_decrypted_once_not_at_every_delivery(keyed: Open, tmp_path: Path) -> None:
    async with stand_on(keyed, tmp_path) as stand:
        await create(stand)
        first = await stand.sent()
        assert (await stand.sent()).destination is first.destination


async def test_what_was_deleted_stands_in_the_journal_no_longer(tmp_path: Path) -> None:
    async with stand_on(sqlite, tmp_path) as stand:
        await create(stand)
        await stand.store.delete_endpoint("ep_1", None)
        assert "find-me-2" in on_disk(tmp_path)
        await stand.store.forget_deleted()
        assert "find-me" not in on_disk(tmp_path)


def on_disk(folder: Path) -> str:
    return b"".join(path.read_bytes() for path in folder.glob("hookd.db*")).decode("latin-1")


async def test_who_reads_the_journal_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store.sqlite, "BUSY_TIMEOUT", 20.0)
    async with stand_on(sqlite, tmp_path) as stand:
        await create(stand)
        with closing(sqlite3.connect(tmp_path / "hookd.db", isolation_level=None)) as other:
            other.execute("BEGIN")
            other.execute("SELECT count(*) FROM endpoints").fetchall()
            await stand.store.delete_endpoint("ep_1", None)
            async with asyncio.timeout(10):
                await stand.store.forget_deleted()
            await stand.accept()
        await stand.store.forget_deleted()
        assert "find-me" not in on_disk(tmp_path)


async def test_a_deleted_endpoint_leaves_nothing(tmp_path: Path) -> None:
    async with stand_on(encrypted, tmp_path) as stand:
        await create(stand)
        ((stored,),) = await file_of(stand.store).writer.run(
            lambda raw: raw.execute("SELECT secret FROM endpoints").fetchall()
        )
        assert stored.encode() in await files(stand, tmp_path)
        await stand.store.delete_endpoint("ep_1", None)
        await files(stand, tmp_path)
        assert stored.encode() not in await files(stand, tmp_path)


def write_elsewhere(folder: Path, *keys: bytes, **changes: Any) -> None:
    """Change the endpoint as another process does that has these keys."""
    row = endpoint_row(replace(ENDPOINT, event_types=("*",), **changes), Vault(keys, os.urandom))
    other = sqlite3.connect(folder / "hookd.db")
    with other:
        other.execute(
            "UPDATE endpoints SET token = :token, secret = :secret, previous_secrets = :previous_secrets, "
            "headers = :headers, key_id = :key_id",
            row,
        )
    other.close()


async def test_what_another_process_encrypted_is_noticed(tmp_path: Path) -> None:
    async with stand_on(under(NEW_KEY, OLD_KEY), tmp_path) as stand:
        await stand.endpoint()
        for keys in ((OLD_KEY, NEW_KEY), (NEW_KEY,), ()):
            await stand.store.notice()
            token = f"by {len(keys)}"
            write_elsewhere(tmp_path, *keys, **SECRETIVE | {"token": token})
            await stand.store.notice()
            assert secrets((await stand.sent()).destination) == SECRETIVE | {"token": token}
            assert secrets(await stand.store.endpoint("ep_1", None)) == SECRETIVE | {"token": token}


# A key that is not there.


async def refusal(opened: Open, folder: Path) -> str:
    with pytest.raises(StartError) as caught:
        async with stand_on(opened, folder):
            pass
    assert "\n" not in str(caught.value)
    return str(caught.value)


async def test_a_store_does_not_open_without_every_key_that_it_needs(open_in: Open, tmp_path: Path) -> None:
    async with stand_on(under(OLD_KEY, open_in=open_in), tmp_path) as stand:
        await create(stand)
    async with stand_on(under(NEW_KEY, OLD_KEY, open_in=open_in), tmp_path) as stand:
        await stand.endpoint("ep_2", **SECRETIVE)
    for keys in ((), (OTHER_KEY,), (NEW_KEY,), (OLD_KEY,)):
        assert (await refusal(under(*keys, open_in=open_in), tmp_path)).startswith("[store] keys: ")
    async with stand_on(under(OLD_KEY, OTHER_KEY, NEW_KEY, open_in=open_in), tmp_path) as stand:
        assert len((await stand.store.endpoints(None, Page(5))).items) == 2


@pytest.mark.parametrize("looked_through", [0, examine.WHOLE])
async def test_keys_that_can_not_be_looked_up_are_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, looked_through: int
) -> None:
    monkeypatch.setattr(examine, "WHOLE", looked_through)
    async with stand_on(encrypted, tmp_path) as stand:
        await create(stand)
    raw = sqlite3.connect(tmp_path / "hookd.db")
    ((root,),) = raw.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'endpoints_key_id'").fetchall()
    raw.close()
    with (tmp_path / "hookd.db").open("r+b") as file:
        file.seek(4096 * (root - 1))
        file.write(b"\xff" * 4096)
    with pytest.raises(StartError, match=r"^\[store\] url: .*(malformed|damaged)"):
        async with stand_on(encrypted, tmp_path):
            pass


async def test_a_store_without_endpoints_opens_with_any_key(open_in: Open, tmp_path: Path) -> None:
    for keys in ((OLD_KEY,), (NEW_KEY,), ()):
        async with stand_on(under(*keys, open_in=open_in), tmp_path):
            pass


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [((), (), 0), ((), (NEW_KEY,), 1), ((OLD_KEY,), (NEW_KEY, OLD_KEY), 1), ((OLD_KEY,), (OLD_KEY, NEW_KEY), 0)],
)
async def test_what_is_not_under_the_first_key_is_said_at_the_start(
    open_in: Open,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    before: tuple[bytes],
    after: tuple[bytes],
    said: int,
) -> None:
    async with stand_on(under(*before, open_in=open_in), tmp_path) as stand:
        await create(stand)
    with caplog.at_level(logging.WARNING, "hookd"):
        async with stand_on(under(*after, open_in=open_in), tmp_path):
            pass
    assert [record.getMessage().partition(";")[2] for record in caplog.records] == [" run hookd migrate --rekey"] * said


# What was tampered with.


async def tampered(stand: Stand) -> None:
    """Leave a delivery waiting for each of two endpoints, and exchange the secrets of one for the other's."""
    for name in ("ep_1", "ep_2"):
        await stand.endpoint(name, **SECRETIVE, event_types=(name,))
        await stand.accept(name)
    copy = "UPDATE endpoints SET secret = (SELECT secret FROM endpoints WHERE id = 'ep_2') WHERE id = 'ep_1'"
    await carry_out(stand.store, copy)
    stand.store._directory.forget()


async def test_an_endpoint_that_was_tampered_with_holds_up_no_other(
    keyed: Open, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with stand_on(keyed, tmp_path) as stand:
        await tampered(stand)
        assert [delivery.destination.id for delivery in await stand.claim("ep_1", "ep_2")] == ["ep_2"]
        assert "secret of the endpoint ep_1" in str(caplog.records[-1].__dict__["fields"])
        assert (await stand.accept("ep_2")).deliveries == 1


async def test_an_event_for_an_endpoint_that_was_tampered_with_is_not_accepted(keyed: Open, tmp_path: Path) -> None:
    async with stand_on(keyed, tmp_path) as stand:
        await tampered(stand)
        bad, good = stand.accept("ep_1"), stand.accept("ep_2")
        with pytest.raises(Unavailable, match="secret of the endpoint ep_1"):
            await bad
        assert (await good).deliveries == 1
        for asked in (stand.store.endpoint("ep_1", None), stand.store.endpoints(None, Page(5))):
            with pytest.raises(Unavailable, match="secret of the endpoint ep_1"):
                await asked


async def test_a_failure_is_recorded_though_who_is_to_be_told_can_not_be(
    keyed: Open, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with stand_on(keyed, tmp_path) as stand:
        await stand.endpoint("ep_1", event_types=("purchase",))
        await stand.endpoint("ep_2", event_types=("hookd.*",))
        delivery = await stand.sent(origin=Origin.PUBLISHED)
        await carry_out(stand.store, "UPDATE endpoints SET secret = '' WHERE id = 'ep_2'")
        stand.store._directory.forget()
        await stand.end(delivery, Outcome.TIMEOUT, schedule=())
        assert (await stand.delivery(delivery.id)).status == "failed"
        assert "secret of the endpoint ep_2" in str(caplog.records[-1].__dict__["fields"])
