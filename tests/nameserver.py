"""A name server on loopback, and a way to have getaddrinfo(3) ask it, which takes no root."""

import asyncio
import ctypes
import platform
import socket
import struct
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from ipaddress import ip_address
from typing import Any, Final, cast

Zone = Mapping[str, Sequence[Sequence[str]]]
"""What names mean: addresses, or the one name that it is an alias of; a look-up gets the next answer, or the last."""

GLIBC: Final = platform.libc_ver()[0] == "glibc"
"""Whether getaddrinfo can be told whom to ask: of other C libraries' only the machine's files can tell it."""

A, CNAME, AAAA = 1, 5, 28
NO_SUCH_NAME = 3
ANSWER = 0x8180
"""A response, recursion desired and available (RFC 1035, 4.1.1)."""


class NameServer(asyncio.DatagramProtocol):
    """Answers questions over UDP (RFC 1035, 3596). Every answer is to be forgotten at once: its TTL is 0."""

    def __init__(self, zone: Zone) -> None:
        self.asked: Counter[tuple[str, int]] = Counter()
        self._zone = zone

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin to answer."""
        self._transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, address: Any) -> None:
        """Answer a question."""
        name, kind, end = _question(data)
        records = self._records(name, kind)
        status = 0 if name in self._zone else NO_SUCH_NAME
        head = data[:2] + struct.pack(">HHHHH", ANSWER | status, 1, len(records), 0, 0)
        self._transport.sendto(head + data[12:end] + b"".join(records), address)

    def _records(self, name: str, kind: int) -> list[bytes]:
        """Answer the records of a name, of the names that it is an alias of too."""
        if name not in self._zone:
            return []
        answers = self._zone[name]
        meant = answers[min(self.asked[name, kind], len(answers) - 1)]
        self.asked[name, kind] += 1
        if meant[0] in self._zone:
            return [_record(name, CNAME, _spelled(meant[0])), *self._records(meant[0], kind)]
        wanted = [ip_address(each) for each in meant]
        return [_record(name, kind, each.packed) for each in wanted if (A if each.version == 4 else AAAA) == kind]


def _question(message: bytes) -> tuple[str, int, int]:
    """Answer the name and the kind that a message asks for, and where its question ends."""
    labels, at = [], 12
    while size := message[at]:
        labels.append(message[at + 1 : at + 1 + size].decode("ascii"))
        at += 1 + size
    return ".".join(labels).lower(), int.from_bytes(message[at + 1 : at + 3], "big"), at + 5


def _record(name: str, kind: int, content: bytes) -> bytes:
    return _spelled(name) + struct.pack(">HHIH", kind, 1, 0, len(content)) + content


def _spelled(name: str) -> bytes:
    return b"".join(bytes([len(label)]) + label.encode("ascii") for label in name.split(".")) + b"\0"


@asynccontextmanager
async def name_server(zone: Zone) -> AsyncIterator[int]:
    """Serve a zone on loopback, at the port that is answered."""
    transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(lambda: NameServer(zone), ("127.0.0.1", 0))
    try:
        yield int(transport.get_extra_info("sockname")[1])
    finally:
        transport.close()


# resolver(3): each thread has a state of its own, whose first fields have stood in <resolv.h> since 1996.


class _Address(ctypes.Structure):
    _fields_ = (
        ("family", ctypes.c_uint16),
        ("port", ctypes.c_uint16),
        ("address", ctypes.c_uint8 * 4),
        ("zero", ctypes.c_uint8 * 8),
    )


class _State(ctypes.Structure):
    _fields_ = (
        ("seconds", ctypes.c_int),
        ("tries", ctypes.c_int),
        ("options", ctypes.c_ulong),
        ("count", ctypes.c_int),
        ("servers", _Address * 3),
    )


def asking(port: int, *, ipv6: bool = True) -> Callable[..., Any]:
    """Answer a `socket.getaddrinfo` that asks the name server at a port of loopback for what no file tells it.

    It is that of a machine which has an IPv6 address of its own, or none, whatever this one has.
    """
    look_up = socket.getaddrinfo
    library = ctypes.CDLL(None)
    library.__res_state.restype = ctypes.POINTER(_State)

    def getaddrinfo(host: Any, service: Any, family: int = 0, kind: int = 0, protocol: int = 0, flags: int = 0) -> Any:
        library.__res_init()
        state = library.__res_state().contents
        state.count = 1
        state.servers[0] = _Address(socket.AF_INET, socket.htons(port), (ctypes.c_uint8 * 4)(127, 0, 0, 1))
        if flags & socket.AI_ADDRCONFIG and not ipv6:
            family = socket.AF_INET
        return look_up(host, service, family, kind, protocol, flags & ~socket.AI_ADDRCONFIG)

    return getaddrinfo
