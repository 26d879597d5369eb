"""A PostgreSQL server: its connections, transactions in the event loop, and what became of an unanswered commit."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from functools import partial
from typing import Any, Final, TypeAlias, TypeVar

import asyncpg
from asyncpg import exceptions as postgres

from hookd.store import cluster, dialect
from hookd.store.cluster import Entered, Fenced
from hookd.store.context import Changes, Context
from hookd.store.database import StorageError
from hookd.store.membership import Membership
from hookd.store.statement import Again, Alone, Insert, Row, Statement, Steps

T = TypeVar("T")
Connection: TypeAlias = "asyncpg.Connection[Any]"

FAULTS: Final = (
    OSError,  # TimeoutError among them
    asyncpg.InterfaceError,
    postgres.InternalClientError,  # asyncpg's, where the server ends a connection at which it just begins something
    postgres.PostgresConnectionError,
    postgres.InsufficientResourcesError,
    postgres.OperatorInterventionError,
    postgres.PostgresSystemError,
    postgres.InternalServerError,
    postgres.InvalidAuthorizationSpecificationError,
    postgres.InvalidCatalogNameError,
    postgres.InsufficientPrivilegeError,
    postgres.InvalidSchemaNameError,
    postgres.UndefinedTableError,  # as while a backup is restored
    postgres.ReadOnlySQLTransactionError,
    postgres.IdleInTransactionSessionTimeoutError,
    postgres.LockNotAvailableError,
)
"""What is about the server or the way to it, not about what is written."""

COLLISIONS: Final = (Again, postgres.SerializationError, postgres.DeadlockDetectedError)
"""What two transactions do to each other; one of them is carried out again."""

SETTINGS: Final = dialect.PLANNER | {"idle_in_transaction_session_timeout": "3000", "lock_timeout": "3000"}
"""Of every session or, where none is a process's own, of every transaction.

One that stands still, or waits for others, for so long (ms) is ended by the server, since others may wait for it.
"""

CONNECTING: Final = 5.0
"""Seconds for a connection to be made."""

ANSWERING: Final = 30.0
"""Seconds for a statement to be answered."""

ANSWERING_ALONE: Final = 600.0
"""As many where the transaction has the store to itself: to cancel what waits for an endpoint takes 10 s a million."""

READERS: Final = 4
"""Connections for lists and look-ups at the most."""

PAUSES: Final = (0.1, 0.2, 0.5, 1.0, 2.0)
"""Seconds between attempts to learn what became of a commit."""

POOLED: Final = "; behind PgBouncer, set [store] listen = false"
"""What is to be done where the server refuses what only a pooler does: a session's own settings."""

MOST_AGAIN: Final = 20
"""Collisions in a row after which something else must be wrong."""


class NotAloneError(Again):
    """The transaction is to be carried out again, alone."""


