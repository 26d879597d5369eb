"""Drafts of what producers publish, however they do so: with their dedupe keys, and what tells their content apart."""

from hashlib import sha256

from hookd.model import PAYLOAD_TYPE, Event, Origin, Publication
from hookd.store.accept import Draft, Key, KeyKind


def draft_of(publication: Publication, identity: str, now: int) -> Draft:
    """Make the draft of what a producer publishes; `identity` is its id, the producer's own where there is one."""
    owner = publication.tenant or ""
    names = {KeyKind.PRODUCER_ID: publication.id, KeyKind.IDEMPOTENCY_KEY: publication.idempotency_key}
    keys = tuple(Key(kind, owner, name) for kind, name in names.items() if name is not None)
    event = Event(
        identity,
        publication.tenant,
        publication.type,
        Origin.PUBLISHED,
        publication.payload,
        PAYLOAD_TYPE,
        now,
        publication.ordering_key,
    )
    return Draft(event, _digest(publication) if keys else b"", keys, publication.endpoints)


def _digest(publication: Publication) -> bytes:
    """Tell content from other content: type, tenant, payload bytes, endpoints, ordering key."""
    parts = (
        publication.type.encode(),
        b"" if publication.tenant is None else b"=" + publication.tenant.encode(),
        b"" if publication.endpoints is None else b"=" + ",".join(publication.endpoints).encode(),
        *([publication.ordering_key.encode()] if publication.ordering_key else []),
    )
    content = publication.payload if publication.content is None else publication.content
    return sha256(b"\n".join(parts) + b"\n" + content).digest()
