"""Behind a pooler in transaction mode, where no two transactions in a row have the same session."""

import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import asyncpg
import pytest

from hookd.errors import HookdError
from hookd.store import Vault
from hookd.store.tend import Tending
from hookd.store.vault import PLAIN
from tests.daemons import LOOPBACK, Daemon
from tests.nouns import NEW_KEY
from tests.pooler import Pooler
from tests.postgres import Server, database, run
from tests.receivers import Receiver
from tests.store.stand import DAY, sqlite, stand_on
from tests.store.test_shared import process
from tests.wire import Loss, Wire

PATIENCE = 60.0
"""Seconds after which what should have happened fails the test."""


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """A server on a unix socket, which trusts whoever comes."""
    with Server() as own:
        yield own.address


@pytest.fixture
def direct(server: str) -> Iterator[str]:
    with database(migrated=False, address=server) as address:
        yield address


@pytest.fixture
async def pooler(direct: str) -> AsyncIterator[Pooler]:
    async with Pooler(direct) as opened:
        yield opened


async def test_no_two_transactions_in_a_row_have_the_same_session(pooler: Pooler) -> None:
    connection = await asyncpg.connect(pooler.address, statement_cache_size=0)
    try:
        found = []
        for _ in range(8):
            async with connection.transaction():
                found += [await connection.fetchval("SELECT pg_backend_pid()") for _ in range(2)]
        assert found[::2] == found[1::2]
        assert len(set(found)) == 4
    finally:
        connection.terminate()


async def test_two_daemons_share_a_database_behind_a_pooler(tmp_path: Path, pooler: Pooler, direct: str) -> None:
    """They publish and deliver, also once one of them is killed, and when it comes back."""
    config = f'[store]\nurl = "{pooler.address}"\nlisten = false\nlease = "3s"\n{LOOPBACK}'
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    told: list[str] = []

    async def publish(daemon: Daemon) -> None:
        while True:
            told.append((await daemon.call("POST", "/api/v1/events", {"type": "a", "payload": {}}))["id"])
            if len(told) % 20 == 0:
                return

    async with Receiver() as receiver, Daemon(tmp_path / "a", config) as first, Daemon(tmp_path / "b", config) as other:
        for number in range(8):
            await first.register(receiver.url(f"/{number}"), ordered=number % 2 == 0)
        async with asyncio.timeout(PATIENCE):
            await asyncio.gather(publish(first), publish(other))
            await other.kill()
            await publish(first)
            await first.quiet()
            await other.start()
            await asyncio.gather(publish(first), publish(other))
            await other.quiet()
        logs = first.logged() + other.logged()
    arrived = {(each.line.split()[1], each.headers["webhook-id"]) for each in receiver.requests}
    assert arrived == {(f"/{number}", event) for number in range(8) for event in told}
    assert run(direct, "SELECT count(*) FROM hookd.outbox WHERE status <> 'delivered'") == [(0,)]
    assert "ERROR" not in logs
    assert pooler.transactions > len(told)


async def test_where_listen_was_forgotten_the_fault_says_what_to_set(pooler: Pooler) -> None:
    with pytest.raises(HookdError, match=r"startup parameter.*; behind PgBouncer, set \[store\] listen = false$"):
        await Tending(pooler.address, "a test", listens=True).migrate()


async def test_the_commands_work_behind_a_pooler(tmp_path: Path, pooler: Pooler, direct: str) -> None:
    tending = Tending(pooler.address, "a test", listens=False)
    async with stand_on(sqlite, tmp_path) as stand:
        await stand.endpoint()
        await stand.accept()

    def silent(line: str) -> None:
        raise AssertionError(line)

    assert (await tending.migrate())[0] == 0
    counts = await tending.move(tmp_path / "hookd.db", PLAIN, silent)
    assert (counts["events"], counts["outbox"], counts["endpoints"]) == (1, 1, 1)
    assert await tending.rekey(Vault((NEW_KEY,), os.urandom)) == 1
    assert (await tending.prune(DAY, 0, dry_run=False)).stay == 1
    run(direct, "UPDATE hookd.outbox SET status = 'failed'")
    pruned = await tending.prune(DAY, 0, dry_run=False)
    assert (pruned.days, pruned.events, pruned.stay) == (1, 1, 0)


async def test_an_unanswered_commit_is_found_out_about_behind_a_pooler(pooler: Pooler, direct: str) -> None:
    """In whatever session it was."""
    async with Wire(pooler.address) as wire, process(wire.address, listens=False) as stand:
        await stand.endpoint()
        wire.loss = Loss.ANSWER
        event = (await stand.accept()).event
        assert wire.lost.is_set()
        assert run(direct, "SELECT id FROM hookd.events") == [(event,)]
        assert len(await stand.deliveries()) == 1
