"""Triggers: routes of the configuration that turn a POST into an event."""

import msgspec
from aiohttp import web

from hookd.accept import Publication
from hookd.errors import Fault, InvalidInput
from hookd.model import Trigger
from hookd.web.answers import answer
from hookd.web.body import Member
from hookd.web.call import Call
from hookd.web.problems import pointer


async def pull(call: Call, trigger: Trigger) -> web.Response:
    """Publish the event that a trigger stands for; answer once it is on disk."""
    members = await call.members()
    missing = [name for name in trigger.required if name not in members]
    if missing:
        raise InvalidInput(*(Fault(pointer(name), "is required") for name in missing))
    identity = call.services.acceptor.new_id()
    payload = _payload(identity, {name: members[name] for name in trigger.required})
    publication = Publication(type=trigger.type, payload=payload, tenant=call.caller.tenant)
    receipt = await call.services.acceptor.publish(publication, identity)
    return answer({"message": trigger.reply, "id": receipt.id})


def _payload(identity: str, members: dict[str, Member]) -> bytes:
    """Write the event's id and the required fields, in their order, each value with the bytes it came with."""
    fields = [b'"id":"%b"' % identity.encode()]
    fields += [b"%b:%b" % (msgspec.json.encode(name), member.raw) for name, member in members.items()]
    return b"{" + b",".join(fields) + b"}"
