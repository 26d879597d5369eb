"""Secrets: which of them sign, and how one follows another."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Final

from pydantic import Field

from hookd.errors import Conflict, Fault, InvalidInput
from hookd.model import Endpoint, PreviousSecret
from hookd.signing import TOKEN, Scheme, public_of, scheme
from hookd.units import DURATIONS, format_time
from hookd.web.call import Site
from hookd.web.definition import UNUSED, changed, expect_signer, shown_secret, signing
from hookd.web.fields import Body, Overlap, Text
from hookd.web.problems import pointer

OVERLAP: Final = DURATIONS["d"]
"""How long an earlier secret goes on signing, in milliseconds."""
MOST: Final = 8
"""How many earlier secrets an endpoint may have."""


class Rotation(Body):
    """The next secret, or None for a fresh one, and how long the present one goes on signing beside it.

    With a scheme, that is the endpoint's from now on: a secret often suits one scheme alone.
    """

    secret: Annotated[Text, Field(max_length=1024)] | None = Field(None, repr=False)
    overlap: Overlap | None = None
    scheme: Text | None = None


def rotated(endpoint: Endpoint, rotation: Rotation, fresh: str, site: Site, now: int) -> Endpoint:
    """Answer the endpoint with its next secret; without an overlap every earlier one ends at once."""
    row = _scheme(endpoint, rotation.scheme, site.schemes)
    if row is TOKEN:
        raise InvalidInput(Fault(pointer("token"), f'{UNUSED}: change the token by a PATCH of {{"token": …}}'))
    following = fresh if rotation.secret is None else rotation.secret
    _expect_another(endpoint, row, rotation.secret, following)
    is_moved = row.name != endpoint.scheme
    overlap = _no_overlap(rotation.overlap) if is_moved else _overlap(row, rotation.overlap)
    earlier: tuple[PreviousSecret, ...] = ()
    if overlap:
        earlier = (PreviousSecret(endpoint.secret, now + overlap), *signing(endpoint, now))[:MOST]
    after = replace(endpoint, secret=following, previous_secrets=earlier, updated_at=now)
    return changed(after, {"scheme": row.name}, site, now) if is_moved else after


def secrets_document(endpoint: Endpoint, now: int) -> dict[str, object]:
    """Show an endpoint's secrets: the one that signs, if any, its public key if it has one, the earlier ones in use."""
    previous = [{"secret": old.secret, "expires_at": format_time(old.expires_at)} for old in signing(endpoint, now)]
    public = public_of(shown_secret(endpoint) or "")
    shown: dict[str, object] = {"secret": shown_secret(endpoint), "previous": previous}
    return shown if public is None else shown | {"public_key": public}


def _scheme(endpoint: Endpoint, asked: str | None, schemes: Mapping[str, Scheme]) -> Scheme:
    try:
        return scheme(endpoint.scheme if asked is None else asked, schemes=schemes)
    except ValueError as error:
        if asked is not None:
            raise InvalidInput(Fault(pointer("scheme"), str(error))) from None
        detail = (
            f'the scheme {endpoint.scheme} is not configured any more; name another, as in {{"scheme": "standard"}}'
        )
        raise Conflict(detail) from None


def _expect_another(endpoint: Endpoint, row: Scheme, asked: str | None, secret: str) -> None:
    try:
        expect_signer(row, asked)
    except ValueError as error:
        raise InvalidInput(Fault(pointer("secret"), str(error))) from None
    if secret == endpoint.secret:
        raise InvalidInput(Fault(pointer("secret"), "is the present one already; expected another"))


def _no_overlap(asked: int | None) -> int:
    if asked:
        raise InvalidInput(Fault(pointer("overlap"), 'the secrets of two schemes never sign together; expected "0s"'))
    return 0


def _overlap(row: Scheme, asked: int | None) -> int:
    if row.several:
        return OVERLAP if asked is None else asked
    if asked:
        detail = f'the scheme {row.name} carries a single proof; expected "0s"'
        raise InvalidInput(Fault(pointer("overlap"), detail))
    return 0
