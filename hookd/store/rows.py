"""Rows to nouns and back. A tenant is '' in the database where it is None here; secrets go through a vault."""

from collections.abc import Mapping
from typing import Any

import msgspec

from hookd.model import Attempt, Breaker, Endpoint, EndpointState, Event, Origin, Outcome, PreviousSecret
from hookd.store.statement import Row
from hookd.store.vault import Cipher, Vault
from hookd.units import format_rate, parse_rate

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode


def text(value: object) -> str:
    """Write a list or a mapping as JSON text."""
    return _encode(value).decode()


SECRETS = ("token", "secret", "previous_secrets", "headers")
"""The columns of an endpoint that are encrypted where there are keys."""


def endpoint_row(endpoint: Endpoint, vault: Vault) -> dict[str, Any]:
    """Answer the named parameters that store an endpoint."""
    return {
        "id": endpoint.id,
        "tenant": endpoint.tenant or "",
        "url": endpoint.url,
        "event_types": text(endpoint.event_types),
        "description": endpoint.description,
        "scheme": endpoint.scheme,
        "rate_limit": None if endpoint.rate_limit is None else format_rate(endpoint.rate_limit),
        "max_in_flight": endpoint.max_in_flight,
        "ordered": endpoint.ordered,
        "timeout": endpoint.timeout,
        "retry": None if endpoint.retry is None else text(endpoint.retry),
        "metadata": text(endpoint.metadata),
        "filter": endpoint.filter,
        "state": endpoint.state,
        "state_reason": endpoint.state_reason,
        "state_since": endpoint.state_since,
        "failing_since": endpoint.failing_since,
        "failing_attempts": endpoint.failing_attempts,
        "opened_at": endpoint.breaker.opened_at,
        "openings": endpoint.breaker.openings,
        "blocked_until": endpoint.breaker.blocked_until,
        "format": endpoint.format,
        "told_failing": endpoint.breaker.told,
        "created_at": endpoint.created_at,
        "updated_at": endpoint.updated_at,
        **_encrypted(endpoint, vault.first),
    }


def _encrypted(endpoint: Endpoint, cipher: Cipher) -> dict[str, str | None]:
    previous = text([[old.secret, old.expires_at] for old in endpoint.previous_secrets])
    values = (endpoint.token, endpoint.secret, previous, text(endpoint.headers))
    stored = {
        column: None if value is None else cipher.encrypt(value, _place(endpoint.id, column))
        for column, value in zip(SECRETS, values, strict=True)
    }
    return {**stored, "key_id": cipher.id}


def endpoint(row: Row, vault: Vault) -> Endpoint:
    """Read an endpoint from the columns of `endpoints.read`; Unavailable where its secrets can't be decrypted."""
    token, secret, previous, headers = _decrypted(row[0], row[6:10], vault.cipher(row[21]))
    return Endpoint(
        id=row[0],
        tenant=row[1] or None,
        url=row[2],
        event_types=tuple(_decode(row[3])),
        description=row[4],
        scheme=row[5],
        token=token,
        secret=secret,
        previous_secrets=tuple(PreviousSecret(secret, expires_at) for secret, expires_at in _decode(previous)),
        headers=_decode(headers),
        max_in_flight=row[10],
        timeout=row[11],
        retry=None if row[12] is None else tuple(_decode(row[12])),
        metadata=_decode(row[13]),
        state=EndpointState(row[14]),
        state_reason=row[15],
        state_since=row[16],
        failing_since=row[17],
        failing_attempts=row[18],
        created_at=row[19],
        updated_at=row[20],
        rate_limit=None if row[22] is None else parse_rate(row[22]),
        ordered=bool(row[23]),
        breaker=Breaker(row[24], row[25], row[26], bool(row[27])),
        filter=row[28],
        format=row[29],
    )


def _decrypted(identity: str, stored: Row, cipher: Cipher) -> list[Any]:
    return [
        None if value is None else cipher.decrypt(value, _place(identity, column))
        for column, value in zip(SECRETS, stored, strict=True)
    ]


def _place(identity: str, column: str) -> str:
    """Name a column of a row, to which alone its ciphertext belongs, and in errors."""
    return f"{column} of the endpoint {identity}"


def event(row: Row) -> Event:
    """Read an event from the columns of `events.read`."""
    return Event(
        id=row[0],
        tenant=row[1] or None,
        type=row[2],
        origin=Origin(row[3]),
        payload=row[4],
        content_type=row[5],
        created_at=row[6],
        ordering_key=row[7],
    )


def attempt_row(delivery: int, attempt: Attempt) -> Row:
    """Answer the values that store an attempt of the delivery with this sequence."""
    return (
        delivery,
        attempt.number,
        attempt.id,
        attempt.started_at,
        attempt.duration,
        attempt.outcome.value,  # an exact str is bound much faster than an enum's
        attempt.status_code,
        attempt.error,
        _headers(attempt.request_headers),
        _headers(attempt.response_headers),
        attempt.response_body,
        int(attempt.truncated),
    )


def _headers(headers: Mapping[str, str]) -> str:
    return _encode(headers).decode() if headers else "{}"


def attempt(row: Row) -> Attempt:
    """Read an attempt from the columns of `deliveries.attempts`."""
    return Attempt(
        id=row[0],
        number=row[1],
        started_at=row[2],
        duration=row[3],
        outcome=Outcome(row[4]),
        status_code=row[5],
        error=row[6],
        request_headers=_decode(row[7]),
        response_headers=_decode(row[8]),
        response_body=row[9],
        truncated=bool(row[10]),
    )
