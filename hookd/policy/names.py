"""How producers name events, tenants and lines, and which types are not theirs to publish."""

import re
from collections.abc import Collection
from typing import Final

OPERATIONAL: Final = "hookd"
"""The first segment of the types of hookd's own events."""

LONGEST: Final = 128
"""Characters of the longest id, tenant and ordering key."""

_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,128}")
_NO_TEXT: Final = re.compile(r"[\0\ud800-\udfff]")
"""What no database keeps in a text: NUL, and half a character (a lone surrogate)."""


def event_id(text: str) -> str:
    """Answer an event's id as a producer may choose it; else ValueError."""
    if not _ID.fullmatch(text):
        raise ValueError("expected 1 to 128 letters, digits, _ or -")
    return text


def tenant(text: str) -> str:
    """Answer a tenant's name; else ValueError."""
    if not 0 < len(text) <= LONGEST or not text.isprintable():
        raise ValueError(f"expected 1 to {LONGEST} printable characters")
    return text


def plain(text: str) -> str:
    """Answer a text that can be stored; else ValueError."""
    if not is_text(text):
        raise ValueError("expected text without NUL and lone surrogates")
    return text


def is_text(text: str) -> bool:
    """Say whether every database can keep a text."""
    return _NO_TEXT.search(text) is None


def expect_free(event_type: str, sources: Collection[str]) -> None:
    """Raise ValueError for a type that says it came from one of the sources, by its name, or from hookd itself."""
    first = event_type.partition(".")[0]
    if first == OPERATIONAL or first in sources:
        raise ValueError(f"types that begin with {first} are not published; they tell where an event came from")
