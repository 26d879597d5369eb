"""A real store of either kind, its clock in the test's hand, and the few calls that most tests of it begin with."""

import asyncio
import os
import random
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path
from typing import Any, Final

import pytest
from msgspec import structs

from hookd.ids import IdFactory
from hookd.lanes import Lanes
from hookd.model import Attempt, Clock, Delivery, Endpoint, Event, Handler, Origin, Outcome, Status
from hookd.policy.retry import decide
from hookd.store import (
    Accepted,
    Committed,
    DeliveryFilter,
    DeliveryRecord,
    Draft,
    Page,
    Result,
    Store,
    Vault,
    open_store,
)
from hookd.store.file import File
from hookd.store.shared import SharedStore, share
from hookd.store.single import SingleStore
from hookd.store.statement import Query, Row, Steps
from hookd.store.vault import PLAIN
from tests.nouns import ENDPOINT, NEW_KEY, OLD_KEY
from tests.postgres import emptied, run

SECOND = 1000
DAY = 86_400_000
NOW = ENDPOINT.created_at
DEDUPE = 30 * DAY
PATIENCE = 30.0
"""Seconds after which what should have happened fails the test."""
SEEDS = count(1)
"""A store that is opened again must not make the ids of before."""
SCHEDULE = (5 * SECOND, 300 * SECOND)

Open = Callable[..., AbstractAsyncContextManager[Store]]
"""Opens a store in a folder, or in a database that it knows of, with a clock, ids and perhaps a vault."""


def sqlite(folder: Path, clock: Clock, ids: IdFactory, vault: Vault = PLAIN) -> AbstractAsyncContextManager[Store]:
    return open_store(folder / "hookd.db", clock, ids, DEDUPE, vault)


def postgres() -> Open:
    """Answer what opens a store at a PostgreSQL server, which is empty at first."""
    address = emptied()

    def opened(_: Path, clock: Clock, ids: IdFactory, vault: Vault = PLAIN) -> AbstractAsyncContextManager[Store]:
        return at_server(address, clock, ids, vault, alone=True)

    return opened


STORES: Final[Mapping[str, Callable[[], Open]]] = {"sqlite": lambda: sqlite, "postgres": postgres}
in_a_file = pytest.mark.parametrize("open_in", ["sqlite"], indirect=True)
"""For a test of what is a file's own."""


@asynccontextmanager
async def at_server(
    address: str,
    clock: Clock,
    ids: IdFactory,
    vault: Vault = PLAIN,
    *,
    lease: int = 60 * SECOND,
    listens: bool = True,
    alone: bool = False,
) -> AsyncIterator[SharedStore]:
    """Open a store at a server; `alone` commits nothing by itself, since it waits for no news of others."""
    async with share(address, clock, ids, DEDUPE, vault, lease=lease, listens=listens) as store:
        store._news.listens = listens and not alone
        await store.enter()
        yield store


def encrypted(folder: Path, clock: Clock, ids: IdFactory) -> AbstractAsyncContextManager[Store]:
    return sqlite(folder, clock, ids, Vault((NEW_KEY, OLD_KEY), os.urandom))


def file_of(store: Store) -> File:
    """Answer the SQLite file of a store, for what is SQLite's own."""
    assert isinstance(store, SingleStore)
    return store._database


