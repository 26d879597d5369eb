"""When an endpoint that keeps failing is disabled."""

from dataclasses import dataclass

FEWEST_ATTEMPTS = 10
"""Sporadic traffic must not disable an endpoint after one bad day."""


@dataclass(frozen=True, slots=True)
class Failing:
    """How long an endpoint has been failing: the first failure since its last success, and attempts from then on."""

    since: int | None = None
    attempts: int = 0


HEALTHY = Failing()


def after(failing: Failing, *, success: bool, now: int) -> Failing:
    """Answer the state after one more attempt that ended at `now` (epoch ms)."""
    if success:
        return HEALTHY
    since = now if failing.since is None else failing.since
    return Failing(since, failing.attempts + 1)


def given_up(failing: Failing, now: int, disable_after: int) -> bool:
    """Say whether it is to be disabled: no success for `disable_after` ms, over at least ten attempts."""
    if failing.since is None:
        return False
    return now - failing.since >= disable_after and failing.attempts >= FEWEST_ATTEMPTS
