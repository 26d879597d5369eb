"""An endpoint's answer: how much of it is read, and what its status, headers and body mean."""

from collections.abc import Iterable
from datetime import UTC
from email.utils import parsedate_to_datetime
from functools import lru_cache
from http import HTTPStatus
from typing import Final

from aiohttp import StreamReader
from multidict import CIMultiDictProxy

from hookd.attempt.headers import MASK
from hookd.attempt.result import Result
from hookd.egress import Answer
from hookd.model import Clock, Outcome
from hookd.text import printable

READ: Final = 64 * 1024
"""Bytes of an answer's body after which no more is read."""

HEADERS_KEPT: Final = 8 * 1024
"""Characters of an answer's headers that are kept at most."""

_OUTCOMES: Final = {
    1: Outcome.PROTOCOL,  # only 101: a switch to a protocol that nobody asked for
    2: Outcome.SUCCESS,
    3: Outcome.HTTP_3XX,
    4: Outcome.HTTP_4XX,
}
"""By the status's first digit; whatever is no status counts as 5xx (RFC 9110, 15)."""

_DIGITS: Final = 9
"""Digits of the seconds that are told apart: some thirty years, beyond which nobody counts."""


async def read_body(content: StreamReader, body: bytearray) -> bool:
    """Read a body as far as `READ` bytes, and say whether that was all."""
    if content.is_eof():  # a short one that came with the headers: nothing to wait for
        body += content.read_nowait(READ)
    while not content.at_eof():
        if len(body) >= READ:
            return False
        body += await content.read(READ - len(body))
    return True


def judge(answer: Answer, body: bytes, complete: bool, kept: int, clock: Clock, secrets: Iterable[str]) -> Result:
    """Say what an answer means; the clock is asked where it names a date to come back at.

    `complete` tells whether `body` is all there was; `kept` is how many bytes of it are recorded, without
    these secrets, which the endpoint may have sent back.
    """
    for secret in secrets:
        body = body.replace(secret.encode(), MASK.encode())
    status = answer.status
    outcome = _OUTCOMES.get(status // 100, Outcome.HTTP_5XX)
    wanted = None if outcome is Outcome.SUCCESS else answer.headers.get("Retry-After")
    return Result(
        outcome,
        None if outcome is Outcome.SUCCESS else _describe(status),
        status,
        _recorded(answer.headers, secrets),
        body[:kept],
        len(body) > kept or not complete,
        None if wanted is None else parse_retry_after(wanted, clock()),
    )


@lru_cache(maxsize=1000)
def _describe(status: int) -> str:
    try:
        text = f"answered {status} {HTTPStatus(status).phrase}"
    except ValueError:
        text = f"answered {status}"
    return f"{text}; redirects are not followed" if status // 100 == 3 else text


def _recorded(headers: CIMultiDictProxy[str], secrets: Iterable[str]) -> dict[str, str]:
    """Answer an answer's headers as they are recorded: printable, within bounds, cookies and secrets masked."""
    kept: dict[str, str] = {}
    room = HEADERS_KEPT
    for name, text in headers.items():
        key = name.lower()
        for secret in secrets:
            text = text.replace(secret, MASK)
        value = MASK if key == "set-cookie" else printable(text)
        room -= len(key) + len(value)
        if room < 0:
            break
        kept[key] = f"{kept[key]}, {value}" if key in kept else value
    return kept


def parse_retry_after(text: str, now: int) -> int | None:
    """Answer in milliseconds how long a `Retry-After` asks to wait; None for nonsense (RFC 9110, 10.2.3)."""
    text = text.strip()
    if text.isascii() and text.isdigit():
        return int(text[-_DIGITS:]) * 1000 if len(text.lstrip("0")) <= _DIGITS else 10**_DIGITS * 1000
    try:
        date = parsedate_to_datetime(text)
        at = date.replace(tzinfo=date.tzinfo or UTC).timestamp()
    except (ValueError, OverflowError):
        return None
    return max(0, int(at * 1000) - now)
