"""`/api/v1/deliveries`: list by filters, read, retry, cancel."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TypeVar

from aiohttp import web

from hookd.errors import Fault, InvalidInput
from hookd.model import Status
from hookd.store import DeliveryFilter
from hookd.units import parse_time
from hookd.web.answers import answer, attempt_document, delivery_document
from hookd.web.call import Call
from hookd.web.fields import event_type, tenant
from hookd.web.page import answer_page, page_of

FILTERS = frozenset({"status", "endpoint", "event", "type", "tenant", "since", "until"})

LONGEST_ID = 255

T = TypeVar("T")


async def list_all(call: Call) -> web.Response:
    """List the deliveries that the filters let through and the caller may see."""
    page, wanted = page_of(call.query), _filter(call)
    return answer_page(await call.services.store.deliveries(wanted, page), delivery_document)


async def read(call: Call) -> web.Response:
    """Answer one delivery with its attempts, oldest first."""
    delivery, attempts = await call.services.store.delivery(call.id, call.caller.tenant)
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
    """Answer the filter that a query asks for, or an InvalidInput with every fault."""
    reader = _Reader(call.query)
    now = call.services.clock()
    found = DeliveryFilter(
        status=reader.read("status", _status),
        endpoint=reader.read("endpoint", _id),
        event=reader.read("event", _id),
        type=reader.read("type", event_type),
        tenant=reader.read("tenant", tenant),
        since=reader.read("since", lambda text: parse_time(text, now)),
        until=reader.read("until", lambda text: parse_time(text, now)),
    )
    if reader.faults:
        raise InvalidInput(*reader.faults)
    return replace(found, tenant=call.tenant(found.tenant))


class _Reader:
    """Reads parameters of a query, and collects what is wrong with them."""

    def __init__(self, query: Mapping[str, str]) -> None:
        self._query = query
        self.faults: list[Fault] = []

    def read(self, name: str, parse: Callable[[str], T]) -> T | None:
        """Answer what a parameter means; None where it is absent or wrong."""
        if name not in self._query:
            return None
        try:
            return parse(self._query[name])
        except ValueError as error:
            self.faults.append(Fault(f"?{name}", str(error)))
            return None


def _status(text: str) -> Status:
    if text not in list(Status):
        raise ValueError(f"expected one of {', '.join(Status)}")
    return Status(text)


def _id(text: str) -> str:
    if not 0 < len(text) <= LONGEST_ID:
        raise ValueError("expected an id")
    return text
