"""`POST /api/register-webhook`: an endpoint in three fields."""

from aiohttp import web

from hookd.web import endpoints
from hookd.web.answers import answer
from hookd.web.call import Call
from hookd.web.definition import new_endpoint
from hookd.web.fields import Body, Pattern, Text, Token, check


class Registration(Body):
    """Where to send which events, and the token to show there."""

    url: Text
    token: Token | None = None
    event: Pattern


async def register(call: Call) -> web.Response:
    """Register an endpoint; answer with its id and its secret once it is on disk."""
    values = await call.values()
    registration = check(Registration, values)
    definition = {"url": registration.url, "token": registration.token, "event_types": [registration.event]}
    endpoint = await endpoints.store(call, new_endpoint(definition, call.site))
    return answer({"message": "OK", "id": endpoint.id, "secret": endpoint.secret})
