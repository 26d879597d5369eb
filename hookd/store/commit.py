"""Group commit: writers queue, one transaction carries out all that is queued, and each waits for its COMMIT alone."""

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from enum import IntEnum
from functools import partial
from typing import Any, Generic, TypeVar

from hookd.errors import HookdError, Unavailable
from hookd.store.context import Changes, Context
from hookd.store.database import Database, StorageError
from hookd.store.statement import Again, Query, Steps

A = TypeVar("A")
R = TypeVar("R")

Group = Callable[[Context, Sequence[A]], Steps[Sequence[R | HookdError]]]
"""A transaction over all the arguments that were queued for it at once.

It answers in their order; an argument that can't be served is answered by its error, before anything was written
for it.
"""

LONGEST_PAUSE = 5.0
"""Seconds between attempts to commit while the storage is at fault."""

QUIET = 3
"""Turns of the event loop that bring no write, after which no more is waited for: a request takes two to become one."""

GATHER = 0.002
"""Seconds for which writes are gathered at the most, however many still come."""

STALLED = 10.0
"""Seconds that a commit may take before the storage is said to be at fault; longer than the wait for another writer."""

MOST_DRAFTS = 10_000
"""Drafts that may wait for a commit."""

MOST_BYTES = 64 * 1024 * 1024
"""Bytes of payloads that may wait for a commit; the last to come may pass that mark, or a large one would never fit."""

CROWDED = "more comes in than can be stored; send it again later"
HANGING = f"a commit has been under way for more than {STALLED:g} s; the disk is slow, or hangs"
CLOSED = "hookd is stopping"

log = logging.getLogger("hookd.store")


class Rank(IntEnum):
    """Which of the writes of one commit are carried out before others."""

    FIRST = 0
    """A change of an endpoint: all that comes with it is to know it."""
    USUAL = 1
    LAST = 2
    """A claim, which has to see all that came with it."""


@dataclass(slots=True)
class Write(Generic[A, R]):
    """One queued write. `keep` marks what must not be given up when the storage is at fault: outcomes."""

    group: Group[A, R]
    argument: A
    future: asyncio.Future[R] | None
    """None where nobody waits: a failure is logged then."""
    keep: bool
    rank: Rank


@dataclass(slots=True)
class Intake:
    """The drafts that wait for a commit, among all that is queued."""

    drafts: int = 0
    bytes: int = 0
    refused: int = 0

    @property
    def full(self) -> bool:
        """Whether no more may wait."""
        return self.drafts >= MOST_DRAFTS or self.bytes >= MOST_BYTES


@dataclass(frozen=True, slots=True)
class Committed:
    """A transaction that is on disk."""

    answers: Sequence[Any]
    changes: Changes
    size: int
    seconds: float


