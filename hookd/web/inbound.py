"""Sources: paths at which somebody else's webhooks arrive. They alone decide who may call them."""

from http import HTTPStatus

from aiohttp import web

from hookd.errors import SignatureError, Unavailable
from hookd.model import Source
from hookd.web.answers import answer
from hookd.web.body import read_body
from hookd.web.call import Services
from hookd.web.problems import RequestError, wrong_method

LONGEST_CONTENT_TYPE = 255
NOT_NOW = "it can't be stored right now; send it again later"
UNNAMED = "application/octet-stream"


async def receive(request: web.Request, source: Source, services: Services) -> web.Response:
    """Verify a webhook and store it as an event; answer once it is on disk."""
    receiver = services.receiver
    if request.method != "POST":
        receiver.count(source, "wrong_method")
        raise wrong_method(request.method, ["POST"])
    try:
        body = await read_body(request, source.max_body, services.bodies)
        content_type = content_type_of(request.headers.get("Content-Type"))
        await receiver.receive(source, request.raw_headers, content_type, body)
    except RequestError:
        receiver.count(source, "unreadable")
        raise
    except Unavailable:
        receiver.count(source, "unavailable")
        raise Unavailable(NOT_NOW) from None  # the cause names files of this machine, and anyone may ask here
    except SignatureError:
        return answer({"message": source.refuse}, HTTPStatus.UNAUTHORIZED)
    return answer({"message": source.reply})


def content_type_of(said: str | None) -> str:
    """Answer what a sender calls its body, where that can be repeated to others."""
    if said is None or not (said.isascii() and said.isprintable() and len(said) <= LONGEST_CONTENT_TYPE):
        return UNNAMED
    return said
