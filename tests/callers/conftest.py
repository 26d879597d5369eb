"""Callers who mean harm are met on either event loop: the usual one, and the one that serves where that is missing."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path

import pytest
import uvloop

from tests.callers.echo import Echo, open_echo
from tests.store.stand import sqlite
from tests.web.stand import Stand, open_stand


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    return {"uvloop": uvloop.new_event_loop, "asyncio": asyncio.new_event_loop}


@pytest.fixture
async def echo() -> AsyncIterator[Echo]:
    async with open_echo() as opened:
        yield opened


@pytest.fixture
async def stand(tmp_path: Path) -> AsyncIterator[Stand]:
    async with open_stand(sqlite, tmp_path) as opened:
        yield opened
