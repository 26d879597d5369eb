"""The moments at which a daemon is killed. Each waits for its moment, and kills in it."""

import asyncio
import random
from collections.abc import Awaitable, Callable

from tests.crash.scene import Scene
from tests.crash.waiting import until
from tests.crash.witness import read_ledger

STUCK_AFTER = 3
"""Crashes after which a handler is given up."""

GIVEN_UP = f"the handler was running in {STUCK_AFTER} crashes"
"""The reason that is then on record."""


Moment = Callable[[Scene], Awaitable[None]]


async def between_post_and_record(scene: Scene, attempt: int = 1) -> None:
    """A receiver has the whole request and has not answered."""
    await _held(scene, attempt)
    scene.daemon.kill()
    scene.unanswered += [held.arrival for held in scene.holding.held]


async def between_answer_and_record(scene: Scene, attempt: int = 1) -> None:
    """A receiver has sent the last byte of its answer."""
    await _held(scene, attempt)
    held = scene.rng.choice(scene.holding.held)
    held.answer()
    scene.daemon.kill()
    scene.unanswered += [other.arrival for other in scene.holding.held if other is not held]


async def in_a_retry(scene: Scene) -> None:
    """The same, in a second attempt."""
    await between_post_and_record(scene, attempt=2)


async def after_the_answer_in_a_retry(scene: Scene) -> None:
    """The same, in a second attempt."""
    await between_answer_and_record(scene, attempt=2)


async def _held(scene: Scene, attempt: int) -> None:
    await scene.underway()
    scene.holding.hold(attempt)
    await scene.producer.publish()
    await until(lambda: bool(scene.holding.held), f"attempt {attempt} is held back")


async def told_of_an_event(scene: Scene) -> None:
    """A producer has read its 202."""
    await scene.underway()
    await scene.producer.publish(then=scene.daemon.kill)


async def told_of_a_webhook(scene: Scene) -> None:
    """A partner has read its 200."""
    await scene.underway()
    await scene.partner.send(then=scene.daemon.kill)


async def at_random(scene: Scene) -> None:
    """Any moment of its work."""
    await scene.underway()
    await asyncio.sleep(scene.rng.uniform(0, 0.1))
    scene.daemon.kill()


async def while_starting(scene: Scene) -> None:
    """Any moment of its start: it may have got nowhere, or have taken up its work."""
    await asyncio.sleep(scene.rng.uniform(0, 0.8))
    scene.daemon.kill()


async def while_a_handler_runs(scene: Scene) -> None:
    """The handler that never ends has begun once more."""
    await scene.underway()
    if not read_ledger(scene.book)["handler:stuck"]:
        await scene.partner.send("stuck")
    life = scene.daemon.life
    await until(
        lambda: any(run.life == life for run in read_ledger(scene.book)["handler:stuck"]),
        f"the stuck handler runs in life {life}",
    )
    scene.daemon.kill()


IN_TURN: tuple[Moment, ...] = (
    between_post_and_record,
    between_answer_and_record,
    in_a_retry,
    after_the_answer_in_a_retry,
    told_of_an_event,
    told_of_a_webhook,
    at_random,
)


def plan(rng: random.Random, kills: int) -> list[Moment]:
    """Choose the moments: each kind as often as any other, in any order, and the three of the handler in a row.

    No two starts follow each other, nor comes one amid those three, so that no other handler runs in three crashes.
    """
    moments: list[Moment] = []
    while len(moments) < kills - STUCK_AFTER:
        moments += [*rng.sample(IN_TURN, len(IN_TURN)), while_starting]
    del moments[max(0, kills - STUCK_AFTER) :]
    place = rng.randrange(min(len(moments), len(IN_TURN)) + 1)
    moments[place:place] = [while_a_handler_runs] * STUCK_AFTER
    return moments
