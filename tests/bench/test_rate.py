"""What a rate limit lets through, counted over every stretch of time."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hookd.bench.rate import FEWEST, LIMITS, Limit, pace, surplus

RATE = 50


def bucket(count: int, burst: int) -> list[float]:
    """When a limit of 50/s lets so many through that all wait from the start: a burst, then one by one."""
    return [0.0] * burst + [number / RATE for number in range(1, count - burst + 1)]


def test_a_limit_that_is_kept_has_the_surplus_of_its_burst() -> None:
    assert surplus(bucket(500, 50), RATE) == pytest.approx(50)


def test_a_second_burst_is_a_surplus() -> None:
    """A limit that is counted anew each second lets two seconds' worth through where two of them meet."""
    careless = [0.999] * 50 + [1.0] * 50
    assert surplus(careless, RATE) == pytest.approx(100 - 0.001 * RATE)


def test_what_was_left_unused_is_no_surplus_later() -> None:
    assert surplus([0.0, 10.0, 20.0], RATE) == pytest.approx(1)


@given(st.lists(st.floats(0, 100), max_size=30).map(sorted))
def test_no_stretch_holds_more(arrivals: list[float]) -> None:
    counted = [
        last - first + 1 - RATE * (arrivals[last] - arrivals[first])
        for first in range(len(arrivals))
        for last in range(first, len(arrivals))
    ]
    assert surplus(arrivals, RATE) == pytest.approx(max(counted, default=0))


def test_the_pace_leaves_out_the_burst() -> None:
    assert pace(bucket(150, 50), burst=50) == pytest.approx(RATE)


@pytest.mark.parametrize("limit", LIMITS)
def test_with_the_fewest_events_one_that_comes_late_does_not_miss_the_pace(limit: Limit) -> None:
    count = FEWEST * limit.rate // LIMITS[0].rate
    step = 1 / limit.rate
    arrivals = [0.0] * limit.rate + [number * step for number in range(1, count - limit.rate + 1)]
    late = [*arrivals[:-1], arrivals[-1] + step]
    assert pace(late, limit.rate) == pytest.approx(limit.rate, rel=0.01)


def test_a_limit_that_is_not_made_use_of_shows() -> None:
    assert pace([moment * 1.1 for moment in bucket(150, 50)], burst=50) == pytest.approx(RATE / 1.1)
