"""A store in one SQLite file, which this process owns."""

import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Concatenate, ParamSpec, TypeVar

from hookd.errors import StartError
from hookd.store import endpoints
from hookd.store.context import Changes, Context
from hookd.store.files import Files, named
from hookd.store.sqlite import (
    Connection,
    FileLock,
    begin_immediate,
    connect,
    connect_reader,
    data_version,
    empty_journal,
    is_fault,
    perform,
    roll_back,
)
from hookd.store.statement import Steps
from hookd.store.vacuum import give_back
from hookd.store.vault import Vault

P = ParamSpec("P")
T = TypeVar("T")


class File:
    """The Database of one SQLite file: a connection that writes, and one that reads beside it, each on its thread."""

    def __init__(self, files: Files, writer: Connection, reader: Connection) -> None:
        self.files = files
        self.writer = writer
        self.reader = reader

    async def transact(
        self, begin: Callable[[], Context], carry_out: Callable[[Context], Steps[T]], *, proof: bool
    ) -> tuple[T, Changes]:
        """Carry out a transaction and commit it, in one hop to the writer's thread."""
        return await self.writer.run(self._transact, begin, carry_out, proof=proof)

    def _transact(
        self,
        connection: sqlite3.Connection,
        begin: Callable[[], Context],
        carry_out: Callable[[Context], Steps[T]],
        *,
        proof: bool,
    ) -> tuple[T, Changes]:
        self.files.check(connection, others=proof)
        context = begin()
        try:
            begin_immediate(connection)
            answer = perform(connection, carry_out(context))
            if proof:
                _touch(connection)
            connection.execute("COMMIT")
        except BaseException as error:
            roll_back(connection)
            context.undo()
            if is_fault(error):
                raise self.files.blame(connection, error) from error
            raise
        return answer, context.changes

    async def read(self, steps: Steps[T]) -> T:
        """Carry out statements that only read, on a connection that never waits for the writer."""
        return await self._look(self.reader, perform, steps)

    async def _look(
        self,
        connection: Connection,
        function: Callable[Concatenate[sqlite3.Connection, P], T],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T:
        try:
            return await connection.run(function, *args, **kwargs)
        except sqlite3.Error as error:
            if not is_fault(error):
                raise
            fault = await connection.run(self.files.blame, error)
        raise fault

    def stop(self) -> None:
        """Nothing waits for a file."""

    async def version(self) -> int:
        """Answer a number that changes when another process has written the file."""
        return await self._look(self.writer, self._version)

    def _version(self, connection: sqlite3.Connection) -> int:
        self.files.check(connection, others=True)
        return data_version(connection)

    async def shrink(self) -> bool:
        """Give some free pages of the file back; answer whether there are more."""
        return await self._look(self.writer, self._shrink)

    def _shrink(self, connection: sqlite3.Connection) -> bool:
        self.files.check(connection, others=False)
        return give_back(connection)

    async def forget_deleted(self) -> None:
        """Let what was deleted or replaced stand in the journal no longer; in the file it is overwritten already."""
        await self._look(self.writer, self._empty_journal)

    def _empty_journal(self, connection: sqlite3.Connection) -> None:
        self.files.check(connection, others=True)
        empty_journal(connection)


def _touch(connection: sqlite3.Connection) -> None:
    """Write something, so that the commit proves that the storage works again."""
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    connection.execute(f"PRAGMA user_version = {version}")


@asynccontextmanager
async def own(path: Path, vault: Vault) -> AsyncIterator[File]:
    """Own the file, open and migrate it, and close it in reverse order.

    StartError where its secrets are encrypted with a key that the vault lacks.
    """
    async with AsyncExitStack() as stack:
        stack.callback(FileLock(path, vault.first.id).release)
        files = Files(path)
        stack.callback(files.close)
        writer = await connect(path)
        stack.push_async_callback(writer.close)
        files.learn()
        stack.push_async_callback(writer.run, files.leave)
        vault.begin(await writer.run(_key_ids, path))
        reader = await connect_reader(path)
        stack.push_async_callback(reader.close)
        yield File(files, writer, reader)


def _key_ids(connection: sqlite3.Connection, path: Path) -> list[str]:
    """Look up which keys encrypt the store's secrets; StartError where it can't be read."""
    try:
        return perform(connection, endpoints.key_ids())
    except sqlite3.Error as error:
        raise StartError(f"[store] url: {path}: {named(error)}") from None
