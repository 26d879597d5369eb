"""Three daemons on one PostgreSQL: processes are killed, hang and are cut off, the database crashes; nothing is lost.

`HOOKD_CRASH_TROUBLES` makes it longer, `HOOKD_CRASH_SEED` repeats the troubles of an earlier run.
"""

import asyncio
import os
import random
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path

from tests.crash.cluster import (
    LEASE,
    MAX_IN_FLIGHT,
    PROCESSES,
    Arrival,
    Cluster,
    Watcher,
    cluster,
    failing,
    slow,
    steady,
)
from tests.crash.waiting import until, until_answered

TROUBLES = int(os.environ.get("HOOKD_CRASH_TROUBLES", "7"))
SEED = int(os.environ.get("HOOKD_CRASH_SEED", random.SystemRandom().randrange(1_000_000)))

PRODUCERS = 4
PROMPT = 0.5
"""Seconds until a receiver knows that its sender has gone."""

MARGIN = 1.0
"""Seconds that an outcome may take to be on record, or a process to see that it is to stop."""

KINDS = (
    Cluster.kill,
    Cluster.hang,
    Cluster.cut,
    Cluster.crash_the_database,
    Cluster.kill,
    Cluster.hang,
    Cluster.stop_the_database,
    Cluster.restart,
    Cluster.break_off,
)


@dataclass(slots=True)
class Play:
    """The receivers by endpoint, and what the producers were told."""

    patient: Watcher
    """It takes longer than a lease over each event that it gets."""
    watchers: dict[str, Watcher] = field(default_factory=dict)
    ordered: list[str] = field(default_factory=list)
    told: list[str] = field(default_factory=list)
    refusals: int = 0
    over: bool = False


async def test_nothing_is_lost(tmp_path: Path) -> None:
    print(f"HOOKD_CRASH_SEED={SEED}")
    rng = random.Random(SEED)
    async with cluster(tmp_path, rng) as stage, AsyncExitStack() as stack:
        play = await cast(stage, stack)
        async with asyncio.TaskGroup() as load:
            for name in range(PRODUCERS):
                load.create_task(produce(stage, play, str(name)))
            await befall(stage, play)
            play.over = True
        await until_answered(lambda: has_ended(stage), "everything is delivered")
        complaints = [
            *on_record(await recorded(stage), play),
            *arrived(stage, play),
            *from_nobody_cut_off(stage, play),
            *in_order(play),
        ]
        assert complaints == []
        assert all("Traceback" not in daemon.logged() for daemon in stage.daemons)


async def cast(stage: Cluster, stack: AsyncExitStack) -> Play:
    """Bring the receivers on stage."""
    patient = await stack.enter_async_context(Watcher(slow(1.5 * LEASE)))
    await stage.register(patient, event_types=["order.long"])
    play = Play(patient)
    tempers = (steady, failing, slow(0.05), slow(0.2))
    for temper in tempers:
        watcher = await stack.enter_async_context(Watcher(temper))
        play.watchers[await stage.register(watcher)] = watcher
    for temper in (steady, failing, slow(0.02)):
        watcher = await stack.enter_async_context(Watcher(temper))
        endpoint = await stage.register(watcher, ordered=True)
        play.watchers[endpoint] = watcher
        play.ordered.append(endpoint)
    return play


async def produce(stage: Cluster, play: Play, name: str) -> None:
    """Publish one event after the other, as fast as they are delivered in order."""
    last = play.watchers[play.ordered[-1]]
    number = 0
    while not play.over:
        event = f"{name}_{number}"
        play.refusals += await stage.publish(event, ordering_key=name)
        play.told.append(event)
        await last.event_seen(event).wait()
        number += 1


