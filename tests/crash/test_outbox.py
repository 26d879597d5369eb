"""The application of docs/outbox.md is killed again and again, and so is hookd: there are as many orders as events.

`HOOKD_CRASH_KILLS` makes it longer, `HOOKD_CRASH_SEED` repeats the choices of an earlier run.
"""

import asyncio
import json
import os
import random
import re
import sqlite3
import sys
from contextlib import closing
from pathlib import Path

from tests.crash.waiting import PATIENCE, until
from tests.daemons import Daemon
from tests.receivers import Receiver

DOCUMENT = Path(__file__).parents[2] / "docs" / "outbox.md"
[PROGRAM] = re.findall(r"```python\n# shop.py FILE\n(.*?)```", DOCUMENT.read_text("utf-8"), re.DOTALL)
KILLS = int(os.environ.get("HOOKD_CRASH_KILLS", "25"))
SEED = int(os.environ.get("HOOKD_CRASH_SEED", random.SystemRandom().randrange(1_000_000)))
MOST_ORDERS = 60
"""How many are placed in a life of the application, at the most."""


class Shop:
    """The application, which lives several times on the same file."""

    def __init__(self, folder: Path, database: Path) -> None:
        self._program = folder / "shop.py"
        self._program.write_text(PROGRAM, "utf-8")
        self._database = database
        self.told: list[int] = []
        """The orders that it said it had placed."""

    async def start(self, first: int) -> None:
        """Begin a life, with as many customers as there may be at its door."""
        self._process = await asyncio.create_subprocess_exec(
            *(sys.executable, str(self._program), str(self._database)),
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


def rows(database: Path, sql: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(database)) as connection:
        return connection.execute(sql).fetchall()


async def test_no_order_is_without_its_event_and_no_event_without_its_order(tmp_path: Path) -> None:
    print(f"HOOKD_CRASH_SEED={SEED}")
    rng = random.Random(SEED)
    database = tmp_path / "hookd.db"
    async with Receiver() as receiver, Daemon(tmp_path) as daemon:
        await daemon.register(receiver.url())
        shop = Shop(tmp_path, database)
        for number in range(KILLS):
            await shop.start(number * MOST_ORDERS)
            await shop.placed(rng.randrange(MOST_ORDERS // 2))
            if rng.random() < 0.5:
                await daemon.kill()
                await shop.placed(rng.randrange(MOST_ORDERS // 2))
                await asyncio.gather(daemon.start(), shop.kill())
            else:
                await shop.kill()
        await until(lambda: not rows(database, "SELECT 1 FROM published"), "everything is picked up")
        await daemon.quiet()
        assert await daemon.stop() == 0
    orders = rows(database, "SELECT id, item FROM orders ORDER BY id")
    assert {order for order, _ in orders} >= set(shop.told)
    delivered = {request.headers["webhook-id"]: json.loads(request.body) for request in receiver.requests}
    assert delivered == {f"order-{order}": {"order": order, "item": item} for order, item in orders}
    events = rows(database, "SELECT id FROM events ORDER BY sequence")
    assert events == [(f"order-{order}",) for order, _ in orders], "each once, and in their order"
