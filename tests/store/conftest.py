from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.postgres import database
from tests.store.stand import Open, Stand, at_server, sqlite, stand_on

STORES = ("sqlite", "postgres")
"""Every store there is; each has to pass the whole suite, but for what is a file's own."""


@pytest.fixture(params=STORES)
def open_in(request: pytest.FixtureRequest) -> Iterator[Open]:
    if request.param == "sqlite":
        yield sqlite
        return
    with database() as address:

        def postgres(_: Path, *args: Any) -> Any:
            return at_server(address, *args)

        yield postgres


@pytest.fixture
async def stand(open_in: Open, tmp_path: Path) -> AsyncIterator[Stand]:
    async with stand_on(open_in, tmp_path) as opened:
        yield opened
