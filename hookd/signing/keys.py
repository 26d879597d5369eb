"""Secrets, and the bytes they stand for. A secret never appears in an error."""

import base64
import binascii
import re
from collections.abc import Callable
from typing import Final

PREFIX: Final = "whsec_"
PRIVATE: Final = "whsk_"
PUBLIC: Final = "whpk_"
SECRET_BYTES: Final = 32
"""How many random bytes a fresh secret has; Standard Webhooks allows 24 to 64."""

_ALLOWED_BYTES: Final = range(24, 65)
_VISIBLE: Final = re.compile(r"[!-~]+")
_CREDENTIALS: Final = re.compile(r"[^:\0-\x1f\x7f]*:[^\0-\x1f\x7f]*")


def generate_secret(random_bytes: Callable[[int], bytes]) -> str:
    """Make a fresh `whsec_` secret from a source of randomness such as `os.urandom`."""
    return PREFIX + base64.b64encode(random_bytes(SECRET_BYTES)).decode("ascii")


def standard_bytes(secret: str) -> bytes:
    """Decode a Standard Webhooks secret; ValueError unless it is `whsec_` and base64 of 24 to 64 bytes."""
    key = _base64(secret.removeprefix(PREFIX))
    if not secret.startswith(PREFIX) or len(key) not in _ALLOWED_BYTES:
        raise ValueError(f'expected a secret of "{PREFIX}" and the base64 of 24 to 64 bytes')
    return key


def text_bytes(secret: str) -> bytes:
    """Answer a secret's text in UTF-8, as most vendors use theirs; ValueError where it is empty or no text."""
    try:
        key = secret.encode()
    except UnicodeEncodeError:
        key = b""
    if not key:
        raise ValueError("expected a secret of at least one character")
    return key


def base64_bytes(secret: str) -> bytes:
    """Decode a secret from base64 (RFC 4648 section 4); ValueError where it is none."""
    key = _base64(secret)
    if not key:
        raise ValueError("expected a secret in base64")
    return key


def hex_bytes(secret: str) -> bytes:
    """Decode a secret from hexadecimal; ValueError where it is none."""
    try:
        key = binascii.unhexlify(secret)
    except ValueError:  # binascii.Error is one, and so is what non-ASCII text raises
        key = b""
    if not key:
        raise ValueError("expected a secret in hexadecimal")
    return key


def token_bytes(secret: str) -> bytes:
    """Answer a token's bytes; ValueError unless it is visible ASCII, which alone survives in any header."""
    if _VISIBLE.fullmatch(secret) is None:
        raise ValueError("expected a token of visible ASCII characters, at least one, without spaces")
    return secret.encode("ascii")


def credentials_bytes(secret: str) -> bytes:
    """Answer a user and a password in base64 (RFC 7617); ValueError unless they are joined by a colon."""
    if _CREDENTIALS.fullmatch(secret) is None:
        raise ValueError('expected a user and a password as "USER:PASSWORD"')
    return base64.b64encode(text_bytes(secret))


def _base64(text: str) -> bytes:
    try:
        return binascii.a2b_base64(text, strict_mode=True)
    except ValueError:  # binascii.Error is one, and so is what non-ASCII text raises
        return b""
