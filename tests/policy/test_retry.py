"""When a delivery is tried again."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from hookd.model import Attempt, Outcome, Status
from hookd.policy.retry import decide

HOUR = 3_600_000
NOW = 1_700_000_000_000
FAILED = Attempt("att_1", 1, NOW, 1.0, Outcome.TIMEOUT)

failures = st.sampled_from([outcome for outcome in Outcome if outcome is not Outcome.SUCCESS])
schedules = st.lists(st.integers(0, 30 * 24 * HOUR), min_size=1, max_size=10)


@given(failures, schedules, st.data(), st.floats(0, 1), st.integers())
def test_the_wait_is_the_schedules_give_or_take_the_jitter(
    outcome: Outcome, schedule: list[int], data: st.DataObject, jitter: float, seed: int
) -> None:
    step = data.draw(st.integers(0, len(schedule) - 1))
    decision = decide(replace(FAILED, outcome=outcome), step, schedule, jitter, NOW, random.Random(seed))
    assert decision.status is Status.PENDING
    assert decision.due_at is not None
    assert schedule[step] * (1 - jitter) - 1 <= decision.due_at - NOW <= schedule[step] * (1 + jitter) + 1


@given(schedules, st.none() | st.integers(0, 100 * 24 * HOUR), st.floats(0, 1), st.integers())
def test_retry_after_only_lengthens_and_by_a_day_at_most(
    schedule: list[int], asked: int | None, jitter: float, seed: int
) -> None:
    without = decide(FAILED, 0, schedule, jitter, NOW, random.Random(seed)).due_at
    with_it = decide(replace(FAILED, retry_after=asked), 0, schedule, jitter, NOW, random.Random(seed)).due_at
    assert without is not None
    assert with_it == max(without, NOW + min(asked or 0, 24 * HOUR))


@given(st.lists(st.integers(0, HOUR), max_size=5), failures, st.integers())
def test_the_schedule_is_used_once_and_then_it_failed(schedule: list[int], outcome: Outcome, seed: int) -> None:
    attempt, rng = replace(FAILED, outcome=outcome), random.Random(seed)
    decisions = [decide(attempt, step, schedule, 0.1, NOW, rng) for step in range(len(schedule) + 1)]
    assert [each.status for each in decisions] == [Status.PENDING] * len(schedule) + [Status.FAILED]


def test_a_failure_says_what_was_exhausted() -> None:
    assert decide(FAILED, 0, (), 0.1, NOW, random.Random(1)).reason == "the only attempt of the schedule failed"
    assert decide(FAILED, 2, (1, 1), 0.1, NOW, random.Random(1)).reason == "all 3 attempts of the schedule failed"


@given(schedules, st.integers(0, 20))
def test_success_delivers(schedule: list[int], step: int) -> None:
    decision = decide(replace(FAILED, outcome=Outcome.SUCCESS), step, schedule, 0.1, NOW, random.Random(1))
    assert (decision.status, decision.due_at, decision.reason) == (Status.DELIVERED, None, None)


@pytest.mark.parametrize(("status", "decided"), [(410, Status.FAILED), (404, Status.PENDING), (429, Status.PENDING)])
def test_only_gone_is_final_at_once(status: int, decided: Status) -> None:
    attempt = replace(FAILED, outcome=Outcome.HTTP_4XX, status_code=status)
    assert decide(attempt, 0, (1,), 0.1, NOW, random.Random(1)).status is decided
