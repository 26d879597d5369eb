"""Publishing from inside the database: what applications wrote in their own transactions becomes events, or is refused.

A row that can't become an event holds up no other: it stays, with its fault, until somebody sees to it.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final, NamedTuple, TypeVar

from hookd.errors import HookdError
from hookd.model import Event, Publication
from hookd.parse import is_json, parse
from hookd.policy.names import LONGEST, event_id, expect_free, plain, tenant
from hookd.policy.types import check_type
from hookd.store.accept import Accepted, Draft, accept
from hookd.store.context import Context
from hookd.store.draft import draft_of
from hookd.store.rows import text
from hookd.store.statement import Many, Query, Row, Steps, statements

SQL = statements("published")

ROWS: Final = 256
BYTES: Final = 4 * 1024 * 1024
"""What is picked up in one transaction: so many rows, or so many bytes of payloads; a single one may be longer."""

MOST_ENDPOINTS: Final = 100

T = TypeVar("T")


class Refused(NamedTuple):
    """What can't become an event."""

    id: str | None
    type: str
    fault: str


@dataclass(frozen=True, slots=True)
class PickedUp:
    """What became of the rows that were picked up together."""

    events: Sequence[tuple[Event, Accepted]]
    refused: Sequence[Refused]


def waits() -> Steps[bool]:
    """Say whether something is there that is neither picked up nor refused."""
    return bool((yield Query(SQL.waits, {})))


def count_refused() -> Steps[int]:
    """Count what was refused and still stays."""
    return int((yield Query(SQL.count_refused, {}))[0][0])


def pick_up(context: Context, asked: Sequence[Collection[str]]) -> Steps[list[PickedUp]]:
    """Make events of the oldest rows, each time it is asked; no type begins with a source's name.

    One process does so at a time, or an ordered endpoint might get them in another order.
    """
    answers: list[PickedUp] = []
    for sources in asked:
        rows = (yield Query(SQL.oldest, {"most": ROWS, "bytes": BYTES})) if context.share.leads else ()
        answer = yield from _pick_up(context, rows, sources)
        answers.append(answer)
    return answers


def _pick_up(context: Context, rows: Sequence[Row], sources: Collection[str]) -> Steps[PickedUp]:
    drafts: dict[int, Draft] = {}
    faults: dict[int, str] = {}
    for row in rows:
        try:
            publication = _publication(row, sources)
            identity = publication.id or row[-1] or context.ids("evt")
            drafts[row[0]] = draft_of(publication, identity, context.now)
        except ValueError as error:
            faults[row[0]] = str(error)
    events: list[tuple[Event, Accepted]] = []
    answers = (yield from accept(context, list(drafts.values()))) if drafts else []
    for (sequence, draft), answer in zip(drafts.items(), answers, strict=True):
        if isinstance(answer, HookdError):
            faults[sequence] = str(answer)
        else:
            events.append((draft.event, answer))
    yield from _clear(rows, faults)
    return PickedUp(events, [_refused(row, faults[row[0]]) for row in rows if row[0] in faults])


def _clear(rows: Sequence[Row], faults: dict[int, str]) -> Steps[None]:
    """Delete what became an event, and keep the rest with its faults."""
    done = [row[0] for row in rows if row[0] not in faults]
    if done:
        yield Query(SQL.delete, {"sequences": text(done)})
    if faults:
        yield Many(SQL.refuse, list(faults.items()))


def _publication(row: Row, sources: Collection[str]) -> Publication:
    """Read a row of `oldest`; ValueError, with the column's name, where it is as no producer may publish."""
    _, event_type, payload, identity, owner, key, endpoints, _ = row
    if not is_json(payload):
        raise ValueError("payload: expected JSON in UTF-8")
    return Publication(
        type=_read("type", event_type, partial(_type, sources)),
        payload=payload,
        id=None if identity is None else _read("id", identity, event_id),
        tenant=None if owner is None else _read("tenant", owner, tenant),
        ordering_key=_read("ordering_key", key, _key),
        endpoints=None if endpoints is None else _read("endpoints", endpoints, _endpoints),
    )


def _read(column: str, written: bytes, meant: Callable[[str], T]) -> T:
    try:
        return meant(written.decode())
    except UnicodeDecodeError:
        raise ValueError(f"{column}: expected UTF-8") from None
    except ValueError as error:
        raise ValueError(f"{column}: {error}") from None


def _type(sources: Collection[str], written: str) -> str:
    check_type(written)
    expect_free(written, sources)
    return written


def _key(written: str) -> str:
    if len(written) > LONGEST:
        raise ValueError(f"expected at most {LONGEST} characters")
    return plain(written)


def _endpoints(written: str) -> tuple[str, ...]:
    ids = parse(written.encode())
    if not isinstance(ids, list) or not 1 <= len(ids) <= MOST_ENDPOINTS or not all(map(_is_id, ids)):
        raise ValueError(f"expected an array of 1 to {MOST_ENDPOINTS} ids of endpoints")
    return tuple(dict.fromkeys(map(plain, ids)))


def _is_id(value: object) -> bool:
    return isinstance(value, str) and len(value) <= LONGEST


def _refused(row: Row, fault: str) -> Refused:
    _, event_type, _, identity, *_ = row
    return Refused(None if identity is None else _shown(identity), _shown(event_type), fault)


def _shown(written: bytes) -> str:
    return written.decode("utf-8", "replace")
