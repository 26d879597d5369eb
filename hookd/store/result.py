"""What came of an attempt, as it is recorded."""

from msgspec import Struct

from hookd.model import Attempt, Delivery, Origin
from hookd.policy.breaker import NEVER, BreakerPolicy
from hookd.policy.retry import Decision


class Result(Struct, frozen=True):
    """An attempt that was made, and what was decided; `disable_after` is in milliseconds."""

    delivery: Delivery
    attempt: Attempt
    decision: Decision
    disable_after: int
    breaker: BreakerPolicy = NEVER

    @property
    def reportable(self) -> bool:
        """Whether operational events may tell of it: what comes of those causes no others."""
        return self.delivery.event.origin is not Origin.OPERATIONAL