async def befall(stage: Cluster, play: Play) -> None:
    """Let one trouble follow the other, each once what the last did is mended and work goes on."""
    kinds = [kind for _ in range(-(-TROUBLES // len(KINDS))) for kind in stage.rng.sample(KINDS, len(KINDS))]
    for kind in kinds[:TROUBLES]:
        await stage.mended()
        enough = len(play.told) + 10 + stage.rng.randrange(20)
        await until(lambda: len(play.told) >= enough, "work goes on")  # noqa: B023
        number = stage.rng.randrange(PROCESSES)
        if kind is Cluster.cut:
            number = await has_long_to_do(stage, play)
        print(f"{kind.__name__} {number}")
        await kind(stage, number)
    await stage.mended()


async def has_long_to_do(stage: Cluster, play: Play) -> int:
    """Have a process send something that takes longer than its lease, and answer which one does."""
    before = len(play.patient.arrivals)
    await stage.publish(f"long_{before}", type="order.long")
    await until(lambda: len(play.patient.arrivals) > before, "it is being sent")
    return play.patient.arrivals[-1].sender


async def has_ended(stage: Cluster) -> bool:
    return await stage.waiting() == 0


Recorded = Mapping[tuple[str, str], tuple[str, int, Sequence[int], Sequence[str]]]
"""By endpoint and event: the status, the count of attempts, and the attempts' numbers and outcomes."""


async def recorded(stage: Cluster) -> Recorded:
    """Read what is on record in the end."""
    found = await stage.query(
        "SELECT outbox.endpoint, events.id, outbox.status, outbox.attempt_count, "
        "array_agg(attempts.number ORDER BY number), array_agg(attempts.outcome ORDER BY number) "
        "FROM hookd.outbox JOIN hookd.events ON events.sequence = outbox.event "
        "LEFT JOIN hookd.attempts ON attempts.delivery = outbox.sequence "
        "WHERE events.type = 'order.placed' "
        "GROUP BY outbox.sequence, outbox.endpoint, events.id, outbox.status, outbox.attempt_count"
    )
    keys = Counter((endpoint, event) for endpoint, event, *_ in found)
    assert max(keys.values()) == 1, "a delivery is there twice"
    return {(endpoint, event): tuple(rest) for endpoint, event, *rest in found}


def on_record(found: Recorded, play: Play) -> Iterator[str]:
    """What was acknowledged is delivered to everybody, by attempts without a gap, of which the last succeeded."""
    wanted = {(endpoint, event) for endpoint in play.watchers for event in play.told}
    yield from (f"{key}: acknowledged, and there is no delivery" for key in wanted - found.keys())
    yield from (f"{key}: nobody was told of it" for key in found.keys() - wanted)
    for key, (status, count, numbers, outcomes) in found.items():
        if status != "delivered" or list(numbers) != list(range(1, count + 1)):
            yield f"{key}: {status} after {count} attempts; on record are {numbers}"
        if outcomes[-1] != "success" or "success" in outcomes[:-1]:
            yield f"{key}: {outcomes}"


def arrived(stage: Cluster, play: Play) -> Iterator[str]:
    """Everything has arrived; what comes again has a reason, and is no more than what was under way then."""
    repeats: Counter[str] = Counter()
    for endpoint, watcher in play.watchers.items():
        by_event: defaultdict[str, list[Arrival]] = defaultdict(list)
        for arrival in watcher.arrivals:
            by_event[arrival.event].append(arrival)
        for event in play.told:
            yield from came_again(stage, f"{endpoint}: {event}", by_event[event], repeats)
    print(f"{len(play.told)} events, {play.refusals} refusals, repeats: {dict(repeats)}")
    most = sum(len(trouble.processes) for trouble in stage.troubles) * MAX_IN_FLIGHT
    if repeats.total() > most:
        yield f"{repeats} came again, {most} may have been under way"


def came_again(stage: Cluster, what: str, arrivals: Sequence[Arrival], repeats: Counter[str]) -> Iterator[str]:
    """Count what came again after it had been taken, by the reason."""
    first = next((each for each in arrivals if each.answered_at is not None and each.answer == 200), None)
    if first is None:
        yield f"{what} never arrived"
        return
    for again in arrivals:
        if again.at > first.at:
            why = excuse(stage, first, again)
            repeats[str(why)] += 1
            if why is None:
                yield f"{what}: {again} although {first}"


def from_nobody_cut_off(stage: Cluster, play: Play) -> Iterator[str]:
    """Whoever is cut off from the database is sending nothing any more once its lease is over."""
    for watcher in (*play.watchers.values(), play.patient):
        for trouble in stage.troubles:
            lapsed = trouble.began + LEASE + PROMPT
            for each in watcher.arrivals if trouble.kind == "cut" else ():
                if each.sender in trouble.processes and each.at < trouble.ended and each.over_at > lapsed > each.at:
                    yield f"{each} was not cut off in {trouble}"
                if each.sender in trouble.processes and lapsed < each.at < trouble.ended:
                    yield f"{each} was sent although its sender was cut off in {trouble}"


def excuse(stage: Cluster, first: Arrival, again: Arrival) -> str | None:
    """Say which trouble kept the first success off the record, or its repetition from being held back."""
    for trouble in stage.troubles:
        began, ended = trouble.began - MARGIN, trouble.ended + MARGIN
        assert first.answered_at is not None
        if first.sender in trouble.processes and began < first.answered_at and first.at < ended:
            return trouble.kind
        if again.sender in trouble.processes and trouble.kind in ("hang", "cut") and began < again.at < ended:
            return f"late after {trouble.kind}"
    return None


def in_order(play: Play) -> Iterator[str]:
    """What was published later under a key never arrives before all earlier has been taken."""
    for endpoint in play.ordered:
        taken_at: dict[str, float] = {}
        for arrival in play.watchers[endpoint].arrivals:
            if arrival.answer == 200:
                taken_at.setdefault(arrival.event, arrival.answered_at or arrival.at)
        for arrival in play.watchers[endpoint].arrivals:
            name, _, number = arrival.event.partition("_")
            before = f"{name}_{int(number) - 1}"
            if int(number) and taken_at.get(before, float("inf")) > arrival.at:
                yield f"{endpoint}: {arrival} although {before} was taken at {taken_at.get(before)}"


# Limits.

RATE, BURST, AT_ONCE = 60, 120, 20
LANES = 2
TOLERANCE = 1.05
WINDOW = 1.0
"""Seconds of the shortest window that is looked at; in shorter ones a receiver sees its own delays."""

CHANGES_OF_OWNER = (Cluster.restart, Cluster.restart, Cluster.restart, Cluster.hang, Cluster.kill, Cluster.cut)
"""Those in order come first, at short intervals: none gives the next owner a right to another burst."""


async def test_limits_hold_over_all_processes(tmp_path: Path) -> None:
    print(f"HOOKD_CRASH_SEED={SEED}")
    async with cluster(tmp_path, random.Random(SEED)) as stage, AsyncExitStack() as stack:
        rated = [await stack.enter_async_context(Watcher(steady)) for _ in range(LANES)]
        lanes = [await stage.register(each, rate_limit=f"{RATE}/s burst {BURST}") for each in rated]
        bounded = [await stack.enter_async_context(Watcher(slow(0.2))) for _ in range(LANES)]
        lanes += [await stage.register(each, max_in_flight=AT_ONCE) for each in bounded]
        load = asyncio.create_task(keep_busy(stage))
        try:
            for kind in CHANGES_OF_OWNER:
                await sent_to([*rated, *bounded])
                number = await stage.owner_of(lanes[0])
                print(f"{kind.__name__} {number}")
                await kind(stage, number)
            await stage.mended()
        finally:
            load.cancel()
            await asyncio.gather(load, return_exceptions=True)
        complaints = [*too_often(rated), *too_many(bounded)]
        assert complaints == []


async def sent_to(watchers: Sequence[Watcher]) -> None:
    """Wait until as much as may be at once, and one more, has come to each."""
    enough = [len(each.arrivals) + AT_ONCE for each in watchers]
    await until(
        lambda: all(len(each.arrivals) > most for each, most in zip(watchers, enough, strict=True)), "all are sent to"
    )


async def keep_busy(stage: Cluster) -> None:
    """See to it that more waits than the limits allow."""
    number = 0
    while True:
        if await stage.waiting() < 4 * LANES * RATE:
            await asyncio.gather(*(stage.publish(f"{number}_{each}") for each in range(RATE)))
            number += 1
        await asyncio.sleep(0.1)  # it would only ask again


def too_often(watchers: Sequence[Watcher]) -> Iterator[str]:
    """In no window there is more than the rate allows."""
    for watcher in watchers:
        times = [arrival.at for arrival in watcher.arrivals]
        windows = [
            ((j - i + 1) / (BURST + RATE * (times[j] - times[i])), j - i + 1, times[j] - times[i])
            for i in range(len(times))
            for j in range(i, len(times))
            if times[j] - times[i] >= WINDOW
        ]
        part, count, seconds = max(windows)
        print(f"rate: {count} in {seconds:.1f} s are {part:.2f} of the limit; {len(times)} in all")
        if part > TOLERANCE:
            yield f"{count} in {seconds:.1f} s, {RATE} a second and a burst of {BURST} are allowed"


def too_many(watchers: Sequence[Watcher]) -> Iterator[str]:
    """At no time there are more under way than may be."""
    for watcher in watchers:
        at, most = max(watcher.under_way, key=lambda each: each[1])
        print(f"in flight: {most} of {AT_ONCE} at {at:.1f} s; {len(watcher.arrivals)} in all")
        if most > AT_ONCE * TOLERANCE:
            yield f"{most} were in flight at {at}, {AT_ONCE} may be"
