"""Each scenario once, small, as a user runs it; what it measures is of no concern here."""

import asyncio
import json
import os
import signal
import sys
from pathlib import Path

import pytest

EVENTS = {"drain": 200, "pipeline": 200, "latency": 20}
FIGURES = {
    "drain": {"drain_rate"},
    "pipeline": {"pipeline_rate", "intake_rate", "bare_server_rate", "bare_client_rate"},
    "latency": {"latency_p50", "latency_p99", "publish_latency_p50", "publish_latency_p99"},
}


async def bench(directory: Path, *arguments: str) -> asyncio.subprocess.Process:
    """Start `hookd bench` with its store in a directory."""
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "hookd", "bench", *arguments),
        env={**os.environ, "TMPDIR": str(directory)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


def names(directory: Path) -> list[str]:
    return [path.name for path in directory.iterdir()]


def has_begun(directory: Path) -> bool:
    return any(directory.glob("*/hookd-0/hookd.db"))


@pytest.mark.parametrize("scenario", FIGURES)
async def test_every_event_arrives_and_every_figure_is_told(scenario: str, tmp_path: Path) -> None:
    process = await bench(tmp_path, scenario, "--rounds", "1", "--events", str(EVENTS[scenario]), "--json")
    output, errors = await process.communicate()
    assert errors == b""
    assert process.returncode == 0
    report = json.loads(output)
    assert (report["scenario"], report["events"]) == (scenario, EVENTS[scenario])
    assert set(report["figures"]) - {"idle_memory", "idle_processor"} == FIGURES[scenario]  # Linux tells them
    assert names(tmp_path) == []


async def test_a_soak_loses_nothing_and_tells_what_it_used(tmp_path: Path) -> None:
    process = await bench(tmp_path, "soak", "--minutes", "0.03", "--rounds", "2", "--json")
    output, errors = await process.communicate()
    assert errors == b""
    assert process.returncode == 0
    report = json.loads(output)
    used = {"soak_memory", "soak_open_files", "soak_latency_p50", "soak_latency_p99", "soak_file_growth"}
    assert set(report["figures"]) == used | {"soak_rate", "soak_events", "soak_missing"}
    assert report["events"] > 0
    assert report["figures"]["soak_missing"]["value"] == 0
    assert names(tmp_path) == []


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
async def test_an_interrupted_run_leaves_nothing(sent: signal.Signals, tmp_path: Path) -> None:
    process = await bench(tmp_path, "latency", "--events", "100000")
    while not has_begun(tmp_path):
        assert process.returncode is None
        await asyncio.sleep(0)
    process.send_signal(sent)
    output, errors = await process.communicate()
    assert (process.returncode, output, errors.strip()) == (1, b"", b"hookd: interrupted")
    assert names(tmp_path) == []
