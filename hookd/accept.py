"""Accepting an event: make it a draft with its dedupe keys, store it, and answer the producer."""

import asyncio
import logging
from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import dataclass

from hookd.errors import Unavailable
from hookd.ids import IdFactory
from hookd.logs import wide
from hookd.metrics import Metrics
from hookd.model import PAYLOAD_TYPE, Clock, Delivery, Endpoint, Event, Origin, Publication
from hookd.store import Accepted, Draft, Key, KeyKind, Store, draft_of

PUBLISHED, PICKED_UP = "api", "outbox"
"""Where published events come from, in the metrics: the API, or the database, where an application has put them."""

PAUSE = 2.0
"""Seconds between attempts to pick up what applications have published, while the store is at fault."""

TEST_TYPE = "hookd.test"
TEST_PAYLOAD = b'{"message":"This is a test from hookd."}'

log = logging.getLogger("hookd.accept")


@dataclass(frozen=True, slots=True)
class Receipt:
    """What the producer is told. `repeated` where the same was published before."""

    id: str
    deliveries: int
    note: str | None
    repeated: bool


class Acceptor:
    """Makes events of what is published, and of what sources let in."""

    def __init__(self, store: Store, metrics: Metrics, clock: Clock, ids: IdFactory) -> None:
        self._store = store
        self._metrics = metrics
        self._clock = clock
        self._ids = ids

    def new_id(self) -> str:
        """Make the id of an event, for a payload that contains it."""
        return self._ids("evt")

    async def publish(self, publication: Publication, new_id: str | None = None) -> Receipt:
        """Store a published event; return once it is on disk. `new_id` is used where the producer gave none."""
        draft = draft_of(publication, publication.id or new_id or self.new_id(), self._clock())
        return self._receipt(await self._accept(draft, PUBLISHED), publication)

    async def admit(  # the parts of a verified request, each with its name
        self,
        *,
        source: str,
        tenant: str | None,
        event_type: str,
        key: str | None,
        body: bytes,
        content_type: str,
        rejection: str | None = None,
    ) -> Accepted:
        """Store an inbound event, unless its source has sent it before; return once it is on disk.

        `rejection` is the id of one that is accepted by hand, which happens once as well.
        """
        event = self._event(self.new_id(), tenant, event_type, Origin.INBOUND, body, content_type)
        keys = {KeyKind.REJECTION: rejection, KeyKind.INBOUND_ID: key}
        draft = Draft(event, keys=tuple(Key(kind, source, text) for kind, text in keys.items() if text is not None))
        return await self._accept(draft, source)

    async def test(self, endpoint: Endpoint) -> Delivery:
        """Store a `hookd.test` event for one endpoint, and answer its delivery, claimed."""
        event = self._event(self.new_id(), endpoint.tenant, TEST_TYPE, Origin.OPERATIONAL, TEST_PAYLOAD, PAYLOAD_TYPE)
        draft = Draft(event, endpoints=(endpoint.id,), direct=True)
        accepted = await self._store.accept(draft)
        if accepted.delivery is None:
            raise AssertionError("a direct draft is answered with its delivery")
        return accepted.delivery

    async def watch(self, sources: Callable[[], Collection[str]]) -> None:
        """Pick up what applications publish as soon as they have committed it; no type begins with a source's name."""
        await self._tell_of_refused()
        while True:
            try:
                await self.pick_up(sources())
                await self._store.stirred()
            except Unavailable:  # it says so in its own log, and at /readyz
                await asyncio.sleep(PAUSE)

    async def _tell_of_refused(self) -> None:
        with suppress(Unavailable):
            count = await self._store.count_refused()
            if count:
                wide(log, logging.WARNING, "what applications published is there still, and no event", count=count)

    async def pick_up(self, sources: Collection[str]) -> None:
        """Make events of all that applications have published; what can't be one stays, and the log tells of it."""
        while await self._store.publication_waits():
            picked_up = await self._store.pick_up(sources)
            for event, accepted in picked_up.events:
                self._count(event, accepted, PICKED_UP)
            for each in picked_up.refused:
                wide(log, logging.WARNING, "what an application published is no event", **each._asdict())
            if not picked_up.events and not picked_up.refused:  # another process is to pick it up
                return

    def _event(
        self, identity: str, tenant: str | None, event_type: str, origin: Origin, payload: bytes, content_type: str
    ) -> Event:
        return Event(identity, tenant, event_type, origin, payload, content_type, self._clock())

    async def _accept(self, draft: Draft, source: str) -> Accepted:
        accepted = await self._store.accept(draft)
        self._count(draft.event, accepted, source)
        return accepted

    def _count(self, event: Event, accepted: Accepted, source: str) -> None:
        if not accepted.repeated:
            self._metrics.events_accepted[source] += 1
            if not accepted.deliveries:
                wide(log, logging.INFO, "nobody gets an event", event=event.id, type=event.type, tenant=event.tenant)

    def _receipt(self, accepted: Accepted, publication: Publication) -> Receipt:
        note = None
        if not accepted.deliveries:
            whose = "" if publication.tenant is None else f" of tenant {publication.tenant}"
            note = (
                f"no endpoint{whose} or handler subscribes to {publication.type}, or its filter does not let this "
                "event pass; the event is stored all the same"
            )
        return Receipt(accepted.event, accepted.deliveries, note, accepted.repeated)
