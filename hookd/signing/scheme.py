"""A scheme: how a request proves with a secret that it is authentic, and how that proof is checked."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from msgspec import Struct

from hookd.errors import SignatureError
from hookd.model import Field
from hookd.signing.content import NOTHING, Content
from hookd.signing.fields import BodyReader, body_reader, pick
from hookd.signing.headers import Collected, Headers, collect, only
from hookd.signing.proof import Key, MakeKey
from hookd.signing.reason import Reason

UNITS: Final[Mapping[str, int]] = {"s": 1000, "ms": 1}
"""How many milliseconds a timestamp counts in."""

TOLERANCE: Final = 300_000
"""How far a timestamp may be from now where nothing else is usual, in milliseconds: Standard Webhooks' five minutes."""

_VISIBLE: Final = re.compile(r"[!-~]+")
_DIGITS: Final = re.compile(r"0|[1-9][0-9]{0,14}")
"""A timestamp, without zeros before it: with those, the end of what stands before it could be taken off."""


class Verified(Struct, frozen=True):
    """What an authentic request says. `timestamp` is in seconds since 1970; None is what the scheme lacks."""

    id: str | None
    type: str | None
    timestamp: int | None
    body: bytes


@dataclass(frozen=True, slots=True)
class Stamp:
    """Where a request says when it was sent."""

    place: str
    """`header`, `entry` (one of those in the header with the proof) or `body`."""
    name: str
    """The header's name, what the entry begins with, or the path in a JSON body."""
    unit: str = "s"
    """`s` or `ms` since 1970."""

    @property
    def in_body(self) -> Field | None:
        """The field of the body that says it."""
        return Field("body", self.name) if self.place == "body" else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Scheme:
    """One row of the table of schemes.

    A `timestamp` is in seconds since 1970, as on the wire; all other times and durations are in milliseconds.
    """

    name: str
    header: str
    """The header that carries the proof: a signature, or the token itself."""
    separator: str | None = None
    """What stands between several entries in that header; None where it carries one proof alone."""
    key: MakeKey
    """Makes the key from a secret; ValueError where it is not one of this scheme."""
    signed: Content = NOTHING
    """What is signed."""
    id: Field | None = None
    """Where a request names itself, so that a repetition is known as one."""
    type: Field | None = None
    """Where a request names its event's type."""
    timestamp: Stamp | None = None
    """Where a request says when it was sent; None where it does not, and may be repeated at any time."""
    tolerance: int = TOLERANCE
    """How far the timestamp may be from now, in the past and in the future, in milliseconds."""
    otherwise: "Scheme | None" = None
    """What a request without `header` is judged by: the same, by the same keys, under other names."""
    handshake: str | None = None
    """What the sender asks before it sends, by the name of the answer in hookd.handshake."""
    silent: bool = False
    """Whether the sender expects an answer without a body."""
    wanted: frozenset[str] | None = field(init=False, repr=False, compare=False)
    """The headers, in lower case, that any request may be judged by, or named; None where each says so itself."""
    _told: BodyReader = field(init=False, repr=False, compare=False)
    """Reads what a body says of itself."""

    def __post_init__(self) -> None:
        stamp = self.timestamp.in_body if self.timestamp is not None else None
        object.__setattr__(self, "wanted", self._wanted())
        object.__setattr__(self, "_told", body_reader(self.id, self.type, stamp))

    @property
    def several(self) -> bool:
        """Whether a request can carry the proofs of several secrets."""
        return self.separator is not None

    @property
    def signs_url(self) -> bool:
        """Whether the address is part of what is signed, and has to be known."""
        return self.signed.has_url

    @property
    def signs_id(self) -> bool:
        """Whether the id that a request names itself by is part of what is signed."""
        return self.id is not None and (self.signed.has_id or (self.id.place == "body" and bool(self.signed)))

    @property
    def names(self) -> frozenset[str]:
        """The headers that are set by what signs, in lower case."""
        stamp = (self.timestamp.name,) if self.timestamp is not None and self.timestamp.place == "header" else ()
        fields = [field.name for field in (self.id, self.type) if field is not None and field.place == "header"]
        return frozenset(name.lower() for name in (self.header, *stamp, *fields))

    @property
    def needed(self) -> tuple[str, ...]:
        """The headers without which no request can be verified, the one with the proof first."""
        signed_id = (self.id.name,) if self.id is not None and self.signed.has_id else ()
        stamp = (self.timestamp.name,) if self.timestamp is not None and self.timestamp.place == "header" else ()
        return (self.header, *signed_id, *stamp)

    @property
    def dated(self) -> str:
        """Where a request says when it was sent, for people."""
        if self.timestamp is None:
            return "timestamp"
        place = {"entry": f" in {self.header}", "body": " in the body"}.get(self.timestamp.place, "")
        return self.timestamp.name.rstrip("=") + place

    def form(self, headers: Collected) -> "Scheme":
        """Answer the one of its two forms that a request has."""
        other = self.otherwise
        if other is None or self.header.lower() in headers or other.header.lower() not in headers:
            return self
        return other

    def reads(self, headers: Collected) -> frozenset[str]:
        """Name the headers, in lower case, that a request may be judged by, or named."""
        return frozenset(headers) if self.wanted is None else self.wanted

    def address(self, url: str, body: bytes, content_type: str) -> str:  # noqa: ARG002 - what others need
        """Answer where a request to `url` is sent and what it signs, which is the same unless a scheme adds to it."""
        return url

    def check_address(self, url: str) -> None:
        """Return where requests to this address can be signed; ValueError says why they never can."""

    @property
    def timed(self) -> bool:
        """Whether a request says when it was sent, and can grow too old."""
        return self.timestamp is not None

    def sign(
        self,
        secrets: Sequence[str],
        body: bytes,
        event_id: str,
        timestamp: int,
        *,
        url: str | None = None,
        method: str = "POST",  # noqa: ARG002 - what others need
        event_type: str | None = None,
    ) -> dict[str, str]:
        """Answer the headers that prove `body`, by every secret or, where only one proof fits, by the first.

        A ValueError tells of an id, a type or a secret that can't be used, or of none, or of a missing `url`.
        """
        if not secrets or (url is None and self.signed.has_url):
            raise self._missing(secrets)
        headers = self._names(event_id, event_type)
        stamp, entries = "", []
        if self.timestamp is not None:
            stamp = str(timestamp) if self.timestamp.unit == "s" else f"{timestamp}000"
            if self.timestamp.place == "header":
                headers[self.timestamp.name] = stamp
            elif self.timestamp.place == "entry":
                entries.append(self.timestamp.name + stamp)
        contents = self._contents(event_id, stamp, body, url or "")
        if not contents:
            raise ValueError(f"the scheme {self.name} can't sign this body for this address")
        for secret in secrets if self.separator else secrets[:1]:
            entries.append(self.key(secret).prove(contents[0]).decode("ascii"))  # noqa: PERF401 - it is the faster
        headers[self.header] = self.separator.join(entries) if self.separator else entries[0]
        return headers

    def verify(
        self,
        secrets: Sequence[str],
        headers: Headers,
        body: bytes,
        now: int,
        tolerance: int | None = None,
        *,
        url: str | None = None,
        method: str = "POST",
    ) -> Verified:
        """Answer what an authentic request says; SignatureError for any other, whatever its bytes.

        `now` is in milliseconds since 1970, `tolerance` in milliseconds, None meaning the scheme's own. `url` is the
        whole address as the sender knows it. A ValueError tells of a secret that is none of this scheme, or of a
        missing `url`.
        """
        if not secrets:
            raise SignatureError(Reason.NO_SECRET, f"no secret to verify with, for the scheme {self.name}")
        if url is None and self.signed.has_url:
            raise self._missing(secrets)
        keys = list(map(self.key, secrets))  # a secret that can't be used is told of first, whatever came
        collected = collect(headers, self.wanted)
        row = self if self.otherwise is None else self.form(collected)
        return row.judge(keys, collected, body, now, tolerance, url or "", method)

    def judge(
        self,
        keys: Sequence[Key],
        headers: Collected,
        body: bytes,
        now: int,
        tolerance: int | None,
        url: str,
        method: str,  # noqa: ARG002 - what others need
    ) -> Verified:
        """Verify a request, its headers collected; the signature first, and then its age."""
        entries = self._entries(headers)
        event_id = self._signed_id(headers)
        stamp = self._stamp(entries, headers)
        contents = self._contents(event_id or "", stamp or "", body, url)
        good = False
        for key in keys:
            for content in contents:
                good |= key.fits(content, entries)  # each, always
        if not good:
            self._expect_prefix(keys, entries)
            raise self._mismatch(len(keys))
        told = self._told.read(body)
        sent_at = None
        if self.timestamp is not None:
            sent_at = int(stamp or self._stamp_in_body(told)) * UNITS[self.timestamp.unit]
            limit = self.tolerance if tolerance is None else tolerance
            if abs(now - sent_at) > limit:
                raise too_far(now - sent_at, limit)
        return Verified(
            id=pick(self.id, headers, told) if event_id is None else event_id,
            type=pick(self.type, headers, told),
            timestamp=sent_at // 1000 if sent_at is not None else None,
            body=body,
        )

    def proof(
        self,
        secret: str,
        headers: Collected,
        body: bytes,
        url: str,
        method: str,  # noqa: ARG002 - what others need
    ) -> str:
        """Answer what stands in `header` where a request that came is signed with this secret.

        SignatureError where it lacks what is signed, ValueError where the secret can't sign it.
        """
        stamp = self._stamp(self._entries(headers), headers) or ""
        contents = self._contents(self._signed_id(headers) or "", stamp, body, url)
        if not contents:
            raise ValueError(f"the scheme {self.name} can't sign this body for this address")
        proof = self.key(secret).prove(contents[0]).decode("ascii")
        is_entry = self.timestamp is not None and self.timestamp.place == "entry"
        return f"{self.timestamp.name}{stamp}{self.separator}{proof}" if self.timestamp and is_entry else proof

    def _wanted(self) -> frozenset[str] | None:
        return self.names if self.otherwise is None else self.names | self.otherwise.names

    def _missing(self, secrets: Sequence[str]) -> ValueError:
        if not secrets:
            return ValueError(f"no secret to sign with, for the scheme {self.name}")
        return ValueError(f"the scheme {self.name} signs the address; expected its url")

    def _names(self, event_id: str, event_type: str | None) -> dict[str, str]:
        """Answer the headers that name the event, where the scheme has such."""
        headers: dict[str, str] = {}
        if self.id is not None and self.id.place == "header":
            if self.signed.ids.fullmatch(event_id) is None:
                raise ValueError(f"expected an id of visible ASCII characters, at least one{self.signed.without}")
            headers[self.id.name] = event_id
        if event_type is not None and self.type is not None and self.type.place == "header":
            if _VISIBLE.fullmatch(event_type) is None:
                raise ValueError("expected a type of visible ASCII characters")
            headers[self.type.name] = event_type
        return headers

    def _entries(self, headers: Collected) -> list[bytes]:
        proofs = only(headers, self.header).encode("utf-8", "surrogatepass")
        return proofs.split(self.separator.encode()) if self.separator else [proofs]

    def _contents(self, event_id: str, stamp: str, body: bytes, url: str) -> Sequence[bytes]:
        """Answer what may have been signed, the likeliest first; what hookd signs is that one."""
        return (self.signed.of(event_id, stamp, url, body),)

    def _signed_id(self, headers: Collected) -> str | None:
        """Answer the id where it is part of what is signed; any other is read once the request can be trusted."""
        if self.id is None or not self.signed.has_id:
            return None
        event_id = only(headers, self.id.name)
        if self.signed.ids.fullmatch(event_id) is None:
            detail = f"{self.id.name} is not of visible ASCII characters{self.signed.without}"
            raise SignatureError(Reason.MALFORMED_HEADER, detail)
        return event_id

    def _stamp(self, entries: Sequence[bytes], headers: Collected) -> str | None:
        """Answer the timestamp as it stands in a header; one in the body is read once that can be trusted."""
        if self.timestamp is None or self.timestamp.place == "body":
            return None
        name = self.timestamp.name
        stamp = only(headers, name) if self.timestamp.place == "header" else self._only_entry(name, entries)
        if _DIGITS.fullmatch(stamp) is None:
            raise _no_number(name)
        return stamp

    def _only_entry(self, name: str, entries: Sequence[bytes]) -> str:
        beginning = name.encode()
        found = [entry for entry in entries if entry.startswith(beginning)]
        if len(found) != 1:
            raise SignatureError(
                Reason.MALFORMED_HEADER, f"{self.header} has {len(found) or 'no'} {name}, expected one"
            )
        return found[0][len(beginning) :].decode("latin-1")

    def _stamp_in_body(self, told: Mapping[str, str]) -> str:
        name = self.timestamp.name if self.timestamp is not None else ""
        stamp = told.get(name)
        if stamp is None:
            raise SignatureError(Reason.MISSING_TIMESTAMP, f"the body has no timestamp at {name}")
        if _DIGITS.fullmatch(stamp) is None:
            raise _no_number(name)
        return stamp

    def _expect_prefix(self, keys: Sequence[Key], entries: Sequence[bytes]) -> None:
        prefixes = sorted({key.prefix for key in keys})
        if not any(entry.startswith(tuple(prefixes)) for entry in entries):
            expected = " or ".join(f'"{prefix.decode()}"' for prefix in prefixes)
            detail = f"{self.header} holds nothing of the scheme {self.name}: expected what begins with {expected}"
            raise SignatureError(Reason.SIGNATURE_MISMATCH, detail)

    def _mismatch(self, count: int) -> SignatureError:
        cause = "another secret, or other bytes" if self.signed else "another secret"
        return SignatureError(Reason.SIGNATURE_MISMATCH, f"{self.header} fits none of the secrets ({count}): {cause}")


def too_far(age: int, tolerance: int) -> SignatureError:
    """Answer the refusal of what was sent so long ago, or will be where that is negative (both ms)."""
    reason, where = (Reason.TIMESTAMP_TOO_OLD, "past") if age > 0 else (Reason.TIMESTAMP_TOO_NEW, "future")
    return SignatureError(
        reason,
        f"the timestamp is {abs(age) / 1000:.0f} s in the {where}, more than the tolerance of "
        f"{tolerance / 1000:.0f} s: a replay, or a clock that is wrong",
    )


def _no_number(name: str) -> SignatureError:
    return SignatureError(Reason.MALFORMED_HEADER, f"{name} is not a number of seconds or milliseconds since 1970")
