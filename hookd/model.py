"""The nouns: event, endpoint, handler, source, trigger, delivery, attempt. All frozen.

Those that come with every event are Structs, which are made in a tenth of a dataclass's time.

Times are wall-clock milliseconds since 1970 UTC; durations are milliseconds; payloads are bytes as accepted.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from ipaddress import IPv4Network, IPv6Network
from types import MappingProxyType

from msgspec import Struct

Clock = Callable[[], int]
"""Answers the wall-clock time in milliseconds since 1970 UTC."""

PAYLOAD_TYPE = "application/json"

EMPTY: Mapping[str, str] = MappingProxyType({})


def wall_clock() -> int:
    """Answer the machine's wall-clock time in milliseconds since 1970 UTC."""
    return time.time_ns() // 1_000_000


class Origin(StrEnum):
    """How an event came to be; patterns treat the three differently."""

    PUBLISHED = "published"
    INBOUND = "inbound"
    OPERATIONAL = "operational"


class EndpointState(StrEnum):
    """Whether deliveries of an endpoint are made, wait, or are cancelled."""

    ACTIVE = "active"
    PAUSED = "paused"
    DISABLED = "disabled"


class Status(StrEnum):
    """The status of a delivery."""

    PENDING = "pending"
    SENDING = "sending"
    DELIVERED = "delivered"
    FAILED = "failed"
    CANCELLED = "cancelled"


class Outcome(StrEnum):
    """How one attempt ended."""

    SUCCESS = "success"
    HTTP_3XX = "http_3xx"
    HTTP_4XX = "http_4xx"
    HTTP_5XX = "http_5xx"
    TIMEOUT = "timeout"
    DNS = "dns"
    CONNECT = "connect"
    TLS = "tls"
    BLOCKED = "blocked"
    PROTOCOL = "protocol"
    HANDLER_ERROR = "handler_error"


class Event(Struct, frozen=True):
    """Something that happened."""

    id: str
    tenant: str | None
    type: str
    origin: Origin
    payload: bytes
    content_type: str
    created_at: int
    ordering_key: str = ""
    """Deliveries of an ordered destination keep their order among those of the same key."""


@dataclass(frozen=True, slots=True)
class Publication:
    """An event that a producer publishes. `id` and `idempotency_key` are the producer's own, where given."""

    type: str
    payload: bytes = field(repr=False)
    tenant: str | None = None
    id: str | None = None
    idempotency_key: str | None = None
    endpoints: tuple[str, ...] | None = None
    ordering_key: str = ""
    content: bytes | None = field(default=None, repr=False)
    """What tells it from another, where the payload contains the event's id; None: the payload."""


@dataclass(frozen=True, slots=True)
class PreviousSecret:
    """A secret that still signs, until `expires_at`."""

    secret: str = field(repr=False)
    expires_at: int


@dataclass(frozen=True, slots=True)
class RateLimit:
    """How often attempts may be begun: `count` in each `period` (ms), and `burst` at once after a rest."""

    count: int
    period: int
    burst: int

    @property
    def per_second(self) -> float:
        """Attempts a second."""
        return self.count * 1000 / self.period


class Breaker(Struct, frozen=True):
    """What keeps an endpoint from being sent to: since when it is open, how often it was opened since, and until when.

    `opened_at` is None while it is closed; even then `blocked_until` may stand for a pause that the receiver asked for.
    """

    opened_at: int | None = None
    openings: int = 0
    blocked_until: int | None = None
    told: bool = False
    """Whether `hookd.endpoint.failing` told of it; then `hookd.endpoint.recovered` does so once it is closed."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """An HTTP destination. `None` in `max_in_flight`, `timeout` and `retry` means the daemon's setting."""

    id: str
    tenant: str | None
    url: str
    event_types: tuple[str, ...]
    description: str
    scheme: str
    format: str
    """What the body is made of: a name of attempt/format.py."""
    token: str | None = field(repr=False)
    secret: str = field(repr=False)
    previous_secrets: tuple[PreviousSecret, ...] = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)
    rate_limit: RateLimit | None
    max_in_flight: int | None
    ordered: bool
    timeout: int | None
    retry: tuple[int, ...] | None
    metadata: Mapping[str, str]
    state: EndpointState
    state_reason: str | None
    state_since: int
    failing_since: int | None
    failing_attempts: int
    breaker: Breaker
    created_at: int
    updated_at: int
    filter: str | None = None
    """What its events have to be like, beyond their type; as JSON, see `policy.filter`."""


