"""Every route of the main address, but for those that the configuration adds: sources and triggers."""

from dataclasses import dataclass, field

from hookd.model import Scope
from hookd.web import dashboard, deliveries, endpoints, events, page, register, rejections, replay, status
from hookd.web.call import Act, Parameters


@dataclass(frozen=True, slots=True)
class Route:
    """A method and a path, what they do, the scope they need (None: open), and the parameters of their query."""

    method: str
    path: str
    act: Act
    scope: Scope | None
    parameters: Parameters = field(default_factory=dict)


READ, WRITE, PUBLISH = Scope.READ, Scope.WRITE, Scope.PUBLISH

ROUTES = (
    Route("GET", "/", dashboard.show, READ),
    Route("GET", "/healthz", status.healthz, None),
    Route("GET", "/readyz", status.readyz, None),
    Route("GET", "/metrics", status.metrics, READ),
    Route("POST", "/api/register-webhook", register.register, WRITE),
    Route("POST", "/api/v1/endpoints", endpoints.create, WRITE),
    Route("GET", "/api/v1/endpoints", endpoints.list_all, READ, page.PARAMETERS),
    Route("GET", "/api/v1/endpoints/{id}", endpoints.read, READ),
    Route("PATCH", "/api/v1/endpoints/{id}", endpoints.change, WRITE),
    Route("DELETE", "/api/v1/endpoints/{id}", endpoints.delete, WRITE),
    Route("GET", "/api/v1/endpoints/{id}/secret", endpoints.secret, WRITE),
    Route("POST", "/api/v1/endpoints/{id}/secret/rotate", endpoints.rotate, WRITE),
    Route("POST", "/api/v1/endpoints/{id}/test", endpoints.test, WRITE),
    Route("POST", "/api/v1/endpoints/{id}/replay", replay.replay, WRITE),
    Route("POST", "/api/v1/events", events.publish, PUBLISH),
    Route("GET", "/api/v1/events", events.list_all, READ, page.PARAMETERS),
    Route("GET", "/api/v1/events/{id}", events.read, READ),
    Route("GET", "/api/v1/deliveries", deliveries.list_all, READ, {**deliveries.FILTERS, **page.PARAMETERS}),
    Route("GET", "/api/v1/deliveries/{id}", deliveries.read, READ),
    Route("POST", "/api/v1/deliveries/{id}/retry", deliveries.retry, WRITE),
    Route("POST", "/api/v1/deliveries/{id}/cancel", deliveries.cancel, WRITE),
    Route("GET", "/api/v1/rejections", rejections.list_all, READ, {**rejections.FILTERS, **page.PARAMETERS}),
    Route("GET", "/api/v1/rejections/{id}", rejections.read, READ),
    Route("POST", "/api/v1/rejections/{id}/accept", rejections.accept, WRITE),
)
