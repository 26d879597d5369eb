"""What every scenario stands on: the sink, the generator, the event that is sent, and a directory."""

import contextlib
import itertools
import os
import tempfile
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

from hookd.bench.subject import EVENT_TYPE, IN_FLIGHT, Subject, subject
from hookd.bench.wire import BenchError
from hookd.bench.worker import Answer, Worker, hire

BODY_SIZE = 400
CONNECTIONS = 64
WARM_UP = 1000
_PATIENCE = 60.0
_SLOWEST_RATE = 200

_EMPTY_PAYLOAD = '{"filler":""}'
PAYLOAD = '{"filler":"' + "x" * (BODY_SIZE - len(_EMPTY_PAYLOAD)) + '"}'
PUBLISH = '{"type":"' + EVENT_TYPE + '","payload":' + PAYLOAD + "}"
"""What is published; what is delivered is the payload."""


@dataclass(frozen=True, slots=True)
class Stand:
    """The sink and the generator, ready for any number of rounds."""

    sink: Worker
    generator: Worker
    directory: Path
    _numbers: "itertools.count[int]" = field(default_factory=itertools.count)

    @contextlib.asynccontextmanager
    async def fresh_subject(self) -> AsyncIterator[Subject]:
        """Run a daemon that has never run before."""
        directory = self.directory / f"hookd-{next(self._numbers)}"
        directory.mkdir()
        async with subject(directory) as running:
            yield running

    async def publish(self, running: Subject, count: int) -> Answer:
        """Publish so many events to hookd as fast as it accepts them."""
        return await self.load(running.port, "/api/v1/events", count)

    async def load(self, port: int, path: str, count: int) -> Answer:
        """POST what is published, so many times, over the usual number of connections."""
        return await self.generator.ask(
            "burst", port=port, path=path, body=PUBLISH, count=count, connections=min(CONNECTIONS, count)
        )

    async def expect(self, count: int) -> None:
        """Have the sink begin to count anew."""
        await self.sink.ask("expect", count=count)

    async def arrived(self, count: int) -> float:
        """Wait until the sink has as many events as expected; answer the moment of the last."""
        seen = await self.sink.ask("wait", seconds=_PATIENCE + count / _SLOWEST_RATE)
        if seen["distinct"] != count:
            raise BenchError(f"{seen['distinct']} of {count} events arrived at the sink, then time was up")
        return float(seen["last"])

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
        url = f"http://127.0.0.1:{self.sink.port}/hook"
        posted = await client.ask("flood", url=url, body=PAYLOAD, count=count, in_flight=IN_FLIGHT)
        return count / (await self.arrived(count) - float(posted["started"]))


def disk() -> Path:
    """Answer where files reach a disk: $TMPDIR if it is set, else here; /tmp is often kept in memory."""
    return Path(os.environ.get("TMPDIR") or Path.cwd())


@contextlib.asynccontextmanager
async def stand() -> AsyncIterator[Stand]:
    """Set everything up in a temporary directory, and clear it away afterwards."""
    with tempfile.TemporaryDirectory(prefix=".hookd-bench-", dir=disk()) as name:
        directory = Path(name)
        async with hire("sink", directory) as sink, hire("generator", directory) as generator:
            yield Stand(sink, generator, directory)
