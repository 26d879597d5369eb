"""Events, deliveries, attempts and rejections as lines for a terminal, where what others have sent is escaped."""

from collections.abc import Iterable, Iterator, Mapping

import msgspec

from hookd.client import Attempt, Delivery, Event, Rejection
from hookd.model import Status
from hookd.text import printable

_STATUS_WIDTH = max(map(len, Status))
_INDENT = "  "


def counted(count: int, singular: str, plural: str) -> str:
    """Count things: `1 delivery`, `2 deliveries`."""
    return f"{count} {singular if count == 1 else plural}"


def delivery_line(delivery: Delivery) -> str:
    """Show a delivery in one line."""
    parts = [
        delivery.created_at,
        delivery.status.ljust(_STATUS_WIDTH),
        delivery.id,
        delivery.type,
        delivery.endpoint,
        counted(delivery.attempt_count, "attempt", "attempts"),
        *_prospects(delivery),
    ]
    return printable("  ".join(parts))


def of_event(event: Event, deliveries: Iterable[Delivery]) -> Iterator[str]:
    """Tell the story of an event: the event, its payload, and these of its deliveries with their attempts."""
    yield printable(f"event {event.id}")
    about = {
        "type": event.type,
        "tenant": event.tenant,
        "origin": event.origin,
        "accepted": event.created_at,
        "payload": event.content_type,
    }
    yield from _indented(_table(about))
    yield from _indented(_lines(_payload(event)), 2)
    for delivery in deliveries:
        yield ""
        yield from _of_delivery(delivery)


def of_rejection(rejection: Rejection) -> Iterator[str]:
    """Tell the story of a request that was refused: why, what to do, and what it said."""
    yield printable(f"rejection {rejection.id}")
    about = {
        "source": rejection.source,
        "tenant": rejection.tenant,
        "received": rejection.received_at,
        "cause": rejection.cause,
        "accepted": rejection.event,
    }
    yield from _indented(_table(about))
    yield ""
    yield from _indented([printable(rejection.explanation)])
    yield ""
    yield from _indented([printable(f"> {rejection.method} {rejection.target}")])
    yield from _indented(_headers(">", rejection.headers))
    yield ""
    if rejection.body_encoding != "text":
        yield f"{_INDENT}(in base64)"
    yield from _indented(_lines(rejection.body))
    if rejection.truncated:
        yield f"{_INDENT}(it has {rejection.size} bytes, of which this is the beginning)"


def _of_delivery(delivery: Delivery) -> Iterator[str]:
    yield printable(f"delivery {delivery.id}  {delivery.status}")
    about = {"endpoint": delivery.endpoint, "reason": delivery.reason, "next": delivery.next_attempt_at}
    yield from _indented(_table(about))
    earlier = delivery.attempt_count - len(delivery.attempts)
    if earlier > 0:
        yield f"{_INDENT}({counted(earlier, 'earlier attempt is', 'earlier attempts are')} not shown)"
    for attempt in delivery.attempts:
        yield ""
        yield from _indented(_of_attempt(attempt))


def _of_attempt(attempt: Attempt) -> Iterator[str]:
    yield _attempt_line(attempt)
    yield from _headers(">", attempt.request_headers.items())
    yield from _headers("<", attempt.response_headers.items())
    if attempt.response_body:
        yield from _indented(_lines(attempt.response_body))
    if attempt.truncated:
        yield f"{_INDENT}(more was sent, and is not kept)"


def _attempt_line(attempt: Attempt) -> str:
    """Show an attempt in one line."""
    parts = [f"attempt {attempt.number}", attempt.started_at, attempt.outcome, f"{attempt.duration_ms:g} ms"]
    if attempt.status_code is not None:
        parts.append(f"HTTP {attempt.status_code}")
    if attempt.error is not None:
        parts.append(attempt.error)
    return printable("  ".join(parts))


def _headers(mark: str, headers: Iterable[tuple[str, str]]) -> Iterator[str]:
    """Mark headers as curl does: `>` were sent, `<` came back."""
    return (printable(f"{mark} {name}: {value}") for name, value in headers)


def _prospects(delivery: Delivery) -> Iterator[str]:
    """Say why a delivery is where it is, and when it goes on."""
    if delivery.attempt_count and delivery.next_attempt_at is not None:
        yield f"next {delivery.next_attempt_at}"
    yield from (cause for cause in (delivery.reason, delivery.last_error) if cause is not None)


def _payload(event: Event) -> str:
    """Answer the payload as a person reads it: JSON indented and otherwise untouched, anything else as it is."""
    raw = bytes(event.payload)
    if raw.startswith(b'"') and not event.content_type.partition(";")[0].endswith("json"):
        return msgspec.json.decode(raw, type=str)
    return msgspec.json.format(raw, indent=len(_INDENT)).decode()


def _table(about: Mapping[str, str | None]) -> Iterator[str]:
    """Set names and values in two columns, without those that have no value."""
    known = {name: value for name, value in about.items() if value is not None}
    width = max(map(len, known), default=0)
    return (printable(f"{name:<{width}}  {value}") for name, value in known.items())


def _lines(text: str) -> Iterator[str]:
    """Part text at its line ends alone, and escape what else would move a terminal's cursor."""
    return (printable(line.removesuffix("\r")) for line in text.removesuffix("\n").split("\n"))


def _indented(lines: Iterable[str], depth: int = 1) -> Iterator[str]:
    return (_INDENT * depth + line if line else line for line in lines)
