"""The real commands `migrate` and `prune` at a real PostgreSQL server, beside daemons and without any."""

import asyncio
import secrets
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import pytest
from standardwebhooks import Webhook

from hookd.store.schema import migrations
from hookd.store.tend import AT_ONCE
from tests.cli.upkeep import ran
from tests.daemons import LOOPBACK, Daemon
from tests.nouns import NEW_KEY, OLD_KEY, in_base64
from tests.postgres import database, run
from tests.receivers import Receiver
from tests.wire import Wire

NEWEST = migrations()[-1][0]
FAILED = 1
MISUSED = 2
SECRET = "whsec_ZmluZC1tZS1zZWNyZXQtZmluZC1tZS1zZWNyZXQ="
NEWER = f"INSERT INTO hookd.schema (version) VALUES ({NEWEST + 1});"


def configured(folder: Path, address: str, *keys: bytes) -> str:
    """Write a configuration, and answer its text."""
    text = f'[store]\nurl = "{address}"\nlease = "3s"\nkeys = {[in_base64(key) for key in keys]}\n{LOOPBACK}'
    folder.mkdir(exist_ok=True)
    (folder / "config.toml").write_text(text, "utf-8")
    return text


def said(command: str, folder: Path, *arguments: str, status: int = 0) -> str:
    """Run a command, and answer the one line that it says, whatever becomes of it."""
    line, silent = ran(command, folder, *arguments, status=status)
    assert line.count("\n") == 1
    assert silent == ""
    return line


@pytest.fixture
def empty() -> Iterator[str]:
    """The address of a database without a store."""
    with database(migrated=False) as address:
        yield address


# The schema.


def test_migrate_makes_the_schema_and_says_so(tmp_path: Path, empty: str) -> None:
    configured(tmp_path, empty)
    assert said("migrate", tmp_path) == f"{empty}: schema {NEWEST}, brought up from 0\n"
    assert said("migrate", tmp_path) == f"{empty}: schema {NEWEST}, up to date\n"
    assert run(empty, "SELECT count(*) FROM hookd.events") == [(0,)]


@pytest.mark.parametrize("command", ["migrate", "prune", "run"])
def test_a_newer_schema_is_one_line(tmp_path: Path, postgres: str, command: str) -> None:
    configured(tmp_path, postgres, NEW_KEY)
    run(postgres, NEWER)
    line = said(command, tmp_path, status=FAILED)
    assert line.startswith(f"hookd: [store] url: the database has schema {NEWEST + 1}, ")
    assert line.endswith("upgrade hookd\n")


def test_prune_makes_no_store_where_there_is_none(tmp_path: Path, empty: str) -> None:
    configured(tmp_path, empty)
    assert "there is no store in the database" in said("prune", tmp_path, status=FAILED)
    assert run(empty, "SELECT to_regnamespace('hookd') IS NULL") == [(True,)]


@pytest.mark.parametrize("command", ["migrate", "prune", "run"])
def test_a_server_that_is_not_there_is_one_line_without_the_password(tmp_path: Path, command: str) -> None:
    configured(tmp_path, "postgresql://me:zQ7whisper@127.0.0.1:1/hookd")
    line = said(command, tmp_path, status=FAILED)
    assert line.startswith("hookd: [store] url: can't reach the database: ")
    assert "whisper" not in line


@pytest.mark.parametrize("command", ["migrate", "run"])
def test_a_role_that_may_not_make_the_schema_is_one_line(tmp_path: Path, empty: str, command: str) -> None:
    role = f"hookd_test_{secrets.token_hex(8)}"
    run(empty, f"CREATE ROLE {role}")
    try:
        configured(tmp_path, f"{empty}&role={role}" if "?" in empty else f"{empty}?role={role}")
        line = said(command, tmp_path, status=FAILED)
        assert "permission denied for database" in line
        assert "needs CREATE on the database" in line
    finally:
        run(empty, f"DROP ROLE {role}")


async def test_two_daemons_start_at_once_where_there_is_no_store_yet(tmp_path: Path, empty: str) -> None:
    async with Receiver() as receiver:
        first, second = (Daemon(tmp_path / name, configured(tmp_path / name, empty)) for name in ("a", "b"))
        async with asyncio.TaskGroup() as starting:
            starting.create_task(first.__aenter__())
            starting.create_task(second.__aenter__())
        try:
            await first.register(receiver.url())
            for daemon in (first, second):
                event = (await daemon.call("POST", "/api/v1/events", {"type": "a", "payload": {}}))["id"]
                await daemon.settled(event, "delivered")
        finally:
            for daemon in (first, second):
                await daemon.__aexit__(None, None, None)
    assert run(empty, "SELECT version FROM hookd.schema ORDER BY version") == [(each,) for each, _ in migrations()]
    assert len(receiver.requests) == 2


