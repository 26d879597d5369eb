"""HTTP Message Signatures (RFC 9421) over the digest of the body (RFC 9530)."""

import binascii
import hashlib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from hmac import compare_digest
from typing import Any, Final, NamedTuple
from urllib.parse import SplitResult, urlsplit

import http_sf

from hookd.errors import SignatureError
from hookd.signing.ed25519 import Ed25519Key
from hookd.signing.fields import pick
from hookd.signing.headers import Collected
from hookd.signing.proof import Key, base64
from hookd.signing.reason import Reason
from hookd.signing.scheme import Scheme, Verified, too_far
from hookd.text import one_line

INPUT: Final = "Signature-Input"
DIGEST: Final = "content-digest"
DIGESTS: Final[Mapping[str, Callable[[bytes], bytes]]] = {
    "sha-256": lambda body: hashlib.sha256(body).digest(),
    "sha-512": lambda body: hashlib.sha512(body).digest(),
}
"""The digests of RFC 9530 that protect a body."""
DEFAULT_PORTS: Final = {"https": 443, "http": 80}
KEY_ID: Final = "hookd"
"""What hookd calls its key, whichever it is: receivers have one for each sender, but some libraries ask for a name."""
MOST_SIGNATURES: Final = 8
"""Signatures that are looked at."""

LONGEST: Final = 16 * 1024
"""Characters of a dictionary that is read, since reading it takes time before anything is known of the sender."""

_TEXT: Final = re.compile(r"[\t -~]*")


