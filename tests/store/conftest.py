from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.store.stand import Open, Stand, stand_on


@pytest.fixture
async def stand(open_in: Open, tmp_path: Path) -> AsyncIterator[Stand]:
    async with stand_on(open_in, tmp_path) as opened:
        yield opened
