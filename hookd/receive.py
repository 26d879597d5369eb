"""Receiving a webhook: verify it over its raw bytes, then accept it, once; at once, or by hand where it was refused."""

import asyncio
import logging
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from hashlib import sha256
from typing import NamedTuple

from msgspec import structs

from hookd import cloudevents
from hookd.accept import Acceptor
from hookd.errors import Conflict, SignatureError, Unreadable
from hookd.handshake import Reply, answered
from hookd.logs import refused
from hookd.metrics import Metrics
from hookd.model import Clock, Field, Rejection, Source
from hookd.parse import parse
from hookd.policy.filter import Subject, passes
from hookd.rejections import UNREADABLE, Rejections, hindrance
from hookd.signing import SCHEMES, VERIFIES, WHENEVER, Headers, Scheme, Verified, collect, explain, find, scheme
from hookd.store import Accepted
from hookd.text import one_line

LONGEST_KEY = 255
"""Characters of an id that is remembered as it came; of a longer one, or of no plain text, its digest is."""

LONGEST_TYPE = 128
"""Characters of an event's type at most."""

UNNAMED = "received"

_NO_TEXT = re.compile(r"[\0\ud800-\udfff]")
"""What no database keeps in a text: NUL, and half a character (a lone surrogate)."""
_NOT_IN_TYPE = re.compile(r"[^A-Za-z0-9_.]")

log = logging.getLogger("hookd.receive")


class Request(NamedTuple):
    """What came, and to which address as the sender knows it."""

    headers: Headers
    content_type: str
    body: bytes
    url: str | None
    method: str


class Taken(NamedTuple):
    """What an authentic request says."""

    message: Verified
    content_type: str
    key: str | None
    """What tells it from others of its source."""
    type: str


class Receiver:
    """Lets in what a source can prove to come from its sender."""

    def __init__(self, acceptor: Acceptor, rejections: Rejections, metrics: Metrics, clock: Clock) -> None:
        self._acceptor = acceptor
        self._rejections = rejections
        self._metrics = metrics
        self._clock = clock
        self._explaining = asyncio.Lock()

    async def receive(
        self,
        source: Source,
        headers: Headers,
        content_type: str,
        body: bytes,
        *,
        target: str = "",
        method: str = "POST",
        schemes: Mapping[str, Scheme] = SCHEMES,
    ) -> Accepted | Reply | None:
        """Verify a request and store its event; return once it is on disk, None where the source does not want it.

        A handshake is answered, and no event. `target` is the path and the query that were asked for. SignatureError
        where it is not authentic, Unreadable where it has to name its id in a JSON body and has no such body, or sends
        CloudEvents and this is none. The log says why, and what was refused is kept.
        """
        row = scheme(source.scheme, source.header, schemes)
        request = Request(headers, content_type, body, source.address(target), method)
        try:
            taken = _take(row, source, request, self._clock(), source.tolerance)
        except (SignatureError, Unreadable) as error:
            result = "unauthorized" if isinstance(error, SignatureError) else "unreadable"
            self.count(source, result)
            rejection = self._rejections.keep(source, row, headers, body, error, target=target, method=method)
            refused(log, logging.WARNING, source=source.name, cause=str(error), rejection=rejection)
            raise
        if isinstance(taken, Reply):
            self.count(source, "handshake")
            return taken
        if not _is_wanted(source, taken, headers):
            self.count(source, "filtered")
            log.debug("filtered a request", extra={"fields": {"source": source.name, "type": taken.type}})
            return None
        accepted = await self._admit(source, taken)
        self.count(source, "duplicate" if accepted.repeated else "accepted")
        return accepted

    async def accept(
        self, source: Source, rejection: Rejection, content_type: str, schemes: Mapping[str, Scheme] = SCHEMES
    ) -> Accepted:
        """Store the event of a request that was refused, whatever its timestamp; return once it is on disk.

        Conflict where it still is not authentic, or unreadable, where it is none that the source wants, or where that
        can't be told any more.
        """
        if rejection.event is not None:
            raise Conflict(f"{rejection.id} was accepted already, as {rejection.event}")
        row = scheme(source.scheme, source.header, schemes)
        obstacle = hindrance(source, row, rejection)
        if obstacle is not None:
            raise Conflict(f"{rejection.id} can't be accepted by hand: {obstacle}")
        address = source.address(rejection.target)
        request = Request(rejection.headers, content_type, rejection.body, address, rejection.method)
        try:
            taken = _take(row, source, request, rejection.received_at, WHENEVER)
        except (SignatureError, Unreadable) as error:
            raise Conflict(f"{rejection.id} is refused with the present settings too: {error}") from None
        if isinstance(taken, Reply):
            raise Conflict(f"{rejection.id} is a handshake, and no event: let the sender ask again")
        if not _is_wanted(source, taken, rejection.headers):
            raise Conflict(f"{rejection.id} does not pass the filter of the source {source.name}")
        accepted = await self._admit(source, taken, rejection.id)
        await self._rejections.became(rejection, accepted.event)
        told = {"source": source.name, "rejection": rejection.id, "event": accepted.event}
        log.info("accepted by hand what was refused", extra={"fields": told})
        return accepted

    async def explain(
        self,
        source: Source,
        rejection: Rejection,
        others: Mapping[str, Sequence[str]],
        former: Sequence[str],
        schemes: Mapping[str, Scheme] = SCHEMES,
    ) -> str:
        """Say why a request was refused, by the present secrets, and what to do; see `signing.explain`."""
        obstacle = hindrance(source, scheme(source.scheme, source.header, schemes), rejection)
        if rejection.reason == UNREADABLE:
            text = f"It is authentic, but unreadable: {rejection.cause}."
        elif obstacle is not None:
            text = f"It was refused for this: {rejection.cause}. More can't be said now: {obstacle}."
        else:
            async with self._explaining:  # one at a time, and beside the event loop: it takes a while
                text = await asyncio.to_thread(_explained, source, rejection, others, former, schemes)
        if text == VERIFIES and rejection.event is None:
            text += f" To let it in: hookd retry {rejection.id}."
        return text if obstacle is None else f"{text} It can't be accepted by hand."

    def count(self, source: Source, result: str) -> None:
        """Count a request to a source by what became of it."""
        self._metrics.inbound_requests[source.name, result] += 1

    async def _admit(self, source: Source, taken: Taken, rejection: str | None = None) -> Accepted:
        return await self._acceptor.admit(
            source=source.name,
            tenant=source.tenant,
            event_type=taken.type,
            key=taken.key,
            body=taken.message.body,
            content_type=taken.content_type,
            rejection=rejection,
        )


