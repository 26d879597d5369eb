"""What a transaction knows beside its own input: the time, the destinations, and what it has changed."""

import logging
from collections import Counter
from collections.abc import Mapping
from copy import copy
from dataclasses import dataclass, field, fields
from typing import Protocol

from hookd.errors import Unavailable
from hookd.ids import IdFactory
from hookd.model import Delivery, Destination, Endpoint, EndpointState, Event, Handler, Origin, Status
from hookd.policy.breaker import Tally
from hookd.policy.filter import Subject, passes
from hookd.policy.match import candidates, matches
from hookd.store import rows
from hookd.store.statement import Query, Row, Steps, statements
from hookd.store.vault import Vault

SQL = statements("endpoints")

REMEMBERED = 10_000
"""Endpoints, and answers of the fan-out, that are kept in memory."""

log = logging.getLogger("hookd.store")


class Share(Protocol):
    """Which lanes are this process's to send to: all of them, unless others share the store."""

    shared: bool
    """Whether other processes may accept events beside this one."""
    number: int | None
    """What tells this process from those others; None while it is none of them."""

    @property
    def leads(self) -> bool:
        """Whether this process is the one that does what a single one has to do."""

    def owns(self, lane: str) -> bool:
        """Say whether this process alone claims a lane's deliveries."""


class Everything:
    """The share of a process that has the store to itself."""

    shared = False
    leads = True
    number: int | None = None

    def owns(self, lane: str) -> bool:  # noqa: ARG002 - a Share's signature
        """Say yes."""
        return True


class Room(Protocol):
    """Who may be sent a delivery at once. Called on the store's thread alone."""

    def knows(self, lane: str) -> bool:
        """Say whether anything has been learnt of a lane."""

    def learn(self, destination: Destination) -> object:
        """Know what a destination now allows."""

    def welcome(self, destination: Destination) -> None:
        """Know a destination that has just been made."""

    def take(self, destination: Destination, now: int) -> bool:
        """Take a place for one delivery, if the destination has one and nothing older is due."""

    @property
    def left(self) -> int:
        """How many more deliveries may be claimed, for all destinations together."""

    def claimable(self, destination: Destination) -> int:
        """Say how many waiting deliveries of a destination may be claimed, as far as it goes for that one."""

    def hold(self, destination: Destination, count: int) -> None:
        """Take the places of deliveries that were claimed."""

    def give_back(self, destination: Destination) -> None:
        """Undo a take: the transaction failed."""


@dataclass(slots=True)
class Changes:
    """What a committed transaction means for the delivery loop, and for the counters."""

    claimed: list[Delivery] = field(default_factory=list)
    """Deliveries whose places are taken and whose attempts are to be made now."""
    outdated: list[Delivery] = field(default_factory=list)
    """What was claimed before its destination changed in the same transaction, and is to be put back."""
    held: list[Destination] = field(default_factory=list)
    """Whose places are taken, one entry for each; for some, the delivery is yet to be written."""
    due: dict[str, int] = field(default_factory=dict)
    """Lanes that have something due, and when (epoch ms)."""
    scanned: dict[str, int | None] = field(default_factory=dict)
    """Lanes that were claimed from, and when they are due next, all of `due` considered."""
    unasked: list[str] = field(default_factory=list)
    """Lanes that were to be claimed from, and for which nothing was left."""
    elsewhere: set[str] = field(default_factory=set)
    """Lanes of other processes that have something due, or whose destination has changed."""
    gained: frozenset[int] = frozenset()
    """Slots whose lanes are this process's from now on."""
    lost: frozenset[int] = frozenset()
    """Slots whose lanes are so no more."""
    touched: set[str] = field(default_factory=set)
    """Lanes whose destination has changed, or of which something that is being sent is to stop."""
    disabled: dict[str, str] = field(default_factory=dict)
    """Endpoints that were disabled, and why."""
    failing: dict[str, str] = field(default_factory=dict)
    """Endpoints whose breaker opened, and what the last attempt met."""
    recovered: list[str] = field(default_factory=list)
    """Endpoints whose breaker closed."""
    concluded: Counter[Status] = field(default_factory=Counter)

    def mark(self) -> "Changes":
        """Answer a copy, to come back to."""
        return Changes(**{each.name: copy(getattr(self, each.name)) for each in fields(self)})

    def touch(self, lane: str) -> None:
        """Note that a lane's destination has changed, or that something that is being sent is to stop."""
        self.touched.add(lane)
        self.outdated += [delivery for delivery in self.claimed if delivery.destination.id == lane]
        self.claimed = [delivery for delivery in self.claimed if delivery.destination.id != lane]

    def make_due(self, lane: str, at: int) -> None:
        """Note that a lane has a row due at `at`."""
        self.due[lane] = min(at, self.due.get(lane, at))
        scanned = self.scanned.get(lane, at)
        if lane in self.scanned:
            self.scanned[lane] = at if scanned is None else min(at, scanned)


