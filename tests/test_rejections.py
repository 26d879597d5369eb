"""Refused requests against a real daemon: a flood of them, a secret that was replaced too early, and the end of one."""

import asyncio
import signal
from pathlib import Path
from typing import Any

from hookd import sign
from tests.daemons import Daemon
from tests.nouns import SECRET

NEW_SECRET = "whsec_bm90IHRoZSByaWdodCBzZWNyZXQhISEh"
KEPT = 4
BODY = b'{"type": "sold"}'


def config(secret: str, more: str = "") -> str:
    return f"""\
[store]
rejections = {KEPT}
rejection_body = "1KiB"
{more}
[[sources]]
name = "shop"
path = "/from/shop"
scheme = "standard"
secrets = ["{secret}"]
"""


async def post(daemon: Daemon, body: bytes = BODY, **headers: str) -> int:
    shown = headers or sign("standard", [SECRET], body)
    async with daemon._session.post("/from/shop", data=body, headers=shown) as response:
        assert await response.json() == {"message": "unauthorized"}
        return response.status


async def refused(daemon: Daemon) -> None:
    """Let a request be refused; return once its rejection is on disk, as is what came after it."""
    assert await post(daemon) == 401
    await daemon.call("POST", "/api/v1/events", {"type": "other", "payload": 1})


async def rejections(daemon: Daemon) -> list[Any]:
    data: list[Any] = (await daemon.call("GET", "/api/v1/rejections?limit=250"))["data"]
    return data


async def test_a_flood_of_refused_requests_keeps_nobody_from_publishing(tmp_path: Path) -> None:
    async with Daemon(tmp_path, config(NEW_SECRET)) as daemon:
        ended = asyncio.Event()

        async def flood() -> int:
            count = 0
            while not ended.is_set():
                assert await post(daemon, b"x" * 4000, a="1") == 401
                count += 1
            return count

        floods = [asyncio.create_task(flood()) for _ in range(8)]
        published = [
            (await daemon.call("POST", "/api/v1/events", {"type": "a.b", "payload": number}))["id"]
            for number in range(100)
        ]
        ended.set()
        assert sum(await asyncio.gather(*floods)) > KEPT
        assert len(set(published)) == 100
        assert len(await rejections(daemon)) <= KEPT
        await daemon.call("GET", "/readyz")


async def test_a_secret_that_was_replaced_too_early(tmp_path: Path) -> None:
    async with Daemon(tmp_path, config(SECRET)) as daemon:
        daemon.config.write_text(config(NEW_SECRET))
        daemon.process.send_signal(signal.SIGHUP)
        await daemon.logs("the configuration was reloaded")
        await refused(daemon)
        [kept] = await rejections(daemon)
        path = f"/api/v1/rejections/{kept['id']}"
        told = await daemon.call("GET", path)
        assert "a secret that this source no longer has: put it back" in told["explanation"]
        daemon.config.write_text(config(f'{NEW_SECRET}", "{SECRET}'))
        assert await daemon.stop() == 0
        await daemon.start()
        accepted = await daemon.call("POST", f"{path}/accept", {})
        assert (await daemon.call("GET", f"/api/v1/events/{accepted['id']}"))["type"] == "shop.sold"
        for secret in (SECRET, NEW_SECRET):
            assert secret not in daemon.logged()


HASTY_UPKEEP = ("-c", "from hookd import cli, daemon\ndaemon.EXPIRE_EVERY = 0.01\ncli.main()")


async def test_what_is_old_goes(tmp_path: Path) -> None:
    with_age = config(NEW_SECRET, 'rejection_age = "1s"')
    async with Daemon(tmp_path, with_age, program=HASTY_UPKEEP) as daemon, asyncio.timeout(30):
        await refused(daemon)
        while await rejections(daemon):
            pass


async def test_none_is_kept_where_none_is_wanted(tmp_path: Path) -> None:
    async with Daemon(tmp_path, config(NEW_SECRET).replace(f"rejections = {KEPT}", "rejections = 0")) as daemon:
        await refused(daemon)
        assert await rejections(daemon) == []
