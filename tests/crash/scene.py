"""Who is there when the daemon is killed."""

import asyncio
import random
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp

from tests.crash.checks import Audit, Promises
from tests.crash.client import Client, Partner, Producer
from tests.crash.daemon import PER_ENDPOINT, Daemon
from tests.crash.image import Key
from tests.crash.waiting import until, until_answered
from tests.crash.witness import (
    Alternating,
    Arrival,
    Faltering,
    Holding,
    Slow,
    Temper,
    Witness,
    failing,
    read_ledger,
    steady,
)

SLOW_LIMIT = 48
"""What the slow receiver allows in flight; more than others, so that it keeps up."""

EVERYTHING = ["*", "partner.*", "hookd.*"]
PUBLISHED = ["*"]


@dataclass(slots=True)
class Scene:
    """Who is there when the daemon is killed."""

    rng: random.Random
    daemon: Daemon
    client: Client
    producer: Producer
    partner: Partner
    holding: Holding
    witnesses: dict[str, Witness]
    """By endpoint."""
    steady: str
    """The endpoint that also gets what the partner sends, and hookd's own reports."""
    ordered: list[str]
    """The endpoints that get everything in order, key by key."""
    audit: Audit
    book: Path
    wanted: int
    """How many events are published in all."""
    share: int
    """How many are published in one life."""
    quota: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(0))
    """What may be published now."""
    unanswered: list[Arrival] = field(default_factory=list)
    """Whole requests that a kill kept from an answer."""

    async def underway(self) -> None:
        """Let a life do some of its work: serve, conclude what the last kill broke off, and take in new events."""
        await self.daemon.ready()
        for _ in range(self.share):
            self.quota.release()
        await until_answered(self._settled, "the ledger's deliveries that were broken off are made again")
        shown = await self.client.read("/api/v1/deliveries?status=delivered&limit=250")
        self.audit.promises.delivered.update(delivery["id"] for delivery in shown["data"])
        enough = min(len(self.producer.told) + self.rng.randrange(self.share), self.wanted)
        await until(lambda: len(self.producer.told) >= enough, f"{enough} events are acknowledged")

    async def _settled(self) -> bool:
        """Say whether no handler but the stuck one can have been running in two crashes already."""
        for row in self.audit.before.in_flight("handler:ledger"):
            delivery = await self.client.read(f"/api/v1/deliveries/{row.id}")
            if delivery["status"] != "delivered":
                return False
        return True

    def arrivals(self, life: int) -> dict[Key, list[Arrival]]:
        """List what arrived in a life, by delivery."""
        found: dict[Key, list[Arrival]] = {}
        for key, arrival in self.everything():
            if arrival.life == life:
                found.setdefault(key, []).append(arrival)
        return found

    def everything(self) -> Iterator[tuple[Key, Arrival]]:
        """List all that ever arrived, and for whom, in order for each."""
        seen = {endpoint: witness.arrivals for endpoint, witness in self.witnesses.items()}
        for endpoint, arrivals in (seen | read_ledger(self.book)).items():
            for arrival in arrivals:
                yield Key(endpoint, arrival.event), arrival


@asynccontextmanager
async def staged(folder: Path, rng: random.Random, wanted: int, lives: int) -> AsyncIterator[Scene]:
    """Bring everybody on stage: a running daemon, the receivers with their endpoints, and the clients."""
    daemon, holding = Daemon(folder), Holding()
    async with AsyncExitStack() as stack:
        stack.push_async_callback(daemon.discard)
        client = Client(daemon, await stack.enter_async_context(aiohttp.ClientSession()))
        await daemon.start()
        await daemon.ready()

        async def receiver(
            temper: Temper, event_types: list[str], limit: int = PER_ENDPOINT, **more: object
        ) -> tuple[str, Witness]:
            witness = await stack.enter_async_context(Witness(temper, lambda: daemon.life))
            endpoint = await client.register(witness.url(), event_types, limit, **more)
            limits[endpoint] = limit
            return endpoint, witness

        limits = {"handler:ledger": PER_ENDPOINT, "handler:stuck": PER_ENDPOINT}
        first = await receiver(steady, EVERYTHING)
        others = [
            await receiver(Slow(random.Random(rng.random())), PUBLISHED, SLOW_LIMIT),
            await receiver(failing, PUBLISHED),
            await receiver(Alternating(), PUBLISHED),
            await receiver(holding, PUBLISHED),
            await receiver(steady, PUBLISHED, rate_limit="400/s burst 50"),
        ]
        ordered = [
            await receiver(Faltering(97), PUBLISHED, ordered=True),
            await receiver(steady, PUBLISHED, ordered=True, rate_limit="400/s burst 50"),
        ]
        producer, partner = Producer(client), Partner(client)
        yield Scene(
            rng=rng,
            daemon=daemon,
            client=client,
            producer=producer,
            partner=partner,
            holding=holding,
            witnesses=dict([first, *others, *ordered]),
            ordered=[endpoint for endpoint, _ in ordered],
            steady=first[0],
            audit=Audit(Promises(producer.told, partner.told), limits),
            book=folder / "ledger.jsonl",
            wanted=wanted,
            share=-(-wanted // lives),
        )
