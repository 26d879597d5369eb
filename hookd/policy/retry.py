"""What becomes of a delivery after an attempt: delivered, tried again at a time, or failed."""

import random
from collections.abc import Sequence
from dataclasses import dataclass

from hookd.model import Attempt, Outcome, Status

HOUR = 3_600_000
LONGEST_RETRY_AFTER = 24 * HOUR
GONE = 410


@dataclass(frozen=True, slots=True)
class Decision:
    """The delivery's next status; `due_at` (epoch ms) where it is pending, `reason` where it failed."""

    status: Status
    due_at: int | None = None
    reason: str | None = None


_DELIVERED = Decision(Status.DELIVERED)


def decide(
    attempt: Attempt, step: int, schedule: Sequence[int], jitter: float, now: int, rng: random.Random
) -> Decision:
    """Decide after an attempt, with `step` retries of the schedule (milliseconds) already used.

    The wait is the schedule's, give or take `jitter` of it; `Retry-After` only lengthens it, to 24 hours at most.
    """
    if attempt.outcome is Outcome.SUCCESS:
        return _DELIVERED
    if attempt.status_code == GONE:
        return Decision(Status.FAILED, reason="the receiver answered 410 Gone")
    if step >= len(schedule):
        return Decision(Status.FAILED, reason=exhausted(step))
    wait = schedule[step] * (1 + jitter * rng.uniform(-1, 1))
    asked = min(attempt.retry_after or 0, LONGEST_RETRY_AFTER)
    return Decision(Status.PENDING, due_at=now + int(max(wait, asked)))


def exhausted(step: int) -> str:
    """Say why a delivery with no retries left failed."""
    return f"all {step + 1} attempts of the schedule failed" if step else "the only attempt of the schedule failed"
