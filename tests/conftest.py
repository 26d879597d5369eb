"""What every test can rely on."""

import os
import signal
from collections.abc import Iterator

import pytest

from tests.postgres import ENDING, database
from tests.store.stand import STORES, Open

signal.signal(signal.SIGINT, signal.default_int_handler)
"""A shell starts what runs in its background with SIGINT ignored, and every process of a test would inherit that."""

os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
"""Hundreds of processes are started, and each would compile hookd anew."""

os.environ["SSL_CERT_FILE"] = os.devnull
"""Each would read all certificate authorities of this machine, too. Who is to be trusted, a test says itself."""


@pytest.fixture
def postgres() -> Iterator[str]:
    """Answer the URL of a database of its own with hookd's schema, on a real server."""
    with database() as url:
        yield url


@pytest.fixture(params=STORES)
def open_in(request: pytest.FixtureRequest) -> Open:
    """Every kind of store there is has to pass the same tests, but for those of what is its own."""
    return STORES[request.param]()


def pytest_unconfigure() -> None:
    ENDING.close()
