"""Receiving a webhook: verify it over its raw bytes, then accept it, once."""

import logging
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from hashlib import sha256

from msgspec import structs

from hookd import cloudevents
from hookd.accept import Acceptor
from hookd.errors import SignatureError, Unreadable
from hookd.handshake import Reply, answered
from hookd.logs import refused
from hookd.metrics import Metrics
from hookd.model import Clock, Field, Source
from hookd.parse import parse
from hookd.policy.filter import Subject, passes
from hookd.signing import SCHEMES, Headers, Scheme, Verified, collect, find, scheme
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


class Receiver:
    """Lets in what a source can prove to come from its sender."""

    def __init__(self, acceptor: Acceptor, metrics: Metrics, clock: Clock) -> None:
        self._acceptor = acceptor
        self._metrics = metrics
        self._clock = clock

    async def receive(
        self,
        source: Source,
        headers: Headers,
        content_type: str,
        body: bytes,
        *,
        url: str | None = None,
        schemes: Mapping[str, Scheme] = SCHEMES,
    ) -> Accepted | Reply | None:
        """Verify a request and store its event; return once it is on disk, None where the source does not want it.

        A handshake is answered, and no event. `url` is the whole address as the sender knows it, where the source says
        so. SignatureError where it is not authentic, Unreadable where it has to name its id in a JSON body and has no
        such body, or sends CloudEvents and this is none. The log says why.
        """
        try:
            row = scheme(source.scheme, source.header, schemes)
            now = self._clock()
            message = row.verify(source.secrets, headers, body, now, source.tolerance, url=url)
            reply = answered(row.handshake, _fitting(row, source, headers, body, now, url), body)
            if reply is not None:
                self.count(source, "handshake")
                return reply
            if source.format == "cloudevents":
                message, content_type = _take(message, headers, content_type)
            key = _key(source, message, headers)
        except (SignatureError, Unreadable) as error:
            result = "unauthorized" if isinstance(error, SignatureError) else "unreadable"
            self.count(source, result)
            refused(log, logging.WARNING, source=source.name, cause=str(error))
            raise
        event_type = _type(source, message, headers)
        if source.filter is not None and not passes(source.filter, Subject(event_type, message.body, collect(headers))):
            self.count(source, "filtered")
            log.debug("filtered a request", extra={"fields": {"source": source.name, "type": event_type}})
            return None
        accepted = await self._acceptor.admit(
            source=source.name,
            tenant=source.tenant,
            event_type=event_type,
            key=key,
            body=message.body,
            content_type=content_type,
        )
        self.count(source, "duplicate" if accepted.repeated else "accepted")
        return accepted

    def count(self, source: Source, result: str) -> None:
        """Count a request to a source by what became of it."""
        self._metrics.inbound_requests[source.name, result] += 1


def _fitting(row: Scheme, source: Source, headers: Headers, body: bytes, now: int, url: str | None) -> Iterator[str]:
    """Answer those of a source's secrets that a request is signed with."""
    for secret in source.secrets:
        with suppress(SignatureError):
            row.verify([secret], headers, body, now, source.tolerance, url=url)
            yield secret


def _take(message: Verified, headers: Headers, content_type: str) -> tuple[Verified, str]:
    """Answer a message as the CloudEvent in it names itself, with what is kept of that, and its content type."""
    try:
        taken = cloudevents.take(collect(headers), content_type, message.body)
    except ValueError as error:
        raise Unreadable(one_line(f"this is no CloudEvent: {error}")) from None
    return structs.replace(message, id=taken.key, type=taken.type, body=taken.body), taken.content_type


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
