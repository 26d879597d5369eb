"""Sources: paths at which somebody else's webhooks arrive. They alone decide who may call them."""

from http import HTTPStatus

from aiohttp import web
from multidict import MultiMapping

from hookd.errors import SignatureError, Unavailable
from hookd.handshake import Ask, Reply, asked
from hookd.model import Source
from hookd.policy.networks import Networks, caller, is_within
from hookd.signing import Scheme, scheme
from hookd.web.answers import answer
from hookd.web.body import read_body
from hookd.web.call import Services, Site
from hookd.web.problems import RequestError, wrong_method

LONGEST_CONTENT_TYPE = 255
NOT_NOW = "it can't be stored right now; send it again later"
FORWARDED_FOR = "X-Forwarded-For"
UNNAMED = "application/octet-stream"


async def receive(request: web.Request, source: Source, site: Site, services: Services) -> web.Response:
    """Verify a webhook and store it as an event, and answer once it is on disk; or answer a handshake."""
    receiver = services.receiver
    row = scheme(source.scheme, source.header, site.schemes)
    if source.allow is not None:
        _expect_within(source.allow, request, source, site, services)
    if request.method != "POST":
        reply = asked(row.handshake, source, request.method, _one(request.query), _one(request.headers))
        if reply is not None:
            receiver.count(source, "handshake" if reply.status == HTTPStatus.OK else "unauthorized")
            return _response(reply)
    if request.method not in source.methods:
        receiver.count(source, "wrong_method")
        raise wrong_method(request.method, source.methods, source=source.name)
    try:
        body = await read_body(request, source.max_body, services.bodies)
        received = await receiver.receive(
            source,
            request.raw_headers,
            content_type_of(request.headers.get("Content-Type")),
            body,
            target=request.raw_path,
            method=request.method,
            schemes=site.schemes,
        )
    except RequestError as error:
        receiver.count(source, "unreadable")
        error.about["source"] = source.name
        raise
    except Unavailable:
        receiver.count(source, "unavailable")
        raise Unavailable(NOT_NOW) from None  # the cause names files of this machine, and anyone may ask here
    except SignatureError:
        return answer({"message": source.refuse}, HTTPStatus.UNAUTHORIZED)
    return _response(received) if isinstance(received, Reply) else _thanks(source, row)


def _one(values: MultiMapping[str]) -> Ask:
    def ask(name: str) -> str | None:
        found = values.getall(name, [])
        return found[0] if len(found) == 1 else None

    return ask


def _response(reply: Reply) -> web.Response:
    if not reply.body:
        return web.Response(status=reply.status, headers=reply.headers)
    return web.Response(body=reply.body, status=reply.status, headers=reply.headers, content_type=reply.content_type)


def _thanks(source: Source, row: Scheme) -> web.Response:
    """Answer as the source says or, where it says nothing, as the scheme's senders expect."""
    if source.reply is None and row.silent:
        return web.Response(status=HTTPStatus.NO_CONTENT)
    return answer({"message": source.reply or "OK"})


def _expect_within(allowed: Networks, request: web.Request, source: Source, site: Site, services: Services) -> None:
    """Refuse who calls from elsewhere than the source allows."""
    address = caller(request.remote or "", request.headers.getall(FORWARDED_FOR, ()), site.proxies)
    if address is None or not is_within(address, allowed):
        services.receiver.count(source, "forbidden")
        detail = f"{address or 'an unknown address'} may not call here"
        hint = _hint(request.remote or "", FORWARDED_FOR in request.headers, site.proxies)
        raise RequestError(HTTPStatus.FORBIDDEN, detail, source=source.name, hint=hint)


def _hint(peer: str, forwarded: bool, proxies: Networks) -> str:
    """Say in the log what to do about a caller that is kept out and should not be."""
    address = caller(peer, (), proxies)
    is_proxy = address is not None and is_within(address, proxies)
    if forwarded and not is_proxy:
        return f"its {FORWARDED_FOR} is not believed, since [server] proxies does not name {peer}"
    if is_proxy and not forwarded:
        return f"{peer} is one of [server] proxies, and sends no {FORWARDED_FOR}"
    return "allow of the source does not name it"


def content_type_of(said: str | None) -> str:
    """Answer what a sender calls its body, where that can be repeated to others."""
    if said is None or not (said.isascii() and said.isprintable() and len(said) <= LONGEST_CONTENT_TYPE):
        return UNNAMED
    return said
