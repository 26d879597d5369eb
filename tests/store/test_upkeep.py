"""The file's upkeep by another process: schema and keys, beside an open store and without one."""

import asyncio
import os
import random
import sqlite3
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from hookd.errors import HookdError, StartError
from hookd.model import Endpoint, PreviousSecret
from hookd.store import Page, Vault, sqlite, upkeep
from hookd.store.rows import SECRETS
from hookd.store.sqlite import migrations
from tests.nouns import ENDPOINT, NEW_KEY, OLD_KEY, OTHER_KEY
from tests.store.stand import Stand, stand_on
from tests.store.test_encryption import everything_in, under

BOTH = Vault((NEW_KEY, OLD_KEY), os.urandom)
MANY = 120
"""Endpoints that take several transactions."""


def no_pause(seconds: float) -> None:
    """Go on at once."""


def secretive(number: int, rng: random.Random, size: int) -> Endpoint:
    """Make an endpoint whose secrets are up to so long."""

    def secret(name: str) -> str:
        return f"find-me-{name}-" + rng.randbytes(rng.randrange(size) // 2).hex()

    return replace(
        ENDPOINT,
        id=f"ep_{number}",
        event_types=(f"type_{number}",),
        token=rng.choice([None, secret("token")]),
        secret=secret("secret"),
        previous_secrets=(PreviousSecret(secret("previous"), 5),),
        headers={"X-Own": secret("header")},
    )


async def fill(stand: Stand, first: int, count: int, size: int = 40) -> None:
    """Make endpoints, and rotate the secrets of some, so that rows grow, shrink and move."""
    rng = random.Random(first)
    made = [secretive(number, rng, size) for number in range(first, first + count)]
    await asyncio.gather(*map(stand.store.create_endpoint, made))
    rotated = rng.sample(made, count // 2)
    await asyncio.gather(
        *(stand.store.change_endpoint(each.id, None, replacing(secretive(0, rng, 3 * size))) for each in rotated)
    )


def replacing(other: Endpoint) -> Callable[[Endpoint], Endpoint]:
    names = ("token", "secret", "previous_secrets", "headers")
    return lambda it: replace(it, **{name: getattr(other, name) for name in names})


async def read_all(stand: Stand) -> list[Endpoint]:
    found: list[Endpoint] = []
    before = None
    while True:
        listing = await stand.store.endpoints(None, Page(250, before=before))
        found += listing.items
        before = listing.next
        if before is None:
            return found


async def mixed(folder: Path, count: int = MANY) -> list[Endpoint]:
    """Leave a store of which a part is plain, a part under the old key, and a part under the new one."""
    for number, keys in enumerate([(), (OLD_KEY,), (NEW_KEY, OLD_KEY)]):
        async with stand_on(under(*keys), folder) as stand:
            await fill(stand, number * count, count)
            found = await read_all(stand)
    return found


def in_use(folder: Path) -> dict[str, int]:
    """Count the endpoints under each key."""
    raw = sqlite3.connect(folder / "hookd.db")
    try:
        return dict(raw.execute("SELECT key_id, count(*) FROM endpoints GROUP BY key_id").fetchall())
    finally:
        raw.close()


async def test_everything_comes_under_the_first_key_and_says_what_it_said(tmp_path: Path) -> None:
    before = await mixed(tmp_path)
    assert upkeep.rekey(tmp_path / "hookd.db", BOTH, no_pause) == 2 * MANY
    assert in_use(tmp_path) == {BOTH.first.id: 3 * MANY}
    async with stand_on(under(NEW_KEY), tmp_path) as stand:
        assert await read_all(stand) == before
        assert (await stand.accept("type_1")).deliveries == 1
    assert upkeep.rekey(tmp_path / "hookd.db", BOTH, no_pause) == 0


async def test_back_to_the_old_key(tmp_path: Path) -> None:
    before = await mixed(tmp_path, 3)
    back = Vault((OLD_KEY, NEW_KEY), os.urandom)
    upkeep.rekey(tmp_path / "hookd.db", BOTH, no_pause)
    assert upkeep.rekey(tmp_path / "hookd.db", back, no_pause) == 9
    async with stand_on(under(OLD_KEY), tmp_path) as stand:
        assert await read_all(stand) == before


def stored(folder: Path) -> list[bytes]:
    """Answer everything secret in the file, plain or encrypted, in pieces that could be told from others."""
    raw = sqlite3.connect(folder / "hookd.db")
    found = raw.execute(f"SELECT {', '.join(SECRETS)} FROM endpoints").fetchall()
    raw.close()
    texts = [text.encode() for row in found for text in row if text is not None]
    return [text[place : place + 24] for text in texts for place in range(0, len(text) - 24, 24)]


@pytest.mark.parametrize(("keys", "size"), [((), 200), ((OLD_KEY,), 100)])
async def test_nothing_of_what_it_was_is_left_in_any_file(tmp_path: Path, keys: tuple[bytes], size: int) -> None:
    """Rows move from page to page as they grow, and SQLite leaves copies between them: with these sizes it does."""
    async with stand_on(under(*keys), tmp_path) as stand:
        await fill(stand, 0, 2 * MANY, size)
    before = stored(tmp_path)
    assert before[-1] in everything_in(tmp_path)
    upkeep.rekey(tmp_path / "hookd.db", BOTH, no_pause)
    after = everything_in(tmp_path)
    assert [piece for piece in before if piece in after] == []
    assert b"find-me" not in after
    assert stored(tmp_path)[-1] in after


async def test_nothing_is_left_in_the_log_beside_an_open_store(tmp_path: Path) -> None:
    async with stand_on(under(), tmp_path) as stand:
        await fill(stand, 0, MANY)
    async with stand_on(under(NEW_KEY), tmp_path) as stand:
        before = await read_all(stand)
        await asyncio.to_thread(upkeep.rekey, tmp_path / "hookd.db", BOTH, no_pause)
        assert b"find-me" not in everything_in(tmp_path)
        await stand.store.notice()
        assert await read_all(stand) == before
        delivery = await stand.sent("type_1")
        assert delivery.destination in before


async def test_in_the_middle_everything_is_readable(tmp_path: Path) -> None:
    before = await mixed(tmp_path)
    states: list[dict[str, int]] = []

    def look(seconds: float) -> None:
        assert asyncio.run(reread()) == before
        states.append(in_use(tmp_path))

    async def reread() -> list[Endpoint]:
        async with stand_on(under(NEW_KEY, OLD_KEY), tmp_path) as stand:
            return await read_all(stand)

    await asyncio.to_thread(upkeep.rekey, tmp_path / "hookd.db", BOTH, look)
    done = [state[BOTH.first.id] for state in states]
    assert done == sorted(set(done)), "each transaction is on disk"
    assert len([count for count in done if count < 3 * MANY]) > 1


class StoppedError(Exception):
    """What ends it in the middle."""


async def test_interrupted_and_run_again_it_ends(tmp_path: Path) -> None:
    before = await mixed(tmp_path)

    def interrupt(seconds: float) -> None:
        raise StoppedError

    with pytest.raises(StoppedError):
        upkeep.rekey(tmp_path / "hookd.db", BOTH, interrupt)
    left = 3 * MANY - in_use(tmp_path)[BOTH.first.id]
    assert 0 < left < 2 * MANY
    assert upkeep.rekey(tmp_path / "hookd.db", BOTH, no_pause) == left
    assert b"find-me" not in everything_in(tmp_path)
    async with stand_on(under(NEW_KEY), tmp_path) as stand:
        assert await read_all(stand) == before


async def test_interrupted_near_its_end_and_run_again_it_leaves_nothing(tmp_path: Path) -> None:
    await mixed(tmp_path)

    def interrupt_at_last(seconds: float) -> None:
        if in_use(tmp_path) == {BOTH.first.id: 3 * MANY}:
            raise StoppedError

    other = sqlite3.connect(tmp_path / "hookd.db")
    other.execute("PRAGMA user_version").fetchall()  # with it open, the log stays when others close
    with pytest.raises(StoppedError):
        upkeep.rekey(tmp_path / "hookd.db", BOTH, interrupt_at_last)
    assert b"find-me" in everything_in(tmp_path)
    assert upkeep.rekey(tmp_path / "hookd.db", BOTH, no_pause) == 0
    other.close()
    assert b"find-me" not in everything_in(tmp_path)


# What keeps it from its work.


async def test_a_store_that_is_open_with_another_first_key_is_left_alone(tmp_path: Path) -> None:
    for keys in ((), (OLD_KEY, NEW_KEY)):
        async with stand_on(under(*keys), tmp_path) as stand:
            await stand.endpoint(f"ep_{len(keys)}")
            before = in_use(tmp_path)
            with pytest.raises(HookdError, match=r"the first of \[store\] keys: restart it"):
                upkeep.rekey(tmp_path / "hookd.db", BOTH, no_pause)
            assert in_use(tmp_path) == before


async def test_a_key_that_is_not_there_is_named_before_anything_is_done(tmp_path: Path) -> None:
    await mixed(tmp_path, 3)
    before = in_use(tmp_path)
    with pytest.raises(StartError, match=r"^\[store\] keys: "):
        upkeep.rekey(tmp_path / "hookd.db", Vault((OTHER_KEY, NEW_KEY), os.urandom), no_pause)
    assert in_use(tmp_path) == before


async def test_a_row_that_was_tampered_with_is_named(tmp_path: Path) -> None:
    async with stand_on(under(OLD_KEY), tmp_path) as stand:
        await fill(stand, 0, 3)
    raw = sqlite3.connect(tmp_path / "hookd.db")
    raw.execute("UPDATE endpoints SET secret = headers WHERE id = 'ep_1'")
    raw.commit()
    raw.close()
    with pytest.raises(HookdError, match="secret of the endpoint ep_1"):
        upkeep.rekey(tmp_path / "hookd.db", BOTH, no_pause)


async def test_another_writer_or_reader_that_does_not_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    await mixed(tmp_path, 3)
    monkeypatch.setattr(sqlite, "BUSY_TIMEOUT", 0.01)
    for begin, told in (("BEGIN IMMEDIATE", "database is locked"), ("BEGIN", "keeps reading")):
        other = sqlite3.connect(tmp_path / "hookd.db", isolation_level=None)
        other.execute(begin)
        other.execute("SELECT count(*) FROM endpoints").fetchall()
        with pytest.raises(HookdError, match=told) as caught:
            upkeep.rekey(tmp_path / "hookd.db", BOTH, no_pause)
        assert "\n" not in str(caught.value)
        other.close()
    assert upkeep.rekey(tmp_path / "hookd.db", BOTH, no_pause) == 0
    assert b"find-me" not in everything_in(tmp_path)


async def test_a_fault_in_the_middle_is_one_line_and_leaves_everything_readable(tmp_path: Path) -> None:
    before = await mixed(tmp_path)
    raw = sqlite3.connect(tmp_path / "hookd.db")
    raw.execute(
        "CREATE TRIGGER fault BEFORE UPDATE ON endpoints WHEN NEW.id = 'ep_140' "
        "BEGIN SELECT RAISE(ABORT, 'disk I/O error'); END"
    )
    raw.close()
    with pytest.raises(HookdError, match=": disk I/O error; run this again"):
        upkeep.rekey(tmp_path / "hookd.db", BOTH, no_pause)
    assert MANY < in_use(tmp_path)[BOTH.first.id] < 3 * MANY
    async with stand_on(under(NEW_KEY, OLD_KEY), tmp_path) as stand:
        assert await read_all(stand) == before


# The schema.


async def test_a_store_from_before_there_were_keys(tmp_path: Path) -> None:
    first, newest = migrations()[0], migrations()[-1][0]
    raw = sqlite3.connect(tmp_path / "hookd.db")
    raw.executescript(f"PRAGMA auto_vacuum = INCREMENTAL; {first[1]}; PRAGMA user_version = {first[0]};")
    raw.execute(
        "INSERT INTO endpoints (id, tenant, url, event_types, description, scheme, secret, previous_secrets, headers, "
        "metadata, state, state_since, failing_attempts, created_at, updated_at) VALUES "
        "('ep_1', '', ?, '[\"*\"]', '', 'standard', ?, '[]', '{}', '{}', 'active', ?, 0, ?, ?)",
        (ENDPOINT.url, ENDPOINT.secret, *[ENDPOINT.created_at] * 3),
    )
    raw.commit()
    raw.close()
    assert upkeep.migrate(tmp_path / "hookd.db") == (first[0], newest)
    assert upkeep.migrate(tmp_path / "hookd.db") == (newest, newest)
    assert upkeep.rekey(tmp_path / "hookd.db", BOTH, no_pause) == 1
    async with stand_on(under(NEW_KEY), tmp_path) as stand:
        assert await read_all(stand) == [replace(ENDPOINT, event_types=("*",))]


async def test_an_empty_file_becomes_a_store(tmp_path: Path) -> None:
    (tmp_path / "hookd.db").touch()
    assert upkeep.migrate(tmp_path / "hookd.db") == (0, migrations()[-1][0])
    async with stand_on(under(), tmp_path) as stand:
        await stand.endpoint()


@pytest.mark.parametrize("change", [upkeep.migrate, lambda path: upkeep.rekey(path, BOTH, no_pause)])
@pytest.mark.parametrize("place", ["hookd.db", "missing/hookd.db"])
def test_where_there_is_no_store_none_is_made(tmp_path: Path, place: str, change: Callable[[Path], object]) -> None:
    with pytest.raises(HookdError, match="there is no store at"):
        change(tmp_path / place)
    assert list(tmp_path.iterdir()) == []


def test_a_place_where_no_file_can_be(tmp_path: Path) -> None:
    with pytest.raises(HookdError, match="unable to open database file"):
        upkeep.migrate(tmp_path)


async def test_what_is_no_database_is_said(tmp_path: Path) -> None:
    (tmp_path / "hookd.db").write_text("dear diary, " * 1000)
    with pytest.raises(HookdError, match="file is not a database"):
        upkeep.migrate(tmp_path / "hookd.db")
