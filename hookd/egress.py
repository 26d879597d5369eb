"""Which addresses may be dialled, and the HTTP session that dials no other.

Everything that is not public is refused unless `[network] allow` names it. The guard judges the addresses
that are really dialled, after DNS: a literal, a name, and a name that changes its mind meet the same check.
"""

import ipaddress
import re
import socket
import ssl
from collections.abc import Sequence
from functools import partial
from typing import Any, Final
from urllib.parse import unquote

from aiohttp import (
    AddrInfoType,
    ClientHandlerType,
    ClientRequest,
    ClientResponse,
    ClientSession,
    ClientTimeout,
    DummyCookieJar,
    TCPConnector,
    ThreadedResolver,
)
from aiohttp.abc import ResolveResult
from aiohttp.client_proto import ResponseHandler
from multidict import istr
from yarl import URL

from hookd.errors import BlockedAddress
from hookd.text import printable

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

LONGEST_URL: Final = 2048
"""Characters of the longest URL that can be registered."""

KEEP_ALIVE: Final = 4.0
"""Seconds a connection is kept idle: below the 5 s after which common receivers close theirs."""

NOT_PUBLIC: Final[dict[str, tuple[str, ...]]] = {
    "loopback": ("127.0.0.0/8", "::1/128"),
    "private": ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7", "fec0::/10"),
    "link-local": ("169.254.0.0/16", "fe80::/10"),
    "shared": ("100.64.0.0/10",),
    "unspecified": ("0.0.0.0/8", "::/128"),
    "multicast": ("224.0.0.0/4", "ff00::/8"),
    "documentation": ("192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24", "2001:db8::/32", "3fff::/20"),
    "benchmarking": ("198.18.0.0/15", "2001:2::/48"),
    "an IPv4 relay": ("192.88.99.0/24", "2001::/32", "2002::/16", "64:ff9b::/96", "64:ff9b:1::/48", "::/96"),
    "reserved": ("192.0.0.0/24", "240.0.0.0/4", "2001::/23"),
}
"""What an address is called, and the networks of that kind (IANA's special-purpose registries, RFC 6890).

A relay's address carries an IPv4 address, to which something on the way may translate it (RFC 6052, 3056).
`is_global` alone passes several of these on Python 3.11.
"""

_KINDS: Final = [(kind, ipaddress.ip_network(text)) for kind, networks in NOT_PUBLIC.items() for text in networks]
_PUBLIC_IPV6: Final = ipaddress.IPv6Network("2000::/3")  # the only block of unicast that IANA gives out
_MAPPED_IPV4: Final = ipaddress.IPv6Network("::ffff:0:0/96")
_NAMED: Final = ("loopback", "private")

_NOT_IN_URL: Final = re.compile(r"[\x00-\x20\x7f-\xa0\u2028\u2029\ud800-\udfff\\]")
_NAME: Final = re.compile(
    r"(?!(?:.*\.)?(?:\d+|0x[0-9a-f]*)\.?$)"  # a host that ends in a number is an address, or nothing
    r"(?=.{1,253}$)[a-z0-9_](?:[a-z0-9_-]{0,62})(?:\.[a-z0-9_][a-z0-9_-]{0,62})*\.?"
)


class Guard:
    """Says which addresses may be dialled: public ones and those in `allow`, and none in `deny`.

    An entry is a network, an address, or one of the names `loopback` and `private`; else ValueError.
    """

    def __init__(self, allow: Sequence[str] = (), deny: Sequence[str] = ()) -> None:
        self._allow = [network for entry in allow for network in _networks(entry)]
        self._deny = [network for entry in deny for network in _networks(entry)]

    def check(self, address: str | Address) -> None:
        """Return for an address that may be dialled; BlockedAddress, with what to do, for any other."""
        judged = _unmapped(ipaddress.ip_address(address))
        if any(judged in network for network in self._deny):
            raise BlockedAddress(f"{judged} is denied by [network] deny")
        kind = _kind(judged)
        if kind is not None and not any(judged in network for network in self._allow):
            raise BlockedAddress(f"{judged} is {kind}; add it to [network] allow")

    def open_socket(self, info: AddrInfoType) -> socket.socket:
        """Answer a new socket for an address that is about to be dialled, if it may be."""
        family, kind, protocol, _, address = info
        self.check(str(address[0]))
        return socket.socket(family, kind, protocol)


def _networks(entry: str) -> list[Network]:
    if entry in _NAMED:
        return [ipaddress.ip_network(text) for text in NOT_PUBLIC[entry]]
    try:
        network = ipaddress.ip_network(entry)
    except ValueError:
        raise ValueError(
            f'expected "loopback", "private", an address or a network such as "10.1.0.0/16", got {entry!r}'
        ) from None
    if isinstance(network, ipaddress.IPv6Network) and network.subnet_of(_MAPPED_IPV4):
        mapped = int(network.network_address) & 0xFFFF_FFFF
        return [ipaddress.IPv4Network((mapped, network.prefixlen - 96))]
    return [network]


