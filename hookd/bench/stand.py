"""What every scenario stands on: the sink, the generator, the event that is sent, and a directory."""

import contextlib
import itertools
import os
import socket
import tempfile
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from hookd.bench.place import Places
from hookd.bench.subject import EVENT_TYPE, IN_FLIGHT, Subject, subject
from hookd.bench.wire import BenchError
from hookd.bench.worker import Answer, Worker, hire

BODY_SIZE = 400
CONNECTIONS = 64
WARM_UP = 1000
_PATIENCE = 60.0
_SLOWEST_RATE = 200
_HOSTS_OF_A_BLOCK = 250

_EMPTY_PAYLOAD = '{"filler":""}'
PAYLOAD = '{"filler":"' + "x" * (BODY_SIZE - len(_EMPTY_PAYLOAD)) + '"}'


def publication(event_type: str) -> str:
    """Write what is published; what is delivered is the payload."""
    return '{"type":"' + event_type + '","payload":' + PAYLOAD + "}"


PUBLISH = publication(EVENT_TYPE)


class Span(NamedTuple):
    """When the last delivery came that was skipped, and the last of all, in seconds of the monotonic clock."""

    began: float
    ended: float


@dataclass(frozen=True, slots=True)
class Stand:
    """The sink and the generator, ready for any number of rounds."""

    sink: Worker
    generator: Worker
    directory: Path
    level: str = "warning"
    """What the daemons log."""
    advance: Callable[[], object] = lambda: None
    """Called at the end of each step of a scenario."""
    places: Places = field(default_factory=Places)
    """Where the daemons keep their stores."""
    _numbers: "itertools.count[int]" = field(default_factory=itertools.count)

    async def fresh_directory(self) -> Path:
        """Make a directory for a daemon, and a place for its store."""
        directory = self.directory / f"hookd-{next(self._numbers)}"
        directory.mkdir()
        await self.places.furnish(directory)
        return directory

    def run(self, directory: Path, *, in_flight: int | None = IN_FLIGHT) -> AbstractAsyncContextManager[Subject]:
        """Run a daemon on the store in a directory."""
        return subject(directory, level=self.level, in_flight=in_flight)

    @contextlib.asynccontextmanager
    async def fresh_subject(self, *, in_flight: int | None = IN_FLIGHT) -> AsyncIterator[Subject]:
        """Run a daemon that has never run before."""
        async with self.run(await self.fresh_directory(), in_flight=in_flight) as running:
            yield running

    async def publish(self, running: Subject, count: int, event_type: str = EVENT_TYPE) -> Answer:
        """Publish so many events to hookd as fast as it accepts them."""
        return await self.load(running.port, "/api/v1/events", count, publication(event_type))

    async def load(self, port: int, path: str, count: int, body: str = PUBLISH) -> Answer:
        """POST what is published, so many times, over the usual number of connections."""
        return await self.generator.ask(
            "burst", port=port, path=path, body=body, count=count, connections=min(CONNECTIONS, count)
        )

    async def expect(self, count: int, skipped: int = 0) -> None:
        """Have the sink begin to count anew."""
        await self.sink.ask("expect", count=count, skipped=skipped)

    async def arrived(self, count: int) -> float:
        """Wait until the sink has as many deliveries as expected; answer the moment of the last."""
        return (await self.span(count)).ended

    async def span(self, count: int) -> Span:
        """Wait until the sink has as many deliveries as expected; answer when they came."""
        seen = await self.sink.ask("wait", seconds=_PATIENCE + count / _SLOWEST_RATE)
        if seen["distinct"] < count:
            raise BenchError(f"{seen['distinct']} of {count} events arrived at the sink, then time was up")
        return Span(seen["began"], seen["last"])

    async def warm_up(self, running: Subject, events: int) -> tuple[str, int]:
        """Register the sink and send it a few events; answer the endpoint and how many were delivered."""
        endpoint = await running.register(self.sink.port)
        count = min(WARM_UP, events)
        await self.expect(count)
        await self.publish(running, count)
        await self.arrived(count)
        await running.delivered(count)
        return endpoint, count

    async def bare_client_rate(self, client: Worker, count: int) -> float:
        """Measure the yardstick of delivery, in deliveries a second: sign and POST, with nothing stored."""
        await self.expect(count)
        began = await self.flood(client, [f"http://127.0.0.1:{self.sink.port}/hook"], count)
        return count / (await self.arrived(count) - began)

    async def flood(self, client: Worker, urls: Sequence[str], count: int) -> float:
        """Have the bare client POST so many times, to one URL after the other; answer the moment of the first."""
        posted = await client.ask("flood", urls=list(urls), body=PAYLOAD, count=count, in_flight=IN_FLIGHT)
        return float(posted["started"])

    def destinations(self, count: int) -> list[str]:
        """Answer so many URLs at which the sink is found, each with a host and a path of its own.

        BenchError where not all of 127.0.0.0/8 is loopback.
        """
        _expect_hosts()
        places = (divmod(number, _HOSTS_OF_A_BLOCK) for number in range(count))
        return [f"http://127.1.{block}.{host + 1}:{self.sink.port}/hook/{block}/{host}" for block, host in places]


def _expect_hosts() -> None:
    with socket.socket() as probe:
        try:
            probe.bind(("127.1.0.1", 0))
        except OSError as error:
            raise BenchError(f"this machine is not 127.1.0.1 as well ({error.strerror}); run this on Linux") from None


def disk() -> Path:
    """Answer where files reach a disk: $TMPDIR if it is set, else here; /tmp is often kept in memory."""
    return Path(os.environ.get("TMPDIR") or Path.cwd())


@contextlib.asynccontextmanager
async def stand(
    level: str = "warning", advance: Callable[[], object] = lambda: None, server: str | None = None
) -> AsyncIterator[Stand]:
    """Set everything up in a temporary directory, and clear it away afterwards; `server` is PostgreSQL's."""
    places = Places(server)
    with tempfile.TemporaryDirectory(prefix=".hookd-bench-", dir=disk()) as name:
        directory = Path(name)
        async with hire("sink", directory) as sink, hire("generator", directory) as generator:
            try:
                yield Stand(sink, generator, directory, level, advance, places)
            finally:
                await places.clear()
