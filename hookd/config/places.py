"""Kinds of places: hosts, addresses, networks, the proxy."""

import ipaddress
import re
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from hookd.config.kinds import Kind, got, kind, quoted, text
from hookd.policy.networks import networks

HOST_NAME = re.compile(r"(?=.{1,253}\Z)[A-Za-z0-9]([A-Za-z0-9_.-]*[A-Za-z0-9])?", re.ASCII)
LARGEST_PORT = 65_535
_NETWORK = '"loopback", "private", an address or a network such as "10.1.0.0/16"'
_PROXY = 'the URL of a proxy such as "http://proxy.example:3128"'


class Address(NamedTuple):
    """Where to listen."""

    host: str
    port: int

    def __str__(self) -> str:
        """Write it as `host:port`, an IPv6 host in brackets."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def is_host(host: str) -> bool:
    """Tell whether it is an IP address or could be a host's name."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return HOST_NAME.fullmatch(host) is not None
    return True


def is_loopback(host: str) -> bool:
    """Tell whether only this machine can reach what listens on the host."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def _address(value: Any) -> Address | None:
    host, _, port = value.rpartition(":") if isinstance(value, str) else ("", "", "")
    bracketed = host.startswith("[") and host.endswith("]")
    host = host[1:-1] if bracketed else host
    if bracketed != (":" in host):
        return None
    fits = is_host(host) and re.fullmatch(r"\d{1,5}", port, re.ASCII) and int(port) <= LARGEST_PORT
    return Address(host, int(port)) if fits else None


def _is_proxy(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0 and url.isprintable()
    except ValueError:  # a port that is no number, a bracket that is never closed
        return False


def _proxy(value: Any, *_: object) -> str:
    if isinstance(value, str) and _is_proxy(value):
        return value
    raise ValueError(f"expected {_PROXY}")  # what was there instead is not repeated: it may hold a password


def _proxy_shown(url: str) -> str:
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    return quoted(url if host == parts.netloc else parts._replace(netloc=f"***@{host}").geturl())


def _network(value: Any, *_: object) -> str:
    if not isinstance(value, str):
        raise ValueError(f"expected {_NETWORK}, got {got(value)}")  # noqa: TRY004 - ValueError is what pydantic collects
    networks(value)
    return value


HOST = text('a host or an IP address such as "127.0.0.1"', is_host)
ADDRESS = kind('an address such as "0.0.0.0:8081"', _address, lambda address: quoted(str(address)))
NETWORK = Kind(_NETWORK, _network, lambda network: quoted(str(network)))
PROXY = Kind(_PROXY, _proxy, _proxy_shown)
