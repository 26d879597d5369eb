"""What carries out transactions: a SQLite file, or a PostgreSQL server."""

from collections.abc import Callable
from typing import Protocol, TypeVar

from hookd.store.context import Changes, Context
from hookd.store.statement import Steps

T = TypeVar("T")


class StorageError(Exception):
    """The storage could not carry out or commit a transaction, through no fault of a writer."""

    passes = True
    """Whether it may pass by itself; where not, nothing more is to be written."""


class Database(Protocol):
    """Carries out one write transaction after another, and look-ups beside them."""

    async def transact(
        self, begin: Callable[[], Context], carry_out: Callable[[Context], Steps[T]], *, proof: bool
    ) -> tuple[T, Changes]:
        """Carry out a transaction and commit it; answer once it is on disk.

        StorageError where the storage is at fault; any other error is one of what was written. Either way nothing is
        left of it, in the context neither. `proof`: something is written in any case, so that the commit proves that
        the storage works again.
        """

    async def read(self, steps: Steps[T]) -> T:
        """Carry out statements that only read; StorageError where that can't be done."""

    def stop(self) -> None:
        """Wait for the storage no longer: the store is being closed."""
