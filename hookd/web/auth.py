"""Who may call: bearer tokens (RFC 6750), or, where there are none, this machine's own users alone."""

import hmac
import re
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from http import HTTPStatus

from aiohttp import web

from hookd.model import ApiToken, Scope
from hookd.web.problems import RequestError

READING = frozenset({"GET", "HEAD", "OPTIONS"})
"""Methods that change nothing."""

_LOCAL_HOST = re.compile(r"(localhost|127\.0\.0\.1|\[::1\])(:[0-9]{1,5})?", re.IGNORECASE)
_FORWARDED = re.compile(r"^(forwarded|via|x-forwarded-.*)$", re.IGNORECASE | re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Caller:
    """Somebody who may call. With a tenant, nothing of any other tenant exists for them."""

    name: str
    scopes: frozenset[Scope]
    tenant: str | None = None


ANYBODY = Caller("anybody", frozenset())
"""Who calls an open route."""
DEVELOPER = Caller("developer", frozenset(Scope))
"""Who calls from this machine while there are no tokens."""


def admit(request: web.Request, tokens: Sequence[ApiToken], scope: Scope | None) -> Caller:
    """Answer who calls, if they may; `scope` is None for an open route. Otherwise 401, 403 or 415."""
    if not tokens:
        _expect_local(request)
        return DEVELOPER
    if scope is None:
        return ANYBODY
    caller = _bearer(request, tokens)
    if scope not in caller.scopes:
        raise RequestError(
            HTTPStatus.FORBIDDEN,
            f"the token {caller.name!r} lacks the scope {scope.value!r}, which this route needs",
            {"WWW-Authenticate": f'Bearer realm="hookd", error="insufficient_scope", scope="{scope.value}"'},
        )
    return caller


def _bearer(request: web.Request, tokens: Sequence[ApiToken]) -> Caller:
    credentials = request.headers.getall("Authorization", [])
    if not credentials:
        raise _unauthenticated("expected the header Authorization: Bearer TOKEN")
    kind, _, token = credentials[0].partition(" ")
    if len(credentials) > 1 or kind.lower() != "bearer":
        raise _unauthenticated("expected one header Authorization: Bearer TOKEN", "invalid_request")
    found = _token(token.strip(), tokens)
    if found is None:
        raise _unauthenticated("this token is not known here", "invalid_token")
    return Caller(found.name, found.scopes, found.tenant)


def _token(text: str, tokens: Sequence[ApiToken]) -> ApiToken | None:
    """Look the token up by its digest; every token is compared, so that the time taken tells nothing."""
    digest = sha256(text.encode("utf-8", "surrogateescape")).hexdigest()
    found = None
    for token in tokens:
        if hmac.compare_digest(token.digest, digest):
            found = token
    return found


def _unauthenticated(detail: str, error: str | None = None) -> RequestError:
    challenge = 'Bearer realm="hookd"' + (f', error="{error}"' if error else "")
    return RequestError(HTTPStatus.UNAUTHORIZED, detail, {"WWW-Authenticate": challenge})


def _expect_local(request: web.Request) -> None:
    """Refuse what a web page or a proxy could send to a daemon that has no tokens.

    A foreign page can reach this machine by a name of its own (DNS rebinding: the Host), by a request without
    preflight (the Origin, the content type), or through a proxy in between.
    """
    hosts = request.headers.getall("Host", [])
    if len(hosts) != 1 or not _LOCAL_HOST.fullmatch(hosts[0]):
        raise _foreign("expected the Host localhost, 127.0.0.1 or [::1]")
    forwarded = _FORWARDED.search("\n".join(request.headers))
    if forwarded is not None:
        raise _foreign(f"a forwarded request ({forwarded[0]}) is refused")
    own = hosts[0].lower()
    for origin in request.headers.getall("Origin", []):
        if origin.lower() not in (f"http://{own}", f"https://{own}"):
            raise _foreign("a request from another origin is refused")
    if request.method not in READING and request.content_type != "application/json":
        raise RequestError(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "expected application/json; with curl use --json")


def _foreign(detail: str) -> RequestError:
    return RequestError(HTTPStatus.FORBIDDEN, f"{detail} while there are no tokens; see [[auth.tokens]]")
