"""`/api/v1/rejections`: requests to sources that were refused: list, read with an explanation, accept by hand."""

import re
from base64 import b64encode
from typing import Final

from aiohttp import web

from hookd.errors import Conflict, NotFound
from hookd.model import Rejection, Source
from hookd.rejections import MASK, readings, repeats
from hookd.text import printable
from hookd.web.answers import Document, answer, rejection_document
from hookd.web.call import Call, Parameters, Site
from hookd.web.inbound import content_type_of
from hookd.web.page import answer_page, page_of

LONGEST_NAME: Final = 64

_PROOF: Final = re.compile(r"signature|hmac")


def _source(text: str, _now: int) -> str:
    if not 0 < len(text) <= LONGEST_NAME:
        raise ValueError("expected the name of a source")
    return text


FILTERS: Parameters = {"source": _source}


async def list_all(call: Call) -> web.Response:
    """List the rejections that the caller may see, without headers and bodies."""
    store = call.services.store
    listing = await store.rejections(call.caller.tenant, call.query.get("source"), page_of(call.query))
    return answer_page(listing, rejection_document)


async def read(call: Call) -> web.Response:
    """Answer one rejection with its headers and body, and why it was refused, worked out now."""
    rejection = await call.services.store.rejection(call.id, call.caller.tenant)
    return answer(
        rejection_document(rejection)
        | {
            "explanation": await _explanation(call, rejection),
            "method": rejection.method,
            **_head(call.site, rejection),
            **_body(rejection),
        }
    )


async def accept(call: Call) -> web.Response:
    """Verify a rejection again by the present secrets, whatever its age, and let it in; 409 says why not."""
    await call.expect_no_values()
    rejection = await call.services.store.rejection(call.id, call.caller.tenant)
    source = _source_of(call, rejection)
    if source is None:
        raise Conflict(f"{rejection.id} can't be accepted by hand: {_gone(rejection)}")
    content_type = content_type_of(dict(rejection.headers).get("content-type"))
    accepted = await call.services.receiver.accept(source, rejection, content_type, call.site.schemes)
    document: Document = {"id": accepted.event, "deliveries": accepted.deliveries}
    if accepted.repeated:
        document["note"] = "it had been accepted before; nothing is sent again"
    return answer(document)


def _source_of(call: Call, rejection: Rejection) -> Source | None:
    """Answer the source as it is now; NotFound where it is another tenant's by now."""
    source = call.site.source(rejection.source)
    own = call.caller.tenant
    if source is not None and own not in (None, source.tenant):
        raise NotFound(f"there is no rejection {rejection.id}, or it is not kept any more")
    return source


async def _explanation(call: Call, rejection: Rejection) -> str:
    source, own = _source_of(call, rejection), call.caller.tenant
    if source is None:
        return f"{rejection.cause}. It can't be verified again, since {_gone(rejection)}."
    others = {
        each.name: each.secrets
        for each in call.site.sources.values()
        if each is not source and own in (None, each.tenant)
    }
    former = call.site.former.get(source.name, ())
    return await call.services.receiver.explain(source, rejection, others, former, call.site.schemes)


def _gone(rejection: Rejection) -> str:
    return f"there is no source {rejection.source} any more"


def _head(site: Site, rejection: Rejection) -> Document:
    """Show the target and the headers, without what is a secret of any source: it may be here by mistake.

    What proves something is masked too: once the secret is mended, it would verify.
    """
    secrets = _shown_secrets(site, rejection)
    proofs = {row.header.lower() for row in site.schemes.values()}
    headers = [
        (name, MASK if name in proofs or _PROOF.search(name) or repeats(value, secrets) else value)
        for name, value in rejection.headers
    ]
    target = MASK if repeats(readings(rejection.target), secrets) else printable(rejection.target)
    return {"target": target, "headers": headers}


def _shown_secrets(site: Site, rejection: Rejection) -> set[str]:
    """Answer every secret that sources have or had; none where no value shows one, as it nearly always is."""
    secrets = {secret for source in site.sources.values() for secret in source.secrets}.union(*site.former.values())
    values = (readings(rejection.target), *(value for _, value in rejection.headers))
    return secrets if repeats("\n".join(values), secrets) else set()


def _body(rejection: Rejection) -> Document:
    """Show a body as text where it is UTF-8, else in base64; never as a document of its own."""
    truncated = len(rejection.body) < rejection.size
    try:
        return {"body": rejection.body.decode(), "body_encoding": "text", "truncated": truncated}
    except UnicodeDecodeError:
        encoded = b64encode(rejection.body).decode("ascii")
        return {"body": encoded, "body_encoding": "base64", "truncated": truncated}
