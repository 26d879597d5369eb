"""What must be so of a course that has come to its end. Each check yields complaints."""

from collections.abc import Iterable, Iterator
from itertools import groupby, pairwise
from math import inf
from typing import TypeVar

from hookd.model import Outcome, RateLimit
from tests.simulation.course import Course
from tests.simulation.network import HANDLER, SECOND, Sending
from tests.simulation.plan import HOUR, JITTER
from tests.simulation.record import Row, Try

Key = tuple[str, str]
T = TypeVar("T", Try, Sending)
LONGEST_RETRY_AFTER = 24 * HOUR * SECOND
MADE_ONCE = "hookd.test"


class Evidence:
    """What is on record in the end, and what was seen on the way, by delivery."""

    def __init__(self, course: Course) -> None:
        assert course.record is not None
        self.course = course
        self.plan = course.plan
        self.rows = course.record.rows()
        self.events = course.record.events()
        self.tries = _by_key(course.record.attempts())
        self.sendings = _by_key(course.receivers.sendings)

    def complaints(self) -> Iterator[str]:
        """Say everything that is wrong."""
        yield from self.course.complaints
        yield from self._kept()
        yield from self._within_limits()
        yield from self._in_order()
        yield from self._within_rates()
        for row in self.rows:
            for complaint in self._of(row, self.tries.get(row.key, []), self.sendings.get(row.key, [])):
                yield f"{row.target} {row.event} {row.id}: {complaint}"

    def _kept(self) -> Iterator[str]:
        """Nothing that was acknowledged is missing, or there twice."""
        for event, deliveries in self.course.answered.items():
            if self.events.count(event) != 1:
                yield f"{event} was acknowledged and is there {self.events.count(event)} times"
            if sum(row.event == event for row in self.rows) != deliveries:
                yield f"{event} was acknowledged with {deliveries} deliveries"
        strangers = set(self.sendings) - {row.key for row in self.rows}
        if strangers:
            yield f"these were sent and are not on record: {strangers}"

    def _within_limits(self) -> Iterator[str]:
        """Never more is under way at once than is allowed."""
        full, plan = self.course.receivers.full, self.plan
        tests = sum(name == "test" for _, name, _ in plan.actions)
        limited = {arguments[0] for _, name, arguments in plan.actions if name == "limit"}
        for name in (*plan.limits, HANDLER):
            limit = plan.limits.get(name) or plan.per_endpoint
            if name not in limited and full[name] > limit + tests:
                yield f"{name}: {full[name]} were under way at once, {limit} may be"
        if full[""] > plan.max_in_flight + tests:
            yield f"{full['']} were under way at once, {plan.max_in_flight} may be"

    def _in_order(self) -> Iterator[str]:
        """In each line events come in the order of their commits, one at a time, over all lives."""
        places = {row.key: place for place, row in enumerate(self.rows)}
        meddled = {row.key for row in self.rows if row.id in self.course.asked}
        for row in self.rows:
            if row.turn is not None or row.held:
                yield f"{row.target} {row.event}: {row.status}, and still in line"
        for line, sendings in self._lines().items():
            for earlier, later in pairwise(sendings):
                if earlier.life == later.life and (earlier.ended is None or earlier.ended > later.began):
                    yield f"{line}: {earlier.event} and {later.event} were under way at once"
            steady = [each for each in sendings if each.key not in meddled]
            for earlier, later in pairwise(steady):
                if places[earlier.key] > places[later.key]:
                    yield f"{line}: {earlier.event} came before {later.event}"

    def _lines(self) -> dict[tuple[str, str, float], list[Sending]]:
        """Answer what was sent in each line while its destination was ordered, one time after the other."""
        keys = {row.key: row.ordering_key for row in self.rows if row.type != MADE_ONCE}
        lines: dict[tuple[str, str, float], list[Sending]] = {}
        for sending in self.course.receivers.sendings:
            for span in self.course.orders[sending.target].spans:
                if span.value and span.holds(sending.began) and sending.key in keys:
                    lines.setdefault((sending.target, keys[sending.key], span.since), []).append(sending)
        return lines

    def _within_rates(self) -> Iterator[str]:
        """In any window, whoever lived and died in it, no more is begun than the rate and the burst."""
        tests = {row.key for row in self.rows if row.type == MADE_ONCE}
        begun = [each for each in self.course.receivers.sendings if each.key not in tests]
        for name, setting in self.course.rates.items():
            for span in setting.spans:
                if span.value is not None:
                    moments = [each.began for each in begun if each.target == name and span.holds(each.began)]
                    if (beyond := _beyond(moments, span.value)) > span.value.burst + 1e-6:
                        yield f"{name}: {beyond:g} were begun at once, and {span.value} may be"

    def _of(self, row: Row, tries: list[Try], sendings: list[Sending]) -> Iterator[str]:
        yield from self._concluded(row, tries)
        yield from _numbered(row, tries)
        yield from _recorded(tries, sendings)
        yield from self._repeated(row, sendings)
        yield from self._in_time(row, sendings)
        yield from _current(sendings)

    def _concluded(self, row: Row, tries: list[Try]) -> Iterator[str]:
        """It came to an end, the one that its attempts make."""
        outcome = tries[-1].outcome if tries else None
        untouched = row.id not in self.course.asked
        if row.target in self.plan.trusted and untouched and self.plan.schedule and row.status != "delivered":
            whole = sum(self.plan.schedule) > 6.1 * HOUR * SECOND
            if whole and row.target != HANDLER:
                yield f"its receiver takes everything in the end, and it is {row.status}: {row.reason}"
        if untouched and (row.status == "delivered") != (outcome == "success"):
            yield f"it is {row.status}, its last attempt was {outcome}"
        if row.status == "failed" and untouched:
            given_up = (row.reason or "").endswith(("410 Gone", "crashes"))
            if not given_up and row.type != MADE_ONCE and len(tries) != len(self.plan.schedule) + 1:
                yield f"it failed after {len(tries)} attempts"
        if row.status not in ("delivered", "failed", "cancelled"):
            yield f"it is still {row.status}"

    def _repeated(self, row: Row, sendings: list[Sending]) -> Iterator[str]:
        """Only what was not on record when a life ended is sent again, and never while it is under way."""
        for earlier, later in pairwise(sendings):
            if later.number not in (earlier.number, earlier.number + 1):
                yield f"attempt {later.number} came after {earlier.number}"
            if later.life == earlier.life:
                if later.number == earlier.number:
                    yield f"attempt {later.number} came twice in one life"
                if earlier.ended is None or earlier.ended > later.began:
                    yield f"attempts {earlier.number} and {later.number} were under way at once"
            again = earlier.outcome is Outcome.SUCCESS and later.number != earlier.number
            if again and row.id not in self.course.asked:
                yield f"it was sent again after attempt {earlier.number} had succeeded"
        for sending in sendings:
            known = self.course.recorded.get(sending.life - 1, set())
            if (*row.key, sending.number) in known:
                yield f"attempt {sending.number} was on record, and was made again"

    def _in_time(self, row: Row, sendings: list[Sending]) -> Iterator[str]:
        """No attempt comes before the schedule, or the receiver, has it."""
        meddled = {argument for _, _, arguments in self.plan.actions for argument in arguments}
        jumped = any(name == "jump" for _, name, _ in self.plan.actions)
        if row.target in meddled or row.id in self.course.asked or jumped:
            return
        last = [list(group)[-1] for _, group in groupby(sendings, key=lambda sending: sending.number)]
        for step, (earlier, later) in enumerate(pairwise(last)):
            if earlier.ended_at is None:
                continue
            shortest = int(self.plan.schedule[step] * (1 - JITTER))
            asked = 0 if row.target == HANDLER else earlier.retry_after or 0
            wait = max(shortest, min(asked, LONGEST_RETRY_AFTER))
            if later.began_at - earlier.ended_at < wait:
                yield f"attempt {later.number} came {later.began_at - earlier.ended_at} ms after {earlier.number}"


