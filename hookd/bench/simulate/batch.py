"""What is queued for a simulated transaction, what it finds, and what it takes."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from hookd.bench.simulate.costs import Costs, Work
from hookd.bench.simulate.ledger import Delivery, Event


@dataclass(slots=True)
class Batch:
    """What is queued for a transaction, and what the transaction finds."""

    events: list[Event] = field(default_factory=list)
    results: list[tuple[Delivery, bool]] = field(default_factory=list)
    """Attempts, and whether they were successes."""
    lanes: Sequence[str] = ()
    """From which to claim."""
    claimed: list[Delivery] = field(default_factory=list)
    handed: list[Delivery] = field(default_factory=list)
    """Inserted as being sent, since there was room for them."""
    queued: list[Delivery] = field(default_factory=list)
    """Inserted to wait: there was no room, or their lanes are another process's."""

    @property
    def size(self) -> int:
        """How many writes wait for it."""
        return len(self.events) + len(self.results) + bool(self.lanes)

    def work(self, costs: Costs) -> Work:
        """Answer what the transaction takes."""
        return (
            costs.commit
            + costs.event.times(len(self.events))
            + costs.delivery.times(len(self.handed) + len(self.queued))
            + costs.claim.times(len(self.claimed))
            + costs.record.times(len(self.results))
        )

    def bytes(self, costs: Costs) -> float:
        """Answer how much it writes: what of a delivery is written at its insertion counts when it is recorded."""
        alone = costs.event_bytes - costs.delivery_bytes
        return len(self.events) * alone + len(self.results) * costs.delivery_bytes