class Committer:
    """Queues writes and commits them, one transaction after another."""

    def __init__(
        self,
        database: Database,
        begin: Callable[[], Context],
        committed: Callable[[Committed], None],
    ) -> None:
        self._database = database
        self._begin = begin
        self._committed = committed
        self._writes: list[Write[Any, Any]] = []
        self._intake = Intake()
        self._wake = asyncio.Event()
        self._stopping = False
        self._closed = False
        self._fault: StorageError | None = None

    @property
    def fault(self) -> str | None:
        """Why nothing can be committed, while nothing can."""
        return None if self._fault is None else str(self._fault)

    @property
    def is_waiting(self) -> bool:
        """Whether something is queued."""
        return bool(self._writes)

    @property
    def _damaged(self) -> bool:
        return self._fault is not None and not self._fault.passes

    def submit(self, group: Group[A, R], argument: A, rank: Rank = Rank.USUAL) -> asyncio.Future[R]:
        """Queue a write; its future is done once it is on disk."""
        future: asyncio.Future[R] = asyncio.get_running_loop().create_future()
        if self._closed or self._fault is not None:
            future.set_exception(Unavailable(self.fault or CLOSED))
        else:
            self._queue(Write(group, argument, future, keep=False, rank=rank))
        return future

    def take_in(self, group: Group[A, R], draft: A, size: int) -> asyncio.Future[R]:
        """Queue a draft whose payload has so many bytes; where too many wait, it is refused, and nothing else is."""
        if self._intake.full:
            self._intake.refused += 1
            future: asyncio.Future[R] = asyncio.get_running_loop().create_future()
            future.set_exception(Unavailable(CROWDED))
            return future
        future = self.submit(group, draft)
        if not future.done():
            self._intake.drafts += 1
            self._intake.bytes += size
        return future

    def entrust(self, group: Group[A, R], argument: A) -> None:
        """Queue a write that is not given up, and that nobody waits for; should it fail, the log says so."""
        write = Write(group, argument, None, keep=True, rank=Rank.USUAL)
        if self._closed:
            _settle(write, Unavailable(self.fault or CLOSED))
        else:
            self._queue(write)

    def _queue(self, write: Write[Any, Any]) -> None:
        self._writes.append(write)
        self._wake.set()

    async def run(self) -> None:
        """Commit what is queued until stopped, and then what is still there."""
        try:
            failures = 0
            while (self._writes or not self._stopping) and not (failures and self._stopping):
                failures = await self._step(failures)
        finally:
            self._close()

    async def _step(self, failures: int) -> int:
        """Wait for writes, or for the storage to mend, and commit; answer how many rounds have failed in a row."""
        if self._fault is not None:
            await self._pause(failures)
            if self._damaged:
                return failures + 1
        elif not self._writes:
            await self._wake.wait()
            self._wake.clear()
        await self._gather()
        writes = self._take()
        if not writes and self._fault is None:
            return 0
        return 0 if await self._round(writes) else failures + 1

    def _take(self) -> list[Write[Any, Any]]:
        """Take what is queued, and so make room for more."""
        if self._intake.refused:
            log.warning("more came in than could be stored", extra={"fields": {"refused": self._intake.refused}})
        self._intake = Intake()
        writes, self._writes = self._writes, []
        return writes

    async def _gather(self) -> None:
        """Let writes come together while the event loop still brings some: the fewer commits, the less each costs."""
        loop = asyncio.get_running_loop()
        until, quiet = loop.time() + GATHER, 0
        while quiet < QUIET and loop.time() < until:
            before = len(self._writes)
            await asyncio.sleep(0)
            quiet = quiet + 1 if len(self._writes) == before else 0

    def _close(self) -> None:
        """Refuse what comes now or is still queued; outcomes among it are made again at the next start."""
        self._closed = True
        for write in self._writes:
            _settle(write, Unavailable(self.fault or CLOSED))
        self._writes = []

    def stop(self) -> None:
        """Let `run` end once the queue is empty."""
        self._stopping = True
        self._database.stop()
        self._wake.set()

    async def _pause(self, failures: int) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(None if self._damaged else min(LONGEST_PAUSE, 0.1 * 2**failures)):
                while not self._stopping:
                    await self._wake.wait()
                    self._wake.clear()

    async def _round(self, writes: list[Write[Any, Any]]) -> bool:
        """Commit these writes; answer whether the storage could."""
        before, hanging = self._fault, StorageError(HANGING)
        stalled = asyncio.get_running_loop().call_later(STALLED, self.suffer, hanging)
        try:
            committed = await self._transact(writes)
        except StorageError as fault:
            self._writes = writes + self._writes
            self.suffer(fault)
            return False
        finally:
            stalled.cancel()
        if self._fault in (before, hanging) and self._fault is not None and not self._damaged:
            log.warning("the store commits again", extra={"fields": {"was": self.fault}})
            self._fault = None
        self._committed(committed)
        for write, answer in zip(writes, committed.answers, strict=True):
            _settle(write, answer)
        return True

    def suffer(self, fault: StorageError) -> None:
        """Say why nothing can be committed; keep the outcomes that are queued for later, and refuse everyone else."""
        if not self._damaged and self.fault != str(fault):
            log.error("the store can't commit; outcomes are kept", extra={"fields": {"fault": str(fault)}})
            self._fault = fault
        writes = self._take()
        self._writes = [write for write in writes if write.keep]
        for write in writes:
            if not write.keep:
                _settle(write, Unavailable(str(fault)))
        self._wake.set()

    async def _transact(self, writes: Sequence[Write[Any, Any]]) -> Committed:
        """Carry out all writes in one transaction; where one of them is faulty, again with each on its own."""
        started = time.perf_counter()
        proof = self._fault is not None
        try:
            answers, changes = await self._database.transact(self._begin, partial(_together, writes), proof=proof)
        except Exception as error:  # whatever it is, it meets its own caller below
            if isinstance(error, StorageError):
                raise
            answers, changes = await self._database.transact(self._begin, partial(_apart, writes), proof=proof)
        return Committed(answers, changes, len(writes), time.perf_counter() - started)


def _together(writes: Sequence[Write[Any, Any]], context: Context) -> Steps[list[Any]]:
    """Carry out each group once, over all that was queued for it; answer in the order of the writes."""
    groups: dict[Any, list[int]] = {}
    for place, write in sorted(enumerate(writes), key=lambda pair: pair[1].rank):
        groups.setdefault(write.group, []).append(place)
    answers: list[Any] = [None] * len(writes)
    for group, places in groups.items():
        found = yield from group(context, [writes[place].argument for place in places])
        for place, answer in zip(places, found, strict=True):
            answers[place] = answer
    return answers


def _apart(writes: Sequence[Write[Any, Any]], context: Context) -> Steps[list[Any]]:
    """Carry out each write alone, so that a faulty one fails its own caller and nobody else."""
    answers: list[Any] = [None] * len(writes)
    for place, write in sorted(enumerate(writes), key=lambda pair: pair[1].rank):
        yield Query("SAVEPOINT alone", {})
        before = context.changes.mark()
        try:
            answers[place] = (yield from write.group(context, [write.argument]))[0]
        except Exception as error:  # whatever it is, its own caller gets it
            if isinstance(error, Again):
                raise
            yield Query("ROLLBACK TO SAVEPOINT alone", {})
            context.undo(before)
            answers[place] = error
        yield Query("RELEASE SAVEPOINT alone", {})
    return answers


def _settle(write: Write[Any, Any], answer: Any) -> None:
    future = write.future
    if future is None:
        if isinstance(answer, BaseException):
            log.error("something could not be recorded; the next start takes it up again", exc_info=answer)
    elif future.done():  # the caller has gone away
        return
    elif isinstance(answer, BaseException):
        future.set_exception(answer)
    else:
        future.set_result(answer)
