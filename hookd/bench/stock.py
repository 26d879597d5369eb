"""What a store holds before the daemon starts: written straight into its file, by hookd's own store, and quickly."""

import asyncio
import contextlib
import itertools
import random
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from hookd.accept import Acceptor
from hookd.bench.place import opened
from hookd.bench.stand import PAYLOAD
from hookd.bench.subject import EVENT_TYPE
from hookd.ids import IdFactory
from hookd.metrics import Metrics
from hookd.model import Publication, wall_clock
from hookd.store import Store

T = TypeVar("T")

_TOGETHER = 5_000
"""Writes that are committed at once: below what the store lets wait."""
_DEDUPE = 24 * 60 * 60 * 1000


class Stock:
    """Writes endpoints and waiting deliveries; nothing is sent, since no daemon runs."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.ids = _ids()
        self._acceptor = Acceptor(store, Metrics(), wall_clock, _ids())

    async def publish(self, endpoints: Sequence[str], count: int) -> None:
        """Publish so many events, each to one endpoint, to one after the other."""
        for turns in _batches(itertools.cycle(endpoints), count):
            await asyncio.gather(*(self._acceptor.publish(_event(endpoint)) for endpoint in turns))

    async def multiply(self, endpoint: str, count: int) -> None:
        """Add so many endpoints like one that there is, each subscribed to a type of its own."""
        example = await self.store.endpoint(endpoint, None)
        for numbers in _batches(itertools.count(), count):
            endpoints = (
                replace(example, id=self.ids("ep"), event_types=(f"bench.other.{number}",)) for number in numbers
            )
            await asyncio.gather(*map(self.store.create_endpoint, endpoints))


def _event(endpoint: str) -> Publication:
    return Publication(EVENT_TYPE, PAYLOAD.encode(), endpoints=(endpoint,))


def _ids() -> IdFactory:
    return IdFactory(wall_clock, random.SystemRandom())


def _batches(values: Iterator[T], count: int) -> Iterator[list[T]]:
    taken = itertools.islice(values, count)
    while batch := list(itertools.islice(taken, _TOGETHER)):
        yield batch


@contextlib.asynccontextmanager
async def stocked(directory: Path) -> AsyncIterator[Stock]:
    """Open the store in a daemon's directory while that daemon does not run."""
    async with opened(directory, wall_clock, _ids(), _DEDUPE) as store:
        running = asyncio.create_task(store.run())
        try:
            yield Stock(store)
        finally:
            store.stop()
            await running
