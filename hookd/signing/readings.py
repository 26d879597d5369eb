"""The ways in which a secret may be read as a key, right or wrong: as text, from base64, from hexadecimal."""

import base64
import binascii
import re
from collections.abc import Iterator
from typing import Final

_PREFIX: Final = re.compile(r"[a-z]{2,12}_")
"""What providers put before a secret: `whsec_`."""

_HEX: Final = re.compile(r"(?:[0-9A-Fa-f]{2})+")


def readings(secret: str) -> Iterator[tuple[str, bytes]]:
    """Answer the keys that a secret may stand for, each once, and in words how it is read then."""
    prefix = _PREFIX.match(secret)
    texts = {"": secret} | ({" without its prefix": secret[prefix.end() :]} if prefix else {})
    seen: set[bytes] = set()
    for words, key in _of_texts(texts):
        if key and key not in seen:
            seen.add(key)
            yield words, key


def _of_texts(texts: dict[str, str]) -> Iterator[tuple[str, bytes]]:
    for part, text in texts.items():
        raw = text.encode("utf-8", "surrogatepass")
        yield f"taken as text{part}, not decoded", raw
        yield f"taken as text{part} with a newline at its end", raw + b"\n"
        yield f"taken as text{part}, without space and quotes around it", raw.strip(b" \t\r\n\"'")
        yield f"decoded from base64{part}", _decoded(text)
        if _HEX.fullmatch(text):
            yield f"decoded from hexadecimal{part}", bytes.fromhex(text)


def _decoded(text: str) -> bytes:
    """Decode base64 of either alphabet (RFC 4648), padded or not; nothing where it is none."""
    try:
        standard = text.strip().rstrip("=").translate(str.maketrans("-_", "+/")).encode("ascii")
        return base64.b64decode(standard + b"=" * (-len(standard) % 4), validate=True)
    except (binascii.Error, UnicodeEncodeError):
        return b""
