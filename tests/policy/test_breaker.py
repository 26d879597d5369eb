"""The breaker: opens when an endpoint keeps failing, tries one at a time, and closes on a success."""

from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st

from hookd.model import Breaker
from hookd.policy.breaker import (
    CLOSED,
    NEVER,
    USUAL,
    BreakerPolicy,
    BreakerState,
    Tally,
    after_failure,
    after_success,
    counted,
    state,
)

POLICY = BreakerPolicy(failures=3, share=0.5, least=10, window=1_000, wait=100, longest=1_000)
START = 1_000_000


@dataclass
class Endpoint:
    """What is known of an endpoint while attempts are made."""

    policy: BreakerPolicy = POLICY
    now: int = START
    breaker: Breaker = CLOSED
    tally: Tally = field(default_factory=Tally)
    in_a_row: int = 0

    def attempt(self, *, success: bool, pause: int = 0) -> None:
        self.tally = counted(self.tally, self.policy.window, self.now, success=success)
        if success:
            self.in_a_row = 0
            self.breaker = after_success(self.breaker, self.now)
        else:
            self.in_a_row += 1
            self.breaker = after_failure(
                self.breaker, self.policy, failed_in_a_row=self.in_a_row, tally=self.tally, pause=pause, now=self.now
            )

    @property
    def state(self) -> BreakerState:
        return state(self.breaker, self.now)

    @property
    def blocked(self) -> int:
        """For how long (ms) nothing is sent."""
        return max(0, (self.breaker.blocked_until or 0) - self.now)


def test_failures_in_a_row_open_it_and_a_success_starts_over() -> None:
    endpoint = Endpoint()
    for success in (False, False, True, False, False):
        endpoint.attempt(success=success)
        assert endpoint.state is BreakerState.CLOSED
    endpoint.attempt(success=False)
    assert endpoint.state is BreakerState.OPEN
    assert (endpoint.breaker.opened_at, endpoint.blocked) == (START, 100)


def test_each_failed_trial_doubles_the_wait_up_to_the_longest() -> None:
    endpoint = Endpoint()
    for _ in range(3):
        endpoint.attempt(success=False)
    waits = []
    for _ in range(6):
        waits.append(endpoint.blocked)
        endpoint.now += endpoint.blocked
        assert endpoint.state is BreakerState.HALF_OPEN
        endpoint.attempt(success=False)
    assert waits == [100, 200, 400, 800, 1_000, 1_000]
    assert endpoint.breaker.opened_at == START, "it has been open all the while"


def test_a_success_closes_it_and_the_next_wait_is_short_again() -> None:
    endpoint = Endpoint()
    for _ in range(3):
        endpoint.attempt(success=False)
    endpoint.now += 100
    endpoint.attempt(success=False)
    endpoint.attempt(success=True)
    assert endpoint.breaker == CLOSED
    for _ in range(3):
        endpoint.attempt(success=False)
    assert endpoint.blocked == 100


def test_what_was_under_way_when_it_opened_does_not_lengthen_the_wait() -> None:
    endpoint = Endpoint()
    for _ in range(3):
        endpoint.attempt(success=False)
    opened = endpoint.breaker
    endpoint.now += 50
    endpoint.attempt(success=False)
    assert endpoint.breaker == opened


def test_a_share_of_failures_opens_it_once_there_are_enough_attempts() -> None:
    endpoint = Endpoint()
    for number in range(9):
        endpoint.attempt(success=number % 2 == 1)
        assert endpoint.state is BreakerState.CLOSED
    endpoint.attempt(success=True)
    endpoint.attempt(success=False)
    assert endpoint.state is BreakerState.OPEN


def test_attempts_outside_the_window_do_not_count() -> None:
    endpoint = Endpoint()
    for number in range(9):
        endpoint.attempt(success=number % 2 == 1)
    endpoint.now += 2 * POLICY.window
    endpoint.attempt(success=False)
    assert endpoint.state is BreakerState.CLOSED
    assert endpoint.tally.attempts + endpoint.tally.earlier_attempts == 1


def test_a_pause_that_the_receiver_asks_for_is_no_failing() -> None:
    endpoint = Endpoint()
    endpoint.attempt(success=False, pause=5_000)
    assert (endpoint.state, endpoint.blocked) == (BreakerState.CLOSED, 5_000)
    endpoint.attempt(success=True)
    assert endpoint.blocked == 5_000, "another that was under way succeeded; the receiver wants its pause all the same"
    endpoint.now += 5_000
    endpoint.attempt(success=True)
    assert endpoint.breaker == CLOSED


def test_a_pause_longer_than_the_wait_wins() -> None:
    endpoint = Endpoint()
    for _ in range(3):
        endpoint.attempt(success=False, pause=0)
    endpoint.now += 100
    endpoint.attempt(success=False, pause=7_000)
    assert (endpoint.state, endpoint.blocked) == (BreakerState.OPEN, 7_000)


def test_a_pause_asked_for_with_each_failure_hides_no_failing() -> None:
    endpoint = Endpoint()
    for _ in range(3):
        endpoint.now += endpoint.blocked
        endpoint.attempt(success=False, pause=10)
    assert endpoint.state is BreakerState.OPEN


def test_switched_off_it_never_opens() -> None:
    endpoint = Endpoint(policy=NEVER)
    for _ in range(1_000):
        endpoint.attempt(success=False)
    assert endpoint.breaker == CLOSED


def test_the_usual_one_lets_a_delivery_fail_a_few_times() -> None:
    endpoint = Endpoint(policy=USUAL)
    for _ in range(USUAL.failures - 1):
        endpoint.attempt(success=False)
    assert endpoint.state is BreakerState.CLOSED


moments = st.lists(
    st.tuples(st.integers(-2_000, 3_000), st.booleans(), st.sampled_from([0, 0, 0, 50, 5_000])), max_size=60
)


@given(moments)
def test_whatever_happens_it_is_blocked_for_a_bounded_time_and_tried_after_it(
    happenings: list[tuple[int, bool, int]],
) -> None:
    endpoint, longest = Endpoint(), START
    for passed, success, pause in happenings:
        endpoint.now += passed
        longest = max(longest, endpoint.now + max(POLICY.longest, pause))
        endpoint.attempt(success=success, pause=pause)
        assert (endpoint.breaker.blocked_until or 0) <= longest
        assert endpoint.state is not BreakerState.HALF_OPEN, "an attempt decides: closed, or open for longer"
        if success:
            assert endpoint.breaker.opened_at is None
        assert (endpoint.breaker.openings == 0) == (endpoint.breaker.opened_at is None)


@given(moments)
def test_it_opens_only_with_reason(happenings: list[tuple[int, bool, int]]) -> None:
    """Within the window, the tally counts no more than there was."""
    endpoint, seen = Endpoint(), list[tuple[int, bool]]()
    for passed, success, _ in happenings:
        endpoint.now += abs(passed)
        seen.append((endpoint.now, success))
        endpoint.attempt(success=success)
        recent = [ended for at, ended in seen if at > endpoint.now - 2 * POLICY.window]
        assert endpoint.tally.attempts + endpoint.tally.earlier_attempts <= len(recent)
        assert endpoint.tally.failures + endpoint.tally.earlier_failures <= recent.count(False)