class Signature(NamedTuple):
    """One of a request's signatures: what it covers, its parameters, and its bytes."""

    components: list[tuple[Any, Any]]
    parameters: Mapping[str, Any]
    proof: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageSignatures(Scheme):
    """The scheme of RFC 9421, by hmac-sha256 or, where the secret is an Ed25519 key, by ed25519.

    A signature has to cover `content-digest` and to say when it was `created`. `id` is taken where it is covered.
    """

    @property
    def signs_id(self) -> bool:
        """Whether the id that a request names itself by is part of what is signed: no other is taken."""
        return True

    @property
    def names(self) -> frozenset[str]:
        """The headers that are set by what signs, in lower case."""
        return frozenset({"webhook-id", DIGEST, INPUT.lower(), self.header.lower()})

    @property
    def needed(self) -> tuple[str, ...]:
        """The headers without which no request can be verified, the one with the proof first."""
        return (self.header, INPUT, DIGEST)

    @property
    def dated(self) -> str:
        """Where a request says when it was sent, for people."""
        return f'"created" in {INPUT}'

    def _wanted(self) -> None:
        """A signature may cover any header."""

    def reads(self, headers: Collected) -> frozenset[str]:
        """Name the headers, in lower case, that a request may be judged by, or named: those that it covers, too."""
        try:
            covered = [component for each in _signatures(headers, self.header) for component, _ in each.components]
        except SignatureError:
            covered = []
        return self.names.union(name for name in covered if isinstance(name, str) and name in headers)

    @property
    def timed(self) -> bool:
        """Whether a request says when it was sent: by the parameter `created`."""
        return True

    def sign(
        self,
        secrets: Sequence[str],
        body: bytes,
        event_id: str,
        timestamp: int,
        *,
        url: str | None = None,
        method: str = "POST",
        event_type: str | None = None,
    ) -> dict[str, str]:
        """Answer the headers that prove `body`, `method`, `url` and the id, by every secret."""
        if not secrets or url is None:
            raise self._missing(secrets)
        headers = self._names(event_id, event_type)
        headers[DIGEST] = _serialised({"sha-256": DIGESTS["sha-256"](body)})
        request = _Request(method, url, {name: [value] for name, value in headers.items()})
        covered: list[tuple[Any, Any]] = [(name, {}) for name in ("@method", "@target-uri", *headers)]
        inputs, proofs = {}, {}
        for place, key in enumerate((self.key(secret) for secret in secrets), 1):
            parameters = {"created": timestamp, "keyid": KEY_ID, "alg": _algorithm(key)}
            inputs[f"sig{place}"] = (covered, parameters)
            proofs[f"sig{place}"] = binascii.a2b_base64(key.prove(request.base(covered, parameters)))
        return headers | {INPUT: _serialised(inputs), self.header: _serialised(proofs)}

    def judge(
        self,
        keys: Sequence[Key],
        headers: Collected,
        body: bytes,
        now: int,
        tolerance: int | None,
        url: str,
        method: str,
    ) -> Verified:
        """Look for one good signature; without any, say what is wrong with the first."""
        request, refusals = _Request(method, url, headers), []
        for signature in _signatures(headers, self.header):
            try:
                self._check(signature, keys, request, now, self.tolerance if tolerance is None else tolerance)
                _check_digest(headers, body)
            except SignatureError as error:
                refusals.append(error)
            else:
                return self._verified(signature, headers, body)
        raise refusals[0] if refusals else SignatureError(Reason.MISSING_HEADER, f"{INPUT} has no signature")

    def proof(self, secret: str, headers: Collected, body: bytes, url: str, method: str) -> str:  # noqa: ARG002 - see base
        """Answer what stands in `header` where a request that came is signed with this secret, under its first label.

        SignatureError where it lacks what is signed, ValueError where the secret can't sign it.
        """
        for label, (components, parameters) in _dictionary(headers, INPUT).items():
            if isinstance(components, list):
                base = _Request(method, url, headers).base(components, parameters)
                return _serialised({label: binascii.a2b_base64(self.key(secret).prove(base))})
        raise SignatureError(Reason.MISSING_HEADER, f"{INPUT} has no signature")

    def _check(self, signature: Signature, keys: Sequence[Key], request: "_Request", now: int, tolerance: int) -> None:
        created, expires = (signature.parameters.get(name) for name in ("created", "expires"))
        if type(created) is not int or type(expires) not in (int, type(None)):
            raise SignatureError(Reason.MISSING_TIMESTAMP, f'{INPUT} does not say when it was "created", as a number')
        if DIGEST not in (name for name, _ in signature.components):
            raise SignatureError(Reason.MALFORMED_HEADER, f"{INPUT} does not cover {DIGEST}: the body is unprotected")
        base = request.base(signature.components, signature.parameters)
        algorithm = signature.parameters.get("alg")
        fitting = [key for key in keys if algorithm in (None, _algorithm(key))]
        if not any([key.fits(base, [base64(signature.proof)]) for key in fitting]):  # noqa: C419 - each, always
            raise self._mismatch(len(keys))
        if abs(now - created * 1000) > tolerance:
            raise too_far(now - created * 1000, tolerance)
        if expires is not None and now > expires * 1000:
            raise SignatureError(Reason.TIMESTAMP_TOO_OLD, f"the signature expired {now // 1000 - expires} s ago")

    def _verified(self, signature: Signature, headers: Collected, body: bytes) -> Verified:
        told = self._told.read(body)
        is_signed = self.id is not None and (self.id.name, {}) in signature.components
        return Verified(
            id=pick(self.id, headers, told) if is_signed else None,
            type=pick(self.type, headers, told),
            timestamp=signature.parameters["created"],
            body=body,
        )


