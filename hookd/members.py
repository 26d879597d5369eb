"""A JSON object split into its members, whose bytes stay as they were written."""

import json
import re
from typing import NamedTuple

from hookd.parse import refuse_constant

MOST_MEMBERS = 1000
"""Members of an object: many more than anybody knows, since each takes time, and each may be a fault."""


class Member(NamedTuple):
    """A member of a JSON object: the bytes of its value as the caller wrote them, and what they mean."""

    raw: bytes
    value: object


class NotSplit(ValueError):
    """It is JSON, but no object that can be split; `name` is the member at fault, None the whole."""

    def __init__(self, name: str | None, detail: str) -> None:
        super().__init__(detail)
        self.name = name


_decoder = json.JSONDecoder(parse_constant=refuse_constant)
_decoder_of_floats = json.JSONDecoder(parse_constant=refuse_constant, parse_int=float)
_space = r"[ \t\n\r]*"
_opening = re.compile(rf"{_space}\{{{_space}")
_colon = re.compile(rf"{_space}:{_space}")
_separator = re.compile(rf"{_space}([,}}]){_space}")


def split(text: str) -> dict[str, Member]:
    """Split a JSON object (RFC 8259) into its members by name.

    JSONDecodeError for what is not JSON, NotSplit for what is no object, names a member twice or has too many of
    them, RecursionError for what is nested too deeply.
    """
    try:
        return _split(text, _decoder)
    except (json.JSONDecodeError, NotSplit):
        raise
    except ValueError:  # an integer of more digits than Python converts (4300); as a float it is harmless
        return _split(text, _decoder_of_floats)


def _split(text: str, decoder: json.JSONDecoder) -> dict[str, Member]:
    opening = _opening.match(text)
    if opening is None:
        decoder.decode(text)  # to tell what is no object from what is no JSON
        raise NotSplit(None, "expected a JSON object")
    found: dict[str, Member] = {}
    at = opening.end()
    if text.startswith("}", at):
        _expect_end(text, at + 1)
        return found
    while True:
        name, start = _name(text, at, decoder)
        value, end = decoder.raw_decode(text, start)
        if name in found:
            raise NotSplit(name, "is there twice; expected once")
        if len(found) == MOST_MEMBERS:
            raise NotSplit(None, f"expected at most {MOST_MEMBERS} members")
        found[name] = Member(text[start:end].encode(), value)
        separator = _separator.match(text, end)
        if separator is None:
            raise json.JSONDecodeError("expected a comma or a closing brace", text, end)
        at = separator.end()
        if separator[1] == "}":
            _expect_end(text, at)
            return found


def _name(text: str, at: int, decoder: json.JSONDecoder) -> tuple[str, int]:
    """Answer the member's name that stands at `at`, and where its value starts."""
    if not text.startswith('"', at):
        raise json.JSONDecodeError("expected a name in double quotes", text, at)
    name, end = decoder.raw_decode(text, at)
    colon = _colon.match(text, end)
    if colon is None:
        raise json.JSONDecodeError("expected a colon", text, end)
    return name, colon.end()


def _expect_end(text: str, at: int) -> None:
    if text[at:].strip(" \t\n\r"):
        raise json.JSONDecodeError("something follows the object", text, at)
