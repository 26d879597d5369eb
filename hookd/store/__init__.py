"""The store: events, endpoints, the outbox, attempts and dedupe keys, durable; one owner, one group commit."""

import asyncio
import logging
import sqlite3
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Concatenate, ParamSpec, TypeVar

from hookd.errors import StartError, Unavailable
from hookd.ids import IdFactory
from hookd.model import Attempt, Clock, Delivery, Endpoint, Event, Handler, Rejection
from hookd.store import (
    claim,
    deliveries,
    endpoints,
    events,
    prune,
    publish,
    record,
    recover,
    rejections,
    replay,
    totals,
)
from hookd.store.accept import Accepted, Draft, Key, KeyKind, accept
from hookd.store.commit import Committed, Committer, Group, Rank
from hookd.store.context import Changes, Context, Directory, Room
from hookd.store.deliveries import DeliveryFilter, DeliveryRecord
from hookd.store.draft import draft_of
from hookd.store.endpoints import Change, Named
from hookd.store.events import EventRecord
from hookd.store.files import FileError, Files, StorageError, named
from hookd.store.page import Listing, Page
from hookd.store.publish import PickedUp, Refused
from hookd.store.rejections import RejectionRecord
from hookd.store.replay import MISSED, Replay
from hookd.store.result import Result
from hookd.store.sqlite import (
    Connection,
    FileLock,
    connect,
    connect_reader,
    data_version,
    empty_journal,
    is_fault,
    perform,
)
from hookd.store.statement import Steps
from hookd.store.totals import Totals
from hookd.store.vacuum import give_back
from hookd.store.vault import PLAIN, Vault

__all__ = [
    "MISSED",
    "Accepted",
    "Changes",
    "Committed",
    "DeliveryFilter",
    "DeliveryRecord",
    "Draft",
    "EventRecord",
    "Key",
    "KeyKind",
    "Listing",
    "Page",
    "PickedUp",
    "Refused",
    "RejectionRecord",
    "Replay",
    "Result",
    "Room",
    "Store",
    "Totals",
    "Vault",
    "draft_of",
    "open_store",
]  # fmt: skip

A = TypeVar("A")
P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")

PRUNE_PAUSE, SHRINK_PAUSE = 0.01, 0.02
"""Seconds between steps of upkeep, in which others commit: longer than a step takes."""

GLANCE = 0.05
"""Seconds between looks at whether somebody has committed."""

log = logging.getLogger("hookd.store")


