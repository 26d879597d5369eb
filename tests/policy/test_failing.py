"""When an endpoint that fails is given up."""

from hypothesis import given
from hypothesis import strategies as st

from hookd.policy.failing import HEALTHY, after, given_up

DISABLE_AFTER = 1000

histories = st.lists(st.tuples(st.booleans(), st.integers(0, 400)), max_size=40)


@given(histories)
def test_given_up_after_ten_failures_without_a_success_for_long_enough(history: list[tuple[bool, int]]) -> None:
    state, now = HEALTHY, 0
    failures: list[int] = []
    for success, wait in history:
        now += wait
        state = after(state, success=success, now=now)
        failures = [] if success else [*failures, now]
        long_enough = bool(failures) and now - failures[0] >= DISABLE_AFTER
        assert given_up(state, now, DISABLE_AFTER) == (long_enough and len(failures) >= 10)


def test_a_success_heals() -> None:
    failing = after(after(HEALTHY, success=False, now=1), success=False, now=2)
    assert (failing.since, failing.attempts) == (1, 2)
    assert after(failing, success=True, now=3) == HEALTHY


def test_the_healthy_are_never_given_up() -> None:
    assert not given_up(HEALTHY, 1 << 60, 0)
