"""What must be true once all is delivered: nothing is missing, nothing was altered, and the record is the truth."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise

from tests.crash.client import KEYS, ordering_key
from tests.crash.image import Image, Key
from tests.crash.moments import GIVEN_UP, STUCK_AFTER
from tests.crash.scene import Scene
from tests.crash.witness import CLOSED, read_ledger

LEDGER = "handler:ledger"
STUCK = "handler:stuck"

Attempts = Mapping[Key, Sequence[tuple[int, int | None]]]
"""On record, by delivery: each attempt's number and the status that was answered."""


def judge(scene: Scene, end: Image, attempts: Attempts) -> list[str]:
    """List all that is wrong in the end."""
    return [
        *_all_there(scene, end),
        *_unaltered(scene),
        *_recorded(scene, end, attempts),
        *_made_again(scene),
        *_given_up(scene, end),
        *_in_order(scene, end),
    ]


def _all_there(scene: Scene, end: Image) -> Iterator[str]:
    """Each event has a delivery to each who wants it, and no other; all are delivered, but for one dead letter."""
    published, inbound = set(scene.producer.payloads), {run.event for run in read_ledger(scene.book)[LEDGER]}
    stuck = {run.event for run in read_ledger(scene.book)[STUCK]}
    reports = set(end.events) - published - inbound
    wanted = {Key(endpoint, event) for endpoint in scene.witnesses for event in published}
    wanted |= {Key(endpoint, event) for endpoint in (scene.steady, LEDGER) for event in inbound}
    wanted |= {Key(STUCK, event) for event in stuck} | {Key(scene.steady, event) for event in reports}
    for key in wanted - set(end.outbox):
        yield f"{key}: there is no such delivery"
    for key in set(end.outbox) - wanted:
        yield f"{key}: nobody wants this delivery"
    for key, row in end.outbox.items():
        if row.status != "delivered" and key.endpoint != STUCK:
            yield f"{key}: not delivered in the end: {row}"
    if len(reports) != len(stuck):
        yield f"{len(stuck)} dead letters, and {len(reports)} events tell of them"
    if set(end.inbound) != scene.partner.told:
        yield f"the partner sent {len(scene.partner.told)} webhooks, {len(end.inbound)} are on record"


def _unaltered(scene: Scene) -> Iterator[str]:
    """Everybody got the bytes that were accepted."""
    bodies: dict[str, bytes] = {}
    for key, arrival in scene.everything():
        if bodies.setdefault(key.event, arrival.body) != arrival.body:
            yield f"{key}: {arrival.body!r} here, {bodies[key.event]!r} elsewhere"
    for event, payload in scene.producer.payloads.items():
        if bodies.get(event) != payload:
            yield f"{event}: {payload!r} was published, {bodies.get(event)!r} arrived"
    for body in scene.partner.told - set(bodies.values()):
        yield f"the webhook {body!r} never arrived"


def _recorded(scene: Scene, end: Image, attempts: Attempts) -> Iterator[str]:
    """The attempts on record are those that were made, from 1 on, each with an answer that was given to it."""
    answers: dict[Key, dict[int, set[int | None]]] = {}
    for key, arrival in scene.everything():
        answers.setdefault(key, {}).setdefault(arrival.attempt, set()).add(arrival.answer)
    for key, row in end.outbox.items():
        numbers = [number for number, _ in attempts.get(key, ())]
        if numbers != list(range(1, row.attempt_count + 1)):
            yield f"{key}: attempts {numbers} are on record, {row.attempt_count} are counted"
        for number, status in attempts.get(key, ()):
            given = answers.get(key, {}).get(number, set())
            if (status or CLOSED) not in given and key.endpoint in scene.witnesses:
                yield f"{key}: attempt {number} is on record with {status}, its answers were {given}"


def _made_again(scene: Scene) -> Iterator[str]:
    """An attempt that a kill kept from its answer comes again, with the same event and number."""
    for arrival in scene.unanswered:
        again = [
            later
            for witness in scene.witnesses.values()
            for later in witness.arrivals
            if (later.event, later.attempt) == (arrival.event, arrival.attempt) and later.life > arrival.life
        ]
        if not again:
            yield f"{arrival}: was not made again"


def _in_order(scene: Scene, end: Image) -> Iterator[str]:
    """In each line events come in the order of their commits; one comes again only directly after itself."""
    places = {event: place for place, event in enumerate(end.events)}
    for endpoint in scene.ordered:
        for key in KEYS:
            line = [each for each in scene.witnesses[endpoint].arrivals if ordering_key(each.event) == key]
            for earlier, later in pairwise(line):
                if places[earlier.event] > places[later.event]:
                    yield f"{endpoint}, key {key!r}: {later} came after {earlier}"
                if earlier.event != later.event and earlier.answer != 200:
                    yield f"{endpoint}, key {key!r}: {later} came although {earlier} had not succeeded"
                if earlier.event == later.event and earlier.answer == 200 and earlier.life == later.life:
                    yield f"{endpoint}, key {key!r}: {later} came although {earlier} had succeeded in that life"


def _given_up(scene: Scene, end: Image) -> Iterator[str]:
    """What was running in three crashes is a dead letter that says so; it ran in these three lives alone."""
    runs = Counter(run.event for run in read_ledger(scene.book)[STUCK])
    for event, count in runs.items():
        row = end.outbox[Key(STUCK, event)]
        if count != STUCK_AFTER or row.status != "failed":
            yield f"the stuck handler ran {count} times on {event}, and then was {row}"
        if row.reason != GIVEN_UP:
            yield f"the stuck handler's dead letter gives as reason {row.reason}"
    if len(runs) != 1:
        yield f"the stuck handler ran on {len(runs)} events"
