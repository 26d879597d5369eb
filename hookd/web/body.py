"""Request bodies: read up to a limit, and split a JSON object into members whose bytes stay as they came."""

import json
import re
from http import HTTPStatus
from typing import NamedTuple

from aiohttp import web

from hookd.errors import Fault, InvalidInput, Unavailable
from hookd.parse import parse, refuse_constant
from hookd.web.problems import RequestError, pointer, unreadable

MOST_MEMBERS = 1000
"""Members of a body's object: many more than any route knows, since each takes time, and each may be a fault."""


SHORT = 64 * 1024
"""Bytes of a body that always find room while the rest of it is coming; few webhooks are longer."""

MOST_COMING = 256 * 1024 * 1024
"""Bytes of longer bodies that are coming; the last to grow may pass that mark, or a very long one would never fit."""


class Member(NamedTuple):
    """A member of a JSON object: the bytes of its value as the caller wrote them, and what they mean."""

    raw: bytes
    value: object


class Bodies:
    """The memory that long bodies take while they come, all of them together."""

    def __init__(self, most: int = MOST_COMING) -> None:
        self.held = 0
        self._most = most

    def hold(self, own: int, more: int) -> int:
        """Let a body that holds `own` bytes hold some more; Unavailable where the others leave no room for it."""
        if self.held - own > self._most:
            raise Unavailable("too many long bodies are coming at once; send it again later")
        self.held += more
        return own + more

    def release(self, own: int) -> None:
        """Hold no more what a body held."""
        self.held -= own


async def read_body(request: web.Request, limit: int, bodies: Bodies) -> bytes:
    """Answer the request's whole body, as sent; 413 beyond `limit` bytes, 408 when it does not come."""
    if (request.content_length or 0) > limit:
        raise _too_large(limit)
    try:
        return await _read(request, limit, bodies)
    except TimeoutError as error:
        raise RequestError(HTTPStatus.REQUEST_TIMEOUT, str(error)) from None
    except web.RequestPayloadError as error:
        raise unreadable(str(error)) from None
    except ConnectionError:
        raise unreadable("the body ended before its headers say so") from None


async def _read(request: web.Request, limit: int, bodies: Bodies) -> bytes:
    body = bytearray()
    held = 0
    try:
        while chunk := await request.content.readany():
            body += chunk
            if len(body) > limit:
                raise _too_large(limit)
            if len(body) > SHORT:
                held = bodies.hold(held, len(chunk))
    finally:
        bodies.release(held)
    return bytes(body)


def _too_large(limit: int) -> RequestError:
    return RequestError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"the body is larger than {limit} bytes")


def members(body: bytes) -> dict[str, Member]:
    """Split a JSON object (RFC 8259) into its members by name.

    What is not JSON in UTF-8 is a 400; what is JSON but no object, names a member twice or has too many of them, an
    InvalidInput.
    """
    text = _decoded(body)
    try:
        return _members(text)
    except json.JSONDecodeError as error:
        raise unreadable(f"the body is not JSON: {error.msg} (at character {error.pos})") from None
    except RecursionError:
        raise unreadable("the body is nested too deeply") from None


def is_json(body: bytes) -> bool:
    """Say whether these bytes are one JSON value (RFC 8259)."""
    try:
        parse(body)
    except ValueError:
        return False
    return True


def _decoded(body: bytes) -> str:
    if not body:
        raise unreadable("the body is empty; expected a JSON object")
    try:
        return body.decode()
    except UnicodeDecodeError as error:
        raise unreadable(f"the body is not UTF-8 (at byte {error.start})") from None


_decoder = json.JSONDecoder(parse_constant=refuse_constant)
_decoder_of_floats = json.JSONDecoder(parse_constant=refuse_constant, parse_int=float)
_space = r"[ \t\n\r]*"
_opening = re.compile(rf"{_space}\{{{_space}")
_colon = re.compile(rf"{_space}:{_space}")
_separator = re.compile(rf"{_space}([,}}]){_space}")


def _members(text: str) -> dict[str, Member]:
    try:
        return _split(text, _decoder)
    except json.JSONDecodeError:
        raise
    except ValueError:  # an integer of more digits than Python converts (4300); as a float it is harmless
        return _split(text, _decoder_of_floats)


def _split(text: str, decoder: json.JSONDecoder) -> dict[str, Member]:
    opening = _opening.match(text)
    if opening is None:
        decoder.decode(text)  # to tell what is no object from what is no JSON
        raise InvalidInput(Fault(pointer(), "expected a JSON object"))
    found: dict[str, Member] = {}
    at = opening.end()
    if text.startswith("}", at):
        _expect_end(text, at + 1)
        return found
    while True:
        name, start = _name(text, at, decoder)
        value, end = decoder.raw_decode(text, start)
        if name in found:
            raise InvalidInput(Fault(pointer(name), "is there twice; expected once"))
        if len(found) == MOST_MEMBERS:
            raise InvalidInput(Fault(pointer(), f"expected at most {MOST_MEMBERS} members"))
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
