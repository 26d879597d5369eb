"""Those who talk to the daemon: a producer and a partner, who repeat themselves until they are told, and a reader."""

import asyncio
import json
from collections.abc import Callable
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any

import aiohttp
from standardwebhooks.webhooks import Webhook

from tests.crash.daemon import PARTNER, Daemon
from tests.crash.witness import SECRET

JSON = {"Content-Type": "application/json"}
Then = Callable[[], None]


def nothing() -> None:
    """Happen to be what most do once they are told."""


class Client:
    """Sends requests to whichever life of the daemon is up; one that a kill cuts off is sent again."""

    def __init__(self, daemon: Daemon, session: aiohttp.ClientSession) -> None:
        self._daemon = daemon
        self._session = session

    async def send(self, method: str, path: str, body: bytes | None = None, **headers: str) -> tuple[int, bytes]:
        """Send a request until it is answered as a whole."""
        while True:
            url = await self._daemon.url(path)
            try:
                async with self._session.request(method, url, data=body, headers=JSON | headers) as response:
                    return response.status, await response.read()
            except (aiohttp.ClientError, OSError):
                await asyncio.sleep(0)

    async def read(self, path: str) -> Any:
        """Read a JSON document."""
        status, body = await self.send("GET", path)
        assert status == 200, body
        return json.loads(body)

    async def register(self, url: str, event_types: list[str], max_in_flight: int, **more: object) -> str:
        """Register an endpoint and answer its id."""
        wanted = {"url": url, "event_types": event_types, "secret": SECRET, "max_in_flight": max_in_flight} | more
        status, body = await self.send("POST", "/api/v1/endpoints", json.dumps(wanted).encode())
        assert status == 201, body
        return str(json.loads(body)["id"])

    async def waiting(self) -> float:
        """Answer how many deliveries are not concluded."""
        _, body = await self.send("GET", "/metrics")
        lines = body.decode().splitlines()
        return sum(float(line.split()[-1]) for line in lines if line.startswith("hookd_outbox_depth{"))


KEYS = ("", "a", "b", "c")


def ordering_key(event: str) -> str:
    """Answer the key of a published event, by its number; some have none."""
    return KEYS[int(event.rpartition("_")[2]) % len(KEYS)]


class Producer:
    """Publishes events under its own ids."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self.payloads: dict[str, bytes] = {}
        self.told: set[str] = set()
        """The ids of events that were acknowledged."""

    async def publish(self, then: Then = nothing) -> str:
        """Publish the next event until it is acknowledged, do something in that very moment, and answer its id."""
        number = len(self.payloads)
        identity = f"order_{number}"
        self.payloads[identity] = b'{ "n":%d,\t"name": "Zo\xc3\xab \\u00eb", "b": 1.0,  "a": 1e3 }' % number
        status = await self._send(identity)
        assert status in (200, 202), f"{identity} was answered with {status}"
        self.told.add(identity)
        then()
        return identity

    async def repeat(self, identity: str) -> None:
        """Publish an event again that was acknowledged; it is known."""
        status = await self._send(identity)
        assert status == 200, f"{identity} was acknowledged before, and now answered with {status}"

    async def _send(self, identity: str) -> int:
        key = ordering_key(identity)
        head = b'"id": "%s"' % identity.encode() + (b', "ordering_key": "%s"' % key.encode() if key else b"")
        body = b'{%s, "type": "order.placed", "payload": %s}' % (head, self.payloads[identity])
        status, receipt = await self._client.send("POST", "/api/v1/events", body)
        assert json.loads(receipt).get("id") == identity, (status, receipt)
        return status


class Partner:
    """Sends signed webhooks to the daemon's source."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._webhook = Webhook(PARTNER)
        self._count = 0
        self.told: set[bytes] = set()
        """The bodies of webhooks that were acknowledged; each is different."""

    async def send(self, kind: str = "paid", then: Then = nothing) -> bytes:
        """Send the next webhook until it is acknowledged, do something in that very moment, and answer its body."""
        self._count += 1
        body = b'{"type":"%s",  "n": %d}' % (kind.encode(), self._count)
        await self.repeat(body)
        self.told.add(body)
        then()
        return body

    async def repeat(self, body: bytes) -> None:
        """Send a webhook until it is acknowledged, as if for the first time."""
        identity, now = "msg_" + sha256(body).hexdigest(), datetime.now(UTC)
        headers = {
            "webhook-id": identity,
            "webhook-timestamp": str(int(now.timestamp())),
            "webhook-signature": self._webhook.sign(identity, now, body.decode()),
        }
        status, reply = await self._client.send("POST", "/partner", body, **headers)
        assert status == 200, (status, reply)
