"""Secrets at rest: encrypted with the first key, decrypted with any; without keys, kept as they are.

Which key a row's secrets are encrypted with stands beside them. Their own text could not tell: a secret may be any
text, one that looks like a ciphertext too.
"""

import logging
import os
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterable, Sequence
from hashlib import sha256
from typing import Final, Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from hookd.errors import StartError, Unavailable

log = logging.getLogger("hookd.store")

NONCE_BYTES: Final = 12
ID_DIGITS: Final = 12


class Cipher(Protocol):
    """Encrypts texts, and decrypts what it has encrypted, each at its own place only. Any thread may call it."""

    @property
    def id(self) -> str:
        """What is stored beside its texts."""

    def encrypt(self, text: str, place: str) -> str:
        """Answer what is stored in place of a text."""

    def decrypt(self, stored: str, place: str) -> str:
        """Answer the text, or raise Unavailable where this is not what was stored at this place."""


class Plain:
    """Keeps texts as they are."""

    id = ""

    def encrypt(self, text: str, place: str) -> str:  # noqa: ARG002 - a Cipher's signature
        """Answer the text."""
        return text

    def decrypt(self, stored: str, place: str) -> str:  # noqa: ARG002 - a Cipher's signature
        """Answer the text."""
        return stored


class Key:
    """AES-256-GCM (NIST SP 800-38D), as base64 of a fresh nonce, the ciphertext and its tag.

    The place is authenticated with the text: what is copied to another row or column does not decrypt there.
    """

    def __init__(self, key: bytes, random_bytes: Callable[[int], bytes]) -> None:
        self.id = sha256(b"the id of a key of hookd: " + key).hexdigest()[:ID_DIGITS]
        self._aes = AESGCM(key)
        self._random_bytes = random_bytes

    def encrypt(self, text: str, place: str) -> str:
        """Answer the ciphertext."""
        nonce = self._random_bytes(NONCE_BYTES)
        return b64encode(nonce + self._aes.encrypt(nonce, text.encode(), place.encode())).decode("ascii")

    def decrypt(self, stored: str, place: str) -> str:
        """Answer the text, or raise Unavailable, which repeats nothing of what is stored."""
        try:
            sealed = _decoded(stored)
            return self._aes.decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], place.encode()).decode()
        except (ValueError, InvalidTag):
            raise Unavailable(
                f"the {place} can't be decrypted with the key {self.id}: the file was tampered with or is damaged; "
                "restore it from a backup"
            ) from None


def _decoded(stored: str) -> bytes:
    """Decode base64 in its one canonical form: a text of which anything differs is another text."""
    sealed = b64decode(stored)
    if b64encode(sealed).decode("ascii") != stored:
        raise ValueError("not in canonical form")
    return sealed


class Vault:
    """The ciphers of a store. The first key encrypts, or, where there is none, nothing does; what is plain is read."""

    def __init__(self, keys: Sequence[bytes], random_bytes: Callable[[int], bytes]) -> None:
        ciphers: list[Cipher] = [*(Key(key, random_bytes) for key in keys), Plain()]
        self.first = ciphers[0]
        self._ciphers = {cipher.id: cipher for cipher in ciphers}

    def cipher(self, key_id: str) -> Cipher:
        """Answer the cipher with this id, or raise Unavailable."""
        cipher = self._ciphers.get(key_id)
        if cipher is None:
            raise Unavailable(self._missing(key_id))
        return cipher

    def expect(self, key_ids: Iterable[str]) -> None:
        """Raise StartError where one of these keys is not there."""
        for key_id in key_ids:
            if key_id not in self._ciphers:
                raise StartError(self._missing(key_id))

    def begin(self, key_ids: Sequence[str]) -> None:
        """Expect these keys, and say where some secrets are not encrypted as they should be."""
        self.expect(key_ids)
        if set(key_ids) - {self.first.id}:
            log.warning("some secrets are not encrypted with the first of [store] keys; run hookd migrate --rekey")

    def _missing(self, key_id: str) -> str:
        known = ", ".join(filter(None, self._ciphers)) or "none"
        return (
            f"[store] keys: the store holds secrets that are encrypted with the key {key_id}, and that key is not "
            f"there (known: {known}); add it"
        )


PLAIN: Final = Vault((), os.urandom)
"""The vault of a store without keys."""
