"""Receiving a webhook: verify it over its raw bytes, then accept it, once; at once, or by hand where it was refused."""

import asyncio
import logging
import re
from collections.abc import Mapping, Sequence
from hashlib import sha256

from hookd.accept import Acceptor
from hookd.errors import Conflict, SignatureError, Unreadable
from hookd.logs import refused
from hookd.metrics import Metrics
from hookd.model import Clock, Field, Rejection, Source
from hookd.parse import parse
from hookd.rejections import UNREADABLE, Rejections, hindrance
from hookd.signing import WHENEVER, Headers, Verified, collect, explain, find, scheme
from hookd.store import Accepted

LONGEST_KEY = 255
"""Characters of an id that is remembered as it came; of a longer one, or of no plain text, its digest is."""

LONGEST_TYPE = 128
"""Characters of an event's type at most."""

UNNAMED = "received"

_NO_TEXT = re.compile(r"[\0\ud800-\udfff]")
"""What no database keeps in a text: NUL, and half a character (a lone surrogate)."""
_NOT_IN_TYPE = re.compile(r"[^A-Za-z0-9_.]")

log = logging.getLogger("hookd.receive")


class Receiver:
    """Lets in what a source can prove to come from its sender."""

    def __init__(self, acceptor: Acceptor, rejections: Rejections, metrics: Metrics, clock: Clock) -> None:
        self._acceptor = acceptor
        self._rejections = rejections
        self._metrics = metrics
        self._clock = clock
        self._explaining = asyncio.Lock()

    async def receive(self, source: Source, headers: Headers, content_type: str, body: bytes) -> Accepted:
        """Verify a request and store its event; return once it is on disk.

        SignatureError where it is not authentic, Unreadable where it has to name its id in a JSON body and has no
        such body. The log says why.
        """
        try:
            message = self._verify(source, headers, body, source.tolerance)
            key = _key(source, message, headers, body)
        except (SignatureError, Unreadable) as error:
            result = "unauthorized" if isinstance(error, SignatureError) else "unreadable"
            self.count(source, result)
            rejection = self._rejections.keep(source, headers, body, error)
            refused(log, logging.WARNING, source=source.name, cause=str(error), rejection=rejection)
            raise
        accepted = await self._acceptor.admit(
            source=source.name,
            tenant=source.tenant,
            event_type=_type(source, message, headers, body),
            key=key,
            body=body,
            content_type=content_type,
        )
        self.count(source, "duplicate" if accepted.repeated else "accepted")
        return accepted

    async def accept(self, source: Source, rejection: Rejection, content_type: str) -> Accepted:
        """Store the event of a request that was refused, whatever its timestamp; return once it is on disk.

        Conflict where it still is not authentic, or unreadable, or where that can't be told any more.
        """
        if rejection.event is not None:
            raise Conflict(f"{rejection.id} was accepted already, as {rejection.event}")
        obstacle = hindrance(source, rejection)
        if obstacle is not None:
            raise Conflict(f"{rejection.id} can't be accepted by hand: {obstacle}")
        headers, body = rejection.headers, rejection.body
        try:
            message = self._verify(source, headers, body, WHENEVER)
            key = _key(source, message, headers, body)
        except (SignatureError, Unreadable) as error:
            raise Conflict(f"{rejection.id} is refused with the present settings too: {error}") from None
        accepted = await self._acceptor.admit(
            source=source.name,
            tenant=source.tenant,
            event_type=_type(source, message, headers, body),
            key=key,
            body=body,
            content_type=content_type,
            rejection=rejection.id,
        )
        await self._rejections.became(rejection, accepted.event)
        told = {"source": source.name, "rejection": rejection.id, "event": accepted.event}
        log.info("accepted by hand what was refused", extra={"fields": told})
        return accepted

    async def explain(
        self, source: Source, rejection: Rejection, others: Mapping[str, Sequence[str]], former: Sequence[str]
    ) -> str:
        """Say why a request was refused, by the present secrets, and what to do; see `signing.explain`."""
        obstacle = hindrance(source, rejection)
        if rejection.reason == UNREADABLE:
            text = f"It is authentic, but unreadable: {rejection.cause}."
        elif obstacle is not None:
            text = f"It was refused for this: {rejection.cause}. More can't be said now: {obstacle}."
        else:
            async with self._explaining:  # one at a time, and beside the event loop: it takes a while
                text = await asyncio.to_thread(_explained, source, rejection, others, former)
        return text if obstacle is None else f"{text} It can't be accepted by hand."

    def count(self, source: Source, result: str) -> None:
        """Count a request to a source by what became of it."""
        self._metrics.inbound_requests[source.name, result] += 1

    def _verify(self, source: Source, headers: Headers, body: bytes, tolerance: int) -> Verified:
        proof = scheme(source.scheme, source.header)
        return proof.verify(source.secrets, headers, body, self._clock(), tolerance)


def _explained(source: Source, rejection: Rejection, others: Mapping[str, Sequence[str]], former: Sequence[str]) -> str:
    return explain(
        scheme(source.scheme, source.header),
        source.secrets,
        rejection.headers,
        rejection.body,
        rejection.received_at,
        source.tolerance,
        others=others,
        former=former,
    )


def _key(source: Source, message: Verified, headers: Headers, body: bytes) -> str | None:
    """Answer what tells the request from others of its source, if it says so itself."""
    identity = message.id if source.id is None else _find(source.id, headers, body)
    if identity is None:
        if source.id is not None and source.id.place == "body":
            _expect_json(source.id, body)
        return None
    if len(identity) > LONGEST_KEY or _NO_TEXT.search(identity):
        return "sha256:" + sha256(identity.encode("utf-8", "surrogatepass")).hexdigest()
    return identity


def _expect_json(field: Field, body: bytes) -> None:
    try:
        parse(body)
    except ValueError as error:
        raise Unreadable(f"expected a JSON body with the id at {field.name}: {error}") from None


def _type(source: Source, message: Verified, headers: Headers, body: bytes) -> str:
    named = message.type if source.type is None else _find(source.type, headers, body)
    return f"{source.name}.{_NOT_IN_TYPE.sub('_', named or UNNAMED)}"[:LONGEST_TYPE]


def _find(field: Field, headers: Headers, body: bytes) -> str | None:
    return find(field, collect(headers), body)
