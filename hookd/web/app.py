"""The applications: one with every route, one with the sources alone; and the server they run on."""

from collections.abc import Iterable
from itertools import groupby
from operator import attrgetter

from aiohttp import web

from hookd.errors import Unavailable
from hookd.model import Scope
from hookd.web import dashboard, inbound, triggers
from hookd.web.auth import admit
from hookd.web.call import Call, Services, SiteBox, parameters
from hookd.web.problems import Handler, nothing_here, wrong_method
from hookd.web.routes import ROUTES, Route

ELSEWHERE = "/{path:.*}"
"""The paths that no route has: the configuration may have put a source or a trigger there."""


def application(box: SiteBox, services: Services, routes: Iterable[Route] = ROUTES) -> web.Application:
    """Make the application of the main address: the routes, the sources and the triggers."""
    app = web.Application()
    dashboard.prepare(app)
    for path, group in groupby(sorted(routes, key=attrgetter("path")), attrgetter("path")):
        app.router.add_route("*", path, _resource(tuple(group), box, services))
    app.router.add_route("*", ELSEWHERE, _elsewhere(box, services))
    return app


def inbound_application(box: SiteBox, services: Services) -> web.Application:
    """Make the application of the second address, where there is nothing but the sources."""
    app = web.Application()
    app.router.add_route("*", ELSEWHERE, _sources(box, services))
    return app


def _resource(routes: Iterable[Route], box: SiteBox, services: Services) -> Handler:
    """Serve one path: choose the route by its method, and admit the caller before anything is read."""
    by_method = {route.method: route for route in routes}
    if "GET" in by_method:
        by_method["HEAD"] = by_method["GET"]

    async def serve(request: web.Request) -> web.StreamResponse:
        route = by_method.get(request.method)
        if route is None:
            raise wrong_method(request.method, by_method)
        if route.scope is not None:
            _expect_running(services)
        site = box.site
        caller = admit(request, site.tokens, route.scope)
        query = parameters(request, route.parameters, services.clock())
        return await route.act(Call(request, caller, site, services, query))

    return serve


def _elsewhere(box: SiteBox, services: Services) -> Handler:
    from_sources = _sources(box, services)

    async def serve(request: web.Request) -> web.StreamResponse:
        site = box.site
        trigger = site.triggers.get(request.path)
        if trigger is None:
            return await from_sources(request)
        if request.method != "POST":
            raise wrong_method(request.method, ["POST"])
        _expect_running(services)
        caller = admit(request, site.tokens, Scope.PUBLISH if trigger.authenticated else None)
        query = parameters(request, {}, services.clock())
        return await triggers.pull(Call(request, caller, site, services, query), trigger)

    return serve


def _sources(box: SiteBox, services: Services) -> Handler:
    async def serve(request: web.Request) -> web.StreamResponse:
        site = box.site
        source = site.sources.get(request.path)
        if source is None:
            raise nothing_here(request.path)
        _expect_running(services)
        return await inbound.receive(request, source, site, services)

    return serve


def _expect_running(services: Services) -> None:
    if services.stopping():
        raise Unavailable("hookd is stopping")
