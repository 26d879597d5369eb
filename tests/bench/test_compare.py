"""A run beside an earlier one: what has changed, for better or worse, and what can't be compared."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from hookd.bench.compare import Change, Comparison, read
from hookd.bench.report import Figure, Report
from hookd.bench.wire import BenchError
from hookd.cli import hookd

MACHINE = {"hookd": "0.1.0", "cores": 2, "python": "3.11.7"}


def report(*figures: Figure, **others: Any) -> Report:
    return Report(**{"scenario": "drain", "events": 20, "figures": figures, "machine": MACHINE, **others})


def rate(value: float, bare: float = 1000.0) -> Figure:
    return Figure("drain_rate", "deliveries/s", [value], "bare client", [bare], more_is_better=True)


def memory(value: float) -> Figure:
    return Figure("idle_memory", "MiB", [value])


def beside(tmp_path: Path, now: Report, before: Report) -> Comparison:
    file = tmp_path / "before.json"
    file.write_text(json.dumps(before.plain()))
    return Comparison(now, read(file, now.scenario))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (Change(110, 100, more_is_better=True), "+10.0 %, better"),
        (Change(90, 100, more_is_better=True), "-10.0 %, worse"),
        (Change(110, 100, more_is_better=False), "+10.0 %, worse"),
        (Change(90, 100, more_is_better=False), "-10.0 %, better"),
        (Change(110, 100, more_is_better=None), "+10.0 %, changed"),
        (Change(100.01, 100, more_is_better=True), "+0.0 %, the same"),
        (Change(-0.1, -0.2, more_is_better=False), "worse"),
        (Change(0.3, -0.2, more_is_better=False), "worse"),
        (Change(-0.2, 2.0, more_is_better=False), "better"),
        (Change(4, 0.04, more_is_better=False), "worse"),
        (Change(0.001, -0.001, more_is_better=False), "the same"),
        (Change(3, 0, more_is_better=False), "worse"),
        (Change(0, 0, more_is_better=False), "the same"),
    ],
)
def test_a_change_is_for_better_or_worse(change: Change, words: str) -> None:
    assert change.words == words


def test_each_figure_stands_beside_the_earlier_one(tmp_path: Path) -> None:
    comparison = beside(tmp_path, report(rate(800), memory(60)), report(rate(600, bare=500), memory(50)))
    _, drain, idle = comparison.as_table().split("\n")
    assert " ".join(drain.split()) == "drain_rate 800 600 +33.3 %, better 0.80 1.20 -33.3 %, worse"
    assert " ".join(idle.split()) == "idle_memory 60.00 50.00 +20.0 %, worse"
    assert comparison.remarks == []
    told = json.loads(json.dumps(comparison.plain()))["figures"]
    assert told["drain_rate"]["value"]["verdict"] == "better"
    assert told["drain_rate"]["ratio"]["percent"] == pytest.approx(-100 / 3)
    assert told["idle_memory"] == {"value": {"before": 50.0, "percent": 20.0, "verdict": "worse"}, "ratio": None}


def test_a_newer_hookd_on_the_same_machine_is_the_purpose(tmp_path: Path) -> None:
    comparison = beside(tmp_path, report(rate(800)), report(rate(800), machine=MACHINE | {"hookd": "0.0.9"}))
    assert comparison.remarks == []
    assert comparison.plain()["hookd"] == "0.0.9"


def test_what_was_not_the_same_is_said(tmp_path: Path) -> None:
    earlier = report(rate(800), memory(60), events=10, level="info", machine=MACHINE | {"cores": 64})
    comparison = beside(tmp_path, report(rate(800)), earlier)
    machine, events, level, gone = comparison.remarks
    assert machine.startswith("another machine, or other libraries: cores 64 then and 2 now;")
    assert events == "another number of events: 10 then and 20 now"
    assert level == "another log level: info then and warning now"
    assert gone == "idle_memory was only in the earlier run"
    assert comparison.as_table().startswith("another machine")


def test_a_new_figure_has_nothing_beside_it(tmp_path: Path) -> None:
    comparison = beside(tmp_path, report(rate(800), memory(60)), report(rate(800)))
    assert comparison.as_table().split("\n")[-1].split() == ["idle_memory", "60.00"]


@pytest.mark.parametrize("content", [b"", b"[]", b"\xff", b'{"scenario":"drain"}', b"figure  unit"])
def test_a_file_that_is_no_report_is_one_line(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "other"
    file.write_bytes(content)
    with pytest.raises(BenchError, match="is not what `hookd bench drain --json` prints") as caught:
        read(file, "drain")
    assert "\n" not in str(caught.value)


def test_another_scenario_is_refused_before_anything_runs(tmp_path: Path) -> None:
    file = tmp_path / "drain.json"
    file.write_text(json.dumps(report(rate(800)).plain()))
    told = CliRunner().invoke(hookd, ["bench", "pipeline", "--compare", str(file)])
    assert told.exit_code == 2
    assert "is of the scenario drain, which is no measure of pipeline" in told.output


@pytest.mark.parametrize(
    ("arguments", "whose"),
    [
        (["drain", "--minutes", "1"], "soak"),
        (["soak", "--events", "5"], "soak"),
        (["drain", "--world", __file__], "simulate"),
    ],
)
def test_an_option_of_another_scenario_is_refused(arguments: list[str], whose: str) -> None:
    told = CliRunner().invoke(hookd, ["bench", *arguments])
    assert told.exit_code == 2
    assert whose in told.output
