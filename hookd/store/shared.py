"""A store that processes share: each commits what it is asked for, and sends to the lanes that are its own."""

import asyncio
import logging
import os
import socket
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import Final

from hookd.errors import StartError, Unavailable
from hookd.ids import IdFactory
from hookd.model import Clock, Handler
from hookd.store import cluster, days, endpoints, recover
from hookd.store.commit import Committed
from hookd.store.context import Changes, Context
from hookd.store.database import StorageError
from hookd.store.face import Store
from hookd.store.membership import RENEWED, Membership
from hookd.store.news import News
from hookd.store.schema import bring_up
from hookd.store.server import Server
from hookd.store.vault import Vault

POLL: Final = 5.0
"""Seconds between looks at what is due, beside the news of it: the safety net."""

POLL_WITHOUT_NEWS: Final = 2.0
"""As many where no news comes."""

SPARED: Final = 20
"""How many times as long as a look took, no other follows: however much waits, looking costs a twentieth."""

IMPATIENT: Final = 0.5
"""Seconds between attempts to be a member again."""

EVERY: Final = 600.0
"""Seconds between looks for days to make and to drop."""

MINDED: Final = 0.1
"""Seconds between looks at a lease that has lapsed."""

log = logging.getLogger("hookd.store")


class SharedStore(Store):
    """A store at a PostgreSQL server, as one of the processes that share it."""

    _database: Server

    def __init__(  # its parts, each by its name; open_shared alone puts them together
        self,
        database: Server,
        member: Membership,
        news: News,
        *,
        clock: Clock,
        ids: IdFactory,
        dedupe: int,
        vault: Vault,
    ) -> None:
        super().__init__(database, clock=clock, ids=ids, dedupe=dedupe, vault=vault)
        self._member = member
        self._news = news
        self._poll = POLL if news.listens else POLL_WITHOUT_NEWS
        self._look_at = 0.0
        self._days_at = 0.0
        self._heard: dict[str, int] = {}
        """Lanes that became due since the transaction that is under way began, which may not have seen that."""
        self._balance_soon = asyncio.Event()
        self._published = asyncio.Event()
        member.busy = lambda: self.busy()
        member.handlers = lambda: self._directory.handlers
        database.on_doubt = self._committer.suffer
        database.on_fence = self._begin_anew
        news.on_lanes, news.on_change = self._hear, self._hear_of_change
        news.on_publication = self._published.set

    def _begin(self) -> Context:
        self._heard.clear()  # what the transaction looks at next, it sees
        return Context(self._clock(), self._ids, self._directory, self.room, Changes(), self._dedupe, self._member)

    def _on_commit(self, committed: Committed) -> None:
        """Know which lanes are this process's before anything else is begun, and tell others what is due in theirs."""
        changes, member = committed.changes, self._member
        member.slots = (member.slots | changes.gained) - changes.lost
        member.leaving -= changes.lost
        super()._on_commit(committed)
        self._wake({lane: at for lane, at in self._heard.items() if lane in changes.scanned})
        for lane in changes.elsewhere:
            self._news.tell(member.owner_of(lane), lane)

    def _suffer(self, fault: StorageError) -> None:
        """A fault of the way to the server, which the commits meet too, or do not."""

    # Being a member.

    def holds(self) -> bool:
        """Say whether what was claimed may still be sent."""
        return self._member.holds()

    async def enter(self) -> None:
        """Become a member with a share of the lanes, before anything else is committed."""
        member = self._member
        (found,), changes = await self._database.transact(
            self._begin, partial(cluster.balance, members=[member]), proof=False
        )
        member.slots = set(changes.gained)
        self._know(found)

    async def run(self) -> None:
        """Commit what is queued, until `stop`, and meanwhile stay a member; then leave."""
        async with asyncio.TaskGroup() as group:
            beside = [
                group.create_task(self._stay(), name="stay"),
                group.create_task(self._mind(), name="mind"),
                group.create_task(self._news.run(), name="news"),
            ]
            try:
                await self._committer.run()
            finally:
                for task in beside:
                    task.cancel()
        await self._leave()

    async def _stay(self) -> None:
        """Renew the lease in time, and keep to the share that is due."""
        seconds = self._member.lease / 1000 / RENEWED
        pause = seconds
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._balance_soon.wait()
            self._balance_soon.clear()
            pause = min(seconds, IMPATIENT)
            with suppress(Unavailable):  # the store says so in its own log, and at /readyz
                await self.balance()
                await self.notice()
                pause = seconds

    async def balance(self) -> None:
        """Bury the dead, give lanes back or take some, and see to what waits in those."""
        found = await self._committer.submit(cluster.balance, self._member)
        self._know(found)
        if found.gained:
            await self._take_up()
        if found.given or found.gained:
            await self._news.tell_all()

    def _know(self, found: cluster.Balance) -> None:
        """Know whose lanes are whose, and say who has died."""
        self._member.owners = found.owners
        self._news.follow()
        for buried in found.buried:
            log.warning("took over from a process that died", extra={"fields": {"process": buried.name}})
            recover.tell(buried.left)

    async def _take_up(self) -> None:
        """Take up what waits in the lanes of this process."""
        await self._write(recover.arrange_handlers, None)
        await self._look_for_due()

    async def _mind(self) -> None:
        """Have cut off what is in flight once the lease may have lapsed."""
        member, lapsed = self._member, 0.0
        while True:
            left = member.held_until - member.monotonic()
            if left <= 0 and member.number is not None and any(self.busy()):
                if lapsed != member.held_until:
                    log.error("the lease has lapsed: what is being sent is cut off, since others may send it")
                lapsed = member.held_until
                self.on_lapse()
            await asyncio.sleep(max(left, MINDED))

    def _begin_anew(self) -> None:
        self.on_lapse()
        self._balance_soon.set()

    def retire(self) -> None:
        """Give up all lanes, each as soon as nothing of it is under way."""
        self._member.retiring = True
        self._balance_soon.set()

    async def _leave(self) -> None:
        """Let others have the lanes at once."""
        if self._member.number is None or self.fault is not None:
            return  # then they have them once the lease has expired
        with suppress(StorageError):
            await self._database.transact(self._begin, partial(cluster.leave, member=self._member), proof=False)
            await self._news.tell_all()

    # What is due.

    async def recover(self, handlers: Mapping[str, Handler]) -> list[str]:
        """Take this process's share of the lanes, and note what is due; answer as `set_handlers` does."""
        self._directory.handlers = handlers
        await self._write(days.make, None)  # nobody may have run for longer than they were made ahead
        await self.balance()  # which buries the dead, and their handlers with them
        gone = await self._write(recover.orphans, None)
        await self._take_up()
        return gone

    async def notice(self) -> None:
        """Look for what is due, if it is time to."""
        if self._member.monotonic() >= self._look_at:
            await self._look_for_due()

    async def _look_for_due(self) -> None:
        began = self._member.monotonic()
        due = await self._read(cluster.due())
        took = self._member.monotonic() - began
        self._look_at = began + max(self._poll, SPARED * took)
        self._wake(due.lanes)
        if due.published:
            self._published.set()

    def _hear_of_change(self) -> None:
        self._look_at = 0.0
        self._balance_soon.set()

    def _hear(self, lanes: Sequence[str]) -> None:
        self._wake(dict.fromkeys(lanes, self._clock()))

    def _wake(self, due: Mapping[str, int]) -> None:
        """Let the delivery loop know of lanes that have become due without a commit of this process."""
        mine = {lane: at for lane, at in due.items() if self._member.owns(lane)}
        self._heard |= mine
        if mine:
            self.on_commit(Committed((), Changes(due=mine), 0, 0.0))

    # What applications publish.

    async def stirred(self) -> None:
        """Wait for news of something published, or until a look at what is due finds it."""
        await self._published.wait()
        self._published.clear()

    async def publication_waits(self) -> bool:
        """Say whether there is something to pick up, and this process is the one to do so."""
        return self._member.leads and await super().publication_waits()

    # Upkeep, by one process: that is enough.

    async def prune(self, retention: int) -> None:
        """Drop the days that ended so long ago (ms), of which nothing waits, and make those that come."""
        if not self._member.leads or self._member.monotonic() < self._days_at:
            return
        self._days_at = self._member.monotonic() + EVERY
        await self._write(days.make, None)
        for day in await self._read(days.old(retention)):
            await self._write(days.drop, day)
        await self._write(cluster.forget_changes, None)

    async def expire_keys(self) -> None:
        """Delete the dedupe keys that have expired, if this process is the one to do so."""
        if self._member.leads:
            await super().expire_keys()

    async def expire_rejections(self, age: int) -> None:
        """Delete the rejections that are older than `age` (ms), if this process is the one to do so."""
        if self._member.leads:
            await super().expire_rejections(age)

    async def shrink(self) -> None:
        """Nothing: the server's autovacuum does so."""

    async def forget_deleted(self) -> None:
        """Nothing: what the server keeps of it is its own."""


@asynccontextmanager
async def share(  # what open_store is told, and what a server needs beside it
    address: str,
    clock: Clock,
    ids: IdFactory,
    dedupe: int,
    vault: Vault,
    *,
    lease: int,
    listens: bool,
    hear: Callable[[int], object] = lambda _: None,
) -> AsyncIterator[SharedStore]:
    """Bring the server's schema up to date, be a member, and close the connections in the end.

    `hear` is told what time it is at the server.

    StartError where the server can't be reached, or secrets are encrypted with a key that the vault lacks.
    """
    member = Membership(f"hookd {socket.gethostname()}:{os.getpid()}", lease, vault.first.id, hear)
    server = Server(address, member, sessions=listens)
    try:
        try:
            await bring_up(server)
            vault.begin(await server.read(endpoints.key_ids()))
        except StorageError as fault:
            raise StartError(f"[store] url: {fault}") from None
        news = News(server, member, listens=listens)
        yield SharedStore(server, member, news, clock=clock, ids=ids, dedupe=dedupe, vault=vault)
    finally:
        await server.close()