@dataclass(frozen=True, slots=True)
class Handler:
    """A destination inside the daemon, declared in the configuration only: `log:`, `python:` or `exec:`."""

    name: str
    event_types: tuple[str, ...]
    run: str
    timeout: int | None = None
    max_in_flight: int | None = None
    rate_limit: RateLimit | None = None
    ordered: bool = False
    filter: str | None = None
    """What its events have to be like, beyond their type; as JSON, see `policy.filter`."""

    @property
    def id(self) -> str:
        """Its name among endpoint ids: `handler:NAME`."""
        return f"handler:{self.name}"


Destination = Endpoint | Handler


class Delivery(Struct, frozen=True):
    """A claimed row of the outbox, ready for an attempt.

    `attempt_count` counts the attempts on record, so that the next one is `attempt_count + 1`; `step` is the place
    in the retry schedule, which a manual retry sets back to 0.
    """

    sequence: int
    id: str
    event: Event
    destination: Destination
    attempt_count: int
    step: int
    owner: int = 0
    """The number of the process that claimed it, where several share the store."""


class Attempt(Struct, frozen=True):
    """One try at a delivery, as it is recorded. `retry_after` is what the receiver asked for, in milliseconds."""

    id: str
    number: int
    started_at: int
    duration: float
    outcome: Outcome
    status_code: int | None = None
    error: str | None = None
    request_headers: Mapping[str, str] = EMPTY
    response_headers: Mapping[str, str] = EMPTY
    response_body: bytes = b""
    truncated: bool = False
    retry_after: int | None = None


@dataclass(frozen=True, slots=True)
class Field:
    """Where a source finds an id or a type: in a header, or at a path of the JSON body."""

    place: str
    """`header` or `body`."""
    name: str
    """The header's name, or the path with its segments joined by dots."""


@dataclass(frozen=True, slots=True)
class Source:
    """A path at which somebody else's webhooks arrive."""

    name: str
    path: str
    scheme: str
    secrets: tuple[str, ...] = field(repr=False)
    tolerance: int | None
    """None means the scheme's own, as it does in `id` and `type`."""
    header: str | None
    """The header that carries the token, for the scheme `token`."""
    id: Field | None
    type: Field | None
    tenant: str | None
    max_body: int
    reply: str | None
    """The message of the answer; None means what the scheme's senders expect."""
    refuse: str
    filter: str | None = None
    """What its events have to be like to be kept; as JSON, see `policy.filter`."""
    allow: tuple[IPv4Network | IPv6Network, ...] | None = None
    """Who may call; None: anybody."""
    methods: tuple[str, ...] = ("POST",)
    format: str = "plain"
    """What is sent: `plain` for anything, `cloudevents` in the mode that is signed, or `cloudevents-binary` in both."""
    url: str | None = None
    """The address as the sender knows it, without a query."""
    verify_token: str | None = field(default=None, repr=False)
    """The word that Meta shows when it asks whether the path is the source's."""

    def address(self, target: str) -> str | None:
        """Answer the whole address of a request as the sender knows it: `url`, with the query of what was asked for."""
        if self.url is None:
            return None
        _, mark, query = target.partition("?")
        return self.url + mark + query


@dataclass(frozen=True, slots=True)
class Rejection:
    """A request to a source that was refused. `body` may be the beginning of one that had `size` bytes."""

    id: str
    source: str
    tenant: str | None
    reason: str
    """A stable code, as a SignatureError has it, or `unreadable`."""
    cause: str
    """What was wrong with it, in words."""
    received_at: int
    method: str
    target: str = field(repr=False)
    """What was asked for, path and query, but for credentials, which are masked."""
    size: int
    headers: tuple[tuple[str, str], ...] = field(repr=False)
    """As they came, but for credentials, which are masked."""
    body: bytes = field(repr=False)
    event: str | None = None
    """What it became once it was accepted by hand."""


@dataclass(frozen=True, slots=True)
class Trigger:
    """A route that turns a POST into an event of one type."""

    path: str
    type: str
    required: tuple[str, ...]
    reply: str
    authenticated: bool
    """False where the configuration says `auth = "none"`."""


class Scope(StrEnum):
    """What a token may do."""

    READ = "read"
    WRITE = "write"
    PUBLISH = "publish"


@dataclass(frozen=True, slots=True)
class ApiToken:
    """A caller's right. `digest` is the SHA-256 of the token, in hexadecimal; the token itself is not kept."""

    name: str
    digest: str = field(repr=False)
    scopes: frozenset[Scope]
    tenant: str | None = None
