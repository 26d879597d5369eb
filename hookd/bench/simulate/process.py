"""One simulated hookd: its event loop, its group commit, and its lanes, which are those of hookd itself."""

from collections import defaultdict
from functools import partial

from hookd.ahead import Ahead
from hookd.bench.simulate.batch import Batch
from hookd.bench.simulate.costs import MICROSECOND
from hookd.bench.simulate.ledger import Delivery, Event
from hookd.bench.simulate.line import Line
from hookd.bench.simulate.surroundings import Surroundings
from hookd.deliver import LANES_PER_CLAIM
from hookd.lanes import Lanes
from hookd.store.commit import GATHER, QUIET


class Process:
    """One hookd: accepts events, commits in groups, claims from the lanes it owns, and makes attempts."""

    def __init__(self, surroundings: Surroundings, cores: Line) -> None:
        limits = surroundings.world.machines
        self._around = surroundings
        self._costs = surroundings.costs
        self._calendar = surroundings.calendar
        self.loop = Line(1, cores.ask)
        """The interpreter: the event loop has it, and the store's thread for a part of its work."""
        self.writing = 0.0
        """Seconds of work of its transactions, of which there is one at a time."""
        self.places: defaultdict[str, float] = defaultdict(float)
        """Attempts under way over time, by their lanes."""
        self._lanes = Lanes(limits.max_in_flight, limits.per_endpoint, lambda: surroundings.calendar.now)
        self._ahead: Ahead[Delivery] = Ahead(self._lanes, lambda _: 0)
        self._batch = Batch()
        self._committing = False
        self._claiming = False
        self._timer: int | None = None

    # Accepting.

    def accept(self, event: Event) -> None:
        """Take in what is published."""
        self.loop.ask(self._costs.accept * MICROSECOND, partial(self._queue_event, event))

    def _queue_event(self, event: Event) -> None:
        self._batch.events.append(event)
        self._commit_soon()

    # Committing, as hookd.store.commit does it.

    def _commit_soon(self) -> None:
        if not self._committing:
            self._committing = True
            self._gather(self._calendar.now + GATHER, 0, -1)

    def _gather(self, until: float, quiet: int, before: int) -> None:
        """Wait for turns of the event loop that bring nothing more."""
        quiet = quiet + 1 if self._batch.size == before else 0
        if quiet < QUIET and self._calendar.now < until:
            self.loop.ask(0.0, partial(self._gather, until, quiet, self._batch.size))
        else:
            self._commit()

    def _commit(self) -> None:
        batch, self._batch = self._batch, Batch()
        self._insert(batch)
        self._claim(batch)
        work, trip = batch.work(self._costs), self._around.round_trips
        self.writing += work.both * MICROSECOND + trip
        flush = partial(self._around.journal.flush, batch.bytes(self._costs), partial(self._committed, batch))
        execute = partial(self._around.database.ask, work.database * MICROSECOND, flush)
        self.loop.ask(work.process * MICROSECOND, partial(self._calendar.after, trip, execute))

    def _insert(self, batch: Batch) -> None:
        """Fan events out: what has room at once is handed over, and the rest waits."""
        receivers, owners = self._around.receivers, self._around.outbox.owners
        for event in batch.events:
            for lane in event.targets:
                own = owners[lane] is self and lane not in receivers.left_alone
                handed = own and self._lanes.take(receivers.by_id[lane], self._around.now)
                (batch.handed if handed else batch.queued).append(Delivery(event, lane))

    def _claim(self, batch: Batch) -> None:
        """Claim from lanes as many as they have room for, as hookd.store.claim does it."""
        left = self._lanes.left
        share = max(1, left // max(1, len(batch.lanes)))
        for lane in batch.lanes:
            endpoint = self._around.receivers.by_id[lane]
            room = min(share, left, self._lanes.claimable(endpoint))
            claimed = self._around.outbox.take(lane, room, self._around.now)
            self._lanes.hold(endpoint, len(claimed))
            batch.claimed += claimed
            left -= room

    def _committed(self, batch: Batch) -> None:
        self._committing = False
        if batch.lanes:
            self._claiming = False
        for event in batch.events:
            self._around.ledger.answer(event)
        for delivery, success in batch.results:
            self._recorded(delivery, success=success)
        # As it is now: what another process told of meanwhile was not seen by this claim, and must not be forgotten.
        self._lanes.scanned({lane: self._around.outbox.next_due(lane) for lane in batch.lanes}, self._around.now)
        for delivery in batch.queued:
            self._hand_on(delivery)
        for delivery in (*batch.handed, *batch.claimed):
            self._begin(delivery)
        if self._batch.size:
            self._commit_soon()
        self._look()

    def _recorded(self, delivery: Delivery, *, success: bool) -> None:
        around = self._around
        if around.receivers.judge(delivery.lane, success=success):
            for waiting in around.outbox.empty(delivery.lane):
                around.ledger.park(waiting)
        if success:
            around.ledger.end(delivery)
        else:
            self._note(delivery, around.now + int(around.world.receivers.retry * 1000))

    def _hand_on(self, delivery: Delivery) -> None:
        """Let the owner of a lane know what waits in it."""
        owner = self._around.outbox.owners[delivery.lane]
        if owner is self:
            self._note(delivery, self._around.now)
        else:
            self._calendar.after(self._around.notice, partial(owner.hear, delivery, self._around.now))

    # Delivering, as hookd.deliver does it.

    def hear(self, delivery: Delivery, due_at: int) -> None:
        """Hear of what another process has accepted for a lane of one's own."""
        self._note(delivery, due_at)
        self._look()

    def _note(self, delivery: Delivery, due_at: int) -> None:
        """Note what waits in a lane; where its endpoint is left alone, that is for long."""
        if delivery.lane in self._around.receivers.left_alone:
            self._around.ledger.park(delivery)
        else:
            self._around.outbox.put(delivery, due_at)
            self._lanes.make_due(delivery.lane, due_at)

    def _look(self) -> None:
        """Claim from the lanes that are due and have room, unless a claim is under way."""
        if self._claiming:
            return
        lanes = self._lanes.pick(self._around.now, LANES_PER_CLAIM, later=bool(self._batch.size))
        if lanes:
            self._claiming = True
            self._batch.lanes = lanes
            self._commit_soon()
        else:
            self._make_room()
            self._set_timer()

    def _make_room(self) -> None:
        """Put back what was claimed ahead where it keeps another lane from its turn."""
        if self._lanes.squeezed and self._ahead.lanes:
            for lane in self._ahead.lanes:
                for delivery in self._ahead.withdraw(lane):
                    self._lanes.finish(lane)
                    self._note(delivery, self._around.now)
            self._calendar.after(0.0, self._look)

    def _set_timer(self) -> None:
        due_at = self._lanes.next_due()
        if due_at is not None and (self._timer is None or due_at < self._timer):
            self._timer = due_at
            self._calendar.after(max(0.0, (due_at + 1) / 1000 - self._calendar.now), self._ring)

    def _ring(self) -> None:
        self._timer = None
        self._look()

    def _begin(self, delivery: Delivery) -> None:
        if self._lanes.start(delivery.lane):
            self._attempt(delivery)
        else:
            self._ahead.add(delivery.lane, delivery)

    def _attempt(self, delivery: Delivery) -> None:
        """Make an attempt: half of its work comes before the request is sent, half after the answer."""
        half = self._costs.attempt / 2 * MICROSECOND
        began = self._calendar.now

        def answered(success: bool) -> None:
            self.loop.ask(half, partial(self._ended, delivery, began, success=success))

        self.loop.ask(half, partial(self._around.send, delivery, answered))

    def _ended(self, delivery: Delivery, began: float, *, success: bool) -> None:
        self.places[delivery.lane] += self._calendar.now - began
        due = self._lanes.end(delivery.lane)
        self._batch.results.append((delivery, success))
        self._commit_soon()
        following = self._ahead.following(delivery.lane)
        if following is not None:
            self._attempt(following)
        if due:
            self._look()
