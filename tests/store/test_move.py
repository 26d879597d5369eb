"""A file moves to a server: nothing is missing there, nothing is there twice, whatever happened to it meanwhile."""

import asyncio
import os
import random
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from hookd.errors import HookdError, StartError
from hookd.model import Endpoint, Handler, Outcome
from hookd.store import Key, KeyKind, Vault, schema
from hookd.store.membership import Membership
from hookd.store.move import Counts, move
from hookd.store.parts import TABLES
from hookd.store.server import Server
from hookd.store.sqlite import migrations
from hookd.store.vault import PLAIN
from tests.nouns import NEW_KEY, OLD_KEY
from tests.postgres import database, run
from tests.store.stand import DAY, NOW, SCHEDULE, SECOND, Stand, at_server, sqlite, stand_on
from tests.store.test_encryption import under
from tests.store.test_rejections import numbered

PATIENCE = 30.0
"""Seconds after which what should have happened fails the test."""

IN_BOTH = {
    "events": "SELECT * FROM events ORDER BY sequence",
    "outbox": "SELECT outbox.*, events.id AS of FROM outbox JOIN events ON events.sequence = event ORDER BY 1",
    "attempts": "SELECT attempts.*, outbox.id AS of FROM attempts JOIN outbox ON sequence = delivery ORDER BY 1, 2",
    "dedupe": "SELECT * FROM dedupe ORDER BY kind, owner, key",
    "rejections": "SELECT * FROM rejections ORDER BY sequence",
    "endpoints": "SELECT * FROM endpoints ORDER BY sequence",
    "subscriptions": "SELECT * FROM subscriptions ORDER BY tenant, pattern, endpoint",
    "published": "SELECT * FROM published ORDER BY sequence",
}
"""All that a store holds, in an order that is the same in both."""

RENUMBERED = {
    "events": {"sequence"},
    "outbox": {"sequence", "event", "owner"},
    "attempts": {"delivery"},
    "published": {"new_id"},
}
"""Columns that are others there."""


def to(address: str) -> Server:
    return Server(address, Membership("a test", lease=0), sessions=True)


def silent(line: str) -> None:
    raise AssertionError(f"nobody runs on the file, and yet: {line}")


async def moved(folder: Path, address: str, vault: Vault = PLAIN) -> Counts:
    return await move(folder / "hookd.db", to(address), vault, silent)


async def moving(folder: Path, address: str) -> "asyncio.Task[Counts]":
    """Begin to move beside a daemon; return once all that there was is copied, and the daemon is to be stopped."""
    lines: asyncio.Queue[str] = asyncio.Queue()
    task = asyncio.create_task(move(folder / "hookd.db", to(address), PLAIN, lines.put_nowait))
    async with asyncio.timeout(PATIENCE):
        assert "stop the hookd that runs on it" in await lines.get()
    return task


def without(rows: Sequence[Any], columns: set[str]) -> list[dict[str, Any]]:
    """Leave columns out, and of the turns of what was retried by hand all but that."""
    return [{name: _told(name, value) for name, value in dict(row).items() if name not in columns} for row in rows]


def _told(name: str, value: Any) -> Any:
    return "by hand" if name == "turn" and value is not None and value < 0 else value


def in_file(folder: Path, table: str) -> list[Any]:
    with closing(sqlite3.connect(folder / "hookd.db")) as raw:
        raw.row_factory = sqlite3.Row
        return raw.execute(IN_BOTH[table]).fetchall()


async def expect_all_there(folder: Path, address: str) -> None:
    """Compare every row of every table."""
    connection = await asyncpg.connect(address)
    try:
        for table, sql in IN_BOTH.items():
            for each in TABLES:
                sql = sql.replace(f"FROM {each}", f"FROM hookd.{each}").replace(f"JOIN {each}", f"JOIN hookd.{each}")
            other = RENUMBERED.get(table, set())
            there = without(await connection.fetch(sql), other)
            assert there == without(in_file(folder, table), other), table
    finally:
        await connection.close()


