"""Random courses of events, claims, outcomes and interventions, against a model of what each delivery must be."""

import asyncio
import shutil
import tempfile
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, precondition, rule

from hookd.errors import Conflict
from hookd.model import Delivery, EndpointState, Outcome, Status
from tests.store.stand import NOW, SCHEDULE, SECOND, Stand, sqlite, stand_on

NAMES = ("ep_1", "ep_2")
names = st.sampled_from(NAMES)


@dataclass
class Row:
    """What a delivery must be. `stop` says that it is cancelled unless the attempt in flight succeeds."""

    endpoint: str
    status: Status
    due_at: int
    attempts: int = 0
    step: int = 0
    stop: bool = False


class Deliveries(RuleBasedStateMachine):
    """One store; `rows` is the model."""

    published = Bundle("published")

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.stack = AsyncExitStack()
        self.folder = Path(tempfile.mkdtemp())
        self.rows: dict[str, Row] = {}
        self.states = dict.fromkeys(NAMES, EndpointState.ACTIVE)
        self.claimed: dict[str, Delivery] = {}
        self.clock = [NOW]
        self.runner.run(self._begin())

    async def _open(self) -> None:
        self.stand: Stand = await self.stack.enter_async_context(stand_on(sqlite, self.folder, self.clock))

    async def _begin(self) -> None:
        await self._open()
        for name in NAMES:
            await self.stand.endpoint(name)

    def teardown(self) -> None:
        self.runner.run(self.stack.aclose())
        self.runner.close()
        shutil.rmtree(self.folder)

    @rule(target=published)
    def publish(self) -> tuple[str, ...]:
        accepted = self.runner.run(self.stand.accept())
        made = self.runner.run(self.stand.deliveries(event=accepted.event))
        assert sorted(each.endpoint for each in made) == sorted(NAMES)
        for each in made:
            disabled = self.states[each.endpoint] is EndpointState.DISABLED
            self.rows[each.id] = Row(each.endpoint, Status.CANCELLED if disabled else Status.PENDING, self.clock[0])
        return tuple(each.id for each in made)

    @rule(seconds=st.integers(1, 400))
    def pass_time(self, seconds: int) -> None:
        self.clock[0] += seconds * SECOND

    @rule(name=names)
    def claim(self, name: str) -> None:
        wanted = {
            identity
            for identity, row in self.rows.items()
            if row.endpoint == name and row.status is Status.PENDING and row.due_at <= self.clock[0]
        }
        claimed = self.runner.run(self.stand.claim(name))
        assert {each.id for each in claimed} == (wanted if self.states[name] is EndpointState.ACTIVE else set())
        for each in claimed:
            row = self.rows[each.id]
            assert (each.attempt_count, each.step) == (row.attempts, row.step)
            row.status = Status.SENDING
            self.claimed[each.id] = each

    @precondition(lambda self: self.claimed)
    @rule(data=st.data(), success=st.booleans())
    def record(self, data: st.DataObject, success: bool) -> None:
        identity = data.draw(st.sampled_from(sorted(self.claimed)))
        outcome = Outcome.SUCCESS if success else Outcome.TIMEOUT
        self.runner.run(self.stand.end(self.claimed.pop(identity), outcome))
        row = self.rows[identity]
        row.attempts += 1
        if success:
            row.status = Status.DELIVERED
        elif row.stop:
            row.status = Status.CANCELLED
        elif row.step == len(SCHEDULE):
            row.status = Status.FAILED
        else:
            row.status, row.due_at = Status.PENDING, self.clock[0] + SCHEDULE[row.step]
            row.step += 1
        row.stop = False

    @rule(identities=published, which=st.integers(0, 1))
    def retry(self, identities: tuple[str, ...], which: int) -> None:
        identity = identities[which]
        row = self.rows[identity]
        refused = row.status is Status.SENDING or self.states[row.endpoint] is EndpointState.DISABLED
        try:
            self.runner.run(self._ask(self.stand.store.retry, identity))
        except Conflict:
            assert refused
        else:
            assert not refused
            row.status, row.due_at, row.step = Status.PENDING, self.clock[0], 0

    @rule(identities=published, which=st.integers(0, 1))
    def cancel(self, identities: tuple[str, ...], which: int) -> None:
        identity = identities[which]
        row = self.rows[identity]
        try:
            self.runner.run(self._ask(self.stand.store.cancel, identity))
        except Conflict:
            assert row.status in (Status.DELIVERED, Status.FAILED)
        else:
            assert row.status not in (Status.DELIVERED, Status.FAILED)
            self._stop(row)

    def _stop(self, row: Row) -> None:
        if row.status is Status.PENDING:
            row.status = Status.CANCELLED
        elif row.status is Status.SENDING:
            row.stop = True

    @rule(name=names, state=st.sampled_from(EndpointState))
    def change_state(self, name: str, state: EndpointState) -> None:
        before, self.states[name] = self.states[name], state
        self.runner.run(self._change(name, state))
        for row in self.rows.values():
            if row.endpoint == name and state is not before:
                if state is EndpointState.DISABLED:
                    self._stop(row)
                elif state is EndpointState.ACTIVE and row.status is Status.PENDING:
                    row.due_at = min(row.due_at, self.clock[0])

    async def _change(self, name: str, state: EndpointState) -> None:
        reason = None if state is EndpointState.ACTIVE else "by hand"
        await self.stand.store.change_endpoint(name, None, lambda it: replace(it, state=state, state_reason=reason))

    async def _ask(self, ask: Callable[[str, None], Awaitable[object]], identity: str) -> None:
        await ask(identity, None)

    @rule()
    def crash(self) -> None:
        """Close the store with whatever is in flight, and open it again."""
        self.runner.run(self._reopen())
        self.claimed.clear()
        for row in self.rows.values():
            if row.status is Status.SENDING:
                row.status = Status.CANCELLED if row.stop else Status.PENDING
                row.stop = False

    async def _reopen(self) -> None:
        await self.stack.aclose()
        await self._open()
        await self.stand.recover()

    @invariant()
    def the_store_is_as_the_model(self) -> None:
        found = self.runner.run(self.stand.deliveries())
        for each in found:
            row = self.rows[each.id]
            assert (each.status, each.attempt_count) == (row.status, row.attempts)
            assert each.next_attempt_at == (row.due_at if row.status is Status.PENDING else None)
        assert len(found) == len(self.rows)


TestDeliveries = Deliveries.TestCase
TestDeliveries.settings = settings(
    max_examples=25, stateful_step_count=25, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
