"""Processes that share a store: each proves that it lives, buries those that do not, and takes its share of the lanes.

A process keeps a lease by the database's clock. Whoever finds one that has expired buries its owner, and from then on
nothing of that one is recorded; so a lane is never sent to by two.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from hookd.store.context import Context
from hookd.store.database import StorageError
from hookd.store.membership import SLOTS, Membership, slot_of
from hookd.store.recover import Recovered, recover
from hookd.store.statement import Many, Query, Steps, statements

SQL = statements("cluster")

LOCKS = 0x686F6F6B
"""The first key of every advisory lock of hookd: "hook"."""

DIRECTORY = 0
"""The second key of the lock that a transaction holds alone where no other may be under way; else: a number."""


class Fenced(StorageError):
    """The process was taken for dead; others have taken up what it had."""


@dataclass(frozen=True, slots=True)
class Buried:
    """A process that died, by its name, and what it left."""

    name: str
    left: Recovered


def told(settings: Mapping[str, str]) -> str:
    """Answer the columns of a SELECT that make settings for as long as its transaction lasts."""
    return ", ".join(f"set_config('{name}', '{value}', true)" for name, value in settings.items())


def beginning(number: int, settings: Mapping[str, str], *, alone: bool) -> str:
    """Answer the statements that begin a transaction of the process with a number, with settings of its own."""
    lock = "pg_advisory_xact_lock" if alone else "pg_advisory_xact_lock_shared"
    return (
        f"BEGIN; SELECT {told({'hookd.process': str(number), **settings})}, "
        f"pg_advisory_xact_lock_shared({LOCKS}, {number}), {lock}({LOCKS}, {DIRECTORY})"
    )


def join(member: Membership) -> Steps[int]:
    """Become a member, and answer the number."""
    who = {
        "name": member.name,
        "handlers": list(member.handlers()),
        "key_id": member.key_id,
        "lease": member.lease,
    }
    ((number,),) = yield Query(SQL.join, who)
    return int(number)


def fate(member: Membership, transaction: str) -> Steps[bool | None]:
    """Answer whether a transaction of this process was committed; None while it is under way.

    Fenced where the server can't tell, since it crashed, or another took its place: what that transaction has changed
    is then not known, and another one may have got its number.
    """
    ((status,),) = yield Query(SQL.fate, {"number": member.number, "transaction": transaction})
    if status is None:
        raise Fenced(
            f"the database crashed and can't tell what became of the last commit of this process, {member.name}, which "
            "begins anew"
        )
    return None if status == "in progress" else status == "committed"


def strangers(key_id: str) -> Steps[list[str]]:
    """Name the members that encrypt with another key."""
    return [name for (name,) in (yield Query(SQL.strangers, {"key_id": key_id}))]


class Entered(NamedTuple):
    """A transaction's id, and up to which of them the changes of endpoints are known in it."""

    transaction: str
    version: int


def enter(context: Context, member: Membership, *, renewing: bool) -> Steps[Entered]:
    """See that this process is still a member, and what others have changed."""
    number = {"number": member.number, "lease": member.lease}
    sql = SQL.enter_renewing if renewing else SQL.enter
    ((transaction, is_member, newest, now),) = yield Query(sql, number)
    member.hear(now)
    if not is_member:
        raise Fenced(
            f"this process, {member.name}, was not heard of for longer than [store] lease; others have taken over "
            "what it had, and it begins anew; a longer lease helps where that happens without a cause"
        )
    if newest != member.version:
        yield from _catch_up(context, member.version, newest)
    return Entered(transaction, newest)


def _catch_up(context: Context, known: int, newest: int) -> Steps[None]:
    """Forget what others have changed, and let it be effective at once for the lanes of this process."""
    for (endpoint,) in (yield Query(SQL.changed, {"known": known, "newest": newest})):
        context.changes.touch(endpoint)
        context.directory.resubscribed(endpoint)
        if context.room is not None and context.room.knows(endpoint) and context.share.owns(endpoint):
            destination = yield from context.directory.find(endpoint)
            if destination is not None:
                context.learn(destination)
                context.make_due(destination)


