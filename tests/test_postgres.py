"""What other tests rely on: a real server, which ends with whoever started it."""

import signal
import subprocess
import sys
from pathlib import Path
from time import monotonic
from urllib.parse import parse_qs, urlsplit

import asyncpg
import pytest

from tests import postgres

PATIENCE = 30.0

OWNER = """
from tests.postgres import Server
from time import sleep
print(Server().address, flush=True)
sleep(1000)
"""


def folder_of(address: str) -> Path:
    return Path(parse_qs(urlsplit(address).query)["host"][0])


def test_each_database_is_new() -> None:
    with postgres.database(migrated=False) as first:
        postgres.run(first, "CREATE TABLE a (b integer);")
        with postgres.database(migrated=False) as second, pytest.raises(asyncpg.UndefinedTableError):
            postgres.run(second, "SELECT b FROM a")
        assert postgres.run(first, "SELECT b FROM a WHERE b = $1", 1) == []
    with pytest.raises(asyncpg.InvalidCatalogNameError):
        postgres.run(first, "SELECT 1")


def test_a_server_keeps_what_is_committed_through_a_crash_and_a_stop() -> None:
    with postgres.Server() as server:
        postgres.run(server.address, "CREATE TABLE a (b integer); INSERT INTO a VALUES (1);")
        for end in (server.crash, server.stop):
            end()
            with pytest.raises((FileNotFoundError, ConnectionRefusedError)):
                postgres.run(server.address, "SELECT b FROM a")
            server.start()
            assert postgres.run(server.address, "SELECT b FROM a") == [(1,)]


def test_a_server_ends_when_who_started_it_is_killed() -> None:
    with subprocess.Popen([sys.executable, "-c", OWNER], stdout=subprocess.PIPE, text=True, cwd=postgres.ROOT) as owner:
        assert owner.stdout is not None
        folder = folder_of(owner.stdout.readline().strip())
        assert folder.is_dir()
        owner.send_signal(signal.SIGKILL)
    end = monotonic() + PATIENCE
    while folder.exists():
        assert monotonic() < end
