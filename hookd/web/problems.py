"""Errors as `application/problem+json` (RFC 9457), and the boundary that lets nothing else out."""

import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping
from http import HTTPStatus
from urllib.parse import quote

import msgspec
from aiohttp import web

from hookd.errors import Conflict, Fault, HookdError, InvalidInput, NotFound, Unavailable, Unreadable
from hookd.logs import refused
from hookd.text import one_line, printable
from hookd.web.framing import ambiguity, expects_too_much, may_go_on

CONTENT_TYPE = "application/problem+json"
RETRY_AFTER = "5"
"""Seconds after which a caller should try again when the store can't commit."""
PHRASES = {
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "Content Too Large",
    HTTPStatus.REQUEST_URI_TOO_LONG: "URI Too Long",
    HTTPStatus.UNPROCESSABLE_ENTITY: "Unprocessable Content",
}
"""The phrases of RFC 9110, where older Pythons know them by others."""
LONGEST_SEGMENT = 128
"""Characters of a name that are repeated in a pointer."""
LONGEST_PATH = 200
"""Characters of a path that are repeated in the log."""
UNWELCOME = (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN)
"""What the log warns of, as of all that a source refuses: who tries tokens one after another should be seen."""
UNEXPECTED = "expected no Expect but 100-continue"
FRAGMENT = "!$&'()*+,;=:@-._~?"
"""What may stand in a URI fragment as it is (RFC 3986 section 3.5)."""

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

log = logging.getLogger(__name__)


class RequestError(HookdError):
    """A request that HTTP itself has a word for: a status, one line of detail, headers, and more for the log."""

    def __init__(
        self, status: HTTPStatus, detail: str, headers: Mapping[str, str] | None = None, **about: object
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.headers = headers
        self.about = about


def unreadable(detail: str) -> RequestError:
    """Answer the 400 for bytes that can't be made sense of."""
    return RequestError(HTTPStatus.BAD_REQUEST, detail)


def wrong_method(method: str, allowed: Iterable[str], **about: object) -> RequestError:
    """Answer the 405 for a path that exists under other methods, with the `Allow` that RFC 9110 asks for."""
    allow = ", ".join(sorted(allowed))
    detail = f"{printable(method)} is not possible here; allowed: {allow}"
    return RequestError(HTTPStatus.METHOD_NOT_ALLOWED, detail, {"Allow": allow}, **about)


def nothing_here(path: str) -> NotFound:
    """Answer the 404 for a path that no route has."""
    return NotFound(f"there is nothing at {printable(path)}")


def pointer(*segments: str | int) -> str:
    """Answer a place in a JSON document as a URI fragment (RFC 6901 section 6): `#/event_types/0`."""
    return "#" + "".join(f"/{_escaped(str(segment))}" for segment in segments)


def problem(
    status: HTTPStatus, detail: str, headers: Mapping[str, str] | None = None, faults: Iterable[Fault] = ()
) -> web.Response:
    """Answer a response that says what is wrong, with one entry in `errors` for each fault."""
    document: dict[str, object] = {
        "type": "about:blank",
        "title": PHRASES.get(status, status.phrase),
        "status": status.value,
        "detail": printable(detail),
    }
    errors = [{"pointer": printable(fault.pointer), "detail": printable(fault.detail)} for fault in faults]
    if errors:
        document["errors"] = errors
    body = msgspec.json.encode(document) + b"\n"
    return web.Response(body=body, status=status, headers=headers, content_type=CONTENT_TYPE)


def problem_of(error: HookdError) -> web.Response:
    """Answer the response that one of our own errors stands for."""
    match error:
        case RequestError():
            return problem(error.status, str(error), error.headers)
        case InvalidInput():
            return problem(HTTPStatus.UNPROCESSABLE_ENTITY, str(error), faults=error.faults)
        case Unreadable():
            return problem(HTTPStatus.BAD_REQUEST, str(error))
        case NotFound():
            return problem(HTTPStatus.NOT_FOUND, str(error))
        case Conflict():
            return problem(HTTPStatus.CONFLICT, str(error))
        case Unavailable():
            return problem(HTTPStatus.SERVICE_UNAVAILABLE, str(error), {"Retry-After": RETRY_AFTER})
        case _:
            return _unexpected(error)


def refusal(status: HTTPStatus, detail: str, **about: object) -> web.Response:
    """Answer a problem that ends its connection, since what follows there can't be told apart; the log says so."""
    note_refusal(status, detail, **about)
    response = problem(status, detail, {"Connection": "close"})
    response.force_close()
    return response


def note_refusal(status: HTTPStatus, detail: str, **about: object) -> None:
    """Log in one line what was refused; `about` says more of the request, and names the source if one refused it."""
    level = logging.WARNING if status in UNWELCOME or "source" in about else logging.INFO
    refused(log, level, status=status.value, fault=detail, **about)


def _about(request: web.BaseRequest) -> dict[str, object]:
    return {"method": request.method, "path": one_line(request.path, LONGEST_PATH), "peer": request.remote}


async def boundary(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Let an application see what can be read in one way only, and turn whatever it raises into a problem."""
    fault = ambiguity(request)
    if fault is not None:
        return refusal(HTTPStatus.BAD_REQUEST, fault, **_about(request))
    if expects_too_much(request):
        return refusal(HTTPStatus.EXPECTATION_FAILED, UNEXPECTED, **_about(request))
    response = await _answer(request, handler)
    if not may_go_on(request):
        response.force_close()
    return response


async def _answer(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except HookdError as error:
        if isinstance(error, RequestError) and (error.status in UNWELCOME or error.about):
            note_refusal(error.status, str(error), **error.about, **_about(request))
        return problem_of(error)
    except web.HTTPException as error:
        return _problem_of_aiohttp(error)
    except Exception as error:  # noqa: BLE001 - the outermost place; it is logged with its traceback
        return _unexpected(error)


def _unexpected(error: Exception) -> web.Response:
    log.error("a request failed unexpectedly", exc_info=error)
    return problem(HTTPStatus.INTERNAL_SERVER_ERROR, "hookd failed at this; its log says why")


def _problem_of_aiohttp(error: web.HTTPException) -> web.Response:
    headers = {name: error.headers[name] for name in ("Allow", "Location") if name in error.headers}
    return problem(HTTPStatus(error.status), error.reason, headers)


def _escaped(segment: str) -> str:
    if len(segment) > LONGEST_SEGMENT:
        segment = segment[:LONGEST_SEGMENT] + "..."
    token = segment.replace("~", "~0").replace("/", "~1")
    return quote(token, safe=FRAGMENT, errors="backslashreplace")