def newest_change() -> Steps[int]:
    """Answer up to which of them the changes of endpoints are known to one that is alone."""
    ((version,),) = yield Query(SQL.newest_change, {})
    return int(version)


@dataclass(frozen=True, slots=True)
class Balance:
    """What a process came to know of the others, and of its share."""

    buried: Sequence[Buried]
    owners: Sequence[int]
    gained: bool
    given: bool


def balance(context: Context, members: Sequence[Membership]) -> Steps[list[Balance]]:
    """Bury the dead, give back what is too much, and take what nobody has."""
    member = members[0]
    number = {"number": member.number, "lease": member.lease}
    if member.retiring:
        yield Query(SQL.retire, {"number": member.number})
    ((living, owners, expired),) = yield Query(SQL.census, number)
    buried = yield from _bury(context, expired)
    if buried:
        ((living, owners, _),) = yield Query(SQL.census, number)
    share = 0 if member.retiring else -(-SLOTS // max(living, 1))
    yield from _give_back(context, member, share)
    if len(member.slots) < share and 0 in owners:
        found = yield Query(SQL.gain, {"number": member.number, "most": share - len(member.slots)})
        context.changes.gained = frozenset(slot for (slot,) in found)
        context.directory.forget_endpoints()  # only a lane's owner knows what attempts have told of its endpoint
        owners = [member.number if slot in context.changes.gained else owner for slot, owner in enumerate(owners)]
    changes = context.changes
    return [Balance(buried, owners, bool(changes.gained), bool(changes.lost))] * len(members)


def _bury(context: Context, expired: Sequence[int]) -> Steps[list[Buried]]:
    buried: list[Buried] = []
    for number in expired:
        for (name,) in (yield Query(SQL.bury, {"number": number, "key": LOCKS})):
            left = yield from recover(context, [number])
            yield Query(SQL.vacate, {"number": number})
            buried.append(Buried(name, left[0]))
    if len(buried) < len(expired):
        yield from end_sessions()
    return buried


def end_sessions() -> Steps[None]:
    """End the sessions of processes whose leases have expired amid a transaction, which is in everybody's way.

    Where the server can't get rid of a long answer, since the process hangs or its host is gone, no timeout of the
    server's ends that.
    """
    yield Query(SQL.end_sessions, {"key": LOCKS})


def _give_back(context: Context, member: Membership, share: int) -> Steps[None]:
    """Let go of slots beyond the share, each as soon as nothing of it is under way."""
    kept = len(member.slots) - len(member.leaving)
    member.leaving |= set(sorted(member.slots - member.leaving)[: max(0, kept - share)])
    if not member.leaving:
        return
    busy = set(member.busy())
    for lane in busy:
        if slot_of(lane) in member.leaving:
            context.changes.touch(lane)
    empty = member.leaving - {slot_of(lane) for lane in busy}
    if empty:
        yield Many(SQL.lose, [(slot, member.number) for slot in sorted(empty)])
        context.changes.lost = frozenset(empty)


def forget_changes(context: Context, asked: Sequence[None]) -> Steps[list[None]]:  # noqa: ARG001 - as every group's
    """Delete the notes of changes that every process knows; one that was away for longer begins anew."""
    yield Query(SQL.forget_changes, {})
    return [None] * len(asked)


def leave(context: Context, member: Membership) -> Steps[None]:
    """Be no member any more: what is still being sent is taken up again, and the lanes are anybody's."""
    number = member.number or 0
    yield from recover(context, [number])
    yield Query(SQL.vacate, {"number": number})
    yield Query(SQL.leave, {"number": number})


class Due(NamedTuple):
    """What waits: lanes, each with when it is due (epoch ms), and whether applications have published something."""

    lanes: Mapping[str, int]
    published: bool


def due() -> Steps[Due]:
    """Answer all that waits."""
    lanes: dict[str | None, int] = {}
    for lane, at in (yield Query(SQL.due, {})):
        lanes[lane] = min(at, lanes.get(lane, at))
    published = lanes.pop(None, None) is not None
    return Due({lane: at for lane, at in lanes.items() if lane is not None}, published)