async def test_where_the_database_is_away_a_daemon_still_tells_what_it_counted(tmp_path: Path, empty: str) -> None:
    wire = Wire(empty)
    await wire.__aenter__()
    async with Daemon(tmp_path, configured(tmp_path, wire.address)) as daemon:
        await daemon.call("POST", "/api/v1/events", {"type": "a", "payload": {}})
        with_store = await told(daemon)
        await wire.__aexit__(None, None, None)
        await daemon.logs("the store can't commit")
        without = await told(daemon)
    assert {"hookd_ready 1.0", 'hookd_outbox_depth{status="pending"} 0.0'} <= with_store
    assert {"hookd_ready 0.0", 'hookd_events_accepted_total{source="api"} 1.0'} <= without
    assert not any(line.startswith("hookd_outbox_depth") for line in without)


async def told(daemon: Daemon) -> set[str]:
    """Answer the lines of its metrics."""
    async with aiohttp.ClientSession() as session, session.get(f"{daemon.url}/metrics") as answer:
        assert answer.status == 200, await answer.text()
        return set((await answer.text()).splitlines())


# Keys.


async def publish(daemon: Daemon, receiver: Receiver) -> None:
    """Publish an event; it arrives, signed with the secret."""
    event = (await daemon.call("POST", "/api/v1/events", {"type": "order", "payload": {}}))["id"]
    assert len(await daemon.settled(event, "delivered")) == 1
    request = next(each for each in receiver.requests if each.headers["webhook-id"] == event)
    Webhook(SECRET).verify(request.body, request.headers)


def in_use(address: str) -> list[tuple[object, ...]]:
    """Count the endpoints that are under each key."""
    return run(address, "SELECT count(*) FROM hookd.endpoints GROUP BY key_id ORDER BY 1")


async def test_secrets_are_encrypted_anew_beside_daemons_that_deliver(tmp_path: Path, postgres: str) -> None:
    many = AT_ONCE + 20
    plain, both = configured(tmp_path / "a", postgres), configured(tmp_path / "b", postgres, NEW_KEY)
    async with Receiver() as receiver:
        async with Daemon(tmp_path / "a", plain) as daemon:
            await daemon.register(receiver.url(), secret=SECRET, event_types=["order"])
            await asyncio.gather(
                *(daemon.register(receiver.url(), secret=SECRET, event_types=["never"]) for _ in range(many - 1))
            )
            configured(tmp_path / "a", postgres, NEW_KEY)
            refused = await daemon.in_thread(ran, "migrate", tmp_path / "a", "--rekey", status=FAILED)
            assert f":{daemon.pid} does not encrypt with the first of [store] keys: restart it" in refused[0]
            assert in_use(postgres) == [(many,)]
        async with Daemon(tmp_path / "a", both) as daemon, Daemon(tmp_path / "b", both) as other:
            await publish(daemon, receiver)
            before = run(postgres, "SELECT max(version) FROM hookd.changes")
            rekeying = asyncio.create_task(daemon.in_thread(ran, "migrate", tmp_path / "b", "--rekey", status=0))
            while not rekeying.done():
                await publish(daemon, receiver)
            assert (await rekeying)[0].endswith(
                f"{postgres}: encrypted anew the secrets of {many} endpoints; all are under the first key now\n"
            )
            assert run(postgres, "SELECT max(version) FROM hookd.changes") == before, "nobody has to read them afresh"
            assert run(postgres, "SELECT count(*) FROM hookd.endpoints WHERE key_id = '' OR secret = $1", SECRET) == [
                (0,)
            ]
            await publish(other, receiver)
        async with Daemon(tmp_path / "a", both) as daemon:
            await publish(daemon, receiver)
    assert "secrets of 0 endpoints" in ran("migrate", tmp_path / "b", "--rekey", status=0)[0]


def test_a_key_that_is_not_there_is_named(tmp_path: Path, postgres: str) -> None:
    configured(tmp_path, postgres, OLD_KEY)
    run(
        postgres,
        "INSERT INTO hookd.endpoints (state_since, created_at, updated_at, failing_attempts, id, tenant, url, "
        "event_types, description, scheme, secret, previous_secrets, headers, metadata, state, key_id) "
        "VALUES (0, 0, 0, 0, 'ep_1', '', '', '[]', '', '', '', '', '', '{}', 'active', 'abc')",
    )
    assert "encrypted with the key abc" in ran("migrate", tmp_path, "--rekey", status=FAILED)[0]


# Pruning.

OLD = 40
"""How many days ago a day of the tests was."""

