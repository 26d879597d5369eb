"""Keys: a secret made ready to prove something with, and to check what others prove."""

import binascii
import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from hmac import compare_digest
from inspect import unwrap
from typing import Final, Protocol

from hookd.signing.keys import PRIVATE, PUBLIC

KEYS_CACHED: Final = 4096
"""How many keys a scheme keeps ready, so that a busy endpoint's secret is not read at every attempt."""

_INNER: Final = bytes(byte ^ 0x36 for byte in range(256))
_OUTER: Final = bytes(byte ^ 0x5C for byte in range(256))


class Key(Protocol):
    """What a secret is to its scheme."""

    prefix: bytes
    """What its proofs begin with."""

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

    __slots__ = ("_inner", "_outer", "_write", "prefix")

    def __init__(self, key: bytes, algorithm: str, write: Write, prefix: bytes) -> None:
        size = hashlib.new(algorithm).block_size
        block = (key if len(key) <= size else hashlib.new(algorithm, key).digest()).ljust(size, b"\0")
        self._inner = hashlib.new(algorithm, block.translate(_INNER))
        self._outer = hashlib.new(algorithm, block.translate(_OUTER))
        self._write = write
        self.prefix = prefix

    def prove(self, content: bytes) -> bytes:
        """Answer the prefix and the HMAC."""
        inner, outer = self._inner.copy(), self._outer.copy()
        inner.update(content)
        outer.update(inner.digest())
        return self.prefix + self._write(outer.digest())

    def fits(self, content: bytes, proofs: Sequence[bytes]) -> bool:
        """Compare with each proof in constant time."""
        return _is_among(self.prove(content), proofs)


class ShownKey:
    """Proves by showing the key itself: the caller knows it, and the body is unprotected."""

    __slots__ = ("_shown", "prefix")

    def __init__(self, shown: bytes, prefix: bytes) -> None:
        self._shown = prefix + shown
        self.prefix = prefix

    def prove(self, content: bytes) -> bytes:  # noqa: ARG002 - it vouches for no content
        """Answer the prefix and the key."""
        return self._shown

    def fits(self, content: bytes, proofs: Sequence[bytes]) -> bool:  # noqa: ARG002 - as above
        """Compare with each proof in constant time."""
        return _is_among(self._shown, proofs)


def _is_among(expected: bytes, proofs: Sequence[bytes]) -> bool:
    """Compare with each, whether or not one before was equal."""
    found = False
    for proof in proofs:
        found |= compare_digest(expected, proof)
    return found


def kept(make: MakeKey) -> MakeKey:
    """Answer the same, keeping what was made last."""
    return lru_cache(KEYS_CACHED)(make)


@dataclass(frozen=True, slots=True)
class SharedKeys:
    """Makes keys of secrets that both sides know, and of those of a pair where there is a way to."""

    decode: Decode
    make: Callable[[bytes], Key]
    """Makes the key of the bytes that a secret stands for."""
    pairs: MakeKey | None = None

    def __call__(self, secret: str) -> Key:
        """Answer the key of a secret; ValueError where it is none of the scheme."""
        if self.pairs is not None and secret.startswith((PRIVATE, PUBLIC)):
            return self.pairs(secret)
        return self.make(self.decode(secret))


def hmac_keys(
    decode: Decode, algorithm: str, write: Write, prefix: bytes = b"", *, pairs: MakeKey | None = None
) -> MakeKey:
    """Make keys that prove by an HMAC over `sha1`, `sha256` or `sha512`, written behind a prefix."""
    return kept(SharedKeys(decode, partial(HmacKey, algorithm=algorithm, write=write, prefix=prefix), pairs))


def shown_keys(decode: Decode, prefix: bytes = b"") -> MakeKey:
    """Make keys that are shown, behind a prefix."""
    return kept(SharedKeys(decode, lambda shown: ShownKey(shown, prefix)))


def shared_keys(make: MakeKey) -> SharedKeys | None:
    """Answer what makes a scheme's keys, behind what keeps them; None where it makes pairs alone."""
    made_by = unwrap(make)
    return made_by if isinstance(made_by, SharedKeys) else None
