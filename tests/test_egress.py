import asyncio
import ipaddress
import socket
import threading
from collections.abc import Iterator, Mapping

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from yarl import URL

from hookd.egress import Guard, Session, check_url, literal, open_session
from hookd.egress.resolver import LOOKUPS, GuardedResolver
from hookd.errors import BlockedAddress
from tests.inside import NOTATIONS
from tests.receivers import Connection, Receiver, Request


async def status_of(session: Session, url: str, headers: Mapping[str, str] = {}) -> int:
    answer = await session.post(url, headers, b"x")
    answer.end()
    return answer.status


PUBLIC = ["1.1.1.1", "8.8.8.8", "172.32.0.1", "192.167.255.255", "100.128.0.0", "2606:4700::1111", "2a00::1"]


@pytest.mark.parametrize("host", NOTATIONS)
def test_a_blocked_address_is_refused_in_every_notation(host: str) -> None:
    with pytest.raises(ValueError, match=r" is [\w -]+; add it to \[network\] allow$"):
        check_url(f"http://{host}/hook", Guard())


@pytest.mark.parametrize("address", PUBLIC)
def test_a_public_address_may_be_dialled(address: str) -> None:
    Guard().check(address)
    host = f"[{address}]" if ":" in address else address
    assert check_url(f"https://{host}:8443/hook", Guard()) == f"https://{host}:8443/hook"


@pytest.mark.parametrize(
    ("entry", "address"),
    [
        ("loopback", "127.0.0.1"),
        ("loopback", "127.9.9.9"),
        ("loopback", "::1"),
        ("loopback", "::ffff:127.0.0.1"),
        ("private", "10.1.2.3"),
        ("private", "172.18.0.4"),
        ("private", "192.168.0.1"),
        ("private", "fd00::1"),
        ("10.1.0.0/16", "10.1.2.3"),
        ("10.1.2.3", "10.1.2.3"),
        ("::ffff:10.0.0.0/104", "10.1.2.3"),
        ("64:ff9b::/96", "64:ff9b::101:101"),
    ],
)
def test_allow_opens_what_it_names(entry: str, address: str) -> None:
    Guard(allow=[entry]).check(address)
    with pytest.raises(BlockedAddress):
        Guard().check(address)


@pytest.mark.parametrize("address", ["127.0.0.1", "169.254.169.254", "100.64.0.1", "fe80::1", "0.0.0.0", "::"])
def test_private_does_not_open_what_is_not_private(address: str) -> None:
    with pytest.raises(BlockedAddress):
        Guard(allow=["private"]).check(address)


@pytest.mark.parametrize("address", ["10.1.2.3", "::ffff:10.1.2.3"])
def test_deny_beats_allow(address: str) -> None:
    guard = Guard(allow=["private"], deny=["10.1.0.0/16"])
    with pytest.raises(BlockedAddress, match=r"^10\.1\.2\.3 is denied by \[network\] deny$"):
        guard.check(address)
    guard.check("10.2.0.1")


def test_deny_blocks_a_public_address() -> None:
    with pytest.raises(BlockedAddress):
        Guard(deny=["8.8.8.0/24"]).check("8.8.8.8")


@pytest.mark.parametrize("entry", ["", "public", "10.0.0.0/33", "10.0.0.1/8", "example.com", "Loopback"])
def test_an_entry_that_is_no_network_is_an_error_of_one_line(entry: str) -> None:
    with pytest.raises(ValueError, match=r"^expected .+, got .+$"):
        Guard(allow=[entry])
    with pytest.raises(ValueError, match=r"^expected .+, got .+$"):
        Guard(deny=[entry])


@pytest.mark.parametrize(
    ("address", "kind"),
    [
        ("172.18.0.4", "private"),
        ("fec0::1", "private"),
        ("::1", "loopback"),
        ("169.254.169.254", "link-local"),
        ("100.64.0.1", "shared"),
        ("0.0.0.0", "unspecified"),
        ("ff02::1", "multicast"),
        ("2001:db8::1", "documentation"),
        ("198.19.0.1", "benchmarking"),
        ("64:ff9b::1.1.1.1", "an IPv4 relay"),
        ("2002:101:101::", "an IPv4 relay"),
        ("240.0.0.1", "reserved"),
        ("4000::1", "reserved"),
    ],
)
def test_the_text_says_what_an_address_is_and_what_to_do(address: str, kind: str) -> None:
    with pytest.raises(BlockedAddress) as caught:
        Guard().check(address)
    shown = ipaddress.ip_address(address)
    assert str(caught.value) == f"{shown} is {kind}; add it to [network] allow"


