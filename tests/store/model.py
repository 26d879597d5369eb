"""What the contract says becomes of events, deliveries and endpoints: plain objects, to hold the store to."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from hookd.errors import Conflict, HookdError, InvalidInput
from hookd.model import EndpointState, Handler, Origin, Outcome, Status
from hookd.policy.breaker import BreakerPolicy
from hookd.units import format_duration

GONE = 410
CRASHES = 3
FEWEST_ATTEMPTS = 10
TOO_MUCH = (429, 503)
BREAKER = BreakerPolicy(failures=3, share=2.0, least=1, window=60_000, wait=10_000, longest=40_000)
"""It opens by failures in a row alone."""
BEFORE_ALL = 2**62
"""So far before all that waits is what is retried by hand, in the order of the events."""
GOES_FIRST = "an older delivery of this ordered endpoint goes first"

Refused = type[HookdError]
"""The error with which something is refused."""


@dataclass(frozen=True)
class Happened:
    """An event. `id` is None where hookd itself chose it."""

    id: str | None
    tenant: str | None
    type: str
    origin: Origin
    ordering_key: str = ""


@dataclass
class Target:
    """An endpoint, or a handler, which always is active and gets the events of every tenant."""

    id: str
    patterns: tuple[str, ...]
    tenant: str | None = None
    url: str = ""
    schedule: tuple[int, ...] | None = None
    secrets: tuple[str, ...] = ()
    """The one that signs, and the earlier ones."""
    state: EndpointState = EndpointState.ACTIVE
    state_reason: str | None = None
    failing_since: int | None = None
    failing_attempts: int = 0
    ordered: bool = False
    opened_at: int | None = None
    openings: int = 0
    told: bool = False
    """Whether `hookd.endpoint.failing` told of the open breaker."""
    blocked_until: int = 0
    """Before that nothing is sent, since the breaker is open or the receiver has asked for a pause."""

    @property
    def is_handler(self) -> bool:
        return self.id.startswith("handler:")

    @property
    def refusal(self) -> str | None:
        """Why what is for it is cancelled, where it is."""
        return f"the endpoint is disabled: {self.state_reason}" if self.state is EndpointState.DISABLED else None

    def wants(self, event: Happened) -> bool:
        theirs = self.is_handler or self.tenant == event.tenant
        return theirs and any(fits(pattern, event) for pattern in self.patterns)


def fits(pattern: str, event: Happened) -> bool:
    if pattern == "*":
        return event.origin is Origin.PUBLISHED
    return event.type.startswith(pattern[:-1]) if pattern.endswith(".*") else event.type == pattern


@dataclass(eq=False)
class Row:
    """A delivery. `stop` is why it is cancelled unless the attempt in flight succeeds."""

    event: Happened
    target: str
    due_at: int
    status: Status = Status.PENDING
    reason: str | None = None
    stop: str | None = None
    attempts: int = 0
    step: int = 0
    crashes: int = 0
    last_error: str | None = None
    place: int | None = None
    """Its place in line, while it waits for an ordered destination or is being sent."""

    @property
    def is_open(self) -> bool:
        return self.status in (Status.PENDING, Status.SENDING)


class Answer(NamedTuple):
    """What a producer is told."""

    event: str
    deliveries: int
    repeated: bool = False


@dataclass(frozen=True)
class Remembered:
    """What came under a dedupe key, and when."""

    content: object
    answer: Answer
    at: int


@dataclass(frozen=True)
class Tried:
    """An attempt at a delivery; `schedule` and `disable_after` were in force when it was made."""

    row: Row
    outcome: Outcome
    schedule: tuple[int, ...]
    disable_after: int
    status_code: int | None = None
    error: str | None = None
    retry_after: int | None = None

    @property
    def pause(self) -> int:
        """How long the whole lane is to pause, ms."""
        return (self.retry_after or 0) if self.status_code in TOO_MUCH else 0


@dataclass
class Model:
    """All there is; rows and events stand in the order in which they came to be."""

    clock: list[int]
    dedupe: int
    take: Callable[[str], bool]
    """Says whether a new delivery to an active destination is sent at once: nothing that the contract promises."""
    endpoints: dict[str, Target] = field(default_factory=dict)
    handlers: dict[str, Target] = field(default_factory=dict)
    events: list[Happened] = field(default_factory=list)
    rows: list[Row] = field(default_factory=list)
    keys: dict[tuple[str, str, str], Remembered] = field(default_factory=dict)
    concluded: Counter[Status] = field(default_factory=Counter)

    @property
    def now(self) -> int:
        return self.clock[0]

    def target(self, identity: str) -> Target | None:
        return self.endpoints.get(identity) or self.handlers.get(identity)

    def of(self, identity: str, *statuses: Status) -> list[Row]:
        """Answer a destination's deliveries, those that wait the longest first."""
        found = [row for row in self.rows if row.target == identity and row.status in statuses]
        return sorted(found, key=lambda row: row.due_at)

    def is_active(self, identity: str) -> bool:
        target = self.target(identity)
        return target is not None and target.state is EndpointState.ACTIVE

    def is_able(self, identity: str) -> bool:
        """Say whether a destination may be sent to now."""
        target = self.target(identity)
        return target is not None and self.is_active(identity) and target.blocked_until <= self.now

    def line(self, identity: str, key: str) -> list[Row]:
        """Answer what is in line for a destination with a key, in its order."""
        found = [row for row in self.rows if row.target == identity and row.is_open and row.place is not None]
        return sorted((row for row in found if row.event.ordering_key == key), key=lambda row: row.place or 0)

    def is_held(self, row: Row) -> bool:
        """Say whether a delivery has to wait for another one."""
        if row.status is not Status.PENDING or row.place is None:
            return False
        line = self.line(row.target, row.event.ordering_key)
        return row is not line[0] or any(each.status is Status.SENDING for each in line)

    def reason(self, row: Row, *, held: bool) -> str | None:
        """Say why a delivery is where it is, if there is anything to say; `held`: it is known to wait for another."""
        target = self.target(row.target)
        known = row.stop or row.reason or (GOES_FIRST if held else None)
        if known is not None or target is None or row.status is not Status.PENDING or row.due_at > self.now:
            return known
        is_blocked = target.blocked_until > self.now
        if target.state is EndpointState.PAUSED:
            return "the endpoint is paused"
        if target.opened_at is not None:
            then = "and is left alone for a while" if is_blocked else "one delivery at a time is tried"
            return f"the endpoint keeps failing{' ' if is_blocked else '; '}{then}"
        return "the receiver asked for a pause (Retry-After)" if is_blocked else None

    def waiting(self, identity: str) -> list[Row]:
        """Answer the deliveries that wait for nothing but their time."""
        return [row for row in self.of(identity, Status.PENDING) if not self.is_held(row)]

    def due(self, identity: str) -> list[Row]:
        """Answer the deliveries that could be sent now."""
        waiting = self.waiting(identity) if self.is_able(identity) else []
        return [row for row in waiting if row.due_at <= self.now]

    # Accepting.

    def accept(
        self,
        event: Happened,
        identity: str,
        *,
        keys: Sequence[tuple[str, str, str]] = (),
        content: object = None,
        endpoints: tuple[str, ...] | None = None,
    ) -> Answer | Refused:
        """Take in an event that shall have this id, unless it came before."""
        known = {key: self.keys[key] for key in keys if key in self.keys and not self._expired(self.keys[key])}
        for (kind, _, _), earlier in known.items():
            if kind != "inbound" and earlier.content != content:
                return Conflict if kind == "id" else InvalidInput
        if known:
            first = next(iter(known.values())).answer
            answer = Answer(first.event, first.deliveries, repeated=True)
        else:
            targets = self._targets(event, endpoints)
            if targets is None:
                return InvalidInput
            self.happen(event, targets)
            answer = Answer(identity, len(targets))
        for key in keys:
            if key not in known and not (answer.repeated and key[0] == "id"):
                self.keys[key] = Remembered(content, answer, self.now)
        return answer

    def _expired(self, key: Remembered) -> bool:
        return key.at < self.now - self.dedupe

    def expire(self) -> None:
        self.keys = {name: key for name, key in self.keys.items() if not self._expired(key)}

    def _targets(self, event: Happened, endpoints: tuple[str, ...] | None) -> list[Target] | None:
        if endpoints is None:
            return [each for each in (*self.handlers.values(), *self._by_id()) if each.wants(event)]
        named = [self.endpoints.get(each) for each in dict.fromkeys(endpoints)]
        found = [each for each in named if each is not None and each.tenant == event.tenant]
        return found if len(found) == len(named) else None

    def _by_id(self) -> list[Target]:
        return [self.endpoints[identity] for identity in sorted(self.endpoints)]

    def happen(self, event: Happened, targets: Iterable[Target]) -> None:
        self.events.append(event)
        for target in targets:
            row = Row(event, target.id, self.now)
            self.rows.append(row)
            if target.refusal is not None:
                self._cancel(row, target.refusal)
                continue
            if target.ordered:
                line = self.line(target.id, event.ordering_key)
                row.place = max(0, line[-1].place or 0) + 1 if line else 1
            if not self.is_held(row) and self.is_able(target.id) and self.take(target.id):
                row.status = Status.SENDING

    def tell(self, event_type: str, tenant: str | None) -> None:
        """Let hookd itself have something to tell."""
        event = Happened(None, tenant, event_type, Origin.OPERATIONAL)
        self.happen(event, [each for each in (*self.handlers.values(), *self._by_id()) if each.wants(event)])

    def test(self, target: Target) -> None:
        """Begin to send `hookd.test`, whatever the endpoint's state."""
        self.events.append(Happened(None, target.tenant, "hookd.test", Origin.OPERATIONAL))
        self.rows.append(Row(self.events[-1], target.id, self.now, Status.SENDING))

    # Attempts.

    def record(self, tries: Sequence[Tried], go_on: Callable[[Sequence[str]], None]) -> None:
        """Take in what came of attempts, all at once: first what becomes of them, then what follows.

        To ordered destinations the next is sent at once.
        """
        dead = [row for row in map(self._conclude, tries) if row is not None]
        for each in tries:
            self._judge(each)
        targets = (self.target(each.row.target) for each in tries)
        go_on(list(dict.fromkeys(target.id for target in targets if target is not None and target.ordered)))
        for row in dead:
            target = self.target(row.target)
            tenant = row.event.tenant if target is None or target.is_handler else target.tenant
            self.tell("hookd.delivery.failed", tenant)

    def _conclude(self, tried: Tried) -> Row | None:
        """Decide about a delivery; answer it where it has become a dead letter that is told of."""
        row = tried.row
        row.attempts, row.crashes, row.last_error = row.attempts + 1, 0, tried.error
        stop, row.stop, row.reason = row.stop, None, None
        if tried.outcome is Outcome.SUCCESS:
            self._end(row, Status.DELIVERED, None)
        elif stop is not None:
            self._end(row, Status.CANCELLED, stop)
        elif tried.status_code == GONE:
            self._end(row, Status.FAILED, "the receiver answered 410 Gone")
        elif row.step < len(tried.schedule):
            row.status, row.due_at = Status.PENDING, self.now + max(tried.schedule[row.step], tried.retry_after or 0)
            row.step += 1
        else:
            attempts = f"all {row.step + 1} attempts" if row.step else "the only attempt"
            self._end(row, Status.FAILED, f"{attempts} of the schedule failed")
        told = row.status is Status.FAILED and row.event.origin is not Origin.OPERATIONAL
        return row if told else None

    def _judge(self, tried: Tried) -> None:
        """Disable an endpoint that is gone, or has failed for too long; leave one that keeps failing alone."""
        target = self.endpoints.get(tried.row.target)
        if target is None:
            return
        if target.blocked_until <= self.now:
            target.blocked_until = 0
        if tried.outcome is Outcome.SUCCESS:
            target.failing_since, target.failing_attempts = None, 0
            if target.state is not EndpointState.DISABLED and target.opened_at is not None:
                self._mend(target)
            return
        since = self.now if target.failing_since is None else target.failing_since
        target.failing_since, target.failing_attempts = since, target.failing_attempts + 1
        told = tried.row.event.origin is not Origin.OPERATIONAL
        if target.state is EndpointState.DISABLED:
            return
        if tried.status_code == GONE:
            self.disable(target, "the receiver answered 410 Gone", told=told)
        elif self.now - since >= tried.disable_after and target.failing_attempts >= FEWEST_ATTEMPTS:
            span = format_duration(tried.disable_after)
            reason = f"no success in {target.failing_attempts} attempts over {span}; last: {tried.error}"
            self.disable(target, reason, told=told)
        else:
            self._open(target, tried, told=told)

    def _open(self, target: Target, tried: Tried, *, told: bool) -> None:
        """Block an endpoint that has failed too often, or in its trial, or for as long as the receiver asks for.

        What was under way when it was blocked opens it no further.
        """
        opens = target.opened_at is not None or target.failing_attempts >= BREAKER.failures
        is_blocked, was_closed = target.blocked_until > self.now, target.opened_at is None
        if tried.pause:
            target.blocked_until = max(target.blocked_until, self.now + tried.pause)
        if is_blocked or not opens:
            return
        wait = min(BREAKER.longest, BREAKER.wait * 2**target.openings)
        target.blocked_until = max(target.blocked_until, self.now + wait)
        target.openings += 1
        if was_closed:
            target.opened_at, target.told = self.now, told
            if told:
                self.tell("hookd.endpoint.failing", target.tenant)

    def _mend(self, target: Target) -> None:
        """Let all of it go again, and tell whoever was told that it was failing."""
        told = target.told
        self._forget(target)
        if told:
            self.tell("hookd.endpoint.recovered", target.tenant)

    def _forget(self, target: Target) -> None:
        target.opened_at, target.openings, target.blocked_until, target.told = None, 0, 0, False

    def _end(self, row: Row, status: Status, reason: str | None) -> None:
        row.status, row.reason, row.stop, row.place = status, reason, None, None
        self.concluded[status] += 1

    def release(self, row: Row) -> None:
        """Put back what was claimed, untried."""
        row.status = Status.PENDING
        if row.stop is not None:
            self._end(row, Status.CANCELLED, row.stop)

    def crash(self, handlers: Mapping[str, Handler]) -> list[str]:
        """Take up what was in flight when the process died, and read the configuration."""
        self._know(handlers)
        for row in [row for row in self.rows if row.status is Status.SENDING]:
            row.crashes += row.target.startswith("handler:")
            target = self.target(row.target)
            row.stop = row.stop or (target.refusal if target is not None else None)
            self.release(row)
            if row.crashes >= CRASHES and row.status is Status.PENDING:
                self._end(row, Status.FAILED, f"the handler was running in {CRASHES} crashes")
                if row.event.origin is not Origin.OPERATIONAL:
                    self.tell("hookd.delivery.failed", row.event.tenant)
        gone = self._orphan()
        self._arrange_handlers()
        return gone

    # What people do.

    def retry(self, row: Row) -> Refused | None:
        target = self.target(row.target)
        if row.status is Status.SENDING or target is None or target.refusal is not None:
            return Conflict
        if target.ordered and row.place is None:
            row.place = next(place for place, event in enumerate(self.events) if event is row.event) - BEFORE_ALL
        row.status, row.reason, row.stop, row.step, row.crashes = Status.PENDING, None, None, 0, 0
        row.due_at = self.now
        return None

    def cancel(self, row: Row) -> Refused | None:
        if row.status in (Status.DELIVERED, Status.FAILED):
            return Conflict
        self._cancel(row, "cancelled by hand")
        return None

    def _cancel(self, row: Row, reason: str) -> None:
        if row.status is Status.SENDING:
            row.stop = reason
        elif row.status is Status.PENDING:
            self._end(row, Status.CANCELLED, reason)

    def set_state(self, target: Target, state: EndpointState) -> None:
        if state is target.state:
            return
        if state is EndpointState.DISABLED:
            self.disable(target, "by hand", told=True)
        else:
            target.state, target.state_reason = state, None if state is EndpointState.ACTIVE else "by hand"
        if state is EndpointState.ACTIVE:
            target.failing_since, target.failing_attempts = None, 0
            self.hasten(target.id)

    def set_order(self, target: Target, ordered: bool) -> None:
        """Put all that waits into the order of the events, or let it go in any."""
        if ordered is not target.ordered:
            target.ordered = ordered
            for place, row in enumerate(self.rows):
                if row.target == target.id and row.is_open:
                    row.place = place if ordered else None

    def hasten(self, identity: str) -> None:
        for row in self.of(identity, Status.PENDING):
            row.due_at = min(row.due_at, self.now)
        if identity in self.endpoints:
            self._mend(self.endpoints[identity])

    def disable(self, target: Target, reason: str, *, told: bool) -> None:
        target.state, target.state_reason = EndpointState.DISABLED, reason
        told = told or target.told
        self._forget(target)
        self._stop_all(target.id, f"the endpoint is disabled: {reason}")
        if told:
            self.tell("hookd.endpoint.disabled", target.tenant)

    def delete(self, target: Target) -> None:
        self._stop_all(target.id, "the endpoint was deleted")
        del self.endpoints[target.id]

    def set_handlers(self, handlers: Mapping[str, Handler]) -> list[str]:
        """Know these handlers alone; answer those that something waited for, and that are gone."""
        self._know(handlers)
        gone = self._orphan()
        self._arrange_handlers()
        return gone

    def _know(self, handlers: Mapping[str, Handler]) -> None:
        self.handlers = {
            identity: Target(identity, each.event_types, ordered=each.ordered) for identity, each in handlers.items()
        }

    def _arrange_handlers(self) -> None:
        """Put what waits for handlers that have become ordered into the order of the events."""
        for target in self.handlers.values():
            theirs = [(place, row) for place, row in enumerate(self.rows) if row.target == target.id and row.is_open]
            if any((row.place is not None) is not target.ordered for _, row in theirs):
                for place, row in theirs:
                    row.place = place if target.ordered else None

    def _orphan(self) -> list[str]:
        waiting = {row.target for row in self.rows if row.status in (Status.PENDING, Status.SENDING)}
        gone = sorted(each for each in waiting if each.startswith("handler:") and each not in self.handlers)
        for identity in gone:
            self._stop_all(identity, "the handler was taken out of the configuration")
        return gone

    def _stop_all(self, identity: str, reason: str) -> None:
        for row in self.of(identity, Status.PENDING, Status.SENDING):
            self._cancel(row, reason)
