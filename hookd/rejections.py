"""Keeping requests that were refused, so that somebody can see why: a few a second of each source, without secrets.

Whoever knows a path can make as many of them as he likes. So nobody waits for one to be written, what comes too fast
is not kept, and each source has its own share.
"""

import asyncio
import logging
import re
from collections.abc import Iterable
from typing import Final
from urllib.parse import unquote, unquote_plus

from hookd.cloudevents import binary
from hookd.errors import SignatureError, Unavailable, Unreadable
from hookd.ids import IdFactory
from hookd.model import Clock, Rejection, Source
from hookd.signing import Headers, Scheme, collect
from hookd.signing.headers import Collected
from hookd.signing.keys import PREFIX
from hookd.signing.repairs import alike
from hookd.store import Store
from hookd.text import printable

MASK: Final = "***"
"""Stands in the record for a value that is secret, or may be."""

A_SECOND: Final = 10
"""Rejections of a source that are kept in one second; of a flood, they are a sample."""

MOST_WAITING: Final = 100
"""Rejections that wait for the disk."""

LONGEST_HEADERS: Final = 16 * 1024
"""Characters of a request's headers that are kept."""

SHORTEST_MASKED: Final = 8
"""Characters of a secret that is looked for in every header; shorter ones stand in any text."""

UNREADABLE: Final = "unreadable"
"""The reason of what is authentic, and can't be read."""

_CREDENTIALS: Final = frozenset({"authorization", "proxy-authorization", "cookie", "set-cookie"})
_SECRET: Final = re.compile(r"token|secret|passw|credential|(?<!idempotency[-_])key|session|auth", re.IGNORECASE)
_BETWEEN_PARAMETERS: Final = re.compile(r"([?&;])")

log = logging.getLogger("hookd.rejections")


class Rejections:
    """Takes in what was refused. `most` of each source are kept, and of each so many bytes of its body."""

    def __init__(self, store: Store, ids: IdFactory, clock: Clock, *, most: int, longest_body: int) -> None:
        self._store = store
        self._ids = ids
        self._clock = clock
        self._most = most
        self._longest_body = longest_body
        self._counts: dict[str, int] = {}
        self._second = 0
        self._waiting = 0

    def keep(  # what a request consists of, each with its name
        self,
        source: Source,
        row: Scheme,
        headers: Headers,
        body: bytes,
        error: SignatureError | Unreadable,
        *,
        target: str,
        method: str,
    ) -> str | None:
        """Let a request be kept that was refused by `error`, and answer its id; None where there is no room for it.

        `row` is the source's scheme, and `target` what was asked for: the path and the query.
        """
        if not self._has_room(source.name):
            return None
        rejection = Rejection(
            id=self._ids("rej"),
            source=source.name,
            tenant=source.tenant,
            reason=error.reason if isinstance(error, SignatureError) else UNREADABLE,
            cause=printable(str(error)),
            received_at=self._clock(),
            method=method,
            target=kept_target(source, row, target),
            size=len(body),
            headers=kept_headers(source, row, headers),
            body=body[: self._longest_body],
        )
        self._waiting += 1
        self._store.keep_rejection(rejection, self._most).add_done_callback(self._kept)
        return rejection.id

    async def became(self, rejection: Rejection, event: str) -> None:
        """Note which event a rejection became; return once that is on disk."""
        await self._store.rejection_became(rejection.id, event)

    def _has_room(self, source: str) -> bool:
        second = int(asyncio.get_running_loop().time())
        if second != self._second:
            self._second = second
            self._counts.clear()
        count = self._counts.get(source, 0)
        if not self._most or count >= A_SECOND or self._waiting >= MOST_WAITING:
            return False
        self._counts[source] = count + 1
        return True

    def _kept(self, future: asyncio.Future[None]) -> None:
        self._waiting -= 1
        error = None if future.cancelled() else future.exception()
        if error is not None and not isinstance(error, Unavailable):  # of that, the store says so itself
            log.error("a refused request could not be kept", exc_info=error)


def kept_target(source: Source, row: Scheme, target: str) -> str:
    """Answer the target of a request that is kept, credentials masked; whole where it is signed, if it shows none."""
    if repeats(readings(target), source.secrets):
        return MASK
    path, mark, query = target.partition("?")
    return target if row.signs_url else path + mark + "".join(map(_masked, _BETWEEN_PARAMETERS.split(query)))


def _masked(parameter: str) -> str:
    """Answer a parameter of a query, without its value where that is a credential."""
    name, equals, _ = parameter.partition("=")
    return f"{name}={MASK}" if equals and _SECRET.search(unquote_plus(name)) else parameter


def kept_headers(source: Source, row: Scheme, headers: Headers) -> tuple[tuple[str, str], ...]:
    """Answer the headers of a request that are kept, credentials masked; those that verifying needs come first."""
    collected = collect(headers)
    needed = _read_headers(source, row, collected)
    secret = _credentials(source, row, collected)
    kept: list[tuple[str, str]] = []
    left = LONGEST_HEADERS
    for name, values in sorted(collected.items(), key=lambda item: item[0] not in needed):
        shown = [MASK if name in secret or repeats(value, source.secrets) else value for value in values]
        left -= sum(len(name) + len(value) for value in shown)
        if left >= 0 or name in needed:
            kept += [(name, value) for value in shown]
    return tuple(kept)


def repeats(text: str, secrets: Iterable[str]) -> bool:
    """Say whether a text shows one of these secrets, with its prefix or without."""
    spellings = {spelling for secret in secrets for spelling in (secret, secret.removeprefix(PREFIX))}
    return any(spelling in text for spelling in spellings if len(spelling) >= SHORTEST_MASKED)


def readings(target: str) -> str:
    """Answer a target as it is, and as its escapes are read (RFC 3986, and as forms are)."""
    return "\n".join((target, unquote(target), unquote_plus(target)))


def hindrance(source: Source, row: Scheme, rejection: Rejection) -> str | None:
    """Say why a rejection can't be accepted by hand, whatever the secrets; None where it can."""
    needed = _read_headers(source, row, collect(rejection.headers))
    masked = [name for name, value in rejection.headers if name in needed and value == MASK]
    if masked:
        return f"{masked[0]} shows a secret, which is not kept"
    if row.signs_url and MASK in rejection.target:
        return "its address shows a secret, which is not kept"
    if len(rejection.body) < rejection.size:
        return f"of its {rejection.size} bytes the first {len(rejection.body)} are kept ([store] rejection_body)"
    return None


def _own_headers(source: Source, headers: Collected) -> frozenset[str]:
    """Name the headers, in lower case, that an event is made of: its id and type, its content type, a CloudEvent's."""
    fields = [field.name.lower() for field in (source.id, source.type) if field is not None and field.place == "header"]
    attributes = [name for name in headers if source.format != "plain" and name.startswith(binary.PREFIX)]
    return frozenset({"content-type", *fields, *attributes})


def _read_headers(source: Source, row: Scheme, headers: Collected) -> frozenset[str]:
    """Name the headers without which a request can't be verified, or not told from another."""
    return row.reads(headers) | _own_headers(source, headers)


def _credentials(source: Source, row: Scheme, headers: Collected) -> set[str]:
    """Name the headers whose values are secret, or may be."""
    known = row.reads({}) | _own_headers(source, headers)
    secret = {name for name in headers if name not in known and _SECRET.search(name)}
    if not row.signed:
        secret |= {row.header.lower(), *alike(row.header, headers)}
    return secret | _CREDENTIALS
