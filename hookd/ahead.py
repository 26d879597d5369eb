"""What was claimed ahead of its time, so that an attempt that ends is followed by another without a commit between."""

from collections import OrderedDict, deque
from collections.abc import Callable
from typing import Generic, TypeVar

from hookd.lanes import Lanes

T = TypeVar("T")

MOST_BYTES = 64 * 1024 * 1024
"""Bytes of payloads beyond which nothing more is claimed ahead of its time."""


class Ahead(Generic[T]):
    """What was claimed ahead of its time, by lane: attempts that begin when others end."""

    def __init__(self, lanes: Lanes, size: Callable[[T], int]) -> None:
        """`size` says how many bytes something takes."""
        self._lanes = lanes
        self._size = size
        self._bytes = 0
        self._waiting: dict[str, deque[T]] = {}
        self._turns: OrderedDict[str, None] = OrderedDict()
        """Lanes that may have room, the one that has waited longest first."""

    @property
    def lanes(self) -> list[str]:
        """Name the lanes of which something waits."""
        return list(self._waiting)

    def add(self, lane: str, item: T) -> None:
        """Let something wait, since its lane, or all together, have no room."""
        self._waiting.setdefault(lane, deque()).append(item)
        self._weigh(self._size(item))
        if self._lanes.full or self._lanes.is_short(lane):
            self._turns.setdefault(lane)

    def following(self, ended: str) -> T | None:
        """Answer what may begin now that an attempt of a lane has ended; its place is taken.

        A lane that only its own limit holds up comes again when one of its own attempts ends; where all together have
        no room, or too little for it, the lanes take turns, so that none with a backlog keeps the places it once has.
        """
        if ended in self._waiting:
            self._turns.setdefault(ended)
        short: list[str] = []
        item = None
        while item is None and self._turns and not self._lanes.full:
            lane, _ = self._turns.popitem(last=False)
            if lane in self._waiting:
                if self._lanes.start(lane):
                    item = self._take(lane)
                elif self._lanes.is_short(lane):
                    short.append(lane)
        for lane in reversed(short):
            self._turns[lane] = None
            self._turns.move_to_end(lane, last=False)
        return item

    def _take(self, lane: str) -> T:
        waiting = self._waiting[lane]
        item = waiting.popleft()
        self._weigh(-self._size(item))
        if waiting:
            self._turns[lane] = None
        else:
            del self._waiting[lane]
        return item

    def withdraw(self, lane: str) -> list[T]:
        """Answer all that waits of a lane, which waits no more."""
        items = list(self._waiting.pop(lane, ()))
        self._weigh(-sum(map(self._size, items)))
        return items

    def _weigh(self, more: int) -> None:
        """Let the lanes know whether there is memory for more."""
        self._bytes += more
        self._lanes.crowded = self._bytes >= MOST_BYTES
