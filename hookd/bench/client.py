"""The yardstick of delivery: bare aiohttp that signs and POSTs, with the settings of hookd's own session.

It stores nothing, and nothing of hookd's is on its way, so that a slow path of ours can't slow its own yardstick.
"""

import asyncio
import base64
import hashlib
import hmac
import itertools
import random
import time
from collections.abc import Iterator

import aiohttp
from yarl import URL

from hookd.bench.rhythm import pauses
from hookd.bench.subject import EVENT_TYPE
from hookd.bench.worker import Answer, obey, run
from hookd.version import VERSION

_KEY = b"a key of the length that hookd's"
_LARGEST_ANSWER = 64 * 1024
_KEEP_ALIVE = 4.0


async def post(session: aiohttp.ClientSession, url: URL, body: bytes, event_id: str) -> None:
    """Make one delivery, signed as Standard Webhooks wants it, with the headers that hookd sends."""
    timestamp = str(int(time.time()))
    content = f"{event_id}.{timestamp}.".encode() + body
    signature = base64.b64encode(hmac.digest(_KEY, content, hashlib.sha256)).decode()
    headers = {
        "content-type": "application/json",
        "user-agent": f"hookd/{VERSION}",
        "webhook-id": event_id,
        "webhook-timestamp": timestamp,
        "webhook-signature": f"v1,{signature}",
        "X-Webhook-Event": EVENT_TYPE,
        "X-Webhook-Attempt": "1",
    }
    async with session.post(url, data=body, headers=headers, allow_redirects=False) as response:
        await response.content.read(_LARGEST_ANSWER)


class Client:
    """The bare client: one session, any number of floods and singles."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self._session = session
        self._numbers = itertools.count()

    async def flood(self, urls: list[str], body: str, count: int, in_flight: int) -> Answer:
        """POST so many times, to one URL after the other, with so many in flight; answer the moment of the first."""
        targets = itertools.cycle([URL(url) for url in urls])
        deliveries = ((target, f"evt_{next(self._numbers):026}") for target in itertools.islice(targets, count))
        started = time.monotonic()
        async with asyncio.TaskGroup() as tasks:
            for _ in range(in_flight):
                tasks.create_task(self._one_after_the_other(body.encode(), deliveries))
        return {"started": started}

    async def _one_after_the_other(self, body: bytes, deliveries: Iterator[tuple[URL, str]]) -> None:
        for target, event_id in deliveries:
            await post(self._session, target, body, event_id)

    async def singles(self, url: str, body: str, count: int, seed: int) -> Answer:
        """POST one at a time with irregular pauses; answer when each was begun, by its event's id."""
        moments, target = {}, URL(url)
        for pause in itertools.islice(pauses(random.Random(seed)), count):  # noqa: S311 -- a rhythm, no secret
            await asyncio.sleep(pause)
            event_id = f"evt_{next(self._numbers):026}"
            moments[event_id] = {"sent": time.monotonic()}
            await post(self._session, target, body.encode(), event_id)
        return moments


def _open_session() -> aiohttp.ClientSession:
    """Open a session with hookd's settings: unlimited, without cookies, a body left as it came."""
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=_KEEP_ALIVE),
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
        timeout=aiohttp.ClientTimeout(),
        skip_auto_headers=("Accept", "Accept-Encoding"),
    )


async def main() -> None:
    """Open the session and obey."""
    async with _open_session() as session:
        client = Client(session)
        await obey({"flood": client.flood, "singles": client.singles}, {})


if __name__ == "__main__":
    run(main())
