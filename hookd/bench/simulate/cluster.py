"""So many simulated processes, what is published to them, and what it has come to."""

import itertools
import random
from dataclasses import dataclass
from functools import partial

from hookd.bench.simulate.calendar import Action
from hookd.bench.simulate.costs import MICROSECOND, Costs
from hookd.bench.simulate.ledger import Delivery, Event, Ledger
from hookd.bench.simulate.line import Line
from hookd.bench.simulate.process import Process
from hookd.bench.simulate.surroundings import ALONE, Company, Surroundings
from hookd.bench.simulate.traffic import arrivals
from hookd.bench.simulate.world import World

MOMENT = 0.02
"""Seconds until another event is published for one that has ended, in the mean."""

LONGEST = 600.0
"""Simulated seconds after which a course is ended that does not end by itself."""


def _nothing() -> None:
    """Do nothing."""


@dataclass(frozen=True, slots=True)
class Course:
    """What a course has come to, up to a moment."""

    seconds: float
    arrived: int
    over: int
    busy: dict[str, float]
    """How much of each resource was in use, from 0 to 1."""

    def since(self, before: "Course") -> "Course":
        """Answer what it has come to after an earlier moment."""
        seconds = self.seconds - before.seconds
        busy = {
            name: (share * self.seconds - before.busy[name] * before.seconds) / seconds
            for name, share in self.busy.items()
        }
        return Course(seconds, self.arrived - before.arrived, self.over - before.over, busy)


class Cluster:
    """Processes in their surroundings."""

    def __init__(self, world: World, costs: Costs, processes: int, company: Company = ALONE) -> None:
        together = world.machines.processes
        self._around = Surroundings(world, costs, -(-processes // together), company)
        self._processes = [
            Process(self._around, self._around.machines[number // together]) for number in range(processes)
        ]
        lanes = self._around.receivers.by_id
        self._around.outbox.owners.update(zip(lanes, itertools.cycle(self._processes), strict=False))
        self._turns = itertools.cycle(self._processes)
        self._generator = Line(1, self._around.machines[0].ask)

    @property
    def ledger(self) -> Ledger:
        """What came of the events."""
        return self._around.ledger

    def publish(self, answered: Action = _nothing, ended: Action = _nothing) -> None:
        """Publish an event, to the process whose turn it is."""
        around, process = self._around, next(self._turns)
        targets = around.receivers.choose(around.world.traffic.fanout)
        event = Event(around.calendar.now, targets, len(targets), answered, ended)
        around.ledger.arrive()
        if around.company.publish:
            self._generator.ask(around.company.publish * MICROSECOND, lambda: process.accept(event))
        else:
            process.accept(event)

    def flow(self, rate: float, seconds: float, until: float) -> Course:
        """Publish at a rate for so many seconds, and look at what that has come to at a moment."""
        around = self._around
        chance = random.Random(around.world.seed + 1)  # noqa: S311 -- a simulation, no secret
        at = 0.0
        for gap, together in arrivals(around.world.traffic, rate, chance):
            at += gap
            if at > seconds:
                break
            for _ in range(together):
                around.calendar.after(at - around.calendar.now, self.publish)
        return self.go_on(until)

    def go_on(self, until: float) -> Course:
        """Go on to a moment, and look at what it has come to."""
        self._around.calendar.run(until)
        return self._course()

    def burst(self, events: int, producers: int) -> Course:
        """Publish so many events, each producer one after the other; go on until all is recorded."""
        left = itertools.repeat(None, events)

        def following() -> None:
            if next(left, left) is None:
                self.publish(following)

        for _ in range(producers):
            following()
        return self.finish()

    def circle(self, under_way: int, events: int) -> Course:
        """Keep so many events under way; look at what comes while the latter half of so many ends.

        Each is published a random moment after another has ended, or those that one commit ends would stay together.
        """
        calendar, half = self._around.calendar, events // 2
        chance = random.Random(self._around.world.seed + 2)  # noqa: S311 -- a simulation, no secret

        def following() -> None:
            calendar.after(chance.expovariate(1 / MOMENT), partial(self.publish, ended=following))
            if self.ledger.over in (half, events):
                calendar.stop()

        for _ in range(under_way):
            following()
        before = self.finish()
        return self.finish().since(before)

    def drain(self, deliveries: int) -> Course:
        """Deliver so many that wait, one for each endpoint after the other; go on until all is recorded."""
        around = self._around
        lanes = itertools.islice(itertools.cycle(around.outbox.owners.items()), deliveries)
        for lane, owner in lanes:
            around.ledger.arrive()
            owner.hear(Delivery(Event(0.0, (lane,), 1), lane), 0)
        return self.finish()

    def finish(self) -> Course:
        """Go on until all is over."""
        return self.go_on(self._around.calendar.now + LONGEST)

    def _course(self) -> Course:
        around, ledger = self._around, self._around.ledger
        seconds = max(around.calendar.now, MICROSECOND)
        return Course(seconds, ledger.arrived, ledger.over, self._busy(seconds))

    def _busy(self, seconds: float) -> dict[str, float]:
        around, count = self._around, len(self._processes)
        limits = around.world.machines
        places = [seconds for each in self._processes for seconds in each.places.values()]
        cores = sum(each.busy for each in around.machines) / sum(each.servers for each in around.machines)
        busy = {
            "event loop": sum(each.loop.busy for each in self._processes) / count,
            "store's one transaction at a time": sum(each.writing for each in self._processes) / count,
            "cores of hookd's machines": cores,
            "cores of the database": around.database.busy / around.database.servers,
            "bytes of the database's log": around.journal.writing,
            "attempts in flight": sum(places) / count / limits.max_in_flight,
            "attempts in flight for one endpoint": max(places, default=0.0) / limits.per_endpoint,
        }
        return {name: each / seconds for name, each in busy.items()}
