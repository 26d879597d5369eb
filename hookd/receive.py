"""Receiving a webhook: verify it over its raw bytes, then accept it, once."""

import logging
import re
from collections.abc import Mapping
from hashlib import sha256

from hookd.accept import Acceptor
from hookd.errors import SignatureError, Unreadable
from hookd.logs import refused
from hookd.metrics import Metrics
from hookd.model import Clock, Field, Source
from hookd.parse import parse
from hookd.signing import SCHEMES, Headers, Scheme, Verified, collect, find, scheme
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
    ) -> Accepted:
        """Verify a request and store its event; return once it is on disk.

        `url` is the whole address as the sender knows it, where the source says so. SignatureError where it is not
        authentic, Unreadable where it has to name its id in a JSON body and has no such body. The log says why.
        """
        try:
            row = scheme(source.scheme, source.header, schemes)
            message = row.verify(source.secrets, headers, body, self._clock(), source.tolerance, url=url)
            key = _key(source, message, headers, body)
        except (SignatureError, Unreadable) as error:
            result = "unauthorized" if isinstance(error, SignatureError) else "unreadable"
            self.count(source, result)
            refused(log, logging.WARNING, source=source.name, cause=str(error))
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

    def count(self, source: Source, result: str) -> None:
        """Count a request to a source by what became of it."""
        self._metrics.inbound_requests[source.name, result] += 1


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
