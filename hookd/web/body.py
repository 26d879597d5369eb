"""Request bodies: read up to a limit, and split a JSON object into members whose bytes stay as they came."""

import json
from http import HTTPStatus

from aiohttp import web

from hookd.errors import Fault, InvalidInput, Unavailable
from hookd.members import Member, NotSplit, split
from hookd.web.problems import RequestError, pointer, unreadable

SHORT = 64 * 1024
"""Bytes of a body that always find room while the rest of it is coming; few webhooks are longer."""

MOST_COMING = 256 * 1024 * 1024
"""Bytes of longer bodies that are coming; the last to grow may pass that mark, or a very long one would never fit."""


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
        return split(text)
    except NotSplit as error:
        where = pointer() if error.name is None else pointer(error.name)
        raise InvalidInput(Fault(where, str(error))) from None
    except json.JSONDecodeError as error:
        raise unreadable(f"the body is not JSON: {error.msg} (at character {error.pos})") from None
    except RecursionError:
        raise unreadable("the body is nested too deeply") from None


def _decoded(body: bytes) -> str:
    if not body:
        raise unreadable("the body is empty; expected a JSON object")
    try:
        return body.decode()
    except UnicodeDecodeError as error:
        raise unreadable(f"the body is not UTF-8 (at byte {error.start})") from None
