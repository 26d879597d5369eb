"""What came of the events of a simulation: counted and timed, and how many there are at any moment."""

from collections.abc import Callable
from dataclasses import dataclass, field

from hookd.bench.simulate.calendar import Calendar


@dataclass(slots=True, eq=False)
class Event:
    """An event, from its publication until all its deliveries are recorded."""

    arrived: float
    targets: tuple[str, ...]
    """The endpoints that get it."""
    left: int = 0
    """Deliveries that are not over."""
    answered: Callable[[], object] = lambda: None
    """What its publisher does next."""
    ended: Callable[[], object] = lambda: None
    """What happens once it is over."""


@dataclass(slots=True, eq=False)
class Delivery:
    """An event for one of its endpoints."""

    event: Event
    lane: str
    attempts: int = 0


@dataclass(slots=True)
class Ledger:
    """Counts and times; all times in seconds."""

    calendar: Calendar
    arrived: int = 0
    over: int = 0
    attempts: int = 0
    parked: int = 0
    """Deliveries that wait for an endpoint whose breaker is open."""
    spent: float = 0.0
    """What the events that are over took, altogether."""
    area: float = 0.0
    """Events under way, over time: a mean number, times the seconds."""
    answers: list[float] = field(default_factory=list)
    """From each publication to its answer."""
    receptions: list[float] = field(default_factory=list)
    """From the publication to the first attempt at a receiver, for each delivery."""
    last_reception: float = 0.0
    _moved: float = 0.0

    @property
    def under_way(self) -> int:
        """Events that have arrived and are not over."""
        return self.arrived - self.over

    def arrive(self) -> None:
        """An event is being published."""
        self._move()
        self.arrived += 1

    def answer(self, event: Event) -> None:
        """Its publisher knows that it is on disk."""
        self.answers.append(self.calendar.now - event.arrived)
        if not event.left:
            self._end(event)
        event.answered()

    def attempt(self, delivery: Delivery) -> None:
        """A delivery reaches its receiver, for the first time or again."""
        self.attempts += 1
        if not delivery.attempts:
            self.receptions.append(self.calendar.now - delivery.event.arrived)
            self.last_reception = self.calendar.now
        delivery.attempts += 1

    def end(self, delivery: Delivery) -> None:
        """A delivery is recorded as delivered."""
        delivery.event.left -= 1
        if not delivery.event.left:
            self._end(delivery.event)

    def park(self, delivery: Delivery) -> None:
        """A delivery waits for an endpoint that keeps failing, for longer than what is simulated."""
        self.parked += 1
        self.end(delivery)

    def _end(self, event: Event) -> None:
        self._move()
        self.over += 1
        self.spent += self.calendar.now - event.arrived
        event.ended()

    def _move(self) -> None:
        self.area += self.under_way * (self.calendar.now - self._moved)
        self._moved = self.calendar.now
