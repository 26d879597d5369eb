"""A scheme: how a request proves with a secret that it is authentic, and how that proof is checked."""

import hmac
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from hookd.errors import SignatureError
from hookd.model import Field
from hookd.signing.fields import find
from hookd.signing.headers import Collected, Headers, collect, only
from hookd.signing.reason import Reason

_ID = re.compile(r"[!-\-/-~]+")
"""Visible ASCII without the dot: with one, bytes could move between the id, the timestamp and the body."""

_SECONDS = re.compile(r"[0-9]{1,15}")


@dataclass(frozen=True, slots=True)
class Verified:
    """What an authentic request says. `timestamp` is in seconds since 1970; None is what the scheme lacks."""

    id: str | None
    type: str | None
    timestamp: int | None
    body: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Scheme:
    """One row of the table of schemes.

    A `timestamp` is in seconds since 1970, as on the wire; all other times and durations are in milliseconds.
    """

    name: str
    header: str
    """The header that carries the proof: a signature, or the token itself."""
    separator: str | None = None
    """What stands between several proofs in that header; None where it carries one alone."""
    prefix: bytes = b""
    """What stands before each proof."""
    prove: Callable[[bytes, bytes], bytes]
    """Makes the proof from a key and the signed content."""
    key: Callable[[str], bytes]
    """Makes the key from a secret; ValueError where it is not one of this scheme."""
    signed: bytes = b""
    """The signed content, over `id`, `timestamp` and `body`; empty where nothing is signed."""
    id_header: str | None = None
    timestamp_header: str | None = None
    tolerance: int = 300_000
    """How far the timestamp may be from now, in the past and in the future, in milliseconds."""
    type: Field | None = None
    """Where a request names its event's type."""

    def sign(self, secrets: Sequence[str], body: bytes, event_id: str, timestamp: int) -> dict[str, str]:
        """Answer the headers that prove `body`, by every secret or, where only one proof fits, by the first.

        A ValueError tells of an id or a secret that can't be used, or of none.
        """
        if not secrets:
            raise ValueError(f"no secret to sign with, for the scheme {self.name}")
        headers: dict[str, str] = {}
        if self.id_header is not None:
            headers[self.id_header] = _checked_id(event_id)
        if self.timestamp_header is not None:
            headers[self.timestamp_header] = str(timestamp)
        content = self._content(event_id, str(timestamp), body)
        if self.separator is None:
            headers[self.header] = self._proof(secrets[0], content).decode("ascii")
        else:
            proofs = [self.prefix + self.prove(self.key(secret), content) for secret in secrets]
            headers[self.header] = self.separator.encode().join(proofs).decode("ascii")
        return headers

    def verify(
        self,
        secrets: Sequence[str],
        headers: Headers,
        body: bytes,
        now: int,
        tolerance: int | None = None,
    ) -> Verified:
        """Answer what an authentic request says; SignatureError for any other, whatever its bytes.

        `now` is in milliseconds since 1970, `tolerance` in milliseconds, None meaning the scheme's own. A
        ValueError tells of a secret that is none of this scheme.
        """
        if not secrets:
            raise SignatureError(Reason.NO_SECRET, f"no secret to verify with, for the scheme {self.name}")
        collected = collect(headers)
        proofs = only(collected, self.header)
        event_id = self._read_id(collected)
        timestamp = self._read_timestamp(collected)
        if timestamp is not None:
            self._check_age(now - int(timestamp) * 1000, self.tolerance if tolerance is None else tolerance)
        self._compare(proofs, secrets, self._content(event_id or "", timestamp or "", body))
        return Verified(
            id=event_id,
            type=find(self.type, collected, body) if self.type is not None else None,
            timestamp=int(timestamp) if timestamp is not None else None,
            body=body,
        )

    def _content(self, event_id: str, timestamp: str, body: bytes) -> bytes:
        return self.signed % {b"id": event_id.encode(), b"timestamp": timestamp.encode(), b"body": body}

    def _proof(self, secret: str, content: bytes) -> bytes:
        return self.prefix + self.prove(self.key(secret), content)

    def _read_id(self, headers: Collected) -> str | None:
        if self.id_header is None:
            return None
        event_id = only(headers, self.id_header)
        if _ID.fullmatch(event_id) is None:
            raise SignatureError(Reason.MALFORMED_HEADER, f"{self.id_header} is not visible ASCII without a dot")
        return event_id

    def _read_timestamp(self, headers: Collected) -> str | None:
        if self.timestamp_header is None:
            return None
        timestamp = only(headers, self.timestamp_header)
        if _SECONDS.fullmatch(timestamp) is None:
            raise SignatureError(
                Reason.MALFORMED_HEADER, f"{self.timestamp_header} is not a number of seconds since 1970"
            )
        return timestamp

    def _check_age(self, age: int, tolerance: int) -> None:
        if age > tolerance:
            raise SignatureError(Reason.TIMESTAMP_TOO_OLD, self._off(age, tolerance, "past"))
        if -age > tolerance:
            raise SignatureError(Reason.TIMESTAMP_TOO_NEW, self._off(-age, tolerance, "future"))

    def _off(self, distance: int, tolerance: int, where: str) -> str:
        return (
            f"{self.timestamp_header} is {distance / 1000:.0f} s in the {where}, more than the tolerance of "
            f"{tolerance / 1000:.0f} s: a replay, or a clock that is wrong"
        )

    def _compare(self, proofs: str, secrets: Sequence[str], content: bytes) -> None:
        """Look for one good proof; an entry that is malformed, or of another kind, just is not one."""
        expected = [self._proof(secret, content) for secret in secrets]
        for entry in proofs.split(self.separator) if self.separator else [proofs]:
            given = entry.encode("utf-8", "surrogatepass")
            if any([hmac.compare_digest(given, proof) for proof in expected]):  # noqa: C419 - each, always
                return
        raise SignatureError(
            Reason.SIGNATURE_MISMATCH,
            f"{self.header} fits none of the secrets ({len(secrets)}): another secret, or other bytes",
        )


def _checked_id(event_id: str) -> str:
    if _ID.fullmatch(event_id) is None:
        raise ValueError("expected an id of visible ASCII characters, at least one, without a dot")
    return event_id
