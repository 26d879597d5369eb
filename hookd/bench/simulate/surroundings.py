"""What all simulated processes share: time, the database with its log, the outbox in it, and the receivers."""

import random
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from hookd.bench.simulate.calendar import Action, Calendar
from hookd.bench.simulate.costs import MICROSECOND, Costs
from hookd.bench.simulate.ledger import Delivery, Ledger
from hookd.bench.simulate.line import Journal, Line
from hookd.bench.simulate.outbox import Outbox
from hookd.bench.simulate.receivers import Endpoints
from hookd.bench.simulate.world import World

MEGABYTE, MILLISECOND = 1e6, 1e-3


@dataclass(frozen=True, slots=True)
class Company:
    """What a bench runs on the machine beside the daemon, in microseconds of processor time."""

    publish: float = 0.0
    """The generator's, for each event."""
    receive: float = 0.0
    """The sink's, for each attempt."""


ALONE = Company()


class Surroundings:
    """Everything but the processes themselves."""

    def __init__(self, world: World, costs: Costs, machines: int, company: Company = ALONE) -> None:
        self.world = world
        self.costs = costs
        self.calendar = Calendar()
        self.ledger = Ledger(self.calendar)
        self.receivers = Endpoints(world.receivers, random.Random(world.seed))  # noqa: S311 -- a simulation, no secret
        self.outbox = Outbox(self.receivers.by_id)
        self.machines = [Line(world.machines.servers, self._work) for _ in range(machines)]
        own = world.database.cores
        self.database = Line(own, self.calendar.after) if own else self.machines[0]
        self.round_trips = world.database.round_trips * MILLISECOND if own else 0.0
        self.notice = world.database.notice * MILLISECOND
        """Seconds, as the round trips of a transaction are."""
        rate = world.database.megabytes_per_second * MEGABYTE
        self.journal = Journal(self.calendar, costs.fsync * MICROSECOND, rate)
        self.company = company
        self._sink = Line(1, self.machines[0].ask)

    def _work(self, seconds: float, done: Action) -> None:
        """Work on a core of hookd's machines, of which others may take a part."""
        self.calendar.after(seconds / self.world.machines.speed, done)

    @property
    def now(self) -> int:
        """Milliseconds since the beginning, as hookd counts them."""
        return int(self.calendar.now * 1000)

    def send(self, delivery: Delivery, answered: Callable[[bool], object]) -> None:
        """Bring an attempt to its receiver; what follows is told whether it was a success."""
        self.ledger.attempt(delivery)
        seconds, success = self.receivers.answer(delivery.lane)
        answer = partial(self.calendar.after, seconds, partial(answered, success))
        if self.company.receive:
            self._sink.ask(self.company.receive * MICROSECOND, answer)
        else:
            answer()
