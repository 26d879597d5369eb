"""Each scenario once, small, as a user runs it; what it measures is of no concern here."""

import asyncio
import json
import os
import re
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hookd.bench.rate import FEWEST
from hookd.bench.report import Figure, Report
from hookd.signing import SCHEMES

EVENTS = {
    "drain": 200,
    "pipeline": 200,
    "fanout": 2,
    "isolation": 40,
    "backlog": 2000,
    "rate": FEWEST,
    "latency": 20,
    "verify": 50,
}
FIGURES = {
    "drain": {"drain_rate", "spread_drain_rate"},
    "pipeline": {"pipeline_rate", "intake_rate", "bare_server_rate", "bare_client_rate"},
    "fanout": {"fanout_rate"},
    "isolation": {"isolation_p50", "isolation_p99"},
    "backlog": {"backlog_delivery", "backlog_commit", "backlog_start"},
    "rate": {"rate_50_per_s_burst", "rate_50_per_s_pace", "rate_600_per_min_burst", "rate_600_per_min_pace"},
    "verify": {f"verify_{name}" for name in SCHEMES},
    "latency": {"latency_p50", "latency_p99", "publish_latency_p50", "publish_latency_p99"},
}
LINUX_ALONE = {"idle_memory", "idle_processor", "backlog_memory"}


async def bench(directory: Path, *arguments: str, stderr: int = asyncio.subprocess.PIPE) -> asyncio.subprocess.Process:
    """Start `hookd bench` with its store in a directory."""
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "hookd", "bench", *arguments),
        env={**os.environ, "TMPDIR": str(directory)},
        stdout=asyncio.subprocess.PIPE,
        stderr=stderr,
    )


def names(directory: Path) -> list[str]:
    return [path.name for path in directory.iterdir()]


def has_begun(directory: Path) -> bool:
    return any(directory.glob("*/hookd-0/hookd.db"))


@pytest.fixture
def terminal() -> Iterator[tuple[int, int]]:
    """A terminal's two ends: what is written to the second is read at the first, and where there is nothing, fails."""
    ends = os.openpty()
    os.set_blocking(ends[0], False)
    yield ends
    for end in ends:
        os.close(end)


@pytest.mark.parametrize("scenario", FIGURES)
async def test_every_event_arrives_and_every_figure_is_told(
    scenario: str, tmp_path: Path, terminal: tuple[int, int]
) -> None:
    shown, written = terminal
    arguments = (scenario, "--rounds", "1", "--events", str(EVENTS[scenario]), "--json")
    process = await bench(tmp_path, *arguments, stderr=written)
    output, _ = await process.communicate()
    assert process.returncode == 0, os.read(shown, 4096)
    assert b"100%" in os.read(shown, 4096)
    report = json.loads(output)
    assert (report["scenario"], report["events"]) == (scenario, EVENTS[scenario])
    assert set(report["figures"]) - LINUX_ALONE == FIGURES[scenario]
    assert names(tmp_path) == []


async def test_a_simulation_is_held_against_what_is_measured(tmp_path: Path, terminal: tuple[int, int]) -> None:
    shown, written = terminal
    world = tmp_path / "world.toml"
    world.write_text("processes = [1]\n")
    arguments = ("simulate", "--rounds", "1", "--events", "200", "--world", str(world), "--json")
    process = await bench(tmp_path, *arguments, stderr=written)
    output, _ = await process.communicate()
    assert process.returncode == 0, os.read(shown, 4096)
    assert b"100%" in os.read(shown, 4096)
    report = json.loads(output)
    rates = {"drain_rate", "pipeline_rate", "loaded_latency_p50", "loaded_latency_p99"}
    assert set(report["figures"]) == rates | {"taken_by_others"}
    assert all(report["figures"][name]["yardstick_value"] > 0 for name in rates)
    assert report["costs"]["accept"] > 0
    assert report["costs"]["event_bytes"] > report["costs"]["delivery_bytes"] > 0
    assert [each["processes"] for each in report["forecast"]] == [1]
    assert names(tmp_path) == ["world.toml"]


async def test_too_few_events_to_see_a_rate_are_refused_with_how_many_are_enough(tmp_path: Path) -> None:
    process = await bench(tmp_path, "rate", "--events", str(FEWEST - 1))
    _, errors = await process.communicate()
    assert process.returncode == 1
    assert f"try --events {FEWEST}" in errors.decode()


async def test_a_run_is_set_beside_an_earlier_one(tmp_path: Path, terminal: tuple[int, int]) -> None:
    shown, written = terminal
    earlier = tmp_path / "earlier.json"
    figure = Figure("endpoints_publish", "µs", [1e9], "among 100", [1e9])
    earlier.write_text(json.dumps(Report("endpoints", 30, [figure], machine={"cores": 1000}).plain()))
    arguments = ("endpoints", "--rounds", "1", "--events", "30", "--compare", str(earlier))
    process = await bench(tmp_path, *arguments, stderr=written)
    output, _ = await process.communicate()
    assert process.returncode == 0, os.read(shown, 4096)
    assert b"100%" in os.read(shown, 4096)
    table, _, compared = output.decode().partition("another machine")
    assert re.search(r"^endpoints_publish .* among 100 .* ratio ≤ 1.3: ", table, re.MULTILINE)
    assert "cores 1000 then" in compared
    assert re.search(r"^endpoints_publish .* 1,000,000,000  -\d+\.\d %, better", compared, re.MULTILINE)
    assert names(tmp_path) == ["earlier.json"]


async def test_a_soak_loses_nothing_and_tells_what_it_used(tmp_path: Path) -> None:
    process = await bench(tmp_path, "soak", "--minutes", "0.01", "--rounds", "2", "--json")
    output, errors = await process.communicate()
    assert errors == b""
    assert process.returncode == 0
    report = json.loads(output)
    used = {"soak_memory", "soak_open_files", "soak_latency_p50", "soak_latency_p99", "soak_file_growth"}
    assert set(report["figures"]) == used | {"soak_rate", "soak_events", "soak_missing"}
    assert report["events"] > 0
    assert report["figures"]["soak_missing"]["value"] == 0
    assert names(tmp_path) == []


def is_stocking(directory: Path) -> bool:
    """Say whether more is in a store than a daemon wrote there by itself."""
    return any(file.stat().st_size > 1 << 20 for file in directory.glob("*/hookd-0/hookd.db"))


@pytest.mark.parametrize(
    ("scenario", "begun", "sent"),
    [
        ("latency", has_begun, signal.SIGINT),
        ("latency", has_begun, signal.SIGTERM),
        ("backlog", is_stocking, signal.SIGINT),
    ],
)
async def test_an_interrupted_run_leaves_nothing(
    scenario: str, begun: Callable[[Path], bool], sent: signal.Signals, tmp_path: Path
) -> None:
    process = await bench(tmp_path, scenario, "--events", "100000")
    while not begun(tmp_path):
        assert process.returncode is None
        await asyncio.sleep(0)
    process.send_signal(sent)
    output, errors = await process.communicate()
    assert (process.returncode, output, errors.strip()) == (1, b"", b"hookd: interrupted")
    assert names(tmp_path) == []
