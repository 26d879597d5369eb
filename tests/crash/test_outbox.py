"""The applications of docs/outbox.md are killed again and again, and so is hookd: there are as many orders as events.

`HOOKD_CRASH_KILLS` makes it longer, `HOOKD_CRASH_SEED` repeats the choices of an earlier run.
"""

import asyncio
import json
import os
import random
import re
import sqlite3
import sys
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import asyncpg

from tests.crash.waiting import PATIENCE, until, until_answered
from tests.daemons import LOOPBACK, Daemon
from tests.postgres import Server, run
from tests.receivers import Receiver

DOCUMENT = (Path(__file__).parents[2] / "docs" / "outbox.md").read_text("utf-8")
[OF_A_FILE] = re.findall(r"```python\n# shop.py FILE\n(.*?)```", DOCUMENT, re.DOTALL)
[OF_A_SERVER] = re.findall(r"```python\n# shop.py URL\n(.*?)```", DOCUMENT, re.DOTALL)
ROLE, RIGHTS = re.findall(r"```sql\n((?:CREATE ROLE|GRANT) .*?)```", DOCUMENT, re.DOTALL)
KILLS = int(os.environ.get("HOOKD_CRASH_KILLS", "20"))
SEED = int(os.environ.get("HOOKD_CRASH_SEED", random.SystemRandom().randrange(1_000_000)))
MOST_ORDERS = 60
"""How many are placed in a life of the application, at the most."""


class Shop:
    """The application, which lives several times on the same database."""

    def __init__(self, folder: Path, program: str, database: str) -> None:
        self._program = folder / "shop.py"
        self._program.write_text(program, "utf-8")
        self._database = database
        self.told: list[int] = []
        """The orders that it said it had placed."""

    async def start(self, first: int) -> None:
        """Begin a life, with as many customers as there may be at its door."""
        self._process = await asyncio.create_subprocess_exec(
            *(sys.executable, str(self._program), self._database),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        assert self._process.stdin is not None
        for number in range(first, first + MOST_ORDERS):
            self._process.stdin.write(f"thing {number}\n".encode())

    async def placed(self, count: int) -> None:
        """Wait until it says that it has placed so many more orders."""
        assert self._process.stdout is not None
        async with asyncio.timeout(PATIENCE):
            for _ in range(count):
                word, order = (await self._process.stdout.readline()).split()
                assert word == b"order"
                self.told.append(int(order))

    async def kill(self) -> None:
        """End the life, wherever it is."""
        self._process.kill()
        await self._process.wait()


async def one_life(shop: Shop, number: int, daemons: Sequence[Daemon], rng: random.Random) -> None:
    """Let the application live and be killed; every other time, a daemon is killed before, and starts meanwhile."""
    await shop.start(number * MOST_ORDERS)
    await shop.placed(rng.randrange(MOST_ORDERS // 2))
    if rng.random() < 0.5:
        daemon = rng.choice(daemons)
        await daemon.kill()
        await shop.placed(rng.randrange(MOST_ORDERS // 2))
        await asyncio.gather(daemon.start(), shop.kill())
    else:
        await shop.kill()


def check(shop: Shop, receiver: Receiver, orders: Sequence[Any], events: Sequence[Any]) -> None:
    """See that there are as many events as orders, stored once and in their order, and that all of them arrived."""
    assert {order for order, _ in orders} >= set(shop.told)
    delivered = {request.headers["webhook-id"]: json.loads(request.body) for request in receiver.requests}
    assert delivered == {f"order-{order}": {"order": order, "item": item} for order, item in orders}
    names = [f"order-{order}" for order, _ in orders]
    assert [name for (name,) in events] == names, "each once, and in their order"
    assert list(delivered) == names, "as an ordered endpoint first gets them"


def rows(database: Path, sql: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(database)) as connection:
        return connection.execute(sql).fetchall()


async def test_in_a_file_no_order_is_without_its_event_and_no_event_without_its_order(tmp_path: Path) -> None:
    print(f"HOOKD_CRASH_SEED={SEED}")
    rng = random.Random(SEED)
    database = tmp_path / "hookd.db"
    async with Receiver() as receiver, Daemon(tmp_path) as daemon:
        await daemon.register(receiver.url(), ordered=True)
        shop = Shop(tmp_path, OF_A_FILE, str(database))
        for number in range(KILLS):
            await one_life(shop, number, [daemon], rng)
        await until(lambda: not rows(database, "SELECT 1 FROM published"), "everything is picked up")
        await daemon.quiet()
        assert await daemon.stop() == 0
    orders = rows(database, "SELECT id, item FROM orders ORDER BY id")
    check(shop, receiver, orders, rows(database, "SELECT id FROM events ORDER BY sequence"))


async def test_at_a_server_no_order_is_without_its_event_and_no_event_without_its_order(tmp_path: Path) -> None:
    """Two daemons share the database, so that one picks up, and sends, what the other had begun with."""
    print(f"HOOKD_CRASH_SEED={SEED}")
    rng = random.Random(SEED)
    with Server() as server:
        config = f'[store]\nurl = "{server.address}"\nlease = "2s"\n{LOOPBACK}'
        folders = [tmp_path / name for name in ("first", "second")]
        for folder in folders:
            folder.mkdir()
        async with Receiver() as receiver, Daemon(folders[0], config) as first, Daemon(folders[1], config) as second:
            await first.register(receiver.url(), ordered=True)
            run(server.address, ROLE + RIGHTS)
            observer = await asyncpg.connect(server.address)

            async def is_empty(table: str) -> bool:
                return not await observer.fetch(f"SELECT FROM {table} LIMIT 1")

            shop = Shop(tmp_path, OF_A_SERVER, server.address.replace("postgres@", "shop@"))
            for number in range(KILLS):
                await one_life(shop, number, [first, second], rng)
                await until_answered(
                    lambda: is_empty("pg_stat_activity WHERE usename = 'shop'"), "its last COMMIT is carried out"
                )
            await until_answered(lambda: is_empty("hookd.published"), "everything is picked up")
            await second.quiet()
            assert (await first.stop(), await second.stop()) == (0, 0)
            orders = await observer.fetch("SELECT id, item FROM shop.orders ORDER BY id")
            events = await observer.fetch("SELECT id FROM hookd.events ORDER BY sequence")
            await observer.close()
    check(shop, receiver, orders, events)
