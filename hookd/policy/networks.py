"""Networks as people write them, who is in one, and who calls from behind a proxy."""

import ipaddress
import re
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Final

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Networks = tuple[Network, ...]

NAMED: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        "loopback": ("127.0.0.0/8", "::1/128"),
        "private": ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7", "fec0::/10"),
    }
)
"""The networks that have a name here."""

_MAPPED_IPV4: Final = ipaddress.IPv6Network("::ffff:0:0/96")
_WITH_PORT: Final = re.compile(r"(?P<ipv4>[\d.]+):\d+|\[(?P<ipv6>[^\]]*)\](:\d+)?", re.ASCII)


def networks(entry: str) -> Networks:
    """Answer what a network, an address, or one of the names `loopback` and `private` stands for; else ValueError."""
    if entry in NAMED:
        return tuple(ipaddress.ip_network(text) for text in NAMED[entry])
    try:
        network = ipaddress.ip_network(entry)
    except ValueError:
        expected = 'expected "loopback", "private", an address or a network such as "10.1.0.0/16"'
        raise ValueError(f"{expected}, got {entry!r}{_hint(entry)}") from None
    if isinstance(network, ipaddress.IPv6Network) and network.subnet_of(_MAPPED_IPV4):
        mapped = int(network.network_address) & 0xFFFF_FFFF
        return (ipaddress.IPv4Network((mapped, network.prefixlen - 96)),)
    return (network,)


def _hint(entry: str) -> str:
    """Name the network of an address that stands in its place."""
    try:
        return f"; did you mean {ipaddress.ip_network(entry, strict=False)}?"
    except ValueError:
        return ""


def all_networks(entries: Iterable[str]) -> Networks:
    """Answer what several entries stand for."""
    return tuple(network for entry in entries for network in networks(entry))


def unmapped(address: Address) -> Address:
    """Answer the IPv4 address that the kernel means by an IPv4-mapped IPv6 one (RFC 4291, 2.5.5.2)."""
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return address if mapped is None else mapped


def is_within(address: Address, allowed: Iterable[Network]) -> bool:
    """Say whether an address is in one of the networks."""
    return any(address in network for network in allowed)


def caller(peer: str, forwarded: Sequence[str], proxies: Sequence[Network]) -> Address | None:
    """Answer who calls: the peer or, where that is a trusted proxy, who that says it forwards for.

    `forwarded` are the values of X-Forwarded-For, in their order. Each proxy adds at the end whom it hears, so the last
    hop that is no trusted proxy is the caller; whatever stands before it anybody could have written. None where that
    hop is no address.
    """
    hops = [hop for value in forwarded for hop in value.split(",")]
    address = _address(peer)
    while hops and address is not None and is_within(address, proxies):
        address = _address(hops.pop())
    return address


def _address(text: str) -> Address | None:
    """Read an address, as some proxies write it with a port, and IPv6 in brackets."""
    bare = text.strip()
    ported = _WITH_PORT.fullmatch(bare)
    if ported is not None:
        bare = ported["ipv4"] or ported["ipv6"]
    try:
        return unmapped(ipaddress.ip_address(bare.partition("%")[0]))
    except ValueError:
        return None
