from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.store.stand import Open, Stand, sqlite, stand_on

STORES: list[Open] = [sqlite]
"""Every store there is; each has to pass the whole suite."""


@pytest.fixture(params=STORES, ids=lambda store: store.__name__)
def open_in(request: pytest.FixtureRequest) -> Open:
    opened: Open = request.param
    return opened


@pytest.fixture
async def stand(open_in: Open, tmp_path: Path) -> AsyncIterator[Stand]:
    async with stand_on(open_in, tmp_path) as opened:
        yield opened
