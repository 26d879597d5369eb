"""The sink and the generator against each other, and the yardsticks, in real processes."""

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from yarl import URL

from hookd.bench.sink import Arrivals, Sink
from hookd.bench.stand import CONNECTIONS, PAYLOAD, PUBLISH, Stand, stand
from hookd.bench.stock import stocked
from hookd.bench.wire import BenchError
from hookd.bench.worker import hire

EVENTS = 200


def names(directory: Path) -> list[str]:
    return [path.name for path in directory.iterdir()]


@pytest.fixture
async def ready(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Stand]:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    async with stand() as ready:
        yield ready


def test_the_payload_is_of_the_size_it_claims() -> None:
    assert len(PAYLOAD) == 400
    assert PAYLOAD in PUBLISH


async def test_every_delivery_of_the_bare_client_arrives(ready: Stand) -> None:
    async with hire("client", ready.directory) as client:
        assert await ready.bare_client_rate(client, EVENTS) > 0
        moments = await ready.sink.ask("moments")
    assert len(moments) == EVENTS
    assert list(moments.values()) == sorted(moments.values())


async def test_the_sink_tells_repeats_from_events(ready: Stand) -> None:
    await ready.expect(1)
    await ready.load(ready.sink.port, "/", EVENTS)  # no id, so that all are one and the same
    seen = await ready.sink.ask("wait", seconds=30)
    assert (seen["received"], seen["distinct"]) == (EVENTS, 1)


async def test_an_event_counts_once_at_each_destination(ready: Stand) -> None:
    await ready.expect(2)
    for path in ("/hook/0/0", "/hook/0/1"):
        await ready.load(ready.sink.port, path, 3)  # no id, so that all are one and the same
    seen = await ready.sink.ask("wait", seconds=30)
    assert (seen["received"], seen["distinct"]) == (6, 2)


async def test_the_time_counts_from_what_is_skipped(ready: Stand) -> None:
    urls = ready.destinations(300)
    assert len({url.split("/")[2] for url in urls}) == len({URL(url).path for url in urls}) == 300
    await ready.expect(600, skipped=300)
    async with hire("client", ready.directory) as client:
        began = await ready.flood(client, urls, 600)
    span = await ready.span(600)
    assert began < span.began < span.ended


async def test_the_troubled_are_what_they_are_called(ready: Stand) -> None:
    """All are asked at once; the slow one answers while the silent and the dripping ones are not done."""
    connections = {
        name: await asyncio.open_connection("127.0.0.1", ready.sink.port) for name in ("silent", "slow", "drip")
    }
    for name, (_, writer) in connections.items():
        writer.write(f"POST /{name} HTTP/1.1\r\ncontent-length: 0\r\n\r\n".encode())
    answers = {name: asyncio.create_task(reader.readuntil(b"ok")) for name, (reader, _) in connections.items()}
    done, _ = await asyncio.wait(answers.values(), return_when=asyncio.FIRST_COMPLETED)
    assert done == {answers["slow"]}
    for name in ("silent", "drip"):
        answers[name].cancel()
    await asyncio.wait(answers.values())
    whole, dripped = answers["slow"].result(), await connections["drip"][0].read(1000)
    assert dripped
    assert whole.startswith(dripped)
    for _, writer in connections.values():
        writer.close()
    assert await connections["silent"][0].read() == b""


class Foreign(asyncio.Transport):
    """A connection from another machine."""

    aborted = False

    def get_extra_info(self, name: str, default: object = None) -> object:
        return ("192.0.2.1", 1234) if name == "peername" else default

    def abort(self) -> None:
        self.aborted = True


def test_other_machines_are_turned_away() -> None:
    transport = Foreign()
    Sink(Arrivals()).connection_made(transport)
    assert transport.aborted