@pytest.mark.parametrize(
    "url",
    [
        "",
        "hook",
        "//example.com/",
        "ftp://example.com/",
        "file:///etc/passwd",
        "http://",
        "http:///hook",
        "http://user:password@example.com/",
        "http://user@example.com/",
        "http://@example.com:0/",
        "http://example.com:0/",
        "http://example.com:65536/",
        "http://example.com:x/",
        "http://example.com/a b",
        "http://example.com/\x00",
        "http://example.com/\n",
        "http://example.com/\x85",
        "http://example.com\\@127.0.0.1/",
        "http://example.com/\ud800",
        "http://exa%mple.com/",
        "http://ex%00ample.com/",
        "http://a..b/",
        "http://.../",
        "http://300.1.1.1/",
        "http://1.2.3.4.5/",
        "http://16843009/",
        "http://0x1.0x1.0x1.0x1/",
        "http://[::1/",
        "http://" + "a" * 64 + ".com/",
        "http://" + "a." * 130 + "com/",
        "http://example.com/" + "a" * 2048,
    ],
)
def test_what_is_no_url_is_refused_in_one_line(url: str) -> None:
    with pytest.raises(ValueError, match=r"\A[^\r\n]+\Z"):
        check_url(url, Guard())


@pytest.mark.parametrize(
    ("url", "stored"),
    [
        ("https://example.com/hook", "https://example.com/hook"),
        ("https://example.com", "https://example.com"),
        ("HTTPS://Example.COM/Hook?a=b#top", "https://example.com/Hook?a=b"),
        ("http://example.com:65535/", "http://example.com:65535/"),
        ("http://my_app:8080/a%2Fb?q=%20", "http://my_app:8080/a%2Fb?q=%20"),
        ("http://localhost/", "http://localhost/"),
        ("http://bücher.example/ü", "http://xn--bcher-kva.example/%C3%BC"),
        ("http://example.com./", "http://example.com./"),
    ],
)
def test_a_url_is_stored_as_it_will_be_asked_for(url: str, stored: str) -> None:
    assert check_url(url, Guard()) == stored


@given(st.text() | st.from_regex(r"https?://[^/]{1,30}(/.*)?", fullmatch=True))
@example("http://1\u3002")
def test_any_text_is_refused_in_one_line_or_safe(text: str) -> None:
    refusal, stored = "", ""
    try:
        stored = check_url(text, Guard())
    except ValueError as error:
        refusal = str(error)
    assert refusal.isprintable()
    if refusal:
        return
    assert check_url(stored, Guard()) == stored
    parsed = URL(stored)
    assert parsed.scheme in ("http", "https")
    assert parsed.user is None
    assert parsed.raw_host is not None
    address = literal(parsed.raw_host)
    assert address is None or address.is_global


@given(st.ip_addresses())
def test_only_global_unicast_passes(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> None:
    try:
        Guard().check(address)
    except BlockedAddress:
        return
    judged = (address.version == 6 and address.ipv4_mapped) or address
    assert judged.is_global
    assert not judged.is_multicast
    assert not judged.is_reserved


@given(st.ip_addresses(v=4))
def test_an_ipv4_address_in_ipv6_clothes_is_judged_as_itself(address: ipaddress.IPv4Address) -> None:
    def passes(judged: str) -> bool:
        try:
            Guard(allow=["private"], deny=["10.0.0.0/9"]).check(judged)
        except BlockedAddress:
            return False
        return True

    assert passes(str(address)) == passes(f"::ffff:{address}")


async def test_a_name_is_judged_after_dns() -> None:
    async with Receiver() as receiver, open_session(Guard()) as session:
        assert check_url(receiver.url(host="localhost"), Guard())
        with pytest.raises(BlockedAddress, match="is loopback"):
            await session.post(receiver.url(host="localhost"), {}, b"")
        assert receiver.connections == 0


async def test_a_name_with_one_blocked_address_is_not_dialled_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    async with Receiver() as receiver, open_session(Guard(allow=["127.0.0.1"])) as session:
        addresses: list[tuple[object, ...]] = [
            (socket.AF_INET, socket.SOCK_STREAM, 6, "", (host, receiver.port)) for host in ("127.0.0.1", "10.255.255.1")
        ]

        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: addresses)
        with pytest.raises(BlockedAddress, match=r"^10\.255\.255\.1 is private"):
            await session.post(receiver.url(host="two.example"), {}, b"")
        assert receiver.connections == 0
        del addresses[1]
        assert await status_of(session, receiver.url(host="one.example")) == 200