class Server:
    """The Database of one process at a PostgreSQL server: a connection that writes, and some that read."""

    def __init__(self, address: str, member: Membership, *, sessions: bool) -> None:
        self._address = address
        self._member = member
        self._sessions = sessions
        self._settings = {} if sessions else SETTINGS
        self._options: dict[str, Any] = {"statement_cache_size": 0}
        if sessions:
            named = SETTINGS | {"application_name": member.name}
            self._options = {"statement_cache_size": 1000, "server_settings": named}
        self._connection: Connection | None = None
        self._readers: asyncpg.Pool[Any] | None = None
        self._stopping = asyncio.Event()
        self.on_doubt: Callable[[StorageError], None] = lambda _: None
        """Called when a commit was not answered, and nothing can be written until its fate is known."""
        self.on_fence: Callable[[], None] = lambda: None
        """Called when this process has to begin anew, and nothing that is in flight can be recorded."""

    async def connect(self) -> Connection:
        """Open a connection; StorageError where that fails.

        Without sessions of their own, as behind PgBouncer, statements can't be prepared for later.
        """
        try:
            connection: Connection = await asyncpg.connect(
                self._address,
                timeout=CONNECTING,
                command_timeout=ANSWERING,
                **self._options,
            )
        except (*FAULTS, postgres.PostgresError, ValueError) as error:  # the last where an option of the URL is wrong
            raise fault(error) from error
        return connection

    @asynccontextmanager
    async def connected(self) -> AsyncIterator[Connection]:
        """Have a connection for as long as the block lasts; StorageError where the server is at fault."""
        connection = await self.connect()
        try:
            with _blaming():
                yield connection
        finally:
            with suppress(*FAULTS):
                await connection.close(timeout=CONNECTING)

    async def close(self) -> None:
        """End all connections."""
        if self._readers is not None:
            self._readers.terminate()
        if self._connection is not None:
            with suppress(*FAULTS):
                await self._connection.close(timeout=1)

    def stop(self) -> None:
        """Try no longer to learn what became of a commit."""
        self._stopping.set()

    # Writing.

    async def transact(
        self, begin: Callable[[], Context], carry_out: Callable[[Context], Steps[T]], *, proof: bool
    ) -> tuple[T, Changes]:
        """Carry out a transaction and commit it; again where another process came in between. It always writes."""
        del proof
        alone = False
        for _ in range(MOST_AGAIN):
            context = begin()
            try:
                return await self._transact(context, carry_out, alone=alone), context.changes
            except BaseException as error:
                context.undo()
                if not isinstance(error, COLLISIONS):
                    raise self._told(error) from error
                alone = alone or isinstance(error, NotAloneError)
        raise StorageError(f"{MOST_AGAIN} transactions in a row collided with those of other processes")

    def _told(self, error: BaseException) -> BaseException:
        """Answer what the caller is told of an error, and let it be known where this process has to begin anew."""
        if isinstance(error, Fenced):
            self._member.forsake()
            self.on_fence()
        return fault(error) if is_fault(error) else error

    async def _transact(self, context: Context, carry_out: Callable[[Context], Steps[T]], *, alone: bool) -> T:
        connection = await self._writing(context)
        member = self._member
        asked_at = member.monotonic()
        renewing = asked_at >= member.renew_at
        try:
            await connection.execute(cluster.beginning(member.number or 0, self._settings, alone=alone))
            if alone:
                context.directory.forget_endpoints()
            entered = await perform(connection, cluster.enter(context, member, renewing=renewing), alone=alone)
            answer = await perform(connection, carry_out(context), alone=alone)
            if alone:  # what this process changes itself is no news to it
                entered = entered._replace(version=await perform(connection, cluster.newest_change(), alone=alone))
        except BaseException as error:
            await self._give_up(connection, error)
            raise
        await self._commit(connection, entered)
        member.version = entered.version
        if renewing:
            member.renewed(asked_at)
        return answer

    async def _writing(self, context: Context) -> Connection:
        """Answer the connection that writes, of a process that is a member."""
        if self._connection is None or self._connection.is_closed():
            self._connection = await self.connect()
        if self._member.number is None:
            await self._join(self._connection)
            context.directory.forget()
        return self._connection

    async def _join(self, connection: Connection) -> None:
        member = self._member
        async with connection.transaction():
            number = await perform(connection, cluster.join(member), alone=False)
        member.number = number

    async def _give_up(self, connection: Connection, error: BaseException) -> None:
        """Roll a transaction back; where it waited in vain, see that nobody waits for the same for ever."""
        await self._roll_back(connection)
        if isinstance(error, postgres.LockNotAvailableError):
            with suppress(*FAULTS):
                await perform(connection, cluster.end_sessions(), alone=False)
        if is_fault(error):  # another connection may be better: it reaches another server, or is not read-only
            connection.terminate()

    async def _roll_back(self, connection: Connection) -> None:
        try:
            async with asyncio.timeout(CONNECTING):
                await connection.execute("ROLLBACK")
        except FAULTS:
            connection.terminate()

    async def _commit(self, connection: Connection, entered: Entered) -> None:
        """Commit, and where that is not answered, find out what became of it, however long it takes."""
        try:
            await connection.execute("COMMIT")
        except (*FAULTS, postgres.PostgresError) as error:
            connection.terminate()
            if isinstance(error, COLLISIONS):
                raise
            doubt = fault(error)
            self.on_doubt(doubt)
            if not await self._was_committed(entered.transaction):
                raise doubt from error

    async def _was_committed(self, transaction: str) -> bool:
        """Ask the server until it can tell whether a transaction was committed; StorageError where that ends."""
        for pause in _and_so_on(PAUSES):
            committed = await self._fate(transaction)
            if committed is not None:
                return committed
            with suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._stopping.wait()
            if self._stopping.is_set():
                raise StorageError("hookd stops before the database could tell what became of the last commit")
        raise AssertionError("unreachable")

    async def _fate(self, transaction: str) -> bool | None:
        """Ask once; None where there is no answer yet."""
        try:
            if self._connection is None or self._connection.is_closed():
                self._connection = await self.connect()
            return await perform(self._connection, cluster.fate(self._member, transaction), alone=False)
        except Fenced:
            raise
        except (StorageError, *FAULTS):
            return None

    # Reading.

    async def read(self, steps: Steps[T]) -> T:
        """Carry out statements that only read, beside the transactions."""
        try:
            with _blaming():
                async with self._reading() as connection:
                    return await perform(connection, steps, alone=False)
        except COLLISIONS as error:  # with a change of the schema
            raise fault(error) from error

    @asynccontextmanager
    async def _reading(self) -> AsyncIterator[Any]:
        if self._readers is None:
            self._readers = await asyncpg.create_pool(
                self._address,
                min_size=0,
                max_size=READERS,
                timeout=CONNECTING,
                command_timeout=ANSWERING,
                **self._options,
            )
        async with self._readers.acquire(timeout=CONNECTING) as connection:
            if self._sessions:
                yield connection
            else:
                async with connection.transaction(readonly=True):  # or each message may reach another session
                    await connection.execute(f"SELECT {cluster.told(self._settings)}")
                    yield connection