async def test_each_event_is_sent_in_its_time(ready: Stand) -> None:
    """At a rate that lets many fall due before the first is answered."""
    async with ready.fresh_subject() as hookd:
        endpoint = await hookd.register(ready.sink.port)
        await ready.expect(EVENTS)
        bodies = [PUBLISH, PUBLISH]
        moments = await ready.generator.ask(
            "timed", port=hookd.port, path="/api/v1/events", bodies=bodies, rate=100_000, count=EVENTS, seed=1
        )
        await ready.arrived(EVENTS)
        assert endpoint
    sent = [moment["sent"] for moment in moments.values()]
    answered = [moment["answered"] for moment in moments.values()]
    assert len(moments) == EVENTS
    assert all(after > before for before, after in zip(sent, answered, strict=True))
    assert sum(moment < min(answered) for moment in sent) > CONNECTIONS


async def test_what_is_stocked_is_there_when_the_daemon_starts(ready: Stand) -> None:
    directory = await ready.fresh_directory()
    async with ready.run(directory) as hookd:
        endpoint = await hookd.register(ready.sink.port, event_types=["bench.event"])
    async with stocked(directory) as stock:
        await stock.multiply(endpoint, 3)
        await stock.publish([endpoint], EVENTS)
    await ready.expect(EVENTS)
    async with ready.run(directory) as hookd:
        await ready.arrived(EVENTS)
        await hookd.delivered(EVENTS)
        assert (await hookd.metrics())['hookd_endpoints{state="active"}'] == 4
        assert hookd.started_in > 0


async def test_what_never_arrives_is_an_error_with_numbers(ready: Stand, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hookd.bench.stand._PATIENCE", 0.0)
    await ready.expect(2)
    await ready.load(ready.sink.port, "/", 2)  # no id, so that both are one and the same
    with pytest.raises(BenchError, match="1 of 2 events arrived"):
        await ready.arrived(2)


async def test_the_bare_server_answers_all(ready: Stand) -> None:
    async with hire("server", ready.directory) as server:
        moments = await ready.load(server.port, "/", EVENTS)
    assert moments["ended"] > moments["started"]


async def test_singles_are_timed_one_by_one(ready: Stand) -> None:
    async with hire("server", ready.directory) as server, hire("client", ready.directory) as client:
        url = f"http://127.0.0.1:{ready.sink.port}/hook"
        await ready.expect(3)
        posted = await client.ask("singles", url=url, body=PAYLOAD, count=3, seed=1)
        assert set(await ready.sink.ask("moments")) == set(posted)
        (paced,) = (
            await ready.generator.ask("paced", port=server.port, path="/", body=PUBLISH, count=3, seed=1)
        ).values()  # the bare server gives every event the same id
    assert paced["answered"] > paced["sent"]


async def test_an_answer_that_is_no_success_is_one_line(ready: Stand) -> None:
    async with hire("server", ready.directory) as server:
        with pytest.raises(BenchError, match="the generator failed: 404") as caught:
            await ready.load(server.port, "/nowhere", EVENTS)
    assert "\n" not in str(caught.value)


async def test_nobody_to_connect_to(ready: Stand) -> None:
    async with hire("server", ready.directory) as server:
        port = server.port
    with pytest.raises(BenchError, match="can't connect"):
        await ready.load(port, "/", 1)


async def test_a_worker_that_can_not_start_says_why(tmp_path: Path) -> None:
    with pytest.raises(BenchError, match=r"the nonsense ended: .*No module named hookd\.bench\.nonsense"):
        async with hire("nonsense", tmp_path):
            raise AssertionError


async def test_nothing_stays_after_an_interruption(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    standing: asyncio.Future[list[int]] = asyncio.get_running_loop().create_future()

    async def work() -> None:
        async with stand() as ready:
            standing.set_result([ready.sink.pid, ready.generator.pid])
            await asyncio.Event().wait()

    task = asyncio.create_task(work())
    workers = await standing
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    for pid in workers:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
    assert names(tmp_path) == []
