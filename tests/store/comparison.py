"""A store beside the model of what it must say: everything asked of the one is asked of the other, and compared."""

import asyncio
import shutil
import tempfile
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from hypothesis.stateful import RuleBasedStateMachine

from hookd.accept import Acceptor
from hookd.errors import HookdError
from hookd.lanes import Lanes
from hookd.metrics import Metrics
from hookd.model import Delivery, Destination, Handler, Status
from hookd.store import Changes, Committed, DeliveryFilter, DeliveryRecord, Listing, Page
from hookd.store.commit import Committer
from hookd.store.context import Context
from tests.store.model import Model, Row, Tried
from tests.store.stand import DEDUPE, NOW, STORES, Stand, stand_on

T = TypeVar("T")

MEMORY = Path("/dev/shm")
"""Where a real file costs no real fsync, if the machine has such a place."""
RANKS = {"change": 0, "claim": 2}
"""Which groups of writes are carried out before the others, and after them."""
ALL, EACH = 6, 3
"""What may be in flight, all together and for each destination."""


@dataclass(frozen=True)
class Write:
    """Something that is asked of the store, and how its answer is compared with the model's."""

    group: str
    ask: Callable[[], Awaitable[Any] | None]
    compare: Callable[[Any], object] = lambda _: None
    tried: Tried | None = None
    lanes: Sequence[str] = ()
    """What is claimed from."""


@dataclass
class Claim:
    """What was claimed from a lane, and how much room it had."""

    lane: str
    room: int
    count: int = 0


class WatchedLanes(Lanes):
    """Lanes that tell which new deliveries they took in at once, and of each claim its room and what came of it.

    They tell so of what is committed: a transaction may be carried out more than once.
    """

    def __init__(self) -> None:
        super().__init__(ALL, EACH)
        self.answers: deque[tuple[str, bool]] = deque()
        self.claims: deque[Claim] = deque()
        self._taking = False
        self.begin()

    def begin(self) -> None:
        """Forget what a transaction asked for that was not committed."""
        self._answers: list[tuple[str, bool]] = []
        self._claims: list[Claim] = []

    def commit(self) -> None:
        """Tell of what the transaction asked for."""
        self.answers += self._answers
        self.claims += self._claims
        self.begin()

    def take(self, destination: Destination, now: int) -> bool:
        self._taking = True
        taken = super().take(destination, now)
        self._taking = False
        self._answers.append((destination.id, taken))
        return taken

    def claimable(self, destination: Destination) -> int:
        room = super().claimable(destination)
        self._claims.append(Claim(destination.id, room))
        return room

    def hold(self, destination: Destination, count: int) -> None:
        super().hold(destination, count)
        if not self._taking:
            next(claim for claim in reversed(self._claims) if claim.lane == destination.id).count += count


def refusal(answer: object) -> type[HookdError] | None:
    return type(answer) if isinstance(answer, HookdError) else None