def _and_so_on(pauses: Sequence[float]) -> Any:
    yield from pauses
    while True:
        yield pauses[-1]


@contextmanager
def _blaming() -> Iterator[None]:
    """Raise a StorageError where what is done meets a fault of the server."""
    try:
        yield
    except FAULTS as error:
        if not is_fault(error):
            raise
        raise fault(error) from error


def is_fault(error: BaseException) -> bool:
    """Say whether an error is about the server or the way to it; asyncpg's for a value it can't send is not."""
    return isinstance(error, FAULTS) and not isinstance(error, ValueError)


def fault(error: BaseException) -> StorageError:
    """Say what is wrong with the server, or the way to it, in one line without a password."""
    if isinstance(error, TimeoutError):
        return StorageError("the database does not answer in time")
    if isinstance(error, OSError):
        return StorageError(f"can't reach the database: {error.strerror or _first_line(error)}")
    hint = POOLED if isinstance(error, postgres.ProtocolViolationError) else ""
    return StorageError(f"the database: {_first_line(error)}{hint}")


def _first_line(error: BaseException) -> str:
    return str(error).partition("\n")[0] or type(error).__name__


async def perform(connection: Any, steps: Steps[T], *, alone: bool) -> T:
    """Carry out the statements of a transaction; an error of one that is no fault of the server is met by it."""
    step = partial(steps.send, None)
    while True:
        try:
            statement = step()
        except StopIteration as stop:
            result: T = stop.value
            return result
        try:
            step = partial(steps.send, await _execute(connection, statement, alone=alone))
        except Exception as error:
            if is_fault(error) or isinstance(error, COLLISIONS):
                raise
            step = partial(steps.throw, error)


async def _execute(connection: Any, statement: Statement, *, alone: bool) -> Sequence[Row]:
    if isinstance(statement, Alone):
        if not alone:
            raise NotAloneError
        return ()
    timeout = ANSWERING_ALONE if alone else ANSWERING
    found: Sequence[Row] = await connection.fetch(*dialect.bound(statement), timeout=timeout)
    return [row[0] for row in found] if isinstance(statement, Insert) else found
