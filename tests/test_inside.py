"""Inside addresses: however they are spelled, and however DNS leads to them, none is dialled.

The names are looked up by the real getaddrinfo, which asks a name server of the test's.
"""

import asyncio
import signal
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Self

import pytest
from aiohttp import AddrInfoType

from hookd.egress import Guard, Session, literal, open_session
from hookd.model import Attempt, Outcome
from tests.daemons import Daemon
from tests.inside import NAMES, NOTATIONS, OUTSIDE, REBINDING
from tests.nameserver import GLIBC, asking, name_server
from tests.nouns import delivery_to
from tests.receivers import Receiver
from tests.test_attempt import endpoint_at, poster_of

TOP = Path(__file__).parent.parent

by_dns = pytest.mark.skipif(not GLIBC, reason="only glibc's getaddrinfo can be told whom to ask, without being root")
ways = pytest.mark.parametrize("proxied", [False, True], ids=["dialled", "through_a_proxy"])


CANONICAL = [host for host in NOTATIONS if host.strip("[]") == str(literal(host))]
"""Those that would be stored, if their addresses were allowed; the others are refused in any case."""


class Watched(Guard):
    """A guard that notes what sockets it has made."""

    def __init__(self, *allowed: str) -> None:
        super().__init__(allowed)
        self.dialled: list[str] = []

    def open_socket(self, info: AddrInfoType) -> socket.socket:
        opened = super().open_socket(info)
        self.dialled.append(str(info[4][0]))
        return opened


class Doors:
    """One port of several inside addresses, at all of which somebody listens."""

    def __enter__(self) -> Self:
        first = socket.create_server(("127.0.0.1", 0))
        self.port: int = first.getsockname()[1]
        others = [("127.8.8.8", socket.AF_INET), ("127.255.255.254", socket.AF_INET), ("::1", socket.AF_INET6)]
        self._doors = [first]
        for address, family in others:
            with suppress(OSError):  # not every machine has them all
                self._doors.append(socket.create_server((address, self.port), family=family))
        return self

    def __exit__(self, *_: object) -> None:
        for door in self._doors:
            door.close()

    def knocked(self) -> bool:
        """Say whether anybody came to any of them."""
        for door in self._doors:
            door.setblocking(False)
            with suppress(BlockingIOError):
                door.accept()[0].close()
                return True
        return False


@pytest.fixture
def doors() -> Iterator[Doors]:
    with Doors() as doors:
        yield doors


@asynccontextmanager
async def session_of(guard: Guard, proxied: bool) -> AsyncIterator[tuple[Session, Receiver]]:
    """Open a session, and a proxy whether it is used or not."""
    async with Receiver() as proxy, open_session(guard, proxy.url("") if proxied else None) as session:
        yield session, proxy


async def attempt_at(session: Session, url: str) -> Attempt:
    return await poster_of(session).attempt(delivery_to(endpoint_at(url)))


@ways
@pytest.mark.parametrize("host", NOTATIONS)
async def test_no_notation_is_dialled(host: str, proxied: bool, doors: Doors) -> None:
    guard = Watched()
    async with session_of(guard, proxied) as (session, proxy):
        attempt = await attempt_at(session, f"http://{host}:{doors.port}/hook")
    assert (attempt.status_code, proxy.connections, guard.dialled, doors.knocked()) == (None, 0, [], False)
    taken_for_no_address = not proxied and host not in CANONICAL
    assert attempt.outcome in (Outcome.BLOCKED, *((Outcome.DNS, Outcome.PROTOCOL) if taken_for_no_address else ()))


@by_dns
@ways
@pytest.mark.parametrize("name", NAMES)
async def test_no_name_is_dialled(name: str, proxied: bool, doors: Doors, monkeypatch: pytest.MonkeyPatch) -> None:
    guard = Watched(OUTSIDE)
    async with name_server(NAMES) as port, session_of(guard, proxied) as (session, proxy):
        monkeypatch.setattr(socket, "getaddrinfo", asking(port))
        attempt = await attempt_at(session, f"http://{name}:{doors.port}/hook")
    assert (attempt.status_code, proxy.connections, guard.dialled, doors.knocked()) == (None, 0, [], False)
    assert attempt.outcome is Outcome.BLOCKED


