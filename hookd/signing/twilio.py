"""Twilio: the address and, of a form, every field in order; of any other body, its digest in the address."""

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from hmac import compare_digest
from typing import Final
from urllib.parse import SplitResult, parse_qs, parse_qsl, urlsplit

from hookd.errors import SignatureError
from hookd.signing.headers import Collected
from hookd.signing.proof import Key
from hookd.signing.reason import Reason
from hookd.signing.scheme import Scheme, Verified

FORM: Final = "application/x-www-form-urlencoded"
DIGEST: Final = "bodySHA256"
"""The parameter of the query that holds the digest of a body that is no form."""
MOST_FIELDS: Final = 1000
"""Fields of a form: many more than Twilio sends, since they are sorted before anything is known of the sender."""
LONGEST_FORM: Final = 64 * 1024
"""Bytes of a form, many more than Twilio sends as well: undoing their escapes takes a second for each MiB."""
PORTS: Final = {"https": 443, "http": 80}


@dataclass(frozen=True, slots=True, kw_only=True)
class Twilio(Scheme):
    """The scheme of twilio.com/docs/usage/security, as its own libraries check it."""

    def address(self, url: str, body: bytes, content_type: str) -> str:
        """Answer the address with the body's digest in its query, unless the body is a form."""
        if _is_form(content_type):
            return url
        parts = urlsplit(url)
        query = f"{parts.query}&" if parts.query else ""
        return parts._replace(query=f"{query}{DIGEST}={sha256(body).hexdigest()}").geturl()

    def check_address(self, url: str) -> None:
        """Refuse an address that holds the digest of one body already, and so fits no other."""
        if DIGEST in parse_qs(urlsplit(url).query, keep_blank_values=True):
            raise ValueError(f"expected an address without {DIGEST}: the scheme twilio adds it itself")

    def _wanted(self) -> frozenset[str]:
        return self.names | {"content-type"}

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
        """Verify a request; a body that says to be no form has to have its digest in the address.

        Without that it would be read as a form: what was signed as one could be handed in as something else.
        """
        is_form = all(_is_form(content_type) for content_type in headers.get("content-type", ()))
        if body and not is_form and DIGEST not in parse_qs(urlsplit(url).query):
            detail = f"the body is no form, and the address has no {DIGEST}: nothing signs it"
            raise SignatureError(Reason.SIGNATURE_MISMATCH, detail)
        return Scheme.judge(self, keys, headers, body, now, tolerance, url, method)

    def _contents(self, event_id: str, stamp: str, body: bytes, url: str) -> Sequence[bytes]:  # noqa: ARG002 - unsigned
        """Answer the address in both its spellings, each with the fields; nothing where the digest is another body's.

        The libraries of Twilio take an address with its port or without, since Twilio is not of one mind about it.
        """
        fields, spellings = _fields(body, urlsplit(url)), (url, _respelt(urlsplit(url)))
        return () if fields is None else [each.encode("utf-8", "surrogatepass") + fields for each in spellings]


def _is_form(content_type: str) -> bool:
    return content_type.partition(";")[0].strip().lower() == FORM


def _fields(body: bytes, parts: SplitResult) -> bytes | None:
    """Answer what is signed of the body behind the address; None where there is no way to sign it."""
    digests = parse_qs(parts.query).get(DIGEST)
    if digests is not None:
        good = compare_digest(",".join(digests).encode("utf-8", "surrogatepass"), sha256(body).hexdigest().encode())
        return b"" if good else None
    if len(body) > LONGEST_FORM:
        return None
    text = body.decode("utf-8", "surrogateescape")
    try:
        fields = parse_qsl(text, keep_blank_values=True, errors="surrogateescape", max_num_fields=MOST_FIELDS)
    except ValueError:
        return None
    return b"".join(name + value for name, value in sorted({(_raw(name), _raw(value)) for name, value in fields}))


def _raw(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def _respelt(parts: SplitResult) -> str:
    """Answer the address with its port where it has none, and without where it has one."""
    bare = parts.netloc.rpartition(":")[0] if parts.port is not None else f"{parts.netloc}:{PORTS.get(parts.scheme)}"
    return parts._replace(netloc=bare).geturl()
