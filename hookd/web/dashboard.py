"""The dashboard: one page with the endpoints, the latest deliveries with their attempts, and the latest rejections.

It has no scripts.
"""

from base64 import b64encode
from collections.abc import Callable, Mapping
from hashlib import sha256
from importlib import resources

import aiohttp_jinja2
import jinja2
from aiohttp import web
from markupsafe import Markup

from hookd.model import Endpoint, EndpointState
from hookd.policy import breaker
from hookd.policy.breaker import BreakerState
from hookd.store import DeliveryFilter, Page
from hookd.units import format_time
from hookd.version import VERSION
from hookd.web.call import Call

ENDPOINTS = 50
DELIVERIES = 25
ATTEMPTS = 5
REJECTIONS = 10
LONGEST_BODY = 1000
"""Bytes of an answer that are shown."""

STANDINGS = {
    BreakerState.CLOSED: EndpointState.ACTIVE.value,
    BreakerState.OPEN: "failing",
    BreakerState.HALF_OPEN: "half-open",
}
"""What an active endpoint is shown as, whose breaker is in this state."""

STYLE = resources.files(__package__).joinpath("templates", "style.css").read_text("utf-8")
_STYLE_HASH = b64encode(sha256(STYLE.encode()).digest()).decode()

HEADERS = {
    "Content-Security-Policy": (
        f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; img-src data:; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


def standing(endpoint: Endpoint, now: int) -> str:
    """Say in one word how an endpoint is at `now` (epoch ms): its state, or what its breaker makes of an active one."""
    if endpoint.state is not EndpointState.ACTIVE:
        return endpoint.state.value
    return STANDINGS[breaker.state(endpoint.breaker, now)]


FILTERS: Mapping[str, Callable[..., str]] = {"time": format_time, "standing": standing}


def prepare(app: web.Application) -> None:
    """Give an application the templates."""
    aiohttp_jinja2.setup(
        app,
        loader=jinja2.PackageLoader("hookd.web"),
        filters=FILTERS,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


async def show(call: Call) -> web.Response:
    """Show the page, with what the caller may see."""
    store, tenant = call.services.store, call.caller.tenant
    endpoints = await store.endpoints(tenant, Page(ENDPOINTS))
    deliveries = await store.deliveries(DeliveryFilter(tenant=tenant), Page(DELIVERIES))
    context = {
        "version": VERSION,
        "style": Markup(STYLE),  # noqa: S704 - our own file, whose hash the policy names
        "endpoints": endpoints,
        "more_deliveries": deliveries.next is not None,
        "deliveries": [await store.delivery(delivery.id, tenant, ATTEMPTS) for delivery in deliveries.items],
        "longest_body": LONGEST_BODY,
        "rejections": await store.rejections(tenant, None, Page(REJECTIONS)),
        "unready": call.services.unready(),
        "now": call.services.clock(),
    }
    response = aiohttp_jinja2.render_template("dashboard.html", call.request, context)
    response.headers.update(HEADERS)
    return response
