"""Keys: a secret made ready to prove something with, and to check what others prove."""

import binascii
import hashlib
import hmac
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Final, Protocol

KEYS_CACHED: Final = 4096
"""How many keys a scheme keeps ready, so that a busy endpoint's secret is not read at every attempt."""

_INNER: Final = bytes(byte ^ 0x36 for byte in range(256))
_OUTER: Final = bytes(byte ^ 0x5C for byte in range(256))


class Key(Protocol):
    """What a secret is to its scheme."""

    def prove(self, content: bytes) -> bytes:
        """Answer the proof of some content, as it is written; ValueError where this key can only check."""
        ...

    def fits(self, content: bytes, proofs: Sequence[bytes]) -> bool:
        """Say whether one of these proofs is good; one that is malformed, or of another kind, just is not."""
        ...


MakeKey = Callable[[str], Key]
"""Makes the key of a secret; ValueError where it is none of the scheme."""

Decode = Callable[[str], bytes]
"""Answers the bytes that a secret stands for, or ValueError."""

Write = Callable[[bytes], bytes]


def base64(digest: bytes) -> bytes:
    """Write in base64 (RFC 4648 section 4)."""
    return binascii.b2a_base64(digest, newline=False)


def hexadecimal(digest: bytes) -> bytes:
    """Write in hexadecimal, in lower case."""
    return binascii.hexlify(digest)


WRITTEN: Final[Mapping[str, Write]] = {"base64": base64, "hex": hexadecimal}
"""How a proof is written, by the name of the encoding."""


class HmacKey:
    """Proves by an HMAC (RFC 2104), in half the time of hmac.digest, since what the key alone decides is kept."""

    __slots__ = ("_inner", "_outer", "_prefix", "_write")

    def __init__(self, key: bytes, algorithm: str, write: Write, prefix: bytes) -> None:
        size = hashlib.new(algorithm).block_size
        block = (key if len(key) <= size else hashlib.new(algorithm, key).digest()).ljust(size, b"\0")
        self._inner = hashlib.new(algorithm, block.translate(_INNER))
        self._outer = hashlib.new(algorithm, block.translate(_OUTER))
        self._write = write
        self._prefix = prefix

    def prove(self, content: bytes) -> bytes:
        """Answer the prefix and the HMAC."""
        inner, outer = self._inner.copy(), self._outer.copy()
        inner.update(content)
        outer.update(inner.digest())
        return self._prefix + self._write(outer.digest())

    def fits(self, content: bytes, proofs: Sequence[bytes]) -> bool:
        """Compare with each proof in constant time."""
        expected, good = self.prove(content), False
        for proof in proofs:
            good |= hmac.compare_digest(expected, proof)  # each, always
        return good


class ShownKey:
    """Proves by showing the key itself: the caller knows it, and the body is unprotected."""

    __slots__ = ("_shown",)

    def __init__(self, shown: bytes) -> None:
        self._shown = shown

    def prove(self, content: bytes) -> bytes:  # noqa: ARG002 - it vouches for no content
        """Answer the key."""
        return self._shown

    def fits(self, content: bytes, proofs: Sequence[bytes]) -> bool:  # noqa: ARG002 - as above
        """Compare with each proof in constant time."""
        return any([hmac.compare_digest(self._shown, proof) for proof in proofs])  # noqa: C419 - each, always


def kept(make: MakeKey) -> MakeKey:
    """Answer the same, keeping what was made last."""
    return lru_cache(KEYS_CACHED)(make)


def hmac_keys(decode: Decode, algorithm: str, write: Write, prefix: bytes = b"") -> MakeKey:
    """Make keys that prove by an HMAC over `sha1`, `sha256` or `sha512`, written behind a prefix."""
    return kept(lambda secret: HmacKey(decode(secret), algorithm, write, prefix))


def shown_keys(decode: Decode, prefix: bytes = b"") -> MakeKey:
    """Make keys that are shown, behind a prefix."""
    return kept(lambda secret: ShownKey(prefix + decode(secret)))
