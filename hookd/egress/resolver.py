"""The look-up of names, in threads of its own."""

import asyncio
import socket
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, Final

from aiohttp.abc import AbstractResolver, ResolveResult

from hookd.egress.guard import Guard

LOOKUPS: Final = 32
"""Look-ups at once: a name server that does not answer holds up a thread for many seconds."""

_NUMERIC: Final = socket.NI_NUMERICHOST | socket.NI_NUMERICSERV

_Question = tuple[str, int, socket.AddressFamily]


class GuardedResolver(AbstractResolver):
    """Resolves names, and refuses one altogether of which any address may not be dialled.

    Its threads are its own, since uvloop has four for the look-ups of a whole process. Whoever asks what is being
    looked up already waits for the same answer. `for_proxy`: a proxy may dial what this machine could not, and so
    all addresses are asked for.
    """

    def __init__(self, guard: Guard, *, for_proxy: bool = False) -> None:
        self._guard = guard
        self._flags = 0 if for_proxy else socket.AI_ADDRCONFIG
        self._threads = ThreadPoolExecutor(LOOKUPS, thread_name_prefix="lookup")
        self._under_way: dict[_Question, asyncio.Future[list[ResolveResult]]] = {}

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """Answer the addresses of a name; BlockedAddress, or OSError where it has none."""
        lookup = self._under_way.get((host, port, family)) or self._start((host, port, family))
        await asyncio.wait((lookup,))  # unlike a bare await this leaves it to the others when it is cancelled
        found = lookup.result()
        for result in found:
            self._guard.check(result["host"])
        return list(found)

    async def close(self) -> None:
        """Give up what is under way; a thread that is stuck in a look-up is left to end by itself."""
        for lookup in list(self._under_way.values()):
            lookup.cancel()
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _start(self, question: _Question) -> asyncio.Future[list[ResolveResult]]:
        lookup = asyncio.get_running_loop().run_in_executor(self._threads, _look_up, *question, self._flags)
        self._under_way[question] = lookup
        lookup.add_done_callback(partial(self._end, question))
        return lookup

    def _end(self, question: _Question, lookup: asyncio.Future[list[ResolveResult]]) -> None:
        del self._under_way[question]
        if not lookup.cancelled():
            lookup.exception()  # whoever still waits raises it; where nobody does, asyncio would log it


def _look_up(host: str, port: int, family: socket.AddressFamily, flags: int) -> list[ResolveResult]:
    """Ask the system for a name's addresses, as it is set up to find them."""
    try:
        found = socket.getaddrinfo(host, port, family, socket.SOCK_STREAM, flags=flags)
    except UnicodeError as error:  # a name that DNS can't even ask for
        raise socket.gaierror(socket.EAI_NONAME, str(error)) from error
    return [_result(host, port, *info) for info in found]


def _result(host: str, port: int, family: int, _kind: int, protocol: int, _name: str, address: Any) -> ResolveResult:
    numeric, _ = socket.getnameinfo(address, _NUMERIC)  # with its zone, where a link-local one has one
    return ResolveResult(
        hostname=host,
        host=numeric,
        port=port,
        family=family,
        proto=protocol,
        flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
    )
