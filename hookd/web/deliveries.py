"""`/api/v1/deliveries`: list by filters, read, retry, cancel."""

from aiohttp import web

from hookd.model import Status
from hookd.policy.names import tenant
from hookd.store import DeliveryFilter
from hookd.units import parse_time
from hookd.web.answers import answer, attempt_document, delivery_document
from hookd.web.call import Call, Parameters
from hookd.web.fields import event_type
from hookd.web.page import answer_page, page_of

LONGEST_ID = 255

ATTEMPTS = 100
"""Attempts that are shown with a delivery, the latest ones."""


def _status(text: str, _now: int) -> Status:
    if text not in list(Status):
        raise ValueError(f"expected one of {', '.join(Status)}")
    return Status(text)


def _id(text: str, _now: int) -> str:
    if not 0 < len(text) <= LONGEST_ID:
        raise ValueError("expected an id")
    return text


FILTERS: Parameters = {
    "status": _status,
    "endpoint": _id,
    "event": _id,
    "type": lambda text, _now: event_type(text),
    "tenant": lambda text, _now: tenant(text),
    "since": parse_time,
    "until": parse_time,
}


async def list_all(call: Call) -> web.Response:
    """List the deliveries that the filters let through and the caller may see."""
    page, wanted = page_of(call.query), _filter(call)
    return answer_page(await call.services.store.deliveries(wanted, page), delivery_document)


async def read(call: Call) -> web.Response:
    """Answer one delivery with its latest attempts, oldest first; its `attempt_count` counts them all."""
    delivery, attempts = await call.services.store.delivery(call.id, call.caller.tenant, ATTEMPTS)
    return answer(delivery_document(delivery) | {"attempts": [attempt_document(each) for each in attempts]})


async def retry(call: Call) -> web.Response:
    """Put a delivery back at the start of its schedule, due now."""
    await call.expect_no_values()
    return answer(delivery_document(await call.services.store.retry(call.id, call.caller.tenant)))


async def cancel(call: Call) -> web.Response:
    """Cancel a delivery; one that is being sent is cancelled unless its attempt succeeds."""
    await call.expect_no_values()
    return answer(delivery_document(await call.services.store.cancel(call.id, call.caller.tenant)))


def _filter(call: Call) -> DeliveryFilter:
    """Answer the filter that a query asks for, within what the caller may see."""
    asked = {name: call.query[name] for name in FILTERS if name in call.query}
    return DeliveryFilter(**asked | {"tenant": call.tenant(asked.get("tenant"))})
