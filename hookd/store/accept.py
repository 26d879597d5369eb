"""Accepting events: dedupe, store, fan out; a whole batch in a handful of statements."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from msgspec import Struct

from hookd.errors import Conflict, Fault, HookdError, InvalidInput, Unavailable
from hookd.model import PAYLOAD_TYPE, Delivery, Destination, Endpoint, EndpointState, Event, Origin, Status
from hookd.store.context import Context
from hookd.store.order import NEWCOMER, Line, last_turns
from hookd.store.rows import text
from hookd.store.statement import Again, Insert, Many, Row, Steps, statements

SQL = statements("accept")


class KeyKind(StrEnum):
    """What a dedupe key is, and so whose it is: a tenant's or a source's."""

    PRODUCER_ID = "id"
    IDEMPOTENCY_KEY = "key"
    INBOUND_ID = "inbound"
    REJECTION = "rejection"


class Key(NamedTuple):
    """A dedupe key, unique among the keys of its kind and owner (a tenant or '', or a source's name)."""

    kind: KeyKind
    owner: str
    key: str


class Known(NamedTuple):
    """What was accepted under a key."""

    digest: bytes
    event: str
    deliveries: int


class Draft(Struct, frozen=True):
    """An event about to be stored. `digest` tells equal content from other content under the same key."""

    event: Event
    digest: bytes = b""
    keys: tuple[Key, ...] = ()
    endpoints: tuple[str, ...] | None = None
    """Ids to deliver to, in place of whoever subscribes."""
    direct: bool = False
    """Claim the one delivery for the caller, whatever the endpoint's state and limits."""


@dataclass(frozen=True, slots=True)
class Accepted:
    """The answer to a draft: its event, or the one that an earlier draft with the same key became."""

    event: str
    deliveries: int
    repeated: bool = False
    delivery: Delivery | None = None
    """The claimed delivery of a direct draft."""


@dataclass(slots=True)
class _Fresh:
    """A draft that becomes an event, and its place in the batch."""

    place: int
    draft: Draft
    destinations: Sequence[Destination]


def operational(context: Context, tenant: str | None, event_type: str, payload: Mapping[str, object]) -> Draft:
    """Make a draft of something that hookd itself has to tell."""
    body = text(payload).encode()
    return Draft(Event(context.ids("evt"), tenant, event_type, Origin.OPERATIONAL, body, PAYLOAD_TYPE, context.now))


def accept(context: Context, drafts: Sequence[Draft]) -> Steps[list[Accepted | HookdError]]:
    """Store a batch of drafts and fan them out; a draft that can't be accepted is answered by its error."""
    known = yield from _known(context, drafts)
    answers: list[Accepted | HookdError] = []
    fresh: list[_Fresh] = []
    keys: list[Row] = []
    for place, draft in enumerate(drafts):
        answer = _earlier(draft, known) if draft.keys else None
        if answer is None:
            try:
                destinations = yield from _destinations(context, draft)
                answer = Accepted(draft.event.id, len(destinations))
                fresh.append(_Fresh(place, draft, destinations))
            except (InvalidInput, Unavailable) as error:
                answer = error
        if isinstance(answer, Accepted):
            keys += _remember(draft, answer, known, context.now - context.dedupe)
        answers.append(answer)
    if fresh:
        yield from _insert(context, fresh, answers)
    if keys and len((yield Many(SQL.remember, keys))) < len(keys):
        raise Again("another process has just accepted something under the same key")
    return answers


def _remember(draft: Draft, answer: Accepted, known: dict[Key, Known], oldest: int) -> list[Row]:
    """Know from now on what came under a draft's keys; answer the rows of those that are new.

    `oldest` (epoch ms) is since when a key has not expired.

    Of a repetition an idempotency key is remembered, but no id: that is still free for an event of its own.
    """
    new = [key for key in draft.keys if key not in known and not (answer.repeated and key.kind is KeyKind.PRODUCER_ID)]
    known.update(dict.fromkeys(new, Known(draft.digest, answer.event, answer.deliveries)))
    return [(*key, draft.digest, answer.event, answer.deliveries, draft.event.created_at, oldest) for key in new]


def _known(context: Context, drafts: Sequence[Draft]) -> Steps[dict[Key, Known]]:
    oldest = context.now - context.dedupe
    wanted = [(*key, oldest) for draft in drafts for key in draft.keys]
    if not wanted:
        return {}
    found = yield Many(SQL.known, wanted)
    return {Key(KeyKind(kind), owner, key): Known(*rest) for kind, owner, key, *rest in found}


def _earlier(draft: Draft, known: dict[Key, Known]) -> Accepted | HookdError | None:
    """Answer what an earlier draft with one of this one's keys became, or why the two can't be the same."""
    earlier = [(key, known[key]) for key in draft.keys if key in known]
    for key, other in earlier:
        if key.kind is not KeyKind.INBOUND_ID and other.digest != draft.digest:
            return _clash(key)
    return Accepted(earlier[0][1].event, earlier[0][1].deliveries, repeated=True) if earlier else None


def _clash(key: Key) -> HookdError:
    if key.kind is KeyKind.PRODUCER_ID:
        return Conflict(f"the id {key.key} was already published with other content; give this event its own id")
    detail = f"{key.key} was already used with other content; use a new key for a new event"
    return InvalidInput(Fault("Idempotency-Key", detail))


def _destinations(context: Context, draft: Draft) -> Steps[Sequence[Destination]]:
    if draft.endpoints is None:
        return (yield from context.directory.match(draft.event))
    found: dict[str, Destination] = {}
    for place, identity in enumerate(draft.endpoints):
        destination = yield from context.directory.find(identity)
        if not isinstance(destination, Endpoint) or destination.tenant != draft.event.tenant:
            raise InvalidInput(Fault(f"#/endpoints/{place}", f"there is no endpoint {identity} for this tenant"))
        found[identity] = destination
    return list(found.values())


def _insert(context: Context, fresh: Sequence[_Fresh], answers: list[Accepted | HookdError]) -> Steps[None]:
    sequences = yield Insert(SQL.insert_events, [_event_row(each.draft) for each in fresh])
    fan = [(each, sequence, to) for each, sequence in zip(fresh, sequences, strict=True) for to in each.destinations]
    lines = [] if context.share.shared else [_line(each.draft, to) for each, _, to in fan if _in_line(each.draft, to)]
    last = yield from last_turns(lines)
    outbox = [_outbox_row(context, each.draft, sequence, destination, last) for each, sequence, destination in fan]
    if outbox:
        numbers = yield Insert(SQL.insert_outbox, outbox)
        for row, number, (each, _, destination) in zip(outbox, numbers, fan, strict=True):
            _hand_over(context, row, number, each, destination, answers)


def _event_row(draft: Draft) -> Row:
    event = draft.event
    return (
        event.id, event.tenant or "", event.type, event.origin.value, event.payload, event.content_type,
        event.created_at, event.ordering_key, draft.endpoints is not None,
    )  # fmt: skip


def _outbox_row(context: Context, draft: Draft, event: int, destination: Destination, last: dict[Line, int]) -> Row:
    key, turn, held = "", None, 0
    if _in_line(draft, destination):
        line = _line(draft, destination)
        key = line.ordering_key
        if context.share.shared:
            held = NEWCOMER
        else:
            held, turn = int(line in last), last.get(line, 0) + 1
            last[line] = turn
    status, reason = _first_status(context, draft, destination, held=held > 0)
    return (
        context.ids("dlv"), event, destination.id, draft.event.tenant or "", draft.event.type, status.value, reason,
        context.now, context.now, key, turn, held,
    )  # fmt: skip


def _in_line(draft: Draft, destination: Destination) -> bool:
    """Say whether a delivery keeps an order; what is sent at once, or not at all, does not."""
    return destination.ordered and not draft.direct and not _is_disabled(destination)


def _line(draft: Draft, destination: Destination) -> Line:
    return Line(destination.id, draft.event.ordering_key)


def _is_disabled(destination: Destination) -> bool:
    return isinstance(destination, Endpoint) and destination.state is EndpointState.DISABLED


def _first_status(context: Context, draft: Draft, destination: Destination, *, held: bool) -> tuple[Status, str | None]:
    if draft.direct:
        return Status.SENDING, None
    if isinstance(destination, Endpoint) and destination.state is EndpointState.DISABLED:
        return Status.CANCELLED, f"the endpoint is disabled: {destination.state_reason}"
    if not held and context.take(destination):
        return Status.SENDING, None
    return Status.PENDING, None


def _hand_over(
    context: Context,
    row: Row,
    number: int,
    each: _Fresh,
    destination: Destination,
    answers: list[Accepted | HookdError],
) -> None:
    """Tell the delivery loop of a new row: to be sent now, or due."""
    identity, status, held = row[0], row[5], row[11]
    if status == Status.PENDING:
        if held in (0, NEWCOMER):
            context.make_due(destination)
    elif status == Status.CANCELLED:
        context.changes.concluded[Status.CANCELLED] += 1
    else:
        event = each.draft.event
        delivery = Delivery(number, identity, event, destination, attempt_count=0, step=0, owner=context.owner)
        if each.draft.direct:
            answers[each.place] = Accepted(event.id, len(each.destinations), delivery=delivery)
        else:
            context.changes.claimed.append(delivery)
