"""Handshakes: what a sender asks before it sends, or now and then. None of them is an event."""

import hmac
import logging
import re
from collections.abc import Callable, Iterable, Mapping
from http import HTTPStatus
from types import MappingProxyType
from typing import Any, Final, NamedTuple

import msgspec

from hookd.logs import refused
from hookd.model import Source
from hookd.parse import parse

JSON: Final = "application/json"
TEXT: Final = "text/plain"
LONGEST_ORIGIN: Final = 255
_PLAIN_TOKEN: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
NOTHING: Final[Mapping[str, str]] = MappingProxyType({})


log = logging.getLogger("hookd.handshake")


class Reply(NamedTuple):
    """What a handshake is answered with."""

    status: HTTPStatus
    body: bytes = b""
    content_type: str = TEXT
    headers: Mapping[str, str] = NOTHING


Ask = Callable[[str], str | None]
"""Answers the one value of a parameter of the query, or of a header; None where there is none, or several."""


def asked(handshake: str | None, source: Source, method: str, parameter: Ask, header: Ask) -> Reply | None:
    """Answer what is asked by another method than POST; None where nothing is.

    Meta asks whether the path is yours (developers.facebook.com/docs/graph-api/webhooks/getting-started), senders of
    CloudEvents whether they may send to it (CloudEvents, HTTP 1.1 Web Hooks, section 4).
    """
    if handshake == "meta" and method == "GET":
        return _subscribed(source, parameter)
    if handshake == "cloudevents" and method == "OPTIONS":
        return _permitted(header("WebHook-Request-Origin"))
    return None


def _subscribed(source: Source, parameter: Ask) -> Reply:
    shown, challenge = (parameter(f"hub.{name}") or "" for name in ("verify_token", "challenge"))
    expected = source.verify_token or ""
    equal = hmac.compare_digest(_raw(shown), _raw(expected))
    if parameter("hub.mode") != "subscribe" or not (equal and expected and challenge):
        cause = "hub.mode is not subscribe, or there is no hub.challenge" if equal else "hub.verify_token is another"
        cause = cause if expected else "the source has no verify_token"
        refused(log, logging.WARNING, source=source.name, cause=f"the handshake of meta: {cause}")
        return Reply(HTTPStatus.FORBIDDEN, msgspec.json.encode({"message": source.refuse}), JSON)
    return Reply(HTTPStatus.OK, _raw(challenge), headers={"X-Content-Type-Options": "nosniff"})


def _raw(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _permitted(origin: str | None) -> Reply | None:
    if origin is None or not (origin.isascii() and origin.isprintable() and 0 < len(origin) <= LONGEST_ORIGIN):
        return None
    allowed = {"WebHook-Allowed-Origin": origin, "WebHook-Allowed-Rate": "*", "Allow": "POST"}
    return Reply(HTTPStatus.OK, headers=allowed)


def answered(handshake: str | None, secrets: Iterable[str], body: bytes) -> Reply | None:
    """Answer what an authentic POST asks; None where it asks nothing. `secrets` are those that its signature fits."""
    answer = ANSWERS.get(handshake or "")
    if answer is None:
        return None
    try:
        document = parse(body)
    except ValueError:
        return None
    return answer(document, secrets) if isinstance(document, dict) else None


def _slack(document: dict[str, Any], _secrets: Iterable[str]) -> Reply | None:
    """Answer the challenge of docs.slack.dev/reference/events/url_verification."""
    challenge = document.get("challenge")
    if document.get("type") != "url_verification" or not isinstance(challenge, str) or not challenge.isprintable():
        return None
    return Reply(HTTPStatus.OK, msgspec.json.encode({"challenge": challenge}), JSON)


def _zoom(document: dict[str, Any], secrets: Iterable[str]) -> Reply | None:
    """Answer the validation of developers.zoom.us/docs/api/webhooks, which comes again every 72 hours.

    Nothing else is signed with the secret: what Zoom signs of its events has a colon in it.
    """
    payload = document.get("payload")
    token = payload.get("plainToken") if isinstance(payload, dict) else None
    if document.get("event") != "endpoint.url_validation" or not isinstance(token, str):
        return None
    if _PLAIN_TOKEN.fullmatch(token) is None:
        return None
    for secret in secrets:
        proof = hmac.digest(secret.encode(), token.encode(), "sha256").hex()
        return Reply(HTTPStatus.OK, msgspec.json.encode({"plainToken": token, "encryptedToken": proof}), JSON)
    return None


def _discord(document: dict[str, Any], _secrets: Iterable[str]) -> Reply | None:
    """Answer the ping of interactions, which is of type 1, and that of webhook events, of type 0.

    discord.com/developers/docs/interactions/overview, and .../events/webhook-events, whose events are of type 1 too.
    """
    kind = document.get("type")
    if type(kind) is not int or "event" in document:
        return None
    if kind == 0:
        return Reply(HTTPStatus.NO_CONTENT)
    return Reply(HTTPStatus.OK, b'{"type":1}', JSON) if kind == 1 else None


ANSWERS: Final[Mapping[str, Callable[[dict[str, Any], Iterable[str]], Reply | None]]] = {
    "slack": _slack,
    "zoom": _zoom,
    "discord": _discord,
}
"""How an authentic POST is answered that may ask something, by the scheme's handshake."""
