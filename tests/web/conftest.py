from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.store.stand import Open
from tests.web.stand import Stand, open_stand


@pytest.fixture
async def stand(open_in: Open, tmp_path: Path) -> AsyncIterator[Stand]:
    async with open_stand(open_in, tmp_path) as opened:
        yield opened
