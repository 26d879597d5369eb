"""What an attempt came to, in words that fit on a line."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, NamedTuple

from hookd.model import Outcome

LONGEST_ERROR: Final = 500
"""Characters of an attempt's error at most."""


class Result(NamedTuple):
    """What came of an exchange: the part of an attempt that the endpoint decides."""

    outcome: Outcome
    error: str | None
    status_code: int | None = None
    headers: Mapping[str, str] = MappingProxyType({})
    body: bytes = b""
    truncated: bool = False
    retry_after: int | None = None


def printable(text: str) -> str:
    """Answer a text without control characters, lone surrogates and the like."""
    if text.isprintable():
        return text
    return "".join(
        character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text
    )


def one_line(text: str) -> str:
    """Answer a text as one bounded, printable line."""
    return printable(" ".join(text.split()))[:LONGEST_ERROR]