class Comparison(RuleBasedStateMachine):
    """One store; `model` is what it must say."""

    store = "sqlite"
    """Which kind of it; one of STORES."""

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.stack = AsyncExitStack()
        self.folder = Path(tempfile.mkdtemp(dir=MEMORY if MEMORY.is_dir() else None))
        self.open_in = STORES[self.store]()
        self.clock = [NOW]
        self.latest = NOW
        self.model = Model(self.clock, DEDUPE, self._taken)
        self.concluded: Counter[Status] = Counter()
        self.attempts: Counter[str] = Counter()
        self.writes: list[Write] = []
        self.names: list[str] = []
        self.deliveries: list[DeliveryRecord] = []
        self.runner.run(self._open())

    async def _open(self) -> None:
        self.stand: Stand = await self.stack.enter_async_context(stand_on(self.open_in, self.folder, self.clock))
        self.stand.lanes = self.lanes = WatchedLanes()
        self.stand.store.on_commit = self._note
        self._watch(self.stand.store._committer)
        self.acceptor = Acceptor(self.stand.store, Metrics(), lambda: self.clock[0], self.stand.ids)
        self.claimed: dict[str, Delivery] = {}
        self.direct: dict[str, Delivery] = {}
        self.given_back: list[Row] = []
        """Of these the places are free, and the release is yet to be committed."""

    def _watch(self, committer: Committer) -> None:
        """Let the lanes know whenever a transaction begins."""
        begin = committer._begin

        def begin_watched() -> Context:
            self.lanes.begin()
            return begin()

        committer._begin = begin_watched

    def _note(self, committed: Committed) -> None:
        """Do what the delivery loop does with a commit, but for the attempts."""
        changes = committed.changes
        self.stand.note(committed)
        self.lanes.commit()
        self.concluded.update(changes.concluded)
        for lane, at in changes.due.items():
            self.lanes.make_due(lane, at)
        self.lanes.scanned(changes.scanned, self.clock[0])
        self.lanes.ask_first(changes.unasked)
        for lane in changes.touched:
            self.lanes.reconsider(lane)
        self.claimed |= {delivery.id: delivery for delivery in [*changes.claimed, *changes.outdated]}

    def _taken(self, target: str) -> bool:
        """Say for the model whether the lanes took a new delivery in at once."""
        if self.stand.store.room is None or self._is_newcomer(target):
            return False
        name, taken = self.lanes.answers.popleft()
        assert name == target
        return taken

    def _is_newcomer(self, target: str) -> bool:
        """Say whether a new delivery to a destination stands in line only once its lane is claimed from."""
        destination = self.model.target(target)
        return self.store != "sqlite" and destination is not None and destination.ordered

    def teardown(self) -> None:
        self.write_all()
        self.runner.run(self.stack.aclose())
        self.runner.close()
        shutil.rmtree(self.folder)

    # Writes, one or several to a commit.

    def write(self, write: Write, more: bool) -> None:
        self.writes.append(write)
        if not more:
            self.write_all()

    def write_all(self) -> None:
        writes, self.writes = self.writes, []
        if writes:
            self.runner.run(self._commit(writes))

    async def _commit(self, writes: Sequence[Write]) -> None:
        """Ask for everything at once, and compare what comes of it with the model."""
        writes = sorted(writes, key=lambda write: write.group != "accept")
        drafts = sum(write.group == "accept" for write in writes)
        commits = len(self.stand.commits)
        asked = [self._ask(write) for write in writes[:drafts]]
        await asyncio.sleep(0)  # until they have written
        asked += [self._ask(write) for write in writes[drafts:]]
        await self.stand.store.flush()
        answers = await asyncio.gather(*asked, return_exceptions=True)
        assert len(self.stand.commits) == commits + 1
        await self._look()
        self._judge(writes, answers)
        await self._compare()

    async def _look(self) -> None:
        """Read every delivery; they are in the order of the model's rows."""
        self.deliveries = await everything(lambda page: self.stand.store.deliveries(DeliveryFilter(), page))
        self.names = [delivery.id for delivery in self.deliveries]
        self.newcomers = {identity for (identity,) in await self.stand.ask("SELECT id FROM outbox WHERE held = 2")}

    def look_and_compare(self) -> None:
        """Compare the store with the model, after something that was asked of both."""
        self.runner.run(self._look())
        self.runner.run(self._compare())

    def _ask(self, write: Write) -> asyncio.Future[Any]:
        return asyncio.ensure_future(write.ask() or asyncio.sleep(0))

    def _judge(self, writes: Sequence[Write], answers: Sequence[Any]) -> None:
        """Compare the answers in the order in which a commit carries writes out: group by group.

        Changes of endpoints come first, so that all else knows of them, and claims last.
        """
        groups: dict[str, list[tuple[Write, Any]]] = {}
        for write, answer in sorted(zip(writes, answers, strict=True), key=lambda pair: RANKS.get(pair[0].group, 1)):
            groups.setdefault(write.group, []).append((write, answer))
        for group in groups.values():
            self.model.record([write.tried for write, _ in group if write.tried is not None], self._expect_claims)
            for write, answer in group:
                if isinstance(answer, BaseException) and not isinstance(answer, HookdError):
                    raise answer
                write.compare(answer)
        lanes = list(dict.fromkeys(lane for write in writes for lane in write.lanes))
        self._expect_claims(lanes)
        self._expect_known(lanes, self.stand.commits[-1].changes)

    def _expect_claims(self, lanes: Sequence[str]) -> None:
        """Expect those to be claimed that have been due the longest, as many as there is room for, lane by lane."""
        free, granted = ALL - len(self.in_flight()), 0
        for identity in filter(self.model.is_able, lanes):
            if self._is_unasked(identity):
                assert granted >= free
                continue
            claim = self.lanes.claims.popleft()
            room, count = claim.room, claim.count
            granted += room
            due = self.model.due(identity)
            own = sum(row not in self.given_back for row in self.in_flight(identity))
            assert claim.lane == identity
            assert min(room, len(due), free // len(lanes)) <= count <= min(room, len(due))
            target = self.model.target(identity)
            limit = 1 if target is not None and target.opened_at is not None else self.lanes._lane(identity).limit
            assert min(max(0, limit - own), free // len(lanes)) <= room <= max(0, limit - own)
            for row in due[:count]:
                row.status = Status.SENDING

    def _is_unasked(self, identity: str) -> bool:
        """Say whether nothing was left for a lane when it was its turn."""
        asked = bool(self.lanes.claims) and self.lanes.claims[0].lane == identity
        return identity in self.stand.commits[-1].changes.unasked and not asked

    def _expect_known(self, lanes: Sequence[str], changes: Changes) -> None:
        """Expect what is claimed to be whole, and lanes that were claimed from to know when they are due next."""
        assert not self.lanes.claims
        assert all(row.status is Status.SENDING for row in map(self._expect_whole, changes.claimed))
        for identity in filter(self.model.is_able, lanes):
            if identity in changes.unasked:
                continue
            waiting = self.model.waiting(identity)
            assert changes.scanned[identity] == min((row.due_at for row in waiting), default=None)

    def in_flight(self, identity: str | None = None) -> list[Row]:
        """Answer what is claimed, of one destination or of all; tests are not."""
        direct = [self.row(each) for each in self.direct]
        sending = [row for row in self.model.rows if row.status is Status.SENDING and row not in direct]
        return [row for row in sending if identity in (None, row.target)]

    def _expect_whole(self, delivery: Delivery) -> Row:
        row = self.row(delivery.id)
        event = delivery.event
        assert (delivery.attempt_count, delivery.step) == (row.attempts, row.step)
        assert (event.tenant, event.type, event.origin) == (row.event.tenant, row.event.type, row.event.origin)
        assert event.ordering_key == row.event.ordering_key
        return row

    def row(self, identity: str) -> Row:
        """Answer what the model says of a delivery."""
        return self.model.rows[self.names.index(identity)]

    async def reopen(self, handlers: dict[str, Handler]) -> list[str]:
        """Let the process die with whatever is in flight, and another start."""
        await self.stand.die()
        await self.stack.aclose()
        await self._open()
        return await self.stand.recover(*handlers.values())

    # What must be so.

    async def _compare(self) -> None:
        """Find everything in the store, and nothing else, as the model says."""
        events = await everything(lambda page: self.stand.store.events(None, page))
        assert [(event.tenant, event.type, event.origin) for event in events] == [
            (event.tenant, event.type, event.origin) for event in self.model.events
        ]
        for delivery, row in zip(self.deliveries, self.model.rows, strict=True):
            held = self.model.is_held(row) and delivery.id not in self.newcomers
            expected = (row.status, self.model.reason(row, held=held), row.attempts, row.last_error)
            found = (delivery.status, delivery.reason, delivery.attempt_count, delivery.last_error)
            assert found == expected, (found, expected)
            assert (delivery.endpoint, delivery.tenant, delivery.type) == (row.target, row.event.tenant, row.event.type)
            assert delivery.next_attempt_at == (row.due_at if row.status is Status.PENDING and not held else None)
            if delivery.attempt_count != self.attempts[delivery.id]:
                self.attempts[delivery.id] += 1
                attempts = await self.stand.attempts(delivery.id)
                assert [attempt.number for attempt in attempts] == list(range(1, self.attempts[delivery.id] + 1))
        await self._compare_endpoints()
        self._compare_lanes()

    async def _compare_endpoints(self) -> None:
        found = await everything(lambda page: self.stand.store.endpoints(None, page))
        assert {each.id for each in found} == set(self.model.endpoints)
        for endpoint in found:
            target = self.model.endpoints[endpoint.id]
            secrets = (endpoint.secret, *(previous.secret for previous in endpoint.previous_secrets))
            expected = (target.state, target.state_reason, target.failing_since, target.failing_attempts)
            assert (
                endpoint.state,
                endpoint.state_reason,
                endpoint.failing_since,
                endpoint.failing_attempts,
            ) == expected
            breaker = endpoint.breaker
            expected_breaker = (target.opened_at, target.openings, max(target.blocked_until, self.clock[0]))
            assert (
                breaker.opened_at,
                breaker.openings,
                max(breaker.blocked_until or 0, self.clock[0]),
            ) == expected_breaker
            assert endpoint.ordered is target.ordered
            assert set(secrets) <= set(target.secrets)
            assert (secrets[0], endpoint.url) == (target.secrets[0], target.url)

    def _compare_lanes(self) -> None:
        """Find every place that is taken to be of something in flight, and every lane known to be due in time."""
        assert not self.lanes.answers
        assert self.concluded == self.model.concluded
        assert self.lanes.in_flight == len(self.in_flight())
        for identity in {row.target for row in self.model.rows}:
            lane, target = self.lanes._lane(identity), self.model.target(identity)
            assert lane.claimed == len(self.in_flight(identity))
            waiting = self.model.waiting(identity) if self.model.is_active(identity) else []
            if waiting and target is not None:
                assert lane.due_at is not None
                assert lane.due_at <= max(waiting[0].due_at, target.blocked_until, self.latest)


async def everything(read: Callable[[Page], Awaitable[Listing[T]]]) -> list[T]:
    """Read a whole list, page by page, oldest first."""
    listing = await read(Page(250))
    found = list(listing.items)
    while listing.next is not None:
        listing = await read(Page(250, before=listing.next))
        found += listing.items
    return found[::-1]
