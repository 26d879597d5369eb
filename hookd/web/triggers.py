"""Triggers: routes of the configuration that turn a POST into an event."""

import msgspec
from aiohttp import web

from hookd.errors import Fault, InvalidInput
from hookd.members import Member
from hookd.model import Publication, Trigger
from hookd.web.answers import answer
from hookd.web.call import Call
from hookd.web.events import idempotency_key_of
from hookd.web.problems import pointer


async def pull(call: Call, trigger: Trigger) -> web.Response:
    """Publish the event that a trigger stands for; answer once it is on disk."""
    members = await call.members()
    missing = [name for name in trigger.required if name not in members]
    if missing:
        raise InvalidInput(*(Fault(pointer(name), "is required") for name in missing))
    identity = call.services.acceptor.new_id()
    required = [_member(name, members[name]) for name in trigger.required]
    publication = Publication(
        type=trigger.type,
        payload=_object([b'"id":"%b"' % identity.encode(), *required]),
        tenant=call.caller.tenant,
        idempotency_key=idempotency_key_of(call.request),
        content=_object(required),
    )
    receipt = await call.services.acceptor.publish(publication, identity)
    return answer({"message": trigger.reply, "id": receipt.id})


def _member(name: str, member: Member) -> bytes:
    """Write a field with the bytes that its value came with."""
    return b"%b:%b" % (msgspec.json.encode(name), member.raw)


def _object(members: list[bytes]) -> bytes:
    return b"{" + b",".join(members) + b"}"
