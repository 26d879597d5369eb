"""What a proxy or a framework does to headers, undone: renamed, repeated, joined, quoted; or a signature respelt."""

import base64
import binascii
import re
from collections.abc import Iterator, Sequence
from itertools import islice, product
from typing import Final

from hookd.errors import SignatureError
from hookd.signing.headers import Collected
from hookd.signing.scheme import Scheme
from hookd.text import one_line

MOST: Final = 64
"""Repairs of one request that are tried."""

MOST_VALUES: Final = 4
"""Values of one header that are tried."""

_ADDED: Final = re.compile(r"^(?:http-|x-original-|x-forwarded-|x-amzn-remapped-|x-)+")
_SIGNATURE: Final = re.compile(r"[A-Za-z0-9+/_-]{16,}={0,2}")
_HEX: Final = re.compile(r"[0-9A-Fa-f]+")

Repair = tuple[str, Collected]
"""What was done, in words, and the headers that come of it."""


def repairs(row: Scheme, headers: Collected) -> Iterator[Repair]:
    """Answer the headers as they may have been, the least changed first; none where one is not there at all."""
    options = [list(_values(name, headers)) for name in row.needed]
    for chosen in islice(product(*options), MOST):
        done = [words for words, _ in chosen if words]
        mended = {name.lower(): [value] for name, (_, value) in zip(row.needed, chosen, strict=True)}
        if done:
            yield " and ".join(done), {**headers, **mended}


def _values(name: str, headers: Collected) -> Iterator[tuple[str, str]]:
    """Answer the values that a header may have had, and in words how each was found."""
    given = [value for value in headers.get(name.lower(), []) if value]
    if len(given) == 1:
        yield "", given[0]
        yield from _undone(name, given[0])
    for value in dict.fromkeys(given[:MOST_VALUES] if len(given) > 1 else ()):
        yield f"with one {name} alone", value
    if not given:
        for other in alike(name, headers):
            yield f"with {one_line(other, 80)} read as {name}", headers[other][0]


def _undone(name: str, value: str) -> Iterator[tuple[str, str]]:
    """Take from a value what may have been added to it."""
    parts = [part.strip() for part in value.split(", ")]
    if len(parts) > 1:
        yield from ((f"with one of the values alone that are joined in {name}", part) for part in parts[:MOST_VALUES])
    bare = value.strip(" \t\"'")
    if bare != value:
        yield f"with {name} without the quotes around it", bare
    word, _, rest = value.partition(" ")
    if word.lower() in ("bearer", "token") and rest:
        yield f"with {name} without the word {word}", rest.strip()


def alike(name: str, headers: Collected) -> list[str]:
    """Answer the headers that may be the one of this name under another."""
    return [other for other in headers if other != name.lower() and headers[other][0] and _plain(other) == _plain(name)]


def _plain(name: str) -> str:
    return _ADDED.sub("", name.lower().replace("_", "-"))


def respelt(  # what is signed, each with its name
    row: Scheme, secrets: Sequence[str], headers: Collected, body: bytes, url: str, method: str
) -> Iterator[Repair]:
    """Answer the headers with a signature written as the scheme writes it, where it is right but for that.

    The signature is what a proof ends with; a prefix or a label before it may look like one.
    """
    given = headers.get(row.header.lower(), [])
    if not row.signed or len(given) != 1:
        return
    for secret in secrets:
        right = _signed(row, secret, headers, body, url, method)
        if right is not None and digests(given[0]) & digests(_SIGNATURE.findall(right)[-1]):
            yield _difference(row, given[0], right), {**headers, row.header.lower(): [right]}


def _signed(row: Scheme, secret: str, headers: Collected, body: bytes, url: str, method: str) -> str | None:
    """Answer what the request's signature should have been; None where that can't be said."""
    try:
        return row.proof(secret, headers, body, url, method)
    except (SignatureError, ValueError):
        return None


def _difference(row: Scheme, given: str, right: str) -> str:
    """Say how a right signature is written wrong; only its form is told."""
    spellings = set(_SIGNATURE.findall(given))
    wanted = set(_SIGNATURE.findall(right))
    form = _SIGNATURE.sub("SIGNATURE", right)
    if spellings & wanted:
        return f"with {row.header} written as {form}"
    if {text.lower() for text in spellings} & wanted:
        return f"with the hexadecimal in {row.header} in lower case, as {form}"
    kind = "hexadecimal" if any(_HEX.fullmatch(text) for text in wanted) else "base64"
    return f"with the signature in {row.header} written in {kind}, as {form}"


def digests(text: str) -> set[bytes]:
    """Answer the bytes that a header's text may stand for, whether they are in hexadecimal or in base64."""
    found: set[bytes] = set()
    for token in _SIGNATURE.findall(text):
        if _HEX.fullmatch(token) and len(token) % 2 == 0:
            found.add(bytes.fromhex(token))
        standard = token.rstrip("=").replace("-", "+").replace("_", "/")
        try:
            found.add(base64.b64decode(standard + "=" * (-len(standard) % 4), validate=True))
        except binascii.Error:
            continue
    return found