@by_dns
@pytest.mark.parametrize("name", [name for name in NAMES if name.endswith("6.example")])
async def test_a_proxy_is_given_no_address_that_this_machine_could_not_dial(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with name_server(NAMES) as port, session_of(Guard([OUTSIDE]), proxied=True) as (session, proxy):
        monkeypatch.setattr(socket, "getaddrinfo", asking(port, ipv6=False))
        assert (await attempt_at(session, f"http://{name}/hook")).outcome is Outcome.BLOCKED
        assert proxy.connections == 0


@by_dns
@pytest.mark.parametrize("name", REBINDING)
async def test_a_name_that_changes_its_mind_is_not_followed(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    guard = Watched(OUTSIDE)
    async with (
        name_server(REBINDING) as port,
        Receiver(host=OUTSIDE) as outside,
        Receiver() as inside,
        open_session(guard) as session,
    ):
        monkeypatch.setattr(socket, "getaddrinfo", asking(port))
        for _ in range(2):  # the second goes through the connection of the first, wherever the name leads by now
            assert (await attempt_at(session, outside.url(host=name))).outcome is Outcome.SUCCESS
        attempt = await attempt_at(session, inside.url(host=name))  # for another port it is looked up again
        assert attempt.outcome is Outcome.BLOCKED
        assert (outside.connections, inside.connections, guard.dialled) == (1, 0, [OUTSIDE])


@by_dns
@pytest.mark.parametrize("name", REBINDING)
async def test_a_kept_connection_to_a_proxy_carries_nothing_inside(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async with name_server(REBINDING) as port, session_of(Guard([OUTSIDE]), proxied=True) as (session, proxy):
        monkeypatch.setattr(socket, "getaddrinfo", asking(port))
        assert (await attempt_at(session, f"http://{name}/hook")).outcome is Outcome.SUCCESS
        for host in (name, "127.0.0.1", "[::ffff:127.0.0.1]", "localhost"):
            assert (await attempt_at(session, f"http://{host}/hook")).outcome is Outcome.BLOCKED
        assert (proxy.connections, len(proxy.requests)) == (1, 1)


# The whole daemon.

OPEN = 'allow = ["0.0.0.0/0", "::/0"]\n'
ENDPOINTS = "/api/v1/endpoints"


async def refused(daemon: Daemon, method: str, path: str, body: object) -> None:
    with pytest.raises(AssertionError, match=r": 422 .*#/url"):
        await daemon.call(method, path, body)


async def test_no_notation_can_be_registered_or_changed_to(tmp_path: Path) -> None:
    async with Daemon(tmp_path, "") as daemon:
        good = await daemon.register("https://example.com/hook")
        for host in NOTATIONS:
            url = f"http://{host}/hook"
            await refused(daemon, "POST", ENDPOINTS, {"url": url})
            await refused(daemon, "POST", "/api/register-webhook", {"url": url, "token": "t", "event": "e"})
            await refused(daemon, "PATCH", f"{ENDPOINTS}/{good}", {"url": url})
        listed = (await daemon.call("GET", ENDPOINTS))["data"]
        assert [(each["id"], each["url"]) for each in listed] == [(good, "https://example.com/hook")]


@by_dns
@ways
async def test_after_a_reload_nothing_inside_is_dialled_and_no_connection_is_left(
    tmp_path: Path, proxied: bool, doors: Doors
) -> None:
    async with AsyncExitStack() as stack:
        port = await stack.enter_async_context(name_server(NAMES))
        receiver, proxy = [await stack.enter_async_context(Receiver()) for _ in range(2)]
        network = "[network]\n" + (f'proxy = "{proxy.url("")}"\n' if proxied else "")
        daemon = await stack.enter_async_context(
            Daemon(tmp_path, network + OPEN, PYTHONPATH=looking_up_at(port, tmp_path))
        )
        await daemon.register(receiver.url(), event_types=["before", "after"])
        hosts = [*CANONICAL, *NAMES, "localhost"]
        inside = [await daemon.register(f"http://{host}:{doors.port}/", event_types=["after"]) for host in hosts]
        await daemon.settled(await published(daemon, "before"), "delivered")
        kept = proxy if proxied else receiver
        assert (kept.connections, len(kept.requests), len(kept._serving)) == (1, 1, 1)

        daemon.config.write_text(network + "[delivery]\nretry = []\n", "utf-8")
        daemon.process.send_signal(signal.SIGHUP)
        await daemon.logs("the configuration was reloaded")
        async with asyncio.timeout(3):  # before it would have been given up for its age
            await asyncio.gather(*kept._serving)

        deliveries = await daemon.settled(await published(daemon, "after"), "failed")
        assert len(deliveries) == len(inside) + 1
        assert {each["last_error"].partition(":")[0] for each in deliveries} == {"blocked"}
        assert (await daemon.call("POST", f"{ENDPOINTS}/{inside[0]}/test", {}))["outcome"] == "blocked"
        await refused(daemon, "PATCH", f"{ENDPOINTS}/{inside[0]}", {"url": receiver.url()})
        assert not doors.knocked()
        assert receiver.connections + proxy.connections == 1


async def published(daemon: Daemon, event_type: str) -> str:
    return str((await daemon.call("POST", "/api/v1/events", {"type": event_type, "payload": {}}))["id"])


def looking_up_at(port: int, folder: Path) -> str:
    """Answer the path of a Python whose look-ups ask a name server of ours."""
    start = f"import socket\nfrom tests.nameserver import asking\nsocket.getaddrinfo = asking({port})\n"
    (folder / "sitecustomize.py").write_text(start)
    return f"{folder}:{TOP}"
