"""`/api/v1/events`: publish, list, read."""

from http import HTTPStatus
from typing import Annotated

from aiohttp import web
from pydantic import AfterValidator, Field

from hookd.accept import Receipt
from hookd.errors import Fault, InvalidInput
from hookd.model import Event, Publication
from hookd.policy.names import expect_free
from hookd.store import DeliveryFilter, DeliveryRecord, Page
from hookd.web.answers import answer, delivery_document, event_document, payload_document
from hookd.web.call import Call, Site
from hookd.web.fields import (
    Body,
    EventId,
    EventType,
    OrderingKey,
    Tenant,
    Text,
    at_most,
    check,
    idempotency_key,
    one_or_more,
)
from hookd.web.page import LONGEST, answer_page, page_of
from hookd.web.problems import pointer

KEY_HEADER = "Idempotency-Key"

EndpointIds = Annotated[
    tuple[Annotated[Text, Field(max_length=128)], ...],
    at_most(100),
    Field(strict=False),
    AfterValidator(one_or_more),
]


class Publishing(Body):
    """An event as a producer publishes it. The payload is any JSON value."""

    type: EventType
    payload: object = Field(repr=False)
    id: EventId | None = None
    tenant: Tenant | None = None
    endpoints: EndpointIds | None = None
    ordering_key: OrderingKey | None = None


async def publish(call: Call) -> web.Response:
    """Publish an event; 202 once it is on disk, 200 where it already was."""
    members = await call.members()
    event = check(Publishing, {name: member.value for name, member in members.items()})
    _expect_free(event.type, call.site)
    publication = Publication(
        type=event.type,
        payload=members["payload"].raw,
        tenant=call.tenant(event.tenant),
        id=event.id,
        idempotency_key=idempotency_key_of(call.request),
        endpoints=event.endpoints,
        ordering_key=event.ordering_key or "",
    )
    receipt = await call.services.acceptor.publish(publication)
    return answer(_receipt(receipt), HTTPStatus.OK if receipt.repeated else HTTPStatus.ACCEPTED)


def _expect_free(event_type: str, site: Site) -> None:
    """Refuse a type that says it came from a source, or from hookd itself."""
    try:
        expect_free(event_type, site.source_names)
    except ValueError as error:
        raise InvalidInput(Fault(pointer("type"), str(error))) from None


def idempotency_key_of(request: web.Request) -> str | None:
    """Answer the request's Idempotency-Key, if it has one."""
    found = request.headers.getall(KEY_HEADER, [])
    if not found:
        return None
    try:
        if len(found) > 1:
            raise ValueError("is there twice; expected once")  # noqa: TRY301 - told as all that is wrong with it
        return idempotency_key(found[0])
    except ValueError as error:
        raise InvalidInput(Fault(KEY_HEADER, str(error))) from None


def _receipt(receipt: Receipt) -> dict[str, object]:
    document: dict[str, object] = {"id": receipt.id, "deliveries": receipt.deliveries}
    if receipt.note is not None:
        document["note"] = receipt.note
    return document


async def list_all(call: Call) -> web.Response:
    """List the events that the caller may see, without payloads."""
    listing = await call.services.store.events(call.caller.tenant, page_of(call.query))
    return answer_page(listing, event_document)


async def read(call: Call) -> web.Response:
    """Answer one event with its payload and all its deliveries."""
    event = await call.services.store.event(call.id, call.caller.tenant)
    deliveries = await _deliveries(call, event)
    return answer(
        event_document(event)
        | {
            "payload": payload_document(event.payload),
            "deliveries": [delivery_document(delivery) for delivery in deliveries],
        }
    )


async def _deliveries(call: Call, event: Event) -> list[DeliveryRecord]:
    """Read all deliveries of an event, page by page; another tenant's event may have the same id."""
    found: list[DeliveryRecord] = []
    before = None
    while True:
        wanted = DeliveryFilter(event=event.id, tenant=event.tenant)
        listing = await call.services.store.deliveries(wanted, Page(LONGEST, before=before))
        found += [delivery for delivery in listing.items if delivery.tenant == event.tenant]
        before = listing.next
        if before is None:
            return found
