"""Durations, sizes and times: what is written is read back, and nothing else is understood."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hookd import units

NOW = 1_767_323_045_678


@given(st.integers(0, units.LONGEST))
def test_a_duration_is_read_back(duration: int) -> None:
    assert units.parse_duration(units.format_duration(duration)) == duration


@given(st.integers(0, 1 << 40))
def test_a_size_is_read_back(size: int) -> None:
    assert units.parse_size(units.format_size(size)) == size


@given(st.integers(0, 253_402_300_799_999))
def test_a_time_is_read_back(time: int) -> None:
    assert units.is_time(units.format_time(time))
    assert units.parse_time(units.format_time(time), NOW) == time


@pytest.mark.parametrize(
    ("text", "milliseconds"),
    [("500ms", 500), ("15s", 15_000), ("5m", 300_000), ("24h", 86_400_000), ("30d", 30 * 86_400_000), ("0s", 0)],
)
def test_durations(text: str, milliseconds: int) -> None:
    assert units.parse_duration(text) == milliseconds


@pytest.mark.parametrize(
    ("text", "size"), [("512B", 512), ("64KiB", 64 * 1024), ("1MiB", 1024**2), ("2GiB", 2 * 1024**3)]
)
def test_sizes(text: str, size: int) -> None:
    assert units.parse_size(text) == size


@pytest.mark.parametrize(
    "text", ["", "15", "s", "1.5s", "-1s", " 15s", "15 s", "15S", "1h30m", "٣s", "9" * 16 + "s", "36501d"]
)
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(ValueError, match='expected a duration such as "15s"'):
        units.parse_duration(text)


@pytest.mark.parametrize("text", ["", "1", "1MB", "1mib", "1.5MiB", "-1B", "64K"])
def test_what_is_no_size(text: str) -> None:
    with pytest.raises(ValueError, match='expected a size such as "512B"'):
        units.parse_size(text)


@pytest.mark.parametrize(
    "text",
    [
        "2026-01-02T03:04:05.678Z",
        "2026-01-02t03:04:05.678z",
        "2026-01-02 03:04:05.678Z",
        "2026-01-02T05:04:05.678+02:00",
        "2026-01-01T22:34:05.678-04:30",
        "2026-01-02T03:04:05.678999Z",
        "2026-01-02T03:04:05.678000000Z",
    ],
)
def test_one_moment_in_many_spellings(text: str) -> None:
    assert units.parse_time(text, now=0) == NOW
    assert units.format_time(NOW) == "2026-01-02T03:04:05.678Z"


def test_a_time_relative_to_now() -> None:
    assert units.parse_time("1h", NOW) == NOW - 3_600_000


def test_a_time_without_offset_is_not_guessed() -> None:
    with pytest.raises(ValueError, match="offset"):
        units.parse_time("2026-01-02T03:04:05", NOW)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "now",
        "2026-01-02",
        "2026-02-30T00:00:00Z",
        "2026-01-02T25:00:00Z",
        "2026-01-02T03:04:05+25:00",
        "20260102T030405Z",
        "-1h",
    ],
)
def test_what_is_no_time(text: str) -> None:
    with pytest.raises(ValueError, match='expected a time such as "2026-01-02T03:04:05Z"'):
        units.parse_time(text, NOW)
    assert not units.is_time(text)


@given(st.text())
def test_any_text_is_a_time_or_a_value_error_on_one_line(text: str) -> None:
    try:
        units.parse_time(text, NOW)
    except ValueError as error:
        assert str(error).isprintable()  # noqa: PT017 - most texts are none, some are


def test_counts() -> None:
    counts = [(0, "event", "0 events"), (1, "delivery", "1 delivery"), (2, "delivery", "2 deliveries")]
    for count, noun, written in counts:
        assert units.counted(count, noun) == written
