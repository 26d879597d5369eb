"""Signatures by a private key that anybody with the public one can check: Ed25519 (RFC 8032)."""

import base64
import binascii
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

from hookd.signing.keys import PRIVATE, PUBLIC
from hookd.signing.proof import WRITTEN, MakeKey, kept

KEY_BYTES: Final = 32
SIGNATURE_BYTES: Final = 64
MOST_PROOFS: Final = 16
"""Proofs that are looked at, since each takes a hash of the whole content, and anybody may send some."""

_TO_VERIFY: Final = f'"{PUBLIC}" and the base64 of an Ed25519 public key (32 bytes), or its 64 hexadecimal digits'
_TO_SIGN: Final = f'"{PRIVATE}" and the base64 of a private one (its 32 bytes, or 64 with the public one behind)'
_PRIME: Final = 2**255 - 19
_HEX: Final = re.compile(r"[0-9A-Fa-f]{64}")


class Ed25519Key:
    """A pair of keys, or the public one alone, which can't sign."""

    __slots__ = ("_private", "_public", "_read", "_write", "prefix")

    def __init__(self, secret: str, encoding: str, prefix: bytes) -> None:
        self._private = _private(secret) if secret.startswith(PRIVATE) else None
        self._public = self._private.public_key() if self._private else _public(secret)
        self._write, self._read, self.prefix = WRITTEN[encoding], READ[encoding], prefix

    def prove(self, content: bytes) -> bytes:
        """Answer the prefix and the signature; ValueError without a private key."""
        if self._private is None:
            raise ValueError(f"a public key can't sign; expected {_TO_SIGN}")
        return self.prefix + self._write(self._private.sign(content))

    def fits(self, content: bytes, proofs: Sequence[bytes]) -> bool:
        """Check each proof that could be a signature."""
        signatures = [self._signature(proof) for proof in proofs if proof.startswith(self.prefix)]
        return any(self._is_good(each, content) for each in [each for each in signatures if each][:MOST_PROOFS])

    def _signature(self, proof: bytes) -> bytes | None:
        try:
            signature = self._read(proof[len(self.prefix) :])
        except ValueError:
            return None
        return signature if len(signature) == SIGNATURE_BYTES else None

    def _is_good(self, signature: bytes, content: bytes) -> bool:
        try:
            self._public.verify(signature, content)
        except InvalidSignature:
            return False
        return True


def _private(secret: str) -> Ed25519PrivateKey:
    key = _decoded(secret.removeprefix(PRIVATE))
    if len(key) not in (KEY_BYTES, 2 * KEY_BYTES):
        raise ValueError(f"expected {_TO_SIGN}")
    private = Ed25519PrivateKey.from_private_bytes(key[:KEY_BYTES])
    if key[KEY_BYTES:] not in (b"", private.public_key().public_bytes_raw()):
        raise ValueError(f"expected {_TO_SIGN}; the public key here is another one's")
    return private


def _public(secret: str) -> Ed25519PublicKey:
    key = bytes.fromhex(secret) if _HEX.fullmatch(secret) else _decoded(secret.removeprefix(PUBLIC))
    if len(key) != KEY_BYTES or not (_HEX.fullmatch(secret) or secret.startswith(PUBLIC)):
        raise ValueError(f"expected {_TO_VERIFY}; or {_TO_SIGN}")
    if _is_of_small_order(key):
        raise ValueError(f"expected {_TO_VERIFY}; anybody could sign for this one, a point of small order")
    return Ed25519PublicKey.from_public_bytes(key)


def _is_of_small_order(key: bytes) -> bool:
    """Tell the few points whose multiples are next to none, so that a signature by nobody fits them.

    On the curve's other form, to which u = (1 + y) / (1 - y) leads (RFC 7748, 4.1), X25519 refuses them (6.1).
    """
    y = int.from_bytes(key, "little") % (1 << 255) % _PRIME
    u = (1 + y) * pow(1 - y, _PRIME - 2, _PRIME) % _PRIME
    try:
        X25519PrivateKey.from_private_bytes(bytes(KEY_BYTES)).exchange(
            X25519PublicKey.from_public_bytes(u.to_bytes(KEY_BYTES, "little"))
        )
    except ValueError:
        return True
    return False


def _decoded(text: str) -> bytes:
    try:
        return _read_base64(text.encode("ascii"))
    except ValueError:  # binascii.Error is one, and so is what non-ASCII text raises
        return b""


def _read_base64(text: bytes) -> bytes:
    return binascii.a2b_base64(text, strict_mode=True)


READ: Final[Mapping[str, Callable[[bytes], bytes]]] = {"base64": _read_base64, "hex": binascii.unhexlify}


def ed25519_keys(encoding: str, prefix: bytes = b"") -> MakeKey:
    """Make keys from `whsk_` and `whpk_` secrets; their signatures are written in an encoding, behind a prefix."""
    return kept(lambda secret: Ed25519Key(secret, encoding, prefix))


def public_of(secret: str) -> str | None:
    """Answer the public key, `whpk_`, that belongs to a private one, `whsk_`; None of any other secret."""
    if not secret.startswith(PRIVATE):
        return None
    return PUBLIC + base64.b64encode(_private(secret).public_key().public_bytes_raw()).decode("ascii")