def _take(row: Scheme, source: Source, request: Request, now: int, tolerance: int | None) -> Taken | Reply:
    """Verify a request and answer what it says, or the answer to what it asks; SignatureError or Unreadable."""
    headers, content_type, body, url, method = request
    message = row.verify(source.secrets, headers, body, now, tolerance, url=url, method=method)
    reply = answered(row.handshake, _fitting(row, source, request, now, tolerance), body)
    if reply is not None:
        return reply
    if source.format != "plain":
        message, content_type = _unfold(row, source, message, headers, content_type)
    return Taken(message, content_type, _key(source, message, headers), _type(source, message, headers))


def _fitting(row: Scheme, source: Source, request: Request, now: int, tolerance: int | None) -> Iterator[str]:
    """Answer those of a source's secrets that a request is signed with."""
    headers, _, body, url, method = request
    for secret in source.secrets:
        with suppress(SignatureError):
            row.verify([secret], headers, body, now, tolerance, url=url, method=method)
            yield secret


def _is_wanted(source: Source, taken: Taken, headers: Headers) -> bool:
    return source.filter is None or passes(source.filter, Subject(taken.type, taken.message.body, collect(headers)))


def _explained(
    source: Source,
    rejection: Rejection,
    others: Mapping[str, Sequence[str]],
    former: Sequence[str],
    schemes: Mapping[str, Scheme],
) -> str:
    return explain(
        scheme(source.scheme, source.header, schemes),
        source.secrets,
        rejection.headers,
        rejection.body,
        rejection.received_at,
        source.tolerance,
        url=source.address(rejection.target),
        method=rejection.method,
        others=others,
        former=former,
        schemes=schemes,
    )


def _unfold(
    row: Scheme, source: Source, message: Verified, headers: Headers, content_type: str
) -> tuple[Verified, str]:
    """Answer a message as the CloudEvent in it names itself, with what is kept of that, and its content type.

    No signature covers what names it in binary mode: there a signed id tells a repetition in place of its own, in
    structured mode too, since anybody who has seen a request can hand it in again in the other mode.
    """
    both = source.format == "cloudevents-binary"
    try:
        structured_alone = bool(row.signed) and not both
        taken = cloudevents.take(collect(headers), content_type, message.body, structured_alone=structured_alone)
    except ValueError as error:
        raise Unreadable(one_line(f"this is no CloudEvent: {error}")) from None
    key = message.id if both and row.signs_id and message.id is not None else taken.key
    return structs.replace(message, id=key, type=taken.type, body=taken.body), taken.content_type


def _key(source: Source, message: Verified, headers: Headers) -> str | None:
    """Answer what tells the request from others of its source, if it says so itself."""
    identity = message.id if source.id is None else _find(source.id, headers, message.body)
    if identity is None:
        if source.id is not None and source.id.place == "body":
            _expect_json(source.id, message.body)
        return None
    if len(identity) > LONGEST_KEY or _NO_TEXT.search(identity):
        return "sha256:" + sha256(identity.encode("utf-8", "surrogatepass")).hexdigest()
    return identity


def _expect_json(field: Field, body: bytes) -> None:
    try:
        parse(body)
    except ValueError as error:
        raise Unreadable(f"expected a JSON body with the id at {field.name}: {error}") from None


def _type(source: Source, message: Verified, headers: Headers) -> str:
    named = message.type if source.type is None else _find(source.type, headers, message.body)
    return f"{source.name}.{_NOT_IN_TYPE.sub('_', named or UNNAMED)}"[:LONGEST_TYPE]


def _find(field: Field, headers: Headers, body: bytes) -> str | None:
    return find(field, collect(headers), body)
