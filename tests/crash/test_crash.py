"""A daemon under load is killed again and again, and nothing is lost.

`HOOKD_CRASH_KILLS` and `HOOKD_CRASH_EVENTS` make it longer, `HOOKD_CRASH_SEED` repeats the moments of an earlier run.
"""

import asyncio
import os
import random
from pathlib import Path

from tests.crash import completeness, image
from tests.crash.moments import GIVEN_UP, Moment, plan
from tests.crash.scene import Scene, staged
from tests.crash.waiting import PATIENCE, until, until_answered

KILLS = int(os.environ.get("HOOKD_CRASH_KILLS", "25"))
EVENTS = int(os.environ.get("HOOKD_CRASH_EVENTS", "2000"))
SEED = int(os.environ.get("HOOKD_CRASH_SEED", random.SystemRandom().randrange(1_000_000)))

PRODUCERS = 8
EVENTS_PER_WEBHOOK = 5


async def test_nothing_is_lost(tmp_path: Path) -> None:
    print(f"HOOKD_CRASH_SEED={SEED}")
    rng = random.Random(SEED)
    async with staged(tmp_path, rng, EVENTS, KILLS + 1) as scene, asyncio.TaskGroup() as load:
        producing = [load.create_task(produce(scene)) for _ in range(PRODUCERS)]
        for moment in plan(rng, KILLS):
            await live_and_die(scene, moment)
        await live_to_the_end(scene, producing)
    assert completeness.judge(scene, scene.audit.before, image.read_attempts(scene.daemon.database)) == []


async def produce(scene: Scene) -> None:
    """Publish one event after the other, as fast as the steady receiver gets them.

    Now and then send a webhook too, and both once more.
    """
    steady_one = scene.witnesses[scene.steady]
    while len(scene.producer.payloads) < scene.wanted:
        await scene.quota.acquire()
        event = await scene.producer.publish()
        if len(scene.producer.payloads) % EVENTS_PER_WEBHOOK == 0:
            await scene.partner.repeat(await scene.partner.send())
            await scene.producer.repeat(event)
        await steady_one.seen[event].wait()


async def live_and_die(scene: Scene, moment: Moment) -> None:
    """Let a life come to its moment, judge it, and begin the next."""
    async with asyncio.timeout(2 * PATIENCE):
        await moment(scene)
        await scene.daemon.gone()
    await judge_life(scene, moment.__name__)
    scene.holding.let_go()
    await scene.daemon.start()


async def live_to_the_end(scene: Scene, producing: list[asyncio.Task[None]]) -> None:
    """Let the last life take in what is left, deliver everything, and end in peace."""
    await scene.daemon.ready()
    for _ in range(scene.wanted):
        scene.quota.release()
    await until(lambda: all(task.done() for task in producing), "all events are acknowledged")
    await until_answered(lambda: delivered(scene), "everything is delivered")
    await read_back(scene)
    assert await scene.daemon.stop() == 0
    await judge_life(scene, "the end")


async def delivered(scene: Scene) -> bool:
    """Say whether nothing waits any more."""
    return await scene.client.waiting() == 0


async def read_back(scene: Scene) -> None:
    """See that the API tells the same story: one dead letter with its reason, and attempts without a gap."""
    failed = await scene.client.read("/api/v1/deliveries?status=failed")
    assert [delivery["reason"] for delivery in failed["data"]] == [GIVEN_UP]
    shown = await scene.client.read("/api/v1/deliveries?status=delivered")
    for delivery in shown["data"]:
        found = await scene.client.read(f"/api/v1/deliveries/{delivery['id']}")
        numbers = [attempt["number"] for attempt in found["attempts"]]
        assert numbers == list(range(1, delivery["attempt_count"] + 1)), found


async def judge_life(scene: Scene, moment: str) -> None:
    """Read what the dead process left, and what it did."""
    for witness in scene.witnesses.values():
        await witness.quiet()
    left = image.read(image.copy(scene.daemon.database, scene.book.parent / "image"))
    complaints = scene.audit.close(left, scene.arrivals(scene.daemon.life))
    assert complaints == [], f"life {scene.daemon.life}, killed {moment}"