def _beyond(moments: list[float], limit: RateLimit) -> float:
    """Answer the most that was begun in any window beyond the rate times its length."""
    most, lowest = 0.0, inf
    for count, moment in enumerate(moments):
        level = count - limit.per_second * moment
        lowest = min(lowest, level)
        most = max(most, level - lowest + 1)
    return most


def _numbered(row: Row, tries: list[Try]) -> Iterator[str]:
    numbers = [each.number for each in tries]
    if numbers != list(range(1, row.attempt_count + 1)):
        yield f"attempts {numbers} are on record, {row.attempt_count} are counted"


def _recorded(tries: list[Try], sendings: list[Sending]) -> Iterator[str]:
    """What is on record has happened."""
    for each in tries:
        seen = {sending.outcome for sending in sendings if sending.number == each.number}
        if each.outcome not in seen:
            yield f"attempt {each.number} is on record as {each.outcome}, its receiver knows {seen}"


def _by_key(items: Iterable[T]) -> dict[Key, list[T]]:
    found: dict[Key, list[T]] = {}
    for item in items:
        found.setdefault(item.key, []).append(item)
    return found


def _current(sendings: list[Sending]) -> Iterator[str]:
    """Every attempt goes to where its endpoint had moved by then."""
    for each in sendings:
        if each.moves < each.known_moves:
            yield f"attempt {each.number} went to where its endpoint was {each.known_moves - each.moves} moves before"
