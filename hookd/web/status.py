"""`/healthz`, `/readyz` and `/metrics`."""

from http import HTTPStatus

from aiohttp import web

from hookd.errors import Unavailable
from hookd.metrics import CONTENT_TYPE, Gauges, exposition
from hookd.model import EndpointState, Status
from hookd.web.answers import answer
from hookd.web.call import Call, Services
from hookd.web.problems import RequestError


async def healthz(call: Call) -> web.Response:  # noqa: ARG001 - every route is called alike
    """Say that the loop turns; a dead one ends the daemon."""
    return answer({"status": "ok"})


async def readyz(call: Call) -> web.Response:
    """Say whether events are accepted now, or why not."""
    cause = call.services.unready()
    if cause is not None:
        raise Unavailable(cause)
    return answer({"status": "ready"})


async def metrics(call: Call) -> web.Response:
    """Answer the metrics in Prometheus' text format; those of all tenants, so no token bound to one may read them."""
    if call.caller.tenant is not None:
        detail = f"the token {call.caller.name!r} is bound to a tenant; the metrics need a token without a tenant"
        raise RequestError(HTTPStatus.FORBIDDEN, detail)
    services = call.services
    try:
        gauges = await _gauges(services)
    except Unavailable:  # which /readyz and the log tell of; what this process counted is wanted then above all
        gauges = None
    body = exposition(services.metrics, gauges, ready=services.unready() is None)
    return web.Response(body=body, headers={"Content-Type": CONTENT_TYPE})


async def _gauges(services: Services) -> Gauges:
    totals = await services.store.totals()
    now = services.clock()
    due = now if totals.oldest_due_at is None else totals.oldest_due_at
    depth = {status.value: totals.depth.get(status, 0) for status in (Status.PENDING, Status.SENDING)}
    endpoints = {state.value: totals.endpoints.get(state, 0) for state in EndpointState}
    return Gauges(depth, max(0, now - due) / 1000, endpoints)