class _Request(NamedTuple):
    """What the components of a signature are taken from."""

    method: str
    address: str
    headers: Collected

    def base(self, components: Sequence[tuple[Any, Any]], parameters: Mapping[str, Any]) -> bytes:
        """Answer the signature base (RFC 9421, 2.5); SignatureError where there is none."""
        values = {name: self._value(name, with_) for name, with_ in components}
        values["@signature-params"] = _serialised([(list(components), dict(parameters))])
        if len(values) <= len(components):
            raise SignatureError(Reason.MALFORMED_HEADER, f"{INPUT} names a component twice")
        if not all(_TEXT.fullmatch(value) for value in values.values()):
            raise SignatureError(Reason.MALFORMED_HEADER, "what is signed is no ASCII text")
        return "\n".join(f"{http_sf.ser(name)}: {value}" for name, value in values.items()).encode("ascii")

    def _value(self, name: object, parameters: object) -> str:
        if isinstance(name, str) and name in DERIVED and not parameters:
            return DERIVED[name](self)
        if not isinstance(name, str) or name.startswith("@") or parameters:
            raise SignatureError(Reason.MALFORMED_HEADER, f"{INPUT} has a component that hookd does not know")
        if name not in self.headers:
            raise SignatureError(Reason.MISSING_HEADER, f"{one_line(name, 80)} is signed, but missing")
        return ", ".join(value.strip(" \t") for value in self.headers[name])

    @property
    def url(self) -> SplitResult:
        """The address in its parts."""
        return urlsplit(self.address)

    @property
    def path(self) -> str:
        """The path, which is never empty (RFC 9421, 2.2.6)."""
        return self.url.path or "/"

    @property
    def target(self) -> str:
        """Path and query, as in a request line."""
        return f"{self.path}?{self.url.query}" if "?" in self.address else self.path

    @property
    def host(self) -> str:
        """The host and the port as they are written, without who asks."""
        return self.url.netloc.rpartition("@")[2]

    @property
    def authority(self) -> str:
        """The host and a port that is not the usual one, in lower case (RFC 9421, 2.2.3)."""
        return self.host.lower().removesuffix(f":{DEFAULT_PORTS.get(self.url.scheme)}")


DERIVED: Final[Mapping[str, Callable[[_Request], str]]] = {
    "@method": lambda request: request.method,
    "@target-uri": lambda request: f"{request.url.scheme}://{request.host}{request.target}",
    "@authority": lambda request: request.authority,
    "@scheme": lambda request: request.url.scheme,
    "@request-target": lambda request: request.target,
    "@path": lambda request: request.path,
    "@query": lambda request: f"?{request.url.query}",
}
"""The derived components of RFC 9421, 2.2, that a request has; `@query-param` is not among them."""


def _signatures(headers: Collected, header: str) -> Iterator[Signature]:
    """Answer the signatures that have both an input and a value."""
    inputs, proofs = _dictionary(headers, INPUT), _dictionary(headers, header)
    for label in list(inputs)[:MOST_SIGNATURES]:
        components, parameters = inputs[label]
        proof, _ = proofs.get(label, (None, None))
        if isinstance(components, list) and isinstance(proof, bytes):
            yield Signature(components, parameters, proof)


def _check_digest(headers: Collected, body: bytes) -> None:
    digests = _dictionary(headers, DIGEST)
    known = [(digests[name][0], digest(body)) for name, digest in DIGESTS.items() if name in digests]
    if not known:
        raise SignatureError(Reason.MALFORMED_HEADER, f"{DIGEST} has no {' or '.join(DIGESTS)}")
    for given, computed in known:
        if not (isinstance(given, bytes) and compare_digest(given, computed)):
            raise SignatureError(Reason.SIGNATURE_MISMATCH, f"{DIGEST} is that of another body")


def _dictionary(headers: Collected, name: str) -> dict[str, Any]:
    """Read a dictionary (RFC 9651, 3.2), which may come in several lines."""
    values = headers.get(name.lower(), [])
    if not any(values):
        raise SignatureError(Reason.MISSING_HEADER, f"{name} is missing or empty")
    if sum(map(len, values)) > LONGEST:
        raise SignatureError(Reason.MALFORMED_HEADER, f"{name} is longer than {LONGEST} characters")
    try:
        found: Any = http_sf.parse(", ".join(values).encode("ascii"), tltype="dictionary")
    except (ValueError, RecursionError):
        raise SignatureError(Reason.MALFORMED_HEADER, f"{name} is no dictionary of structured fields") from None
    return dict(found)


def _serialised(value: Any) -> str:
    return http_sf.ser(value)


def _algorithm(key: Key) -> str:
    return "ed25519" if isinstance(key, Ed25519Key) else "hmac-sha256"