@dataclass
class Stand:
    """An open store whose commits run; `lanes` is where claimed deliveries have room, unless a test says None."""

    store: Store
    ids: IdFactory
    clock: list[int]
    lanes: Lanes
    commits: list[Committed] = field(default_factory=list)
    committing: asyncio.Task[None] | None = None
    committed: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def now(self) -> int:
        return self.clock[0]

    def pass_time(self, milliseconds: int) -> None:
        self.clock[0] += milliseconds

    async def endpoint(self, identity: str = "ep_1", **changes: Any) -> Endpoint:
        return await self.store.create_endpoint(replace(ENDPOINT, **{"id": identity, "event_types": ("*",)} | changes))

    async def handlers(self, *handlers: Handler) -> list[str]:
        return await self.store.set_handlers({handler.id: handler for handler in handlers})

    async def recover(self, *handlers: Handler) -> list[str]:
        """Do what a daemon does first, once the leases of those that died have expired."""
        async with nobody_else_lives(self.store):
            return await self.store.recover({handler.id: handler for handler in handlers})

    async def die(self) -> None:
        """Let the process end in the midst of everything: nothing more is written, and nobody is told."""
        if self.committing is not None:
            self.committing.cancel()
            with suppress(asyncio.CancelledError):
                await self.committing
            self.committing = None

    def draft(self, event_type: str = "purchase", **changes: Any) -> Draft:
        event = Event(
            id=self.ids("evt"),
            tenant=None,
            type=event_type,
            origin=Origin.PUBLISHED,
            payload=b"{}",
            content_type="application/json",
            created_at=self.now,
        )
        of_event = {name: changes.pop(name) for name in Event.__struct_fields__ if name in changes}
        return Draft(structs.replace(event, **of_event), **changes)

    async def accept(self, event_type: str = "purchase", **changes: Any) -> Accepted:
        return await self.store.accept(self.draft(event_type, **changes))

    async def claim(self, *lanes: str) -> list[Delivery]:
        """Claim from lanes, and answer what was claimed."""
        self.store.room = self.lanes
        before = len(self.commits)
        await self.store.claim(lanes or ("ep_1",))
        self.store.room = None
        return [delivery for committed in self.commits[before:] for delivery in committed.changes.claimed]

    async def sent(self, event_type: str = "purchase", **changes: Any) -> Delivery:
        """Publish an event that has one destination, and claim its delivery."""
        accepted = await self.accept(event_type, **changes)
        (waiting,) = (each for each in await self.deliveries(event=accepted.event))
        (claimed,) = (each for each in await self.claim(waiting.endpoint) if each.id == waiting.id)
        return claimed

    def result(
        self,
        delivery: Delivery,
        outcome: Outcome = Outcome.SUCCESS,
        *,
        schedule: tuple[int, ...] = SCHEDULE,
        disable_after: int = 5 * DAY,
        **changes: Any,
    ) -> Result:
        """Answer what an attempt came to, made and decided now."""
        attempt = Attempt(self.ids("att"), delivery.attempt_count + 1, self.now, 1.5, outcome, **changes)
        decision = decide(attempt, delivery.step, schedule, 0.0, self.now, random.Random(1))
        return Result(delivery, attempt, decision, disable_after)

    async def end(self, delivery: Delivery, outcome: Outcome = Outcome.SUCCESS, **how: Any) -> None:
        """Record an attempt; return once it is on disk."""
        self.lanes.finish(delivery.destination.id)
        self.store.record(self.result(delivery, outcome, **how))
        await self.settle()

    async def ask(self, sql: str, **parameters: Any) -> list[tuple[Any, ...]]:
        """Answer what a statement finds that both databases understand."""
        return [tuple(row) for row in await self.store._read(_query(sql, parameters))]

    async def settle(self) -> None:
        """Wait until all that was queued is on disk."""
        await self.store.flush()

    async def deliveries(self, **wanted: Any) -> list[DeliveryRecord]:
        """List deliveries, oldest first."""
        return list((await self.store.deliveries(DeliveryFilter(**wanted), Page(250))).items)[::-1]

    async def delivery(self, identity: str) -> DeliveryRecord:
        return (await self.store.delivery(identity, None))[0]

    async def attempts(self, identity: str) -> list[Attempt]:
        return (await self.store.delivery(identity, None))[1]

    async def statuses(self, **wanted: Any) -> list[Status]:
        return [each.status for each in await self.deliveries(**wanted)]

    async def types(self) -> list[str]:
        """List the types of all events, oldest first."""
        return [event.type for event in (await self.store.events(None, Page(250))).items][::-1]

    def due(self) -> dict[str, int]:
        """Answer when the last commit made lanes due."""
        return self.commits[-1].changes.due

    def note(self, committed: Committed) -> None:
        self.commits.append(committed)
        self.committed.set()

    async def mended(self) -> None:
        """Wait until the store commits again."""
        async with asyncio.timeout(PATIENCE):
            while self.store.fault is not None:
                self.committed.clear()
                await self.committed.wait()


def _query(sql: str, parameters: dict[str, Any]) -> Steps[list[Row]]:
    found: list[Row] = yield Query(sql, parameters)
    return found


@asynccontextmanager
async def nobody_else_lives(store: Store) -> AsyncIterator[None]:
    """Let this process find the lease of every other one expired, as it is after a while, until the block ends."""
    if not isinstance(store, SharedStore):
        yield
        return
    await asyncio.to_thread(run, store._database._address, EXPIRE, store._member.number)
    lease, store._member.lease = store._member.lease, 0  # for so long after the server's start, each may come back
    try:
        yield
    finally:
        store._member.lease = lease


EXPIRE = "UPDATE hookd.processes SET expires_at = '-infinity' WHERE number <> $1"


@asynccontextmanager
async def stand_on(open_in: Open, folder: Path, clock: list[int] | None = None) -> AsyncIterator[Stand]:
    """Open a store and let it commit, until the block ends."""
    time = clock if clock is not None else [NOW]
    rng = random.Random(next(SEEDS))
    ids = IdFactory(lambda: time[0], rng)
    async with open_in(folder, lambda: time[0], IdFactory(lambda: time[0], rng)) as store:
        stand = Stand(store, ids, time, Lanes(256, 16))
        store.on_commit = stand.note
        stand.committing = asyncio.create_task(store.run())
        try:
            yield stand
        finally:
            store.stop()
            if stand.committing is not None:
                await stand.committing