FILL = """
SELECT hookd.make_day(hookd.today() - {ago});
INSERT INTO hookd.events (sequence, id, tenant, type, origin, payload, content_type, created_at)
SELECT hookd.first_of(hookd.today() - {ago}) + n, 'evt_' || n, '', 'a', 'published', '', '', 0
FROM generate_series(1, {count}) AS n;
INSERT INTO hookd.outbox (sequence, id, event, endpoint, tenant, type, status, due_at, created_at)
SELECT hookd.first_of(hookd.today() - {ago}) + n, 'dlv_' || n, hookd.first_of(hookd.today() - {ago}) + n, 'ep_1', '',
    'a', '{status}', 0, 0
FROM generate_series(1, {count}) AS n;
"""


def fill(address: str, ago: int, count: int, status: str = "delivered") -> None:
    run(address, FILL.format(ago=ago, count=count, status=status))


def counted(address: str) -> object:
    return run(address, "SELECT count(*) FROM hookd.events")[0][0]


def test_days_go_of_which_nothing_waits(tmp_path: Path, postgres: str) -> None:
    configured(tmp_path, postgres)
    fill(postgres, OLD, 3)
    fill(postgres, OLD + 1, 4, "pending")
    fill(postgres, OLD + 2, 5, "failed")
    told = "2 days with 8 events would go, over for more than 30d; 1 older day kept, of which something waits"
    assert said("prune", tmp_path, "--dry-run").startswith(f"{postgres}: {told}")
    assert counted(postgres) == 12
    told = "pruned 2 days with 8 events, over for more than 30d; 1 older day kept, of which something waits"
    assert said("prune", tmp_path).startswith(f"{postgres}: {told}")
    assert counted(postgres) == 4
    run(postgres, "UPDATE hookd.outbox SET status = 'cancelled'")
    assert said("prune", tmp_path) == f"{postgres}: pruned 1 day with 4 events, over for more than 30d\n"
    assert counted(postgres) == 0


def test_another_age_may_be_asked_for(tmp_path: Path, postgres: str) -> None:
    configured(tmp_path, postgres)
    fill(postgres, OLD, 1)
    assert ": pruned 0 days with 0 events, " in said("prune", tmp_path, "--older-than", f"{OLD}d")
    assert ": pruned 1 day with 1 event, over for more than 38d\n" in said(
        "prune", tmp_path, "--older-than", f"{OLD - 2}d"
    )


def test_requests_that_were_refused_before_go_too(tmp_path: Path, postgres: str) -> None:
    configured(tmp_path, postgres)
    for received in (0, 4_000_000_000_000):
        run(
            postgres,
            "INSERT INTO hookd.rejections (received_at, size, id, source, tenant, reason, cause, method, target, "
            "headers, body) VALUES ($1, 0, $1::bigint::text, '', '', '', '', '', '', '', '')",
            received,
        )
    said("prune", tmp_path, "--dry-run")
    assert run(postgres, "SELECT count(*) FROM hookd.rejections") == [(2,)]
    said("prune", tmp_path)
    assert run(postgres, "SELECT received_at FROM hookd.rejections") == [(4_000_000_000_000,)]


async def test_days_go_beside_a_daemon_that_delivers(tmp_path: Path, postgres: str) -> None:
    config = configured(tmp_path, postgres).replace("[store]", '[store]\nretention = "3650d"')
    fill(postgres, OLD, 500)
    async with Receiver() as receiver, Daemon(tmp_path, config) as daemon:
        await daemon.register(receiver.url(), secret=SECRET)
        pruning = asyncio.create_task(daemon.in_thread(said, "prune", tmp_path, "--older-than", "30d"))
        while not pruning.done():
            await publish(daemon, receiver)
        assert ": pruned 1 day with 500 events, " in await pruning


# Misuse.


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--from", "hookd.db"], "expected sqlite:PATH"),
        (["--from", "sqlite:"], "expected sqlite:PATH"),
        (["--from", "sqlite:hookd.db", "--rekey"], "--rekey and --from are two steps"),
        (["--rekey"], "store.keys: --rekey encrypts with the first of them"),
    ],
)
def test_a_misuse_is_one_line(tmp_path: Path, postgres: str, arguments: list[str], told: str) -> None:
    configured(tmp_path, postgres)
    assert told in said("migrate", tmp_path, *arguments, status=MISUSED)


def test_a_store_moves_to_a_server_alone(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text(LOOPBACK, "utf-8")
    line = said("migrate", tmp_path, "--from", "sqlite:other.db", status=MISUSED)
    assert line.startswith('hookd: store.url: expected "postgresql://USER:PASSWORD@HOST:PORT/DATABASE"')