# Look-ups


class NameServers:
    """Stands in for the system's look-up of names: each is 127.0.0.1, but `dead` ones are not answered until `end`."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.end = threading.Event()
        self._arrived = threading.Semaphore(0)

    def __call__(self, host: str, port: int, *_: object, **__: object) -> list[tuple[object, ...]]:
        self.asked.append(host)
        self._arrived.release()
        if host.startswith("dead"):
            self.end.wait(30)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]

    async def asked_for(self, count: int) -> None:
        for _ in range(count):
            await asyncio.to_thread(self._arrived.acquire, timeout=10)


@pytest.fixture
def name_servers(monkeypatch: pytest.MonkeyPatch) -> Iterator[NameServers]:
    servers = NameServers()
    monkeypatch.setattr(socket, "getaddrinfo", servers)
    yield servers
    servers.end.set()


async def test_name_servers_that_do_not_answer_hold_up_nobody_else(name_servers: NameServers) -> None:
    async with asyncio.timeout(20), Receiver() as receiver, open_session(Guard(["loopback"])) as session:
        dead = [
            asyncio.ensure_future(status_of(session, f"http://dead{number}.example/")) for number in range(LOOKUPS - 1)
        ]
        await name_servers.asked_for(len(dead))
        assert await status_of(session, receiver.url(host="alive.example")) == 200
        for task in dead:
            task.cancel()
        await asyncio.wait(dead)


async def test_a_look_up_under_way_is_shared_and_survives_one_that_gives_up(name_servers: NameServers) -> None:
    resolver = GuardedResolver(Guard(["loopback"]))
    first, second = (asyncio.create_task(resolver.resolve("dead.example", 80)) for _ in range(2))
    await name_servers.asked_for(1)
    first.cancel()
    await asyncio.wait([first])
    name_servers.end.set()
    assert [result["host"] for result in await second] == ["127.0.0.1"]
    assert first.cancelled()
    assert name_servers.asked == ["dead.example"]
    await resolver.resolve("dead.example", 80)
    assert name_servers.asked == ["dead.example"] * 2
    await resolver.close()


@pytest.mark.parametrize("proxy", [None, "http://127.0.0.1:9"])
async def test_the_session_closes_while_a_look_up_is_stuck(name_servers: NameServers, proxy: str | None) -> None:
    session = open_session(Guard(), proxy=proxy)
    stuck = asyncio.ensure_future(status_of(session, "http://dead.example/"))
    await name_servers.asked_for(1)
    async with asyncio.timeout(20):
        await session.close()
        await asyncio.wait([stuck])
    assert not name_servers.end.is_set()
    assert stuck.cancelled() or stuck.exception()


async def test_an_address_is_not_looked_up(name_servers: NameServers) -> None:
    async with Receiver() as receiver, open_session(Guard(["loopback"])) as session:
        assert await status_of(session, receiver.url()) == 200
    assert name_servers.asked == []


async def test_the_session_keeps_no_cookies_and_adds_no_headers() -> None:
    async def behave(connection: Connection, request: Request) -> None:
        await connection.send(b"HTTP/1.1 200 OK\r\nSet-Cookie: a=b\r\nContent-Length: 0\r\n\r\n")

    async with Receiver(behave) as receiver, open_session(Guard(["loopback"])) as session:
        headers = {"content-type": "text/plain", "user-agent": "hookd"}
        for _ in range(2):
            await status_of(session, receiver.url(host="localhost"), headers)
        expected = {"host", "content-type", "content-length", "user-agent"}
        assert [set(request.headers) for request in receiver.requests] == [expected, expected]


async def test_the_session_takes_no_proxy_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    async with Receiver() as proxy, Receiver() as receiver:
        monkeypatch.setenv("http_proxy", proxy.url("/"))
        async with open_session(Guard(["loopback"])) as session:
            assert await status_of(session, receiver.url()) == 200
        assert (proxy.connections, receiver.connections) == (0, 1)


async def test_a_proxy_is_dialled_unjudged_and_gets_what_it_alone_can_resolve() -> None:
    async with Receiver() as proxy, open_session(Guard(), proxy=proxy.url("")) as session:
        assert await status_of(session, "http://only-the-proxy-knows.invalid/hook") == 200
        assert proxy.requests[0].line == "POST http://only-the-proxy-knows.invalid/hook HTTP/1.1"
