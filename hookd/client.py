"""A small client of a running daemon, for the commands: one request at a time, over the standard library.

The token goes to the daemon alone: no redirect is followed, no error repeats it, and a daemon on this machine is
reached past any proxy.
"""

import http.client
import ipaddress
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from http import HTTPStatus
from typing import Final, TypeVar
from urllib.parse import quote, urlencode, urlsplit
from urllib.request import HTTPHandler, HTTPSHandler, OpenerDirector, ProxyHandler, Request

import msgspec

from hookd.errors import ConfigError, Fault, HookdError
from hookd.model import Outcome, Status
from hookd.text import one_line
from hookd.version import VERSION

URL: Final = "http://127.0.0.1:8080"
"""Where a daemon is unless `$HOOKD_URL` says otherwise."""
PATIENCE: Final = 30.0
"""Seconds for each step of an exchange."""
PAGE: Final = 250
"""The deliveries of a full page."""

_URL: Final = re.compile(r"https?://[^/?#@\s]+(/[^?#@\s]*)?", re.IGNORECASE)
_TOKEN: Final = re.compile(r"[!-~](?:[ -~]*[!-~])?")

T = TypeVar("T")


class Receipt(msgspec.Struct):
    """What the daemon says of an event that it has accepted."""

    id: str
    deliveries: int
    note: str | None = None


class Attempt(msgspec.Struct):
    """An attempt as the API shows it; `duration_ms` in milliseconds."""

    number: int
    started_at: str
    duration_ms: float
    outcome: Outcome
    status_code: int | None
    error: str | None
    request_headers: dict[str, str]
    response_headers: dict[str, str]
    response_body: str
    truncated: bool


class Delivery(msgspec.Struct):
    """A delivery as the API shows it; with its latest attempts, oldest first, where it was asked for by id."""

    id: str
    event: str
    type: str
    tenant: str | None
    endpoint: str
    status: Status
    reason: str | None
    attempt_count: int
    next_attempt_at: str | None
    last_error: str | None
    created_at: str
    attempts: tuple[Attempt, ...] = ()


class Event(msgspec.Struct):
    """An event as the API shows it. The payload is JSON, byte for byte; what was not JSON is a string in it."""

    id: str
    type: str
    tenant: str | None
    origin: str
    content_type: str
    created_at: str
    payload: msgspec.Raw
    deliveries: tuple[Delivery, ...]


class Rejection(msgspec.Struct):
    """A request to a source that was refused, as the API shows it."""

    id: str
    source: str
    tenant: str | None
    cause: str
    size: int
    received_at: str
    event: str | None
    explanation: str
    method: str
    target: str
    headers: tuple[tuple[str, str], ...]
    body: str
    body_encoding: str
    truncated: bool


