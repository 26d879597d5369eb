"""The table of schemes: a scheme is added as a row."""

import re
from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType

from hookd.model import Field
from hookd.signing.keys import standard_key, token_key
from hookd.signing.proof import hmac_sha256_base64, show_key
from hookd.signing.scheme import Scheme

STANDARD = Scheme(  # Standard Webhooks v1: github.com/standard-webhooks, spec/standard-webhooks.md
    name="standard",
    header="webhook-signature",
    separator=" ",
    prefix=b"v1,",
    prove=hmac_sha256_base64,
    key=standard_key,
    signed=b"%(id)b.%(timestamp)b.%(body)b",
    id_header="webhook-id",
    timestamp_header="webhook-timestamp",
    type=Field("body", "type"),
)

TOKEN = Scheme(
    name="token",
    header="X-Webhook-Token",
    prove=show_key,
    key=token_key,
)

SCHEMES: Mapping[str, Scheme] = MappingProxyType({row.name: row for row in (STANDARD, TOKEN)})

_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
"""A token in the grammar of RFC 9110, section 5.6.2."""


def scheme(name: str, header: str | None = None) -> Scheme:
    """Answer the scheme of a name; `header` is another header for a scheme that shows a token.

    A ValueError says which names there are, or why the header can't be chosen.
    """
    row = SCHEMES.get(name)
    if row is None:
        raise ValueError(f"expected a scheme of {', '.join(SCHEMES)}, got {name[:40]!r}")
    if header is None:
        return row
    if row.signed:
        raise ValueError(f"a header can be chosen for the scheme token only; {name} has its own")
    if _HEADER_NAME.fullmatch(header) is None:
        raise ValueError(f"expected the name of a header, got {header[:40]!r}")
    return replace(row, header=header)


def check_secret(name: str, secret: str) -> None:
    """Do nothing where `secret` suits the scheme of that name; else a ValueError that says what would."""
    scheme(name).key(secret)
