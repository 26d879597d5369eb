"""`/api/v1/endpoints`: make, list, read, change, delete; the secrets; a test."""

from http import HTTPStatus

from aiohttp import web

from hookd.model import Breaker, Endpoint, EndpointState
from hookd.signing import generate_secret
from hookd.web.answers import Document, answer, attempt_document, endpoint_document
from hookd.web.call import Call
from hookd.web.definition import NewEndpoint, changed, new_endpoint, shown_secret
from hookd.web.fields import check
from hookd.web.page import answer_page, page_of
from hookd.web.rotation import Rotation, rotated, secrets_document


async def create(call: Call) -> web.Response:
    """Make an endpoint; 201 with its secret, if it has one, which is shown here, at its secret, and nowhere else."""
    wanted = new_endpoint(await call.values(), call.site)
    endpoint = await store(call, wanted)
    document = endpoint_document(endpoint, call.services.clock()) | {"secret": shown_secret(endpoint)}
    return answer(document, HTTPStatus.CREATED, {"Location": f"/api/v1/endpoints/{endpoint.id}"})


async def store(call: Call, wanted: NewEndpoint) -> Endpoint:
    """Store a new endpoint for the caller; return once it is on disk."""
    services = call.services
    now = services.clock()
    endpoint = Endpoint(
        id=services.make_id("ep"),
        tenant=call.tenant(wanted.tenant),
        url=wanted.url,
        event_types=wanted.event_types,
        description=wanted.description,
        scheme=wanted.scheme,
        format=wanted.format,
        token=wanted.token,
        secret=wanted.secret or generate_secret(services.random_bytes),
        previous_secrets=(),
        headers=wanted.headers,
        filter=wanted.filter,
        rate_limit=wanted.rate_limit,
        max_in_flight=wanted.max_in_flight,
        ordered=wanted.ordered,
        timeout=wanted.timeout,
        retry=wanted.retry,
        metadata=wanted.metadata,
        state=EndpointState.ACTIVE,
        state_reason=None,
        state_since=now,
        failing_since=None,
        failing_attempts=0,
        breaker=Breaker(),
        created_at=now,
        updated_at=now,
    )
    return await services.store.create_endpoint(endpoint)


async def list_all(call: Call) -> web.Response:
    """List the endpoints that the caller may see."""
    listing = await call.services.store.endpoints(call.caller.tenant, page_of(call.query))
    now = call.services.clock()
    return answer_page(listing, lambda endpoint: endpoint_document(endpoint, now))


async def read(call: Call) -> web.Response:
    """Answer one endpoint."""
    return answer(endpoint_document(await _endpoint(call), call.services.clock()))


async def change(call: Call) -> web.Response:
    """Change an endpoint by a JSON merge patch (RFC 7396)."""
    patch = await call.values()
    site, now = call.site, call.services.clock()
    endpoint = await call.services.store.change_endpoint(
        call.id, call.caller.tenant, lambda before: changed(before, patch, site, now)
    )
    return answer(endpoint_document(endpoint, now))


async def delete(call: Call) -> web.Response:
    """Delete an endpoint and its secrets; what waits for it is cancelled."""
    await call.expect_no_values()
    await call.services.store.delete_endpoint(call.id, call.caller.tenant)
    return web.Response(status=HTTPStatus.NO_CONTENT)


async def secret(call: Call) -> web.Response:
    """Show the secret, and the earlier ones that still sign."""
    return answer(_secrets(call, await _endpoint(call)))


async def rotate(call: Call) -> web.Response:
    """Give an endpoint its next secret, and another scheme with it where one is named."""
    rotation = check(Rotation, await call.values(optional=True))
    fresh, site, now = generate_secret(call.services.random_bytes), call.site, call.services.clock()
    endpoint = await call.services.store.change_endpoint(
        call.id, call.caller.tenant, lambda before: rotated(before, rotation, fresh, site, now)
    )
    return answer(_secrets(call, endpoint))


async def test(call: Call) -> web.Response:
    """Send `hookd.test` to an endpoint now, and answer with the attempt."""
    await call.expect_no_values()
    return answer(attempt_document(await call.services.test(await _endpoint(call))))


def _secrets(call: Call, endpoint: Endpoint) -> Document:
    return secrets_document(endpoint, call.services.clock())


async def _endpoint(call: Call) -> Endpoint:
    return await call.services.store.endpoint(call.id, call.caller.tenant)
