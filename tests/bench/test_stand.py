"""The sink and the generator against each other, and the yardsticks, in real processes."""

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from hookd.bench.stand import PAYLOAD, PUBLISH, Stand, stand
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
