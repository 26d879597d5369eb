"""Figures, their ratios, and the two ways they are shown."""

import json

import pytest

from hookd.bench.report import Figure, Report

FIGURES = [
    Figure("drain_rate", "deliveries/s", [700.0, 100.0, 800.0], "bare client", [1000.0, 900.0, 2000.0], floor=0.6),
    Figure("idle_memory", "MiB", [91.0], ceiling=90.0),
    Figure("intake_rate", "events/s", [5.0]),
]


def test_the_median_round_counts() -> None:
    drain, memory, intake = FIGURES
    assert (drain.value, drain.yardstick_value, drain.ratio, drain.met) == (700.0, 1000.0, 0.7, True)
    assert (memory.ratio, memory.met) == (None, False)
    assert (intake.ratio, intake.met) == (None, None)


def test_a_figure_below_its_floor_does_not_meet_it() -> None:
    assert Figure("drain_rate", "deliveries/s", [5.0], "bare client", [10.0], floor=0.6).met is False


def test_what_overtook_its_yardstick_altogether_has_no_ratio() -> None:
    assert Figure("latency_p50", "ms", [-0.1], "bare client", [0.5]).ratio is None


@pytest.mark.parametrize(
    ("value", "met"),
    [(9.9, True), (12.0, True), (12.1, False)],
)
def test_a_figure_may_be_some_times_its_yardstick(value: float, met: bool) -> None:
    figure = Figure("publish", "µs", [value], "among few", [10.0], times=1.2)
    assert (figure.met, figure.wanted) == (met, "ratio ≤ 1.2")


@pytest.mark.parametrize(
    ("value", "yardstick", "met"),
    [(6.0, 1.0, True), (6.1, 1.0, False), (119.0, 100.0, True), (121.0, 100.0, False), (-0.5, -1.0, True)],
)
def test_of_two_upper_bounds_the_wider_counts(value: float, yardstick: float, met: bool) -> None:
    figure = Figure("latency", "ms", [value], "without", [yardstick], times=1.2, more=5.0)
    assert (figure.met, figure.wanted) == (met, "ratio ≤ 1.2 or ≤ 5 ms more")


@pytest.mark.parametrize(("value", "met"), [(97.0, False), (98.0, True), (102.0, True), (103.0, False)])
def test_a_figure_can_have_a_floor_and_a_ceiling(value: float, met: bool) -> None:
    figure = Figure("pace", "deliveries/s", [value], "the limit", [100.0], floor=0.98, times=1.02)
    assert (figure.met, figure.wanted) == (met, "ratio ≥ 0.98 and ratio ≤ 1.02")


def test_json_holds_every_figure_and_the_machine() -> None:
    report = json.loads(json.dumps(Report("drain", 20, FIGURES, level="info").plain()))
    assert set(report["figures"]) == {"drain_rate", "idle_memory", "intake_rate"}
    assert report["figures"]["drain_rate"]["yardstick_rounds"] == [1000.0, 900.0, 2000.0]
    assert {"cores", "processor", "python", "aiohttp", "uvloop"} <= set(report["machine"])
    assert (report["scenario"], report["events"], report["level"]) == ("drain", 20, "info")


def test_the_table_sets_each_figure_beside_its_yardstick() -> None:
    heading, drain, memory, intake, empty, facts = Report("drain", 20, FIGURES).as_table().split("\n")
    assert heading.split() == ["figure", "unit", "yardstick", "ratio", "wanted"]
    assert " ".join(drain.split()) == ("drain_rate 700 deliveries/s bare client 1,000 0.70 ratio ≥ 0.6: yes")
    assert " ".join(memory.split()) == "idle_memory 91.00 MiB ≤ 90: NO"
    assert " ".join(intake.split()) == "intake_rate 5.00 events/s"
    assert empty == ""
    assert facts.startswith("20 events a round; log level warning; ")