class Directory:
    """The destinations, remembered on the store's thread; every write of an endpoint passes through here."""

    def __init__(self, vault: Vault) -> None:
        self.vault = vault
        self.handlers: Mapping[str, Handler] = {}
        self.tallies: dict[str, Tally] = {}
        """What came of each endpoint's latest attempts; a new process begins to count anew."""
        self._endpoints: dict[str, Endpoint] = {}
        self._matches: dict[tuple[str | None, str, Origin], tuple[str, ...]] = {}

    def forget(self) -> None:
        """Know nothing any more: a transaction failed."""
        self.forget_endpoints()
        self.tallies.clear()

    def forget_endpoints(self) -> None:
        """Read the endpoints afresh: somebody else wrote."""
        self._endpoints.clear()
        self._matches.clear()

    def put(self, endpoint: Endpoint) -> None:
        """Remember an endpoint as it now is."""
        if len(self._endpoints) >= REMEMBERED:
            self._endpoints.clear()
        self._endpoints[endpoint.id] = endpoint

    def resubscribed(self, identity: str) -> None:
        """Note that an endpoint has come, gone, or changed its patterns."""
        self._endpoints.pop(identity, None)
        self._matches.clear()

    def find(self, identity: str) -> Steps[Destination | None]:
        """Answer the destination with this id, if there is one; Unavailable where its secrets can't be decrypted."""
        found: Destination | None = self._endpoints.get(identity) or self.handlers.get(identity)
        if found is None and not identity.startswith("handler:"):
            for row in (yield Query(SQL.read, {"id": identity})):
                found = self._read(row)
                self.put(found)
        return found

    def _read(self, row: Row) -> Endpoint:
        try:
            return rows.endpoint(row, self.vault)
        except Unavailable as error:
            log.error("nothing can be sent to an endpoint", extra={"fields": {"endpoint": row[0], "fault": str(error)}})
            raise

    def match(self, event: Event) -> Steps[list[Destination]]:
        """Answer every destination that gets an event: handlers first, then endpoints of its tenant.

        They subscribe to its type, and it passes their filters.
        """
        found: list[Destination] = [
            handler for handler in self.handlers.values() if matches(handler.event_types, event.type, event.origin)
        ]
        for identity in (yield from self._subscribers(event.tenant, event.type, event.origin)):
            destination = yield from self.find(identity)
            if destination is not None:
                found.append(destination)
        subject = Subject(event.type, event.payload)
        return [each for each in found if each.filter is None or passes(each.filter, subject)]

    def _subscribers(self, tenant: str | None, event_type: str, origin: Origin) -> Steps[tuple[str, ...]]:
        key = (tenant, event_type, origin)
        known = self._matches.get(key)
        if known is None:
            patterns = rows.text(candidates(event_type, origin))
            found = yield Query(SQL.subscribers, {"tenant": tenant or "", "patterns": patterns})
            known = tuple(row[0] for row in found)
            if len(self._matches) >= REMEMBERED:
                self._matches.clear()
            self._matches[key] = known
        return known


@dataclass(slots=True)
class Context:
    """What the groups of one commit share."""

    now: int
    ids: IdFactory
    directory: Directory
    room: Room | None
    changes: Changes
    dedupe: int
    """How long dedupe keys are kept, in milliseconds."""
    share: Share = field(default_factory=Everything)

    @property
    def owner(self) -> int:
        """The number of this process."""
        return self.share.number or 0

    def take(self, destination: Destination) -> bool:
        """Take a place for one new delivery, where there is one."""
        if self.room is None or not self.share.owns(destination.id):
            return False
        if self.sent_from(destination) != self.now or not self.room.take(destination, self.now):
            return False
        self.changes.held.append(destination)
        return True

    def sent_from(self, destination: Destination) -> int | None:
        """Answer when a destination may be sent to: now, when its breaker lets it, or None where it is not active."""
        if not isinstance(destination, Endpoint):
            return self.now
        if destination.state is not EndpointState.ACTIVE:
            return None
        return max(self.now, destination.breaker.blocked_until or 0)

    def make_due(self, destination: Destination) -> None:
        """Note that something waits for a destination, as soon as that may be sent to."""
        at = self.sent_from(destination)
        if at is not None:
            self.wake(destination.id, at)

    def wake(self, lane: str, at: int) -> None:
        """Note that a lane has a row due at `at` (epoch ms), for whoever it belongs to."""
        if self.share.owns(lane):
            self.changes.make_due(lane, at)
        else:
            self.changes.elsewhere.add(lane)

    def learn(self, destination: Destination) -> None:
        """Let what a destination now allows be effective at once."""
        self.changes.touch(destination.id)
        if not self.share.owns(destination.id):
            self.changes.elsewhere.add(destination.id)
        elif self.room is not None:
            self.room.learn(destination)

    def hold(self, destination: Destination, count: int) -> None:
        """Take the places of deliveries that are being claimed."""
        if self.room is not None:
            self.room.hold(destination, count)
            self.changes.held += [destination] * count

    def undo(self, before: Changes | None = None) -> None:
        """Forget what was changed since `before` (None: at all), since it was rolled back."""
        before = before or Changes()
        for destination in self.changes.held[len(before.held) :]:
            if self.room is not None:
                self.room.give_back(destination)
        self.changes = before
        self.directory.forget()
