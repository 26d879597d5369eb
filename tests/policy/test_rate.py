"""The rate limit: in any window no more than the rate and a burst, and hardly less where there is enough to send."""

from itertools import accumulate, pairwise

from hypothesis import given
from hypothesis import strategies as st

from hookd.model import RateLimit
from hookd.policy.rate import Bucket, capacity, full, seconds_until, taken, tokens

limits = st.builds(RateLimit, st.integers(1, 1_000), st.sampled_from([1_000, 60_000, 3_600_000]), st.integers(1, 2_000))


@given(limits, st.lists(st.floats(0, 100), max_size=60))
def test_no_window_holds_more_than_the_rate_and_a_burst(limit: RateLimit, pauses: list[float]) -> None:
    """Whoever takes a token whenever there is one, after whatever pauses, keeps within the limit."""
    now, bucket, begun = 5.0, full(limit, 5.0), list[float]()
    for pause in pauses:
        now += pause
        while tokens(bucket, limit, now) >= 1 and len(begun) < 500:
            bucket = taken(bucket, limit, now)
            begun.append(now)
    levels = [count - limit.per_second * moment for count, moment in enumerate(begun)]
    for lowest, level in zip(accumulate(levels, min), levels, strict=True):  # the fullest window that ends there
        assert level - lowest + 1 <= limit.burst + 1e-6


@given(limits, st.floats(0, 3))
def test_who_comes_for_each_token_a_little_late_gets_the_whole_rate(limit: RateLimit, late: float) -> None:
    """Where the bucket holds more than one, what comes late is not lost."""
    room = capacity(limit) - 1
    delay = min(late, room) / limit.per_second * 0.99
    now, bucket, count = 0.0, Bucket(0.0, 0.0), 0
    while count < 200:
        now += max(seconds_until(bucket, limit, 1, now), 1e-9) + delay
        while tokens(bucket, limit, now) >= 1:
            bucket, count = taken(bucket, limit, now), count + 1
    assert now <= (count + 1) / limit.per_second + 1e-6


@given(limits, st.floats(0, 1e6), st.integers(1, 5))
def test_a_wait_is_as_long_as_it_takes_and_no_longer(limit: RateLimit, now: float, wanted: int) -> None:
    bucket = Bucket(-3.5, now)
    wait = seconds_until(bucket, limit, 1, now)
    assert tokens(bucket, limit, now + wait) >= 1 - 1e-3
    assert tokens(bucket, limit, now + wait * 0.99) < 1
    assert seconds_until(full(limit, now), limit, 1, now) == 0


def test_a_clock_that_stands_still_or_goes_back_gives_nothing() -> None:
    limit = RateLimit(10, 1_000, 10)
    bucket = Bucket(2.0, 100.0)
    assert tokens(bucket, limit, 100.0) == tokens(bucket, limit, 50.0) == 2.0


def test_a_lower_limit_is_effective_at_once_and_a_debt_is_paid() -> None:
    bucket = full(RateLimit(100, 1_000, 100), 0.0)
    slow = RateLimit(1, 1_000, 1)
    assert tokens(bucket, slow, 0.0) == 1
    for _ in range(3):
        bucket = taken(bucket, slow, 0.0)
    assert seconds_until(bucket, slow, 1, 0.0) == 3.0


@given(limits)
def test_the_spacing_of_a_limit_without_a_burst_is_even(limit: RateLimit) -> None:
    single = RateLimit(limit.count, limit.period, 1)
    now, bucket, begun = 0.0, Bucket(0.0, 0.0), list[float]()
    for _ in range(20):
        now += seconds_until(bucket, single, 1, now)
        bucket = taken(bucket, single, now)
        begun.append(now)
    for earlier, later in pairwise(begun):
        assert abs((later - earlier) * limit.per_second - 1) < 1e-3
