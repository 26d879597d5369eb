"""Secrets: which of them sign, and how one follows another."""

from dataclasses import replace
from typing import Annotated, Final

from pydantic import Field

from hookd.errors import Fault, InvalidInput
from hookd.model import Endpoint, PreviousSecret
from hookd.signing import check_secret, scheme
from hookd.units import DURATIONS, format_time
from hookd.web.fields import Body, Overlap, Text
from hookd.web.problems import pointer

OVERLAP: Final = DURATIONS["d"]
"""How long an earlier secret goes on signing, in milliseconds."""
MOST: Final = 8
"""How many earlier secrets an endpoint may have."""


class Rotation(Body):
    """The next secret, or None for a fresh one, and how long the present one goes on signing beside it."""

    secret: Annotated[Text, Field(max_length=1024)] | None = Field(None, repr=False)
    overlap: Overlap | None = None


def rotated(endpoint: Endpoint, rotation: Rotation, fresh: str, now: int) -> Endpoint:
    """Answer the endpoint with its next secret; without an overlap every earlier one ends at once."""
    following = fresh if rotation.secret is None else rotation.secret
    _expect_another(endpoint, following)
    overlap = _overlap(endpoint, rotation.overlap)
    earlier: tuple[PreviousSecret, ...] = ()
    if overlap:
        earlier = (PreviousSecret(endpoint.secret, now + overlap), *signing(endpoint, now))[:MOST]
    return replace(endpoint, secret=following, previous_secrets=earlier, updated_at=now)


def signing(endpoint: Endpoint, now: int) -> tuple[PreviousSecret, ...]:
    """Answer the earlier secrets that still sign."""
    return tuple(old for old in endpoint.previous_secrets if old.expires_at > now)


def secrets_document(endpoint: Endpoint, now: int) -> dict[str, object]:
    """Show an endpoint's secrets: the one that signs, and the earlier ones that still do."""
    previous = [{"secret": old.secret, "expires_at": format_time(old.expires_at)} for old in signing(endpoint, now)]
    return {"secret": endpoint.secret, "previous": previous}


def _expect_another(endpoint: Endpoint, secret: str) -> None:
    try:
        check_secret(endpoint.scheme, secret)
    except ValueError as error:
        raise InvalidInput(Fault(pointer("secret"), str(error))) from None
    if secret == endpoint.secret:
        raise InvalidInput(Fault(pointer("secret"), "is the present one already; expected another"))


def _overlap(endpoint: Endpoint, asked: int | None) -> int:
    if scheme(endpoint.scheme).separator is not None:
        return OVERLAP if asked is None else asked
    if asked:
        detail = f'the scheme {endpoint.scheme} carries a single proof; expected "0s"'
        raise InvalidInput(Fault(pointer("overlap"), detail))
    return 0