def _unmapped(address: Address) -> Address:
    """Answer the IPv4 address that the kernel dials for an IPv4-mapped IPv6 one (RFC 4291, 2.5.5.2)."""
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return address if mapped is None else mapped


def _kind(address: Address) -> str | None:
    """Say what an address is; None for a public one."""
    for kind, network in _KINDS:
        if address in network:
            return kind
    if address.version == 6 and address not in _PUBLIC_IPV6:
        return "reserved"
    return None if address.is_global else "not public"


def check_url(url: str, guard: Guard) -> str:
    """Answer an endpoint's URL as it is to be stored; ValueError says in one line why it can't be one.

    A name is judged when it is dialled; an address, in any notation, already here.
    """
    if len(url) > LONGEST_URL:
        raise ValueError(f"expected at most {LONGEST_URL} characters, got {len(url)}")
    if _NOT_IN_URL.search(url):
        raise ValueError("expected a URL without spaces, backslashes and control characters")
    try:
        parsed = URL(url)
    except ValueError as error:
        raise ValueError(printable(f"expected an http or https URL: {error}")) from None
    if parsed.scheme not in ("http", "https") or not parsed.raw_host:
        raise ValueError("expected a URL such as https://example.com/webhook")
    if parsed.raw_user is not None or parsed.raw_password is not None:
        raise ValueError("expected a URL without credentials; put them into the endpoint's headers")
    if not parsed.port:
        raise ValueError("expected a port from 1 to 65535")
    _check_host(parsed.raw_host, guard)
    return str(parsed.with_fragment(None))


def _check_host(host: str, guard: Guard) -> None:
    address = literal(host)
    if address is not None:
        try:
            guard.check(address)
        except BlockedAddress as error:
            raise ValueError(str(error)) from None
        if address.version == 4 and host != str(address):
            raise ValueError(f"expected the address as {address}")
    elif not _NAME.fullmatch(host):
        raise ValueError(f"expected a host name or an address, got {host!a}")


def literal(host: str) -> Address | None:
    """Answer the address that a URL's host spells, in any notation of inet_aton(3); None for a name."""
    bare = unquote(host).rstrip(".").partition("%")[0]
    try:
        if ":" in bare:
            return ipaddress.IPv6Address(bare)
        return ipaddress.IPv4Address(socket.inet_aton(bare))
    except (OSError, ValueError):
        return None


class GuardedResolver(ThreadedResolver):
    """Resolves names, and refuses one altogether of which any address may not be dialled."""

    def __init__(self, guard: Guard) -> None:
        super().__init__()
        self._guard = guard

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """Answer the addresses of a name; BlockedAddress, or OSError where it has none."""
        try:
            found = await super().resolve(host, port, family)
        except UnicodeError as error:  # a name that DNS can't even ask for
            raise socket.gaierror(socket.EAI_NONAME, str(error)) from error
        for result in found:
            self._guard.check(result["host"])
        return found


class BehindProxy:
    """Judges a request's target before the proxy gets it; one that only the proxy resolves is left to it."""

    def __init__(self, guard: Guard) -> None:
        self._guard = guard
        self._resolver = GuardedResolver(guard)

    async def __call__(self, request: ClientRequest, handler: ClientHandlerType) -> ClientResponse:
        """Pass the request on unless its target may not be dialled."""
        host = request.url.raw_host or ""
        address = literal(host)
        if address is not None:
            self._guard.check(address)
        else:
            await self._resolve(host)
        return await handler(request)

    async def _resolve(self, host: str) -> None:
        try:
            await self._resolver.resolve(host, family=socket.AF_UNSPEC)
        except OSError:
            return


class _Request(ClientRequest):
    """A request that carries the headers it is given, and none by default."""

    DEFAULT_HEADERS: dict[istr, str] = {}  # noqa: RUF012 - as aiohttp declares it


class _Wire(ResponseHandler):
    """A connection that is not used again once bytes have come that nobody asked for.

    They would be taken for the answer to the next request.
    """

    def is_connected(self) -> bool:
        """Say whether the connection can carry another request."""
        return super().is_connected() and not self.should_close


class _Connector(TCPConnector):
    """A connector of such connections."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._factory = partial(_Wire, loop=self._loop)  # type: ignore[assignment] # partial is invariant


def open_session(guard: Guard, proxy: str | None = None, trusted: ssl.SSLContext | None = None) -> ClientSession:
    """Open the session of all attempts: it dials what the guard lets pass, and keeps no cookies.

    It sets no limit and no timeout: the loop bounds what is in flight, the attempt its own time. The proxy
    is dialled unjudged, since the operator named it. `trusted` stands in for the system's certificates.
    """
    connector = _Connector(
        limit=0,
        keepalive_timeout=KEEP_ALIVE,
        ssl=trusted or True,
        resolver=None if proxy else GuardedResolver(guard),
        socket_factory=None if proxy else guard.open_socket,
    )
    return ClientSession(
        connector=connector,
        cookie_jar=DummyCookieJar(),
        auto_decompress=False,
        trust_env=False,
        timeout=ClientTimeout(),
        request_class=_Request,
        proxy=proxy,
        middlewares=(BehindProxy(guard),) if proxy else (),
    )
