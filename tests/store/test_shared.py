"""Processes that share a PostgreSQL server: whose lanes are whose, and what becomes of those of one that dies."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import pytest

from hookd.store.shared import SharedStore
from tests.postgres import database
from tests.store.stand import SECOND, Stand, at_server, stand_on

LEASE = 1 * SECOND


@pytest.fixture
def address() -> Iterator[str]:
    with database() as made:
        yield made


def shared(stand: Stand) -> SharedStore:
    assert isinstance(stand.store, SharedStore)
    return stand.store


@asynccontextmanager
async def process(address: str, lease: int = 60 * SECOND) -> AsyncIterator[Stand]:
    def open_in(_: object, clock: object, ids: object) -> object:
        return at_server(address, clock, ids, lease=lease)

    async with stand_on(open_in, None) as stand:
        yield stand