class Store:
    """The face of the store. Every write returns once it is on disk, or raises; `None` as a tenant means any."""

    def __init__(
        self,
        files: Files,
        writer: Connection,
        reader: Connection,
        *,
        clock: Clock,
        ids: IdFactory,
        dedupe: int,
        vault: Vault,
    ) -> None:
        self._files = files
        self._writer = writer
        self._reader = reader
        self._clock = clock
        self._ids = ids
        self._dedupe = dedupe
        self._vault = vault
        self._directory = Directory(vault)
        self._committer = Committer(writer, files, self._begin, Context.undo, self._on_commit)
        self._version = self._stirred = -1
        self._stamp = b""
        self._walk = prune.Walk()
        self.room: Room | None = None
        """Where claimed deliveries have room; None while nothing is to be claimed."""
        self.on_commit: Callable[[Committed], None] = lambda _: None
        """Called in commit order, in the event loop, before those who wait for the commit go on."""

    def _begin(self) -> Context:
        changes = Changes()
        return Context(self._clock(), self._ids, self._directory, self.room, changes, self._dedupe)

    def _on_commit(self, committed: Committed) -> None:
        self.on_commit(committed)

    async def run(self) -> None:
        """Commit what is queued, until `stop`."""
        await self._committer.run()

    def stop(self) -> None:
        """Let `run` end once all that is queued is on disk."""
        self._committer.stop()

    @property
    def fault(self) -> str | None:
        """Why nothing can be committed; None while all is well."""
        return self._committer.fault

    def _write(self, group: Group[A, R], argument: A) -> asyncio.Future[R]:
        return self._committer.submit(group, argument)

    async def _read(self, steps: Steps[T]) -> T:
        return await self._look(self._reader, perform, steps)

    async def _look(
        self,
        connection: Connection,
        function: Callable[Concatenate[sqlite3.Connection, P], T],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T:
        """Look into the file; Unavailable where that can't be done, and then nothing is written to a damaged one."""
        try:
            return await connection.run(function, *args, **kwargs)
        except FileError as error:
            fault: StorageError = error
        except sqlite3.Error as error:
            if not is_fault(error):
                raise
            fault = await connection.run(self._files.blame, error)
        if isinstance(fault, FileError):
            self._committer.suffer(fault)
        raise Unavailable(str(fault))

    # Accepting, claiming, recording.

    def accept(self, draft: Draft) -> asyncio.Future[Accepted]:
        """Store an event and fan it out; Unavailable where too many wait for that."""
        return self._committer.take_in(accept, draft, len(draft.event.payload))

    @property
    def is_waiting(self) -> bool:
        """Whether something waits for the next commit."""
        return self._committer.is_waiting

    def claim(self, lanes: Sequence[str]) -> asyncio.Future[None]:
        """Claim from lanes; what was claimed comes through `on_commit`."""
        return self._committer.submit(claim.claim, lanes, Rank.LAST)

    def record(self, result: Result) -> None:
        """Record a result, now or, where the storage is at fault, as soon as it can be."""
        self._committer.entrust(record.record, result)

    def release(self, claimed: Sequence[Delivery]) -> None:
        """Put claimed deliveries back that were not attempted to an end."""
        self._committer.entrust(claim.release, claimed)

    def flush(self) -> asyncio.Future[None]:
        """Wait until all that was queued before is on disk."""
        return self._committer.submit(claim.claim, (), Rank.LAST)

    # Upkeep.

    async def recover(self, handlers: Mapping[str, Handler]) -> list[str]:
        """Take up what a crash left in the middle, and note what is due; answer as `set_handlers` does."""
        self._directory.handlers = handlers
        recover.tell(await self._write(recover.recover, None))
        gone = await self._write(recover.orphans, None)
        await self._write(recover.arrange_handlers, None)
        await self._write(recover.scan, None)
        return gone

    async def notice(self) -> None:
        """See whether another process has written the file, and if so look for what is due."""
        version = await self._look(self._writer, self._glance)
        if version != self._version:
            self._directory.reread()
            await self._write(recover.scan, None)
            self._version = version

    def _glance(self, connection: sqlite3.Connection) -> int:
        self._files.check(connection, others=True)
        return data_version(connection)

    async def expire_keys(self) -> None:
        """Delete the dedupe keys that have expired, some at a time, so that no writer waits long."""
        while await self._write(events.expire_keys, None):
            pass

    async def prune(self, retention: int) -> None:
        """Delete the events that have been over for `retention` (ms), some at a time; one round, to be repeated."""
        before = self._clock() - retention
        more = True
        while more:
            found = await self._read(prune.look(self._walk.place, before))
            if found.over:
                await self._write(prune.prune, prune.Removal(found.over, before))
                await asyncio.sleep(PRUNE_PAUSE)
            self._walk.go_on(found)
            more = found.more
        self._walk.end_round()

    async def expire_rejections(self, age: int) -> None:
        """Delete the rejections that are older than `age` (ms), some at a time, so that no writer waits long."""
        while found := await self._read(rejections.old(self._clock() - age)):
            await self._write(rejections.expire, found)
            await asyncio.sleep(PRUNE_PAUSE)

    async def shrink(self) -> None:
        """Give free pages of the file back, some at a time; enough stay for what comes next."""
        more = True
        while more:
            more = await self._look(self._writer, self._give_back)
            await asyncio.sleep(SHRINK_PAUSE)

    def _give_back(self, connection: sqlite3.Connection) -> bool:
        self._files.check(connection, others=False)
        return give_back(connection)

    async def forget_deleted(self) -> None:
        """Let what was deleted or replaced stand in the journal no longer; in the file it is overwritten already."""
        if self.fault is None:
            await self._look(self._writer, self._empty_journal)

    def _empty_journal(self, connection: sqlite3.Connection) -> None:
        self._files.check(connection, others=True)
        empty_journal(connection)

    async def set_handlers(self, handlers: Mapping[str, Handler]) -> list[str]:
        """Know these handlers, by their ids, from now on; cancel what waits for others, and answer whose."""
        former, self._directory.handlers = self._directory.handlers, handlers
        try:
            gone = await self._write(recover.orphans, None)
            await self._write(recover.arrange_handlers, None)
        except Unavailable:
            self._directory.handlers = former
            raise
        return gone

    async def totals(self) -> Totals:
        """Count what waits, and the endpoints by state."""
        return await self._read(totals.totals())

    # What applications publish in transactions of their own.

    async def stirred(self) -> None:
        """Wait until another process has written the file; as long as nobody does, a look reads memory alone."""
        while True:
            await asyncio.sleep(GLANCE)
            stamp = self._files.stamp()
            if stamp != self._stamp:
                self._stamp = stamp
                version = await self._look(self._writer, data_version)
                if version != self._stirred:
                    self._stirred = version
                    return

    async def publication_waits(self) -> bool:
        """Say whether an application has published something that is neither picked up nor refused."""
        return await self._read(publish.waits())

    async def count_refused(self) -> int:
        """Count what applications published and was refused."""
        return await self._read(publish.count_refused())

    def pick_up(self, sources: Collection[str]) -> asyncio.Future[PickedUp]:
        """Make events of some of what applications published, the oldest first; no type begins with a source's name."""
        return self._write(publish.pick_up, sources)

    # Endpoints.

    def create_endpoint(self, endpoint: Endpoint) -> asyncio.Future[Endpoint]:
        """Store a new endpoint."""
        return self._write(endpoints.create, endpoint)

    def change_endpoint(
        self, identity: str, tenant: str | None, apply: Callable[[Endpoint], Endpoint]
    ) -> asyncio.Future[Endpoint]:
        """Change an endpoint by a pure function, which may raise a HookdError to leave it as it is."""
        return self._committer.submit(endpoints.change, Change(identity, tenant, apply), Rank.FIRST)

    def delete_endpoint(self, identity: str, tenant: str | None) -> asyncio.Future[None]:
        """Delete an endpoint with its secrets; what waits for it is cancelled."""
        return self._write(endpoints.delete, Named(identity, tenant))

    def hasten(self, identity: str) -> asyncio.Future[None]:
        """Make all that waits for an endpoint due now."""
        return self._write(endpoints.hasten_all, identity)

    async def endpoint(self, identity: str, tenant: str | None) -> Endpoint:
        """Answer an endpoint, or raise NotFound."""
        return await self._read(endpoints.endpoint(Named(identity, tenant), self._vault))

    async def endpoints(self, tenant: str | None, page: Page) -> Listing[Endpoint]:
        """List endpoints, newest first."""
        return await self._read(endpoints.endpoints(tenant, page, self._vault))

    # Events and deliveries.

    async def event(self, identity: str, tenant: str | None) -> Event:
        """Answer an event with its payload, or raise NotFound."""
        return await self._read(events.event(Named(identity, tenant)))

    async def events(self, tenant: str | None, page: Page) -> Listing[EventRecord]:
        """List events, newest first."""
        return await self._read(events.events(tenant, page))

    async def delivery(
        self, identity: str, tenant: str | None, latest: int = 100
    ) -> tuple[DeliveryRecord, list[Attempt]]:
        """Answer a delivery with its latest attempts, oldest first, or raise NotFound."""
        return await self._read(deliveries.delivery(Named(identity, tenant), latest, self._clock()))

    async def deliveries(self, wanted: DeliveryFilter, page: Page) -> Listing[DeliveryRecord]:
        """List deliveries, newest first."""
        return await self._read(deliveries.deliveries(wanted, page, self._clock()))

    def retry(self, identity: str, tenant: str | None) -> asyncio.Future[DeliveryRecord]:
        """Put a delivery back at the start of its schedule, due now."""
        return self._write(deliveries.retry, Named(identity, tenant))

    async def replay(self, wanted: Replay) -> int:
        """Queue what an endpoint missed behind what waits for it; answer how many deliveries that comes to."""
        first, last = await self._read(replay.span(wanted))
        count = 0
        following: int | None = first - 1
        while following is not None:
            stepped = await self._write(replay.replay, replay.Step(wanted, following, last))
            count, following = count + stepped.deliveries, stepped.after
        return count

    def cancel(self, identity: str, tenant: str | None) -> asyncio.Future[DeliveryRecord]:
        """Cancel a delivery; one that is being sent is cancelled unless its attempt succeeds."""
        return self._write(deliveries.cancel, Named(identity, tenant))

    # Rejections.

    def keep_rejection(self, rejection: Rejection, most: int) -> asyncio.Future[None]:
        """Keep a rejection, and of its source the newest `most` alone; behind all that came with it."""
        return self._committer.submit(rejections.keep, rejections.Kept(rejection, most), Rank.LAST)

    async def rejection(self, identity: str, tenant: str | None) -> Rejection:
        """Answer a rejection with its headers and body, or raise NotFound."""
        return await self._read(rejections.rejection(Named(identity, tenant)))

    async def rejections(self, tenant: str | None, source: str | None, page: Page) -> Listing[RejectionRecord]:
        """List rejections, newest first; `source` None lists every source's."""
        return await self._read(rejections.rejections(tenant, source, page))

    def rejection_became(self, identity: str, event: str) -> asyncio.Future[None]:
        """Note which event a rejection became."""
        return self._write(rejections.became, rejections.Became(identity, event))


def _key_ids(connection: sqlite3.Connection, path: Path) -> list[str]:
    """Look up which keys encrypt the store's secrets; StartError where it can't be read."""
    try:
        return perform(connection, endpoints.key_ids())
    except sqlite3.Error as error:
        raise StartError(f"[store] url: {path}: {named(error)}") from None


def _check(vault: Vault, key_ids: Sequence[str], path: Path) -> None:
    """Raise StartError where secrets can't be read; say where some are not encrypted as they should be."""
    vault.expect(key_ids)
    if set(key_ids) - {vault.first.id}:
        log.warning(
            "some secrets are not encrypted with the first of [store] keys; run hookd migrate --rekey",
            extra={"fields": {"file": str(path)}},
        )


@asynccontextmanager
async def open_store(
    path: Path, clock: Clock, ids: IdFactory, dedupe: int, vault: Vault = PLAIN
) -> AsyncIterator[Store]:
    """Own the file, open and migrate it, and close it in reverse order; `dedupe` is in milliseconds.

    StartError where its secrets are encrypted with a key that the vault lacks. The factory of ids is used on the
    store's thread alone.
    """
    async with AsyncExitStack() as stack:
        stack.callback(FileLock(path, vault.first.id).release)
        files = Files(path)
        stack.callback(files.close)
        writer = await connect(path)
        stack.push_async_callback(writer.close)
        files.learn()
        stack.push_async_callback(writer.run, files.leave)
        _check(vault, await writer.run(_key_ids, path), path)
        reader = await connect_reader(path)
        stack.push_async_callback(reader.close)
        yield Store(files, writer, reader, clock=clock, ids=ids, dedupe=dedupe, vault=vault)