def test_no_table_and_no_column_is_forgotten(tmp_path: Path, postgres: str) -> None:
    assert set(IN_BOTH) == set(TABLES)
    with closing(sqlite3.connect(":memory:")) as raw:
        for _, sql in migrations():
            raw.executescript(sql)
        tables = raw.execute("SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'")
        assert {name for (name,) in tables} == set(TABLES)
        for table in TABLES:
            here = {row[0] for row in raw.execute("SELECT name FROM pragma_table_info(?)", (table,))}
            columns = "SELECT column_name FROM information_schema.columns WHERE table_schema = $1 AND table_name = $2"
            there = {str(row[0]) for row in run(postgres, columns, "hookd", table)}
            assert here == there - {"outbox": {"owner"}, "published": {"new_id"}}.get(table, set())


# What is in it.


class Life:
    """Things that happen to a store, at random; the clock goes on by hours."""

    def __init__(self, stand: Stand, folder: Path, seed: int) -> None:
        self.stand = stand
        self.folder = folder
        self.rng = random.Random(seed)
        self.count = 0

    async def begin(self) -> None:
        for number in range(3):
            await self.stand.endpoint(f"ep_{number}", ordered=number == 1, tenant="acme" if number == 2 else None)

    async def live(self, steps: int) -> None:
        things = [self.publish, self.publish, self.deliver, self.deliver, self.repeat, self.reject, self.change]
        things.append(self.publish_by_application)
        for _ in range(steps):
            self.stand.pass_time(self.rng.randrange(DAY // 8))
            await self.rng.choice(things)()

    async def publish(self) -> None:
        self.count += 1
        key = Key(KeyKind.PRODUCER_ID, "", f"id_{self.count}")
        tenant, ordering_key = self.rng.choice([None, None, "acme"]), self.rng.choice(["", "a", "b"])
        await self.stand.accept("purchase", tenant=tenant, ordering_key=ordering_key, keys=(key,), digest=b"d")

    async def publish_by_application(self) -> None:
        with closing(sqlite3.connect(self.folder / "hookd.db")) as raw:
            raw.execute("INSERT INTO publish (type, payload) VALUES ('purchase', '{}')")
            raw.execute("UPDATE published SET fault = 'x' WHERE sequence % 3 = 0")
            raw.commit()

    async def deliver(self) -> None:
        for delivery in await self.stand.claim(f"ep_{self.rng.randrange(3)}"):
            outcome = self.rng.choice([Outcome.SUCCESS, Outcome.HTTP_5XX])
            await self.stand.end(delivery, outcome, schedule=self.rng.choice([SCHEDULE, ()]))

    async def repeat(self) -> None:
        """Retry one that has ended, or cancel one that waits."""
        found = await self.stand.deliveries()
        if found:
            chosen = self.rng.choice(found)
            again = self.stand.store.cancel if chosen.status == "pending" else self.stand.store.retry
            await again(chosen.id, None)

    async def reject(self) -> None:
        self.count += 1
        await self.stand.store.keep_rejection(numbered(self.count, received_at=self.stand.now), 5)
        await self.stand.store.rejection_became(f"rej_{self.count:04}", "evt")

    async def change(self) -> None:
        self.count += 1

        def changed(endpoint: Endpoint) -> Endpoint:
            types = self.rng.choice([("*",), ("purchase", "other")])
            return replace(endpoint, event_types=types, description=f"{self.count}", ordered=not endpoint.ordered)

        await self.stand.store.change_endpoint(f"ep_{self.rng.randrange(3)}", None, changed)


@pytest.mark.parametrize("seed", range(4))
async def test_all_of_it_is_there_as_it_was(tmp_path: Path, postgres: str, seed: int) -> None:
    async with stand_on(sqlite, tmp_path) as stand:
        life = Life(stand, tmp_path, seed)
        await life.begin()
        await life.live(120)
    counts = await moved(tmp_path, postgres)
    assert counts == {table: len(in_file(tmp_path, table)) for table in TABLES}
    assert counts["attempts"] > 10
    await expect_all_there(tmp_path, postgres)
    assert run(postgres, "SELECT count(*) FROM hookd.changes") == [(0,)]


@pytest.mark.parametrize("seed", range(4))
async def test_what_changes_until_the_daemon_stops_is_there_too(tmp_path: Path, postgres: str, seed: int) -> None:
    """Whatever it is: what comes, goes, ends, begins again, or is another."""
    async with stand_on(sqlite, tmp_path) as stand:
        life = Life(stand, tmp_path, seed)
        await life.begin()
        await life.live(80)
        begun = await moving(tmp_path, postgres)
        await life.live(40)
        await stand.store.delete_endpoint("ep_0", None)
        stand.pass_time(DAY)
        await stand.store.prune(5 * DAY)
        await stand.store.expire_rejections(5 * DAY)
        assert not begun.done()
    async with asyncio.timeout(PATIENCE):
        counts = await begun
    assert counts == {table: len(in_file(tmp_path, table)) for table in TABLES}
    await expect_all_there(tmp_path, postgres)


async def test_what_changes_alone_among_others_is_there_too(tmp_path: Path, postgres: str) -> None:
    async with stand_on(sqlite, tmp_path) as stand:
        for number in (1, 2, 3):
            await stand.endpoint(f"ep_{number}", event_types=("purchase",) if number == 1 else ())
            await stand.store.keep_rejection(numbered(number), 9)
            await stand.accept()
        second = (await stand.deliveries())[1]
        begun = await moving(tmp_path, postgres)
        await stand.store.cancel(second.id, None)
        await stand.store.rejection_became("rej_0002", "evt")
        await stand.store.change_endpoint("ep_2", None, lambda endpoint: replace(endpoint, metadata={"a": "b"}))
    await begun
    await expect_all_there(tmp_path, postgres)


async def test_dedupe_keys_that_have_expired_meanwhile_are_not_there(tmp_path: Path, postgres: str) -> None:
    async with stand_on(sqlite, tmp_path) as stand:
        for number in range(3):
            key = Key(KeyKind.PRODUCER_ID, "", f"id_{number}")
            stand.pass_time(10 * DAY)
            await stand.accept(keys=(key,), digest=b"d")
        begun = await moving(tmp_path, postgres)
        await stand.accept(keys=(Key(KeyKind.PRODUCER_ID, "", "id_3"),), digest=b"d")
        stand.pass_time(15 * DAY)
        await stand.store.expire_keys()
        await stand.accept(keys=(Key(KeyKind.PRODUCER_ID, "", "id_0"),), digest=b"other")
    assert (await begun)["dedupe"] == 4
    await expect_all_there(tmp_path, postgres)


async def test_what_comes_to_stand_in_line_meanwhile_does_so_there(tmp_path: Path, postgres: str) -> None:
    async with stand_on(sqlite, tmp_path) as stand:
        await stand.endpoint()
        await stand.accept(ordering_key="a")
        begun = await moving(tmp_path, postgres)
        await stand.store.change_endpoint("ep_1", None, lambda endpoint: replace(endpoint, ordered=True))
    await begun
    await expect_all_there(tmp_path, postgres)
    assert run(postgres, "SELECT turn, ordering_key FROM hookd.outbox") == [(1, "a")]


# What happens then at the server.


async def test_ordered_deliveries_go_on_in_their_order(tmp_path: Path, postgres: str) -> None:
    """What was retried by hand goes first, in the order of the events, wherever it was retried."""

    async def retried(stand: Stand, *events: str) -> None:
        for event in events:
            (delivery,) = await stand.deliveries(event=event)
            await stand.store.retry(delivery.id, None)

    async with stand_on(sqlite, tmp_path) as stand:
        await stand.endpoint(ordered=True)
        events = [(await stand.accept()).event for _ in range(6)]
        for _ in range(3):
            (first,) = await stand.claim()
            await stand.end(first, Outcome.HTTP_5XX, schedule=())
        await retried(stand, events[1])
    await moved(tmp_path, postgres)
    async with stand_on(lambda _, clock, ids: at_server(postgres, clock, ids), tmp_path) as stand:
        stand.pass_time(DAY)
        await stand.recover()
        events.append((await stand.accept()).event)
        await retried(stand, events[2], events[0])
        order = []
        for _ in range(7):
            (delivery,) = await stand.claim()
            order.append(delivery.event.id)
            await stand.end(delivery)
    assert order == events


async def test_what_was_being_sent_by_a_daemon_that_was_killed_is_taken_up(tmp_path: Path, postgres: str) -> None:
    """As a start on the file would have: also what was to stop, and a handler that ran in too many crashes."""
    handler = Handler("h", ("*",), "log:x", 1000, None)
    async with stand_on(sqlite, tmp_path) as stand:
        await stand.handlers(handler)
        await stand.endpoint()
        await stand.accept()
        assert len(await stand.claim("ep_1", handler.id)) == 2
        stopped = (await stand.deliveries(endpoint="ep_1"))[0].id
        await stand.store.cancel(stopped, None)
    with closing(sqlite3.connect(tmp_path / "hookd.db")) as raw:
        raw.execute("UPDATE outbox SET crashes = 2 WHERE endpoint LIKE 'handler:%'")
        raw.commit()
    await moved(tmp_path, postgres)
    async with stand_on(lambda _, clock, ids: at_server(postgres, clock, ids, lease=SECOND), tmp_path) as stand:
        async with asyncio.timeout(PATIENCE):
            while "sending" in await stand.statuses():  # a server that has just started gives it time
                await stand.recover(handler)
        statuses = {each.endpoint: (each.status, each.reason) for each in await stand.deliveries()}
    assert statuses["ep_1"] == ("cancelled", "cancelled by hand")
    assert statuses[handler.id] == ("failed", "the handler was running in 3 crashes")


async def test_what_comes_then_is_behind_all_that_was(tmp_path: Path, postgres: str) -> None:
    many = range(1, 6)
    async with stand_on(sqlite, tmp_path) as stand:
        stand.pass_time(100_000 * DAY)
        events = [(await stand.accept()).event for _ in many]
        for number in many:
            await stand.endpoint(f"ep_{number}")
            await stand.store.keep_rejection(numbered(number), 9)
    await moved(tmp_path, postgres)
    async with stand_on(lambda _, clock, ids: at_server(postgres, clock, ids), tmp_path) as stand:
        events.append((await stand.accept()).event)
        await stand.endpoint("ep_6")
        await stand.store.keep_rejection(numbered(6), 9)
    assert run(postgres, "SELECT id FROM hookd.events ORDER BY sequence") == [(event,) for event in events]
    for table, prefix in (("endpoints", "ep_"), ("rejections", "rej_000")):
        found = run(postgres, f"SELECT sequence, id FROM hookd.{table} ORDER BY 1")
        assert found == [(number, f"{prefix}{number}") for number in (*many, 6)]


async def test_old_events_go_with_their_days(tmp_path: Path, postgres: str) -> None:
    async with stand_on(sqlite, tmp_path) as stand:
        for _ in range(3):
            await stand.accept()
            stand.pass_time(DAY)
    await moved(tmp_path, postgres)
    days = [day for (day,) in run(postgres, "SELECT DISTINCT hookd.day_of(sequence) FROM hookd.events ORDER BY 1")]
    assert days == [NOW // DAY, NOW // DAY + 1, NOW // DAY + 2]
    assert run(postgres, "SELECT hookd.drop_day($1)", NOW // DAY) == [(True,)]
    assert run(postgres, "SELECT count(*) FROM hookd.events") == [(2,)]


async def test_texts_that_postgresql_does_not_take_are_mended(tmp_path: Path, postgres: str) -> None:
    async with stand_on(sqlite, tmp_path) as stand:
        await stand.endpoint(description="a\0b")
        await stand.accept(payload=b"\0\xff")
    await moved(tmp_path, postgres)
    assert run(postgres, "SELECT description FROM hookd.endpoints") == [("a\ufffdb",)]
    assert run(postgres, "SELECT payload FROM hookd.events") == [(b"\0\xff",)]


# Secrets.


async def test_secrets_stay_as_they_are_encrypted(tmp_path: Path, postgres: str) -> None:
    async with stand_on(under(OLD_KEY), tmp_path) as stand:
        before = await stand.endpoint(token="find-me")
    await moved(tmp_path, postgres, Vault((NEW_KEY, OLD_KEY), os.urandom))
    async with stand_on(
        lambda _, clock, ids: at_server(postgres, clock, ids, Vault((OLD_KEY,), os.urandom)), tmp_path
    ) as stand:
        assert await stand.store.endpoint("ep_1", None) == before


async def test_a_key_that_is_not_there_is_named_before_anything_is_copied(tmp_path: Path, postgres: str) -> None:
    async with stand_on(under(OLD_KEY), tmp_path) as stand:
        await stand.endpoint()
    with pytest.raises(StartError, match=r"^\[store\] keys: "):
        await moved(tmp_path, postgres, Vault((NEW_KEY,), os.urandom))


# What keeps it from its work.


async def test_only_an_empty_store_is_filled(tmp_path: Path, postgres: str) -> None:
    async with stand_on(sqlite, tmp_path) as stand:
        await stand.endpoint()
    await moved(tmp_path, postgres)
    with pytest.raises(HookdError, match="the database has endpoints already") as caught:
        await moved(tmp_path, postgres)
    assert "\n" not in str(caught.value)


async def test_a_daemon_that_uses_the_server_is_named(tmp_path: Path, postgres: str) -> None:
    async with stand_on(sqlite, tmp_path):
        pass
    async with stand_on(lambda _, clock, ids: at_server(postgres, clock, ids), tmp_path):
        with pytest.raises(HookdError, match=rf"hookd \S+:{os.getpid()} uses the database already; stop it"):
            await moved(tmp_path, postgres)
    await moved(tmp_path, postgres)


@pytest.mark.parametrize(("version", "todo"), [(3, "run `hookd migrate`"), (99, "upgrade hookd")])
async def test_a_file_of_another_schema_is_left_alone(tmp_path: Path, postgres: str, version: int, todo: str) -> None:
    with closing(sqlite3.connect(tmp_path / "hookd.db")) as raw:
        raw.execute(f"PRAGMA user_version = {version}")
    with pytest.raises(HookdError, match=f"has schema {version}, .*{todo}"):
        await moved(tmp_path, postgres)


async def test_interrupted_it_leaves_nothing_and_can_be_done_again(tmp_path: Path, postgres: str) -> None:
    async with stand_on(sqlite, tmp_path) as stand:
        await stand.endpoint()
        await stand.accept()
        begun = await moving(tmp_path, postgres)
        begun.cancel()
        await asyncio.wait([begun])
        for table in (*TABLES, "processes", "changes"):
            assert run(postgres, f"SELECT count(*) FROM hookd.{table}") == [(0,)]
    assert (await moved(tmp_path, postgres))["outbox"] == 1


async def test_while_it_goes_on_no_daemon_starts_there(
    tmp_path: Path, postgres: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(schema, "WAIT", 0.3)
    async with stand_on(sqlite, tmp_path) as stand:
        await stand.accept()
        begun = await moving(tmp_path, postgres)
        with pytest.raises(StartError, match="copying a store into the database"):
            await schema.bring_up(to(postgres))
        with pytest.raises(StartError, match="copying a store into the database"):
            await moved(tmp_path, postgres)
        monkeypatch.setattr(schema, "WAIT", PATIENCE)
        starting = asyncio.create_task(schema.bring_up(to(postgres)))
    await begun
    assert (await starting)[0] == schema.migrations()[-1][0]


async def test_a_server_that_goes_away_is_one_line(tmp_path: Path) -> None:
    with database() as address:
        async with stand_on(sqlite, tmp_path) as stand:
            await stand.accept()
            begun = await moving(tmp_path, address)
            run(
                address,
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid()",
            )
        await asyncio.wait([begun], timeout=PATIENCE)
        assert "\n" not in str(begun.exception())
        assert str(begun.exception()).startswith("the database: ")
