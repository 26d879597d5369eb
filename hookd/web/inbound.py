"""Sources: paths at which somebody else's webhooks arrive. They alone decide who may call them."""

from collections.abc import Mapping
from http import HTTPStatus

from aiohttp import web

from hookd.errors import SignatureError, Unavailable
from hookd.model import Source
from hookd.signing import SCHEMES, Scheme, scheme
from hookd.web.answers import answer
from hookd.web.body import read_body
from hookd.web.call import Services
from hookd.web.problems import RequestError, wrong_method

LONGEST_CONTENT_TYPE = 255
NOT_NOW = "it can't be stored right now; send it again later"
UNNAMED = "application/octet-stream"


async def receive(
    request: web.Request, source: Source, services: Services, schemes: Mapping[str, Scheme] = SCHEMES
) -> web.Response:
    """Verify a webhook and store it as an event; answer once it is on disk."""
    receiver = services.receiver
    if request.method != "POST":
        receiver.count(source, "wrong_method")
        raise wrong_method(request.method, ["POST"])
    try:
        body = await read_body(request, source.max_body, services.bodies)
        await receiver.receive(
            source,
            request.raw_headers,
            _content_type(request),
            body,
            url=_address(request, source),
            schemes=schemes,
        )
    except RequestError:
        receiver.count(source, "unreadable")
        raise
    except Unavailable:
        receiver.count(source, "unavailable")
        raise Unavailable(NOT_NOW) from None  # the cause names files of this machine, and anyone may ask here
    except SignatureError:
        return answer({"message": source.refuse}, HTTPStatus.UNAUTHORIZED)
    return _reply(source, schemes)


def _reply(source: Source, schemes: Mapping[str, Scheme]) -> web.Response:
    """Answer as the source says or, where it says nothing, as the scheme's senders expect."""
    if source.reply is None and scheme(source.scheme, schemes=schemes).silent:
        return web.Response(status=HTTPStatus.NO_CONTENT)
    return answer({"message": source.reply or "OK"})


def _address(request: web.Request, source: Source) -> str | None:
    """Answer the whole address as the sender knows it: that of the source, with the query of the request."""
    if source.url is None:
        return None
    _, mark, query = request.raw_path.partition("?")
    return source.url + mark + query


def _content_type(request: web.Request) -> str:
    """Answer what the sender calls its body, where that can be repeated to others."""
    said = request.headers.get("Content-Type", UNNAMED)
    return said if said.isascii() and said.isprintable() and len(said) <= LONGEST_CONTENT_TYPE else UNNAMED
