"""Answers in JSON, and the nouns as the API shows them. Times are RFC 3339, durations `15s`; no secret is shown."""

from collections.abc import Mapping
from http import HTTPStatus

import msgspec
from aiohttp import web

from hookd.model import Attempt, Breaker, Endpoint, Event, Rejection
from hookd.parse import is_json
from hookd.policy import breaker
from hookd.store import DeliveryRecord, EventRecord, RejectionRecord
from hookd.units import format_time
from hookd.web.definition import MASK, definition

Document = dict[str, object]


def answer(value: object, status: int = HTTPStatus.OK, headers: Mapping[str, str] | None = None) -> web.Response:
    """Answer a response whose body is the value in JSON."""
    body = msgspec.json.encode(value) + b"\n"  # or a shell's prompt sticks to it
    return web.Response(body=body, status=status, headers=headers, content_type="application/json")


def endpoint_document(endpoint: Endpoint, now: int) -> Document:
    """Show an endpoint as it is at `now` (epoch ms); its token and the values of its own headers are masked."""
    return {
        "id": endpoint.id,
        "tenant": endpoint.tenant,
        **definition(endpoint),
        "token": None if endpoint.token is None else MASK,
        "headers": dict.fromkeys(endpoint.headers, MASK),
        "state": endpoint.state,
        "state_reason": endpoint.state_reason,
        "state_since": format_time(endpoint.state_since),
        "breaker": _breaker_document(endpoint.breaker, now),
        "created_at": format_time(endpoint.created_at),
        "updated_at": format_time(endpoint.updated_at),
    }


def _breaker_document(lane: Breaker, now: int) -> Document:
    """Show a breaker, and until when nothing is sent, be it but that the receiver asked for a pause."""
    blocked = lane.blocked_until is not None and lane.blocked_until > now
    return {
        "state": breaker.state(lane, now),
        "since": _time(lane.opened_at),
        "blocked_until": _time(lane.blocked_until) if blocked else None,
    }


def event_document(event: Event | EventRecord) -> Document:
    """Show an event without its payload."""
    return {
        "id": event.id,
        "type": event.type,
        "tenant": event.tenant,
        "origin": event.origin,
        "ordering_key": event.ordering_key or None,
        "content_type": event.content_type,
        "created_at": format_time(event.created_at),
    }


def payload_document(payload: bytes) -> object:
    """Show a payload: JSON byte for byte as it was accepted, anything else as text."""
    return msgspec.Raw(payload) if is_json(payload) else payload.decode("utf-8", "replace")


def delivery_document(delivery: DeliveryRecord) -> Document:
    """Show a delivery without its attempts."""
    return {
        "id": delivery.id,
        "event": delivery.event,
        "type": delivery.type,
        "tenant": delivery.tenant,
        "endpoint": delivery.endpoint,
        "status": delivery.status,
        "reason": delivery.reason,
        "attempt_count": delivery.attempt_count,
        "next_attempt_at": _time(delivery.next_attempt_at),
        "last_error": delivery.last_error,
        "created_at": format_time(delivery.created_at),
    }


def attempt_document(attempt: Attempt) -> Document:
    """Show an attempt; what is not UTF-8 in the response's body is replaced."""
    return {
        "id": attempt.id,
        "number": attempt.number,
        "started_at": format_time(attempt.started_at),
        "duration_ms": round(attempt.duration, 1),
        "outcome": attempt.outcome,
        "status_code": attempt.status_code,
        "error": attempt.error,
        "request_headers": dict(attempt.request_headers),
        "response_headers": dict(attempt.response_headers),
        "response_body": attempt.response_body.decode("utf-8", "replace"),
        "truncated": attempt.truncated,
    }


def rejection_document(rejection: Rejection | RejectionRecord) -> Document:
    """Show a rejection without its headers and body."""
    return {
        "id": rejection.id,
        "source": rejection.source,
        "tenant": rejection.tenant,
        "reason": rejection.reason,
        "cause": rejection.cause,
        "size": rejection.size,
        "received_at": format_time(rejection.received_at),
        "event": rejection.event,
    }


def _time(time: int | None) -> str | None:
    return None if time is None else format_time(time)
