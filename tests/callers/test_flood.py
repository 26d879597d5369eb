"""Floods of requests: what can't be taken in is refused in time, and deliveries go on."""

import asyncio
import sqlite3
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from hookd.web.body import SHORT, Bodies, read_body
from tests.callers.raw import WAITING, Answer, ask, caller
from tests.crash.waiting import until
from tests.daemons import LOOPBACK, Daemon
from tests.receivers import Receiver
from tests.web.serving import serve
from tests.web.stand import SOURCE, Stand

MEGABYTE = 1_000_000
BODY = 3 * SHORT


@asynccontextmanager
async def reading(bodies: Bodies) -> AsyncIterator[str]:
    async def act(request: web.Request) -> web.Response:
        return web.Response(body=b"%d" % len(await read_body(request, MEGABYTE, bodies)))

    app = web.Application()
    app.router.add_post("/", act)
    async with serve(app) as url:
        yield url


def head(size: int) -> bytes:
    return b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % size


async def test_long_bodies_that_come_slowly_leave_no_room_for_others_of_their_kind_alone() -> None:
    bodies = Bodies(BODY - 1)
    async with reading(bodies) as url, AsyncExitStack() as slow:
        first, short, second = [await slow.enter_async_context(caller(url)) for _ in range(3)]
        await first.send(head(BODY + 2) + b"a" * BODY)
        await until(lambda: bodies.held == BODY, "the first holds all that there is")
        await first.send(b"a")
        await until(lambda: bodies.held == BODY + 1, "it may go on, since it is the only one")
        await short.send(head(2) + b"a")
        await second.send(head(BODY) + b"a" * (BODY - 1))
        refused = await second.answer()
        assert (refused.status, refused.headers["content-type"]) == (503, "application/problem+json")
        assert int(refused.headers["retry-after"]) > 0
        await short.send(b"a")
        assert (await short.answer()).body == b"2"
        await first.send(b"a")
        assert (await first.answer()).body == b"%d" % (BODY + 2)
        assert bodies.held == 0
        assert (await ask(url, "/", b"a" * BODY)).status == 200


# More than the store takes.

WAITING_DRAFTS = 10
"""Drafts of which as many bytes may wait as they have."""

PAYLOAD = 10_000


@asynccontextmanager
async def locked(path: Path) -> AsyncIterator[None]:
    """Hold a database's write lock, from another connection to it."""
    other = sqlite3.connect(path, isolation_level=None)
    try:
        other.execute("BEGIN IMMEDIATE")
        yield
    finally:
        other.close()


def published(stand: Stand) -> Coroutine[Any, Any, Answer]:
    return ask(stand.url, "/api/v1/events", b'{"type":"a","payload":"%b"}' % (b"x" * (PAYLOAD - 2)))


def received(stand: Stand) -> Coroutine[Any, Any, Answer]:
    return ask(stand.url, SOURCE.path, b"x" * PAYLOAD, "X-Webhook-Token: secret")


@pytest.mark.parametrize("offer", [published, received])
async def test_more_than_the_store_takes_is_refused_and_does_not_pile_up(
    stand: Stand, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, offer: Callable[[Stand], Coroutine[Any, Any, Answer]]
) -> None:
    monkeypatch.setattr("hookd.store.commit.MOST_BYTES", WAITING_DRAFTS * PAYLOAD)
    stand.use(max_body=2 * PAYLOAD, sources={SOURCE.path: replace(SOURCE, max_body=PAYLOAD)})
    async with asyncio.timeout(WAITING), locked(tmp_path / "hookd.db"):
        under_way = stand.store.flush()
        await until(lambda: not stand.store._committer._writes, "a commit is under way")
        trying = [asyncio.create_task(offer(stand)) for _ in range(4 * WAITING_DRAFTS)]
        await until(lambda: sum(task.done() for task in trying) == 3 * WAITING_DRAFTS, "the rest is refused")
        for task in trying:
            if task.done():
                told = task.result()
                assert (told.status, told.headers["content-type"]) == (503, "application/problem+json")
                assert int(told.headers["retry-after"]) > 0
                assert "later" in told.json["detail"]
    await under_way
    answers = await asyncio.gather(*trying)
    assert sum(answer.status in (200, 202) for answer in answers) == WAITING_DRAFTS
    assert len((await stand.call("GET", "/api/v1/events?limit=100")).json["data"]) == WAITING_DRAFTS


SHOP = (
    LOOPBACK
    + """
[[sources]]
name = "shop"
path = "/shop"
scheme = "token"
secrets = ["secret"]
max_body = "64KiB"
"""
)
FLOODERS = 2
EVENTS = 20


async def flood(url: str, kind: str, answered: Counter[tuple[str, int]]) -> None:
    """Ask a source again and again."""
    size = 1000 if kind != "huge" else MEGABYTE
    token = "guess" if kind == "invalid" else "secret"
    while True:
        told = await ask(url, "/shop", b"x" * size, f"X-Webhook-Token: {token}")
        answered[kind, told.status] += 1


@pytest.mark.asyncio(loop_factories=["uvloop"])
async def test_a_flood_on_a_source_holds_up_no_delivery(tmp_path: Path) -> None:
    answered: Counter[tuple[str, int]] = Counter()
    kinds = ("valid", "invalid", "huge")
    async with Receiver() as receiver, Daemon(tmp_path, SHOP) as daemon, asyncio.timeout(3 * WAITING):
        await daemon.register(receiver.url(), event_types=["order.*"])
        flooding = [asyncio.create_task(flood(daemon.url, kind, answered)) for kind in kinds for _ in range(FLOODERS)]
        try:
            await until(lambda: len({kind for kind, _ in answered}) == len(kinds), "the flood has begun")
            for _ in range(EVENTS):
                event = await daemon.call("POST", "/api/v1/events", {"type": "order.created", "payload": {}})
                await daemon.settled(event["id"], "delivered")
            assert not [flooder for flooder in flooding if flooder.done()]
        finally:
            for flooder in flooding:
                flooder.cancel()
            with suppress(asyncio.CancelledError):
                await asyncio.gather(*flooding)
        assert {status for _, status in answered} == {200, 401, 413}
        assert len(receiver.requests) == EVENTS
