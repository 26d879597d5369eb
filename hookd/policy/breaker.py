"""When nothing is sent to an endpoint for a while: it keeps failing, or has asked for a pause.

Closed, everything is sent. Open, nothing is until `blocked_until`; from then on it is half-open: one delivery at a
time is tried, of which a success closes it and a failure opens it for longer.
"""

import sys
from enum import StrEnum

from msgspec import Struct

from hookd.model import Breaker


class BreakerState(StrEnum):
    """Whether deliveries are sent, wait, or are tried one at a time."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


class BreakerPolicy(Struct, frozen=True):
    """When a breaker opens, and for how long; durations in milliseconds."""

    failures: int
    """So many attempts in a row have failed."""
    share: float
    """Or this share of the attempts within the window, `least` of them or more."""
    least: int
    window: int
    wait: int
    """How long it is open at first; each failed trial doubles that."""
    longest: int


class Tally(Struct, frozen=True):
    """What came of the attempts within this window and the one before."""

    since: int = 0
    attempts: int = 0
    failures: int = 0
    earlier_attempts: int = 0
    earlier_failures: int = 0


CLOSED = Breaker()

USUAL = BreakerPolicy(failures=20, share=0.75, least=40, window=60_000, wait=10_000, longest=300_000)
NEVER = BreakerPolicy(failures=sys.maxsize, share=2.0, least=1, window=1, wait=1, longest=1)
"""Opens never."""


def counted(tally: Tally, window: int, now: int, *, success: bool) -> Tally:
    """Answer the tally with one more attempt in it, that ended at `now` (epoch ms)."""
    age = now - tally.since
    if not 0 <= age < 2 * window:
        tally = Tally(now)
    elif age >= window:
        tally = Tally(tally.since + window, 0, 0, tally.attempts, tally.failures)
    return Tally(
        tally.since,
        tally.attempts + 1,
        tally.failures + (not success),
        tally.earlier_attempts,
        tally.earlier_failures,
    )


def after_success(breaker: Breaker, now: int) -> Breaker:
    """Answer the breaker after an attempt that succeeded: closed; a pause that was asked for goes on."""
    if breaker.opened_at is not None or (breaker.blocked_until or 0) <= now:
        return CLOSED
    return breaker


def after_failure(  # what is known of the endpoint, each part with its name
    breaker: Breaker, policy: BreakerPolicy, *, failed_in_a_row: int, tally: Tally, pause: int, now: int
) -> Breaker:
    """Answer the breaker after an attempt that failed; `pause` is how long (ms) a receiver of too much asked for.

    What was under way when it opened says nothing new.
    """
    blocked_until, opened_at, openings = breaker.blocked_until or now, breaker.opened_at, breaker.openings
    until = max(blocked_until, now + pause)
    if blocked_until <= now and _opens(breaker, policy, failed_in_a_row, tally):
        until = max(until, now + min(policy.longest, policy.wait << min(openings, 30)))
        opened_at, openings = now if opened_at is None else opened_at, openings + 1
    return Breaker(opened_at, openings, until if until > now else None, breaker.told)


def _opens(breaker: Breaker, policy: BreakerPolicy, failed_in_a_row: int, tally: Tally) -> bool:
    if breaker.opened_at is not None or failed_in_a_row >= policy.failures:
        return True
    attempts = tally.attempts + tally.earlier_attempts
    return attempts >= policy.least and tally.failures + tally.earlier_failures >= policy.share * attempts


def state(breaker: Breaker, now: int) -> BreakerState:
    """Answer the state that a breaker is in now (epoch ms)."""
    if breaker.opened_at is None:
        return BreakerState.CLOSED
    return BreakerState.OPEN if (breaker.blocked_until or 0) > now else BreakerState.HALF_OPEN
