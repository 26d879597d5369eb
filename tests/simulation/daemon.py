"""The delivery engine in one process after another: the real store, lanes, loop and policy over a simulated network."""

import asyncio
import random
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from hookd.accept import Acceptor
from hookd.ahead import Ahead
from hookd.deliver import Deliverer, Policy
from hookd.handlers import Runner
from hookd.ids import IdFactory
from hookd.lanes import Lanes
from hookd.metrics import Metrics
from hookd.model import Clock, Handler
from hookd.store import Committed, Store
from tests.simulation.loop import SimulatedLoop, Thread
from tests.simulation.network import HANDLER, SECOND, TIMEOUT, Network, Receivers, Sending
from tests.simulation.plan import JITTER, Plan
from tests.simulation.watch import Breakers
from tests.store.stand import DAY, file_of, sqlite


class Daemon:
    """What lives and dies over one file."""

    store: Store
    lanes: Lanes
    deliverer: Deliverer
    acceptor: Acceptor

    def __init__(
        self,
        folder: Path,
        plan: Plan,
        clock: Clock,
        receivers: Receivers,
        breakers: Breakers,
        complain: Callable[[str | None], None],
    ) -> None:
        self._folder = folder
        self._plan = plan
        self._clock = clock
        self._receivers = receivers
        self._breakers = breakers
        self._complain = complain
        self._rng = random.Random(f"daemon {plan.seed}")
        self._tasks: list[asyncio.Task[Any]] = []
        self._handlers = {HANDLER: _handler(plan)}
        self.up = False

    async def start(self) -> None:
        """Open the file, take up what is there, and begin to deliver."""
        self._receivers.life += 1
        self._stack = AsyncExitStack()
        ids = IdFactory(self._clock, self._rng)
        self.store = await self._stack.enter_async_context(sqlite(self._folder, self._clock, ids))
        await file_of(self.store).writer.run(
            lambda raw: raw.execute("PRAGMA synchronous = OFF")
        )  # only processes die here
        self._compose(IdFactory(self._clock, self._rng))
        self._committing = self.do(self.store.run())
        await self.store.recover(self._handlers)
        self._delivering = self.do(self.deliverer.run())
        if self._plan.watch:
            self.do(self.deliverer.watch())
        await asyncio.sleep(0)  # until it claims
        self.up = True

    def _compose(self, ids: IdFactory) -> None:
        plan, metrics = self._plan, Metrics()
        time = asyncio.get_running_loop().time
        self.lanes = Lanes(plan.max_in_flight, plan.per_endpoint, monotonic=time)
        self.acceptor = Acceptor(self.store, metrics, self._clock, ids)
        self.deliverer = Deliverer(
            store=self.store,
            acceptor=self.acceptor,
            lanes=self.lanes,
            poster=Network(self._receivers, self._clock, ids, self._judge),
            runner=Runner(timeout=int(TIMEOUT * SECOND), response_kept=100, clock=self._clock, ids=ids),
            policy=Policy(plan.schedule, JITTER, 5 * DAY, plan.breaker),
            metrics=metrics,
            clock=self._clock,
            rng=self._rng,
        )
        self.store.on_commit = self._note

    def _judge(self, sending: Sending, delivery: str) -> None:
        self._complain(self._breakers.judge(sending, delivery))

    def _note(self, committed: Committed) -> None:
        self.deliverer.note(committed)
        self._breakers.hear(committed.changes)

    def do(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Do something that dies with the process."""
        task = asyncio.create_task(work)
        self._tasks.append(task)
        return task

    async def crash(self) -> None:
        """Die between two steps: what a thread was asked for is not done, what was done nobody hears of."""
        self.up = False
        loop = asyncio.get_running_loop()
        assert isinstance(loop, SimulatedLoop)
        for connection in (file_of(self.store).writer, file_of(self.store).reader):
            assert isinstance(connection._tx, Thread)
            loop.lose(connection._tx)
        self.deliverer._ahead = Ahead(
            self.lanes, lambda _: 0
        )  # the end of a handler is no reason for the dead to begin another
        dying = asyncio.all_tasks() - {asyncio.current_task()}
        for task in dying:
            task.cancel()
        await asyncio.gather(*dying, return_exceptions=True)
        await self._end()

    async def stop(self, seconds: float) -> None:
        """Stop as at a SIGTERM, with so long for what is in flight."""
        self.up = False
        await self.deliverer.drain(seconds)
        self.store.stop()
        await self._committing
        await self._delivering
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._end()

    async def _end(self) -> None:
        self.check()
        self._tasks.clear()
        await self._stack.aclose()

    def check(self) -> None:
        """Raise what a task of the process died of."""
        for task in self._tasks:
            if task.done() and not task.cancelled():
                task.result()


def _handler(plan: Plan) -> Handler:
    run = "python:tests.simulation.network:handle"
    return Handler("inside", ("*",), run, rate_limit=plan.rates[HANDLER], ordered=plan.orders[HANDLER])
