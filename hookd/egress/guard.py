"""Which addresses may be dialled, and which URLs name none but those."""

import ipaddress
import re
import socket
from collections.abc import Sequence
from typing import Final
from urllib.parse import unquote

from aiohttp import AddrInfoType
from yarl import URL

from hookd.errors import BlockedAddress
from hookd.policy.networks import NAMED, Address, all_networks, is_within, unmapped
from hookd.text import printable

LONGEST_URL: Final = 2048
"""Characters of the longest URL that can be registered."""

NOT_PUBLIC: Final[dict[str, tuple[str, ...]]] = {
    **NAMED,
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
        self._allow = all_networks(allow)
        self._deny = all_networks(deny)

    def check(self, address: str | Address) -> None:
        """Return for an address that may be dialled; BlockedAddress, with what to do, for any other."""
        judged = unmapped(ipaddress.ip_address(address))
        if is_within(judged, self._deny):
            raise BlockedAddress(f"{judged} is denied by [network] deny")
        kind = _kind(judged)
        if kind is not None and not is_within(judged, self._allow):
            raise BlockedAddress(f"{judged} is {kind}; add it to [network] allow")

    def open_socket(self, info: AddrInfoType) -> socket.socket:
        """Answer a new socket for an address that is about to be dialled, if it may be."""
        family, kind, protocol, _, address = info
        self.check(str(address[0]))
        return socket.socket(family, kind, protocol)


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
