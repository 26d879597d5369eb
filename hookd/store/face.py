"""The face of the store: what the rest of hookd asks of it."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from typing import TypeVar

from hookd.errors import Unavailable
from hookd.ids import IdFactory
from hookd.model import Attempt, Clock, Delivery, Endpoint, Event, Handler, Rejection
from hookd.store import claim, deliveries, endpoints, events, publish, record, recover, rejections, replay, totals
from hookd.store.accept import Accepted, Draft, accept
from hookd.store.commit import Committed, Committer, Group, Rank
from hookd.store.context import Changes, Context, Directory, Room
from hookd.store.database import Database, StorageError
from hookd.store.deliveries import DeliveryFilter, DeliveryRecord
from hookd.store.endpoints import Change, Named
from hookd.store.events import EventRecord
from hookd.store.page import Listing, Page
from hookd.store.publish import PickedUp
from hookd.store.rejections import RejectionRecord
from hookd.store.replay import Replay
from hookd.store.result import Result
from hookd.store.statement import Steps
from hookd.store.totals import Totals
from hookd.store.vault import Vault

A = TypeVar("A")
R = TypeVar("R")
T = TypeVar("T")

PAUSE = 0.01
"""Seconds between steps of upkeep, in which others commit: longer than a step takes."""


class Store(ABC):
    """The face of the store. Every write returns once it is on disk, or raises; `None` as a tenant means any."""

    def __init__(
        self,
        database: Database,
        *,
        clock: Clock,
        ids: IdFactory,
        dedupe: int,
        vault: Vault,
    ) -> None:
        self._database = database
        self._clock = clock
        self._ids = ids
        self._dedupe = dedupe
        self._vault = vault
        self._directory = Directory(vault)
        self._committer = Committer(database, self._begin, self._on_commit)
        self.room: Room | None = None
        """Where claimed deliveries have room; None while nothing is to be claimed."""
        self.on_commit: Callable[[Committed], None] = lambda _: None
        """Called in commit order, in the event loop, before those who wait for the commit go on."""
        self.busy: Callable[[], Iterable[str]] = tuple
        """Names the lanes of which something is claimed or under way."""
        self.on_lapse: Callable[[], object] = lambda: None
        """Called when what is in flight may not go on, since another process may have taken it over."""

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

    def holds(self) -> bool:
        """Say whether what was claimed may still be sent: no other process can have taken it over."""
        return True

    @abstractmethod
    def retire(self) -> None:
        """Claim nothing more: lanes may be another process's as soon as nothing of them is under way."""

    @property
    def fault(self) -> str | None:
        """Why nothing can be committed; None while all is well."""
        return self._committer.fault

    def _write(self, group: Group[A, R], argument: A) -> asyncio.Future[R]:
        return self._committer.submit(group, argument)

    async def _read(self, steps: Steps[T]) -> T:
        """Look something up; Unavailable where that can't be done."""
        return await self._look(self._database.read(steps))

    async def _look(self, looked: Awaitable[T]) -> T:
        """Answer what was asked for beside the commits; Unavailable where the storage is at fault."""
        try:
            return await looked
        except StorageError as fault:
            self._suffer(fault)
            raise Unavailable(str(fault)) from None

    @abstractmethod
    def _suffer(self, fault: StorageError) -> None:
        """Take in a fault that was met beside the commits."""

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
        recover.tell(await self._write(recover.recover, 0))
        gone = await self._write(recover.orphans, None)
        await self._write(recover.arrange_handlers, None)
        await self._write(recover.scan, None)
        return gone

    @abstractmethod
    async def notice(self) -> None:
        """See what other processes have written, and look for what is due."""

    @abstractmethod
    async def stirred(self) -> None:
        """Wait until an application may have published something, or for some seconds at the most."""

    @abstractmethod
    async def prune(self, retention: int) -> None:
        """Delete the events that have been over for `retention` (ms); one round, to be repeated."""

    @abstractmethod
    async def shrink(self) -> None:
        """Give space back that is free, but for what comes next."""

    @abstractmethod
    async def forget_deleted(self) -> None:
        """Let what was deleted or replaced stand nowhere any longer."""

    async def expire_keys(self) -> None:
        """Delete the dedupe keys that have expired, some at a time, so that no writer waits long."""
        while await self._write(events.expire_keys, None):
            pass

    async def expire_rejections(self, age: int) -> None:
        """Delete the rejections that are older than `age` (ms), some at a time, so that no writer waits long."""
        while found := await self._read(rejections.old(self._clock() - age)):
            await self._write(rejections.expire, found)
            await asyncio.sleep(PAUSE)

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

    async def publication_waits(self) -> bool:
        """Say whether there is something for this process to pick up."""
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
