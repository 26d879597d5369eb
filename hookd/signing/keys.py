"""Secrets, and the keys they stand for. A secret never appears in an error."""

import base64
import binascii
import re
from collections.abc import Callable
from functools import lru_cache

PREFIX = "whsec_"
SECRET_BYTES = 32
"""How many random bytes a fresh secret has; Standard Webhooks allows 24 to 64."""

KEYS_CACHED = 4096
"""How many decoded keys are kept, so that a busy endpoint's secret is not decoded at every attempt."""

_ALLOWED_BYTES = range(24, 65)
_VISIBLE = re.compile(r"[!-~]+")


def generate_secret(random_bytes: Callable[[int], bytes]) -> str:
    """Make a fresh `whsec_` secret from a source of randomness such as `os.urandom`."""
    return PREFIX + base64.b64encode(random_bytes(SECRET_BYTES)).decode("ascii")


@lru_cache(KEYS_CACHED)
def standard_key(secret: str) -> bytes:
    """Decode a Standard Webhooks secret; ValueError unless it is `whsec_` and base64 of 24 to 64 bytes."""
    try:
        key = binascii.a2b_base64(secret.removeprefix(PREFIX), strict_mode=True)
    except ValueError:  # binascii.Error is one, and so is what non-ASCII text raises
        key = b""
    if not secret.startswith(PREFIX) or len(key) not in _ALLOWED_BYTES:
        raise ValueError(f'expected a secret of "{PREFIX}" and the base64 of 24 to 64 bytes')
    return key


def token_key(secret: str) -> bytes:
    """Answer a token's bytes; ValueError unless it is visible ASCII, which alone survives in any header."""
    if _VISIBLE.fullmatch(secret) is None:
        raise ValueError("expected a token of visible ASCII characters, at least one, without spaces")
    return secret.encode("ascii")
