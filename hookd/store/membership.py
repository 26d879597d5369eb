"""What a process is among those that share a store: its number, its lease, and the lanes that are its own."""

import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final
from zlib import crc32

from hookd.model import Clock

SLOTS: Final = 128
"""Into so many parts the lanes are shared out; more processes than that make no sense."""

HELD: Final = 0.8
"""The part of a lease after which a process that could not renew it begins nothing more.

What is left covers a clock that runs slow, and the way of the last request to its receiver.
"""

RENEWED: Final = 3
"""How often a lease is renewed while it lasts."""


def steady() -> float:
    """Answer the seconds of a clock that goes on while the machine is suspended, where there is one (time(7))."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) if sys.platform == "linux" else time.monotonic()


def slot_of(lane: str) -> int:
    """Answer the slot that a lane, named by its destination's id, belongs to."""
    return crc32(lane.encode()) % SLOTS


TOLERATED: Final = 100
"""Milliseconds by which the machine's clock may differ from the server's: the way of an answer takes some itself."""


@dataclass(slots=True)
class ServerClock:
    """The server's wall clock, in milliseconds since 1970 UTC, as far as it differs from the machine's.

    So what one process says is due at a time is so for all of them, whatever their machines think.
    """

    machine: Clock
    ahead: int = 0

    def __call__(self) -> int:
        """Answer the time."""
        return self.machine() + self.ahead

    def hear(self, now: int) -> None:
        """Learn what time it is at the server."""
        if abs(now - self()) > TOLERATED:
            self.ahead = now - self.machine()


@dataclass(slots=True)
class Membership:
    """What this process knows of itself, as of its last commit; times are seconds of a monotonic clock."""

    name: str
    """What people know it by: its host and process id."""
    lease: int
    """Milliseconds for which it keeps what it has without being heard of."""
    key_id: str = ""
    """Which key it encrypts secrets with."""
    hear: Callable[[int], object] = lambda _: None
    """Told what time it is at the server, as often as that is asked."""
    busy: Callable[[], Iterable[str]] = tuple
    """Names the lanes of which something is claimed or under way."""
    handlers: Callable[[], Iterable[str]] = tuple
    """Names the handlers that it has configured, by their ids."""
    monotonic: Callable[[], float] = steady
    number: int | None = None
    """Never used again by another; None while it is no member."""
    version: int = 0
    """Up to which of them the changes of endpoints are known."""
    slots: set[int] = field(default_factory=set)
    leaving: set[int] = field(default_factory=set)
    """Of these slots, those that are to be given back once nothing of them is under way."""
    owners: Sequence[int] = ()
    """Whose each slot was at the last census; 0 where nobody's."""
    retiring: bool = False
    """Whether it wants no slots any more."""
    held_until: float = 0.0
    renew_at: float = 0.0
    shared = True

    @property
    def leads(self) -> bool:
        """Say whether this process is the one that does what a single one has to do: it owns the first slot."""
        return 0 in self.slots

    def owns(self, lane: str) -> bool:
        """Say whether this process alone claims a lane's deliveries."""
        slot = slot_of(lane)
        return slot in self.slots and slot not in self.leaving

    def holds(self) -> bool:
        """Say whether the lease certainly lasts: nobody else sends to the lanes of this process."""
        return self.monotonic() < self.held_until

    def owner_of(self, lane: str) -> int | None:
        """Answer the number of the process that a lane belongs to, as far as is known."""
        return (self.owners[slot_of(lane)] or None) if self.owners else None

    def renewed(self, asked_at: float) -> None:
        """Note that the lease was renewed, as was asked for at that time."""
        seconds = self.lease / 1000
        self.held_until = asked_at + seconds * HELD
        self.renew_at = asked_at + seconds / RENEWED

    def forsake(self) -> None:
        """Be no member any more: others have taken over."""
        self.number = None
        self.slots.clear()
        self.leaving.clear()
        self.owners = ()
        self.held_until = self.renew_at = 0.0