class AnswerError(HookdError):
    """The daemon answered with an error; `status` is HTTP's."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


class NoAnswerError(HookdError):
    """No daemon answered."""


class _Page(msgspec.Struct):
    data: tuple[Delivery, ...]
    next_cursor: str | None


class _Problem(msgspec.Struct):
    title: str
    detail: str


class Client:
    """Speaks to one daemon. Every fault is a HookdError of one line."""

    def __init__(self, url: str, token: str | None) -> None:
        self.url = url.rstrip("/")
        self._headers = {"Content-Type": "application/json", "User-Agent": f"hookd/{VERSION}"}
        if token is not None:
            self._headers["Authorization"] = f"Bearer {token}"
        self._opener = _opener(self.url)

    def publish(self, event_type: str, payload: bytes, **fields: str | Sequence[str] | None) -> Receipt:
        """Publish an event with these of the API's fields, whose payload is JSON, sent on with these very bytes."""
        members = {"type": event_type} | {name: value for name, value in fields.items() if value is not None}
        body = b'%s,"payload":%s}' % (json.dumps(members).encode().removesuffix(b"}"), payload)
        return self._ask("POST", "events", Receipt, body)

    def event(self, event_id: str) -> Event:
        """Answer an event with its payload and deliveries."""
        return self._ask("GET", f"events/{_segment(event_id)}", Event)

    def delivery(self, delivery_id: str) -> Delivery:
        """Answer a delivery with its latest attempts."""
        return self._ask("GET", f"deliveries/{_segment(delivery_id)}", Delivery)

    def rejection(self, rejection_id: str) -> Rejection:
        """Answer a request that was refused, and why."""
        return self._ask("GET", f"rejections/{_segment(rejection_id)}", Rejection)

    def accept(self, rejection_id: str) -> Receipt:
        """Let in a request that was refused, once it verifies."""
        return self._ask("POST", f"rejections/{_segment(rejection_id)}/accept", Receipt, b"")

    def deliveries(self, *, page: int = PAGE, **filters: str | None) -> Iterator[Delivery]:
        """Answer the deliveries that the API's filters let through, newest first, page after page as they are used."""
        asked = {"limit": str(page)} | {name: value for name, value in filters.items() if value is not None}
        while True:
            found = self._ask("GET", f"deliveries?{urlencode(asked, errors='surrogateescape')}", _Page)
            yield from found.data
            if found.next_cursor is None:
                return
            asked["cursor"] = found.next_cursor

    def retry(self, delivery_id: str) -> Delivery:
        """Put a delivery back at the start of its schedule."""
        return self._ask("POST", f"deliveries/{_segment(delivery_id)}/retry", Delivery, b"")

    def _ask(self, method: str, path: str, kind: type[T], body: bytes | None = None) -> T:
        request = Request(f"{self.url}/api/v1/{path}", body, self._headers, method=method)  # noqa: S310 - see connect
        try:
            with self._opener.open(request, timeout=PATIENCE) as response:
                return self._understood(response, response.read(), kind)
        except (OSError, http.client.HTTPException) as error:
            raise NoAnswerError(
                f"no answer from {self.url} ({_cause(error)}); start a daemon with `hookd run`, or set $HOOKD_URL"
            ) from None

    def _understood(self, response: http.client.HTTPResponse, body: bytes, kind: type[T]) -> T:
        if not HTTPStatus.OK <= response.status < HTTPStatus.MULTIPLE_CHOICES:
            raise self._refused(response, body)
        try:
            return _decoded(body, kind)
        except ValueError:
            raise HookdError(f"{self.url} does not answer as hookd does; check $HOOKD_URL") from None

    def _refused(self, response: http.client.HTTPResponse, body: bytes) -> AnswerError:
        status, title = response.status, response.reason
        location = response.getheader("Location")
        try:
            problem = _decoded(body, _Problem)
            title, detail = problem.title, problem.detail
        except ValueError:
            detail = f"{self.url} does not answer as hookd does; check $HOOKD_URL"
        if location is not None:
            detail = f"it points to {location}, and redirects are not followed; check $HOOKD_URL"
        if status == HTTPStatus.UNAUTHORIZED:
            detail += "; check $HOOKD_TOKEN"
        return AnswerError(status, one_line(f"{title} (HTTP {status}): {detail}", 2000))


def connect(environment: Mapping[str, str]) -> Client:
    """Make the client that `$HOOKD_URL` and `$HOOKD_TOKEN` ask for; a ConfigError where they make no sense."""
    url = environment.get("HOOKD_URL") or URL
    token = environment.get("HOOKD_TOKEN") or None
    if not _is_address(url):
        raise ConfigError(Fault("$HOOKD_URL", "expected http://HOST:PORT or https://HOST, without user or query"))
    if token is not None and not _TOKEN.fullmatch(token):
        raise ConfigError(Fault("$HOOKD_TOKEN", "expected visible ASCII characters"))
    return Client(url, token)


def _is_address(url: str) -> bool:
    if not (url.isascii() and url.isprintable() and _URL.fullmatch(url)):
        return False
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:  # a port that is none, half an IPv6 address
        return False
    return parts.hostname is not None and port != 0


def _opener(url: str) -> OpenerDirector:
    """Make what opens requests: it hands every answer back as it is, errors and redirects too."""
    opener = OpenerDirector()
    opener.add_handler(ProxyHandler({}) if _is_loopback(urlsplit(url).hostname or "") else ProxyHandler())
    opener.add_handler(HTTPHandler())
    opener.add_handler(HTTPSHandler())
    return opener


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _segment(text: str) -> str:
    return quote(text, safe="", errors="surrogateescape")


def _decoded(body: bytes, kind: type[T]) -> T:
    """Decode an answer; ValueError where it is not of the kind.

    msgspec refuses half a character (a lone surrogate), which JSON allows in a payload: it becomes a `?`.
    """
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.ValidationError:
        raise
    except msgspec.DecodeError:
        text = json.dumps(json.loads(body), ensure_ascii=False)
        return msgspec.json.decode(text.encode(errors="replace"), type=kind)


def _cause(error: OSError | http.client.HTTPException) -> str:
    reason = getattr(error, "reason", None) or error  # what urllib wraps
    text = getattr(reason, "strerror", None) or str(reason) or type(reason).__name__
    return one_line(str(text))
