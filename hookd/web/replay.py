"""`POST /api/v1/endpoints/{id}/replay`: send an endpoint what it missed."""

from typing import Annotated

from aiohttp import web
from pydantic import AfterValidator, BeforeValidator, Field, ValidationInfo

from hookd.model import Status
from hookd.store import MISSED, Replay
from hookd.units import parse_time
from hookd.web.answers import answer
from hookd.web.call import Call
from hookd.web.fields import Body, Patterns, check

OVER = (Status.FAILED, Status.CANCELLED, Status.DELIVERED)
"""The statuses of deliveries that can be replayed."""


def _time(value: object, info: ValidationInfo) -> int:
    if not isinstance(value, str):
        raise ValueError('expected a time such as "2026-01-02T03:04:05Z", or "1h" for an hour ago')  # noqa: TRY004 - pydantic collects ValueError
    now: int = info.context or 0
    return parse_time(value, now)


def _past(time: int, info: ValidationInfo) -> int:
    now: int = info.context or 0
    if time > now:
        raise ValueError("expected a time that has passed")
    return time


def _behind(time: int, info: ValidationInfo) -> int:
    if time <= info.data.get("since", time - 1):
        raise ValueError("expected a time after since")
    return time


def _statuses(value: object) -> frozenset[Status]:
    named = value if isinstance(value, list) else [value]
    if not named or not all(status in list(OVER) for status in named):
        raise ValueError(f"expected {', '.join(OVER)}, or an array of these")
    return frozenset(map(Status, named))


Time = Annotated[int, BeforeValidator(_time)]


class Replaying(Body):
    """What to replay; times are RFC 3339, or relative."""

    since: Annotated[Time, AfterValidator(_past)]
    until: Annotated[Time, AfterValidator(_behind)] | None = None
    event_types: Patterns | None = None
    status: Annotated[frozenset[Status], Field(strict=False), BeforeValidator(_statuses)] = MISSED
    dry_run: bool = False


async def replay(call: Call) -> web.Response:
    """Queue what an endpoint missed; answer how many deliveries that comes to, once they are on disk."""
    now = call.services.clock()
    asked = check(Replaying, await call.values(), now)
    wanted = Replay(
        endpoint=call.id,
        tenant=call.caller.tenant,
        since=asked.since,
        until=now + 1 if asked.until is None else asked.until,
        event_types=asked.event_types,
        statuses=asked.status,
        dry_run=asked.dry_run,
    )
    return answer({"deliveries": await call.services.store.replay(wanted), "dry_run": asked.dry_run})
