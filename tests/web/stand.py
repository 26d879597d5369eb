"""The HTTP face on a real store, a real socket and a real session; only the delivery loop does not turn."""

import asyncio
import json
import os
import random
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

from aiohttp import ClientSession

from hookd.accept import Acceptor
from hookd.attempt import Poster
from hookd.deliver import Deliverer, Policy
from hookd.egress import Guard, open_session
from hookd.handlers import Runner
from hookd.ids import IdFactory
from hookd.lanes import Lanes
from hookd.metrics import Metrics
from hookd.model import ApiToken, Scope, Source, Trigger
from hookd.receive import Receiver
from hookd.rejections import Rejections
from hookd.store import Store
from hookd.web.app import application, inbound_application
from hookd.web.call import Services, Site, SiteBox
from tests.store.faults import carry_out
from tests.store.stand import Open
from tests.web.serving import serve

DAY = 86_400_000
NOW = 1_767_323_045_000
"""2026-01-02T03:04:05Z."""

MOST_REJECTIONS = 5

SOURCE = Source(
    name="automator",
    path="/webhook",
    scheme="token",
    secrets=("secret",),
    tolerance=300_000,
    header=None,
    id=None,
    type=None,
    tenant=None,
    max_body=1000,
    reply="OK",
    refuse="token mismatch",
)
TRIGGER = Trigger(
    path="/api/purchase",
    type="purchase",
    required=("name", "email", "course"),
    reply="Course purchased successfully",
    authenticated=True,
)
SITE = Site(
    sources={SOURCE.path: SOURCE},
    triggers={TRIGGER.path: TRIGGER},
    tokens=(),
    max_body=10_000,
    guard=Guard(["127.0.0.1"]),
)


def token(name: str, *scopes: Scope, tenant: str | None = None) -> ApiToken:
    """A token whose text is its name."""
    return ApiToken(name, sha256(name.encode()).hexdigest(), frozenset(scopes), tenant)


@dataclass(frozen=True)
class Answer:
    """A response, its JSON read."""

    status: int
    headers: Mapping[str, str]
    text: str

    @property
    def json(self) -> Any:
        return json.loads(self.text)

    @property
    def pointers(self) -> list[str]:
        """Where the faults are."""
        return [error["pointer"] for error in self.json["errors"]]


@dataclass
class Stand:
    """A served application, its parts, and a client."""

    url: str
    inbound_url: str
    session: ClientSession
    path: Path
    store: Store
    box: SiteBox
    metrics: Metrics
    unready: list[str] = field(default_factory=list)
    clock: list[int] = field(default_factory=lambda: [NOW])

    async def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        data: bytes | None = None,
        token: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Send one request; `body` as JSON, or `data` as it is."""
        sent = {"Content-Type": "application/json", **(headers or {})}
        if token is not None:
            sent["Authorization"] = f"Bearer {token}"
        raw = json.dumps(body).encode() if body is not None else data
        async with self.session.request(method, self.url + path, data=raw, headers=sent) as response:
            return Answer(response.status, response.headers, await response.text())

    async def endpoint(self, **fields: Any) -> Any:
        """Make an endpoint that nothing listens at."""
        made = await self.call("POST", "/api/v1/endpoints", {"url": "http://127.0.0.1:9/", **fields})
        assert made.status == 201, made.text
        return made.json

    async def publish(self, **fields: Any) -> Any:
        """Publish an event."""
        told = await self.call("POST", "/api/v1/events", {"type": "order.created", "payload": {}, **fields})
        assert told.status == 202, told.text
        return told.json

    async def repeat_attempts(self, delivery: str, times: int) -> None:
        """Put the only attempt of a delivery on record so often, numbered on."""
        counted = "UPDATE outbox SET attempt_count = :count WHERE id = :delivery"
        await carry_out(self.store, counted, {"count": times, "delivery": delivery})
        again = [{"number": number, "id": f"att_{number}", "delivery": delivery} for number in range(2, times + 1)]
        await carry_out(self.store, REPEAT, *again)

    def use(self, **changes: Any) -> None:
        """Put another site in place, as a reload does."""
        self.box.site = replace(self.box.site, **changes)


REPEAT = """
INSERT INTO attempts (delivery, number, id, started_at, duration, outcome, status_code, error, request_headers,
    response_headers, response_body, truncated)
SELECT delivery, :number, :id, started_at, duration, outcome, status_code, error, request_headers, response_headers,
    response_body, truncated
FROM attempts WHERE delivery = (SELECT sequence FROM outbox WHERE id = :delivery) AND number = 1
"""


@asynccontextmanager
async def open_stand(open_in: Open, folder: Path) -> AsyncIterator[Stand]:
    """Open everything, and close it in reverse order."""
    now, unready, rng = [NOW], list[str](), random.Random(7)

    def clock() -> int:
        return now[0]

    metrics, ids, ids_of_store = Metrics(), IdFactory(clock, rng), IdFactory(clock, random.Random(8))
    async with open_in(folder, clock, ids_of_store) as store:
        committing = asyncio.create_task(store.run())
        acceptor = Acceptor(store, metrics, clock, ids)
        rejections = Rejections(store, ids, clock, most=MOST_REJECTIONS, longest_body=900)
        async with open_session(SITE.guard) as dialling, ClientSession() as session:
            deliverer = Deliverer(
                store=store,
                acceptor=acceptor,
                lanes=Lanes(256, 16),
                poster=Poster(dialling, timeout=5_000, response_kept=4096, clock=clock, ids=ids),
                runner=Runner(timeout=5_000, response_kept=100, clock=clock, ids=ids),
                policy=Policy(retry=(5_000,), jitter=0.0, disable_after=5 * DAY),
                metrics=metrics,
                clock=clock,
                rng=rng,
            )
            services = Services(
                store=store,
                acceptor=acceptor,
                receiver=Receiver(acceptor, rejections, metrics, clock),
                metrics=metrics,
                clock=clock,
                make_id=ids,
                random_bytes=os.urandom,
                test=deliverer.test,
                unready=lambda: unready[0] if unready else None,
                stopping=lambda: "stopping" in unready,
            )
            box = SiteBox(SITE)
            async with (
                serve(application(box, services)) as url,
                serve(inbound_application(box, services)) as inbound,
            ):
                yield Stand(url[:-1], inbound[:-1], session, folder / "hookd.db", store, box, metrics, unready, now)
        store.stop()
        await committing
