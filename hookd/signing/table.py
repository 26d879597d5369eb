"""The table of schemes: a scheme is added as a row."""

import re
from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Final

from hookd.model import Field
from hookd.signing.content import BODY, Content
from hookd.signing.ed25519 import ed25519_keys
from hookd.signing.keys import credentials_bytes, standard_bytes, text_bytes, token_bytes
from hookd.signing.proof import base64, hexadecimal, hmac_keys, shown_keys
from hookd.signing.rfc9421 import MessageSignatures
from hookd.signing.scheme import Scheme, Stamp
from hookd.signing.twilio import Twilio

STANDARD = Scheme(  # Standard Webhooks v1 and v1a: github.com/standard-webhooks, spec/standard-webhooks.md
    name="standard",
    header="webhook-signature",
    separator=" ",
    key=hmac_keys(standard_bytes, "sha256", base64, b"v1,", pairs=ed25519_keys("base64", b"v1a,")),
    signed=Content("{id}.{timestamp}.{body}"),
    id=Field("header", "webhook-id"),
    timestamp=Stamp("header", "webhook-timestamp"),
    type=Field("body", "type"),
    handshake="cloudevents",
)

SVIX = replace(  # docs.svix.com/receiving/verifying-payloads/how-manual
    STANDARD,
    name="svix",
    header="svix-signature",
    id=Field("header", "svix-id"),
    timestamp=Stamp("header", "svix-timestamp"),
    handshake=None,
)

GITLAB_SIGNING = replace(  # docs.gitlab.com/user/project/integrations/webhooks, the signing token
    STANDARD, name="gitlab-signing", type=Field("header", "X-Gitlab-Event"), handshake=None
)

GITLAB = Scheme(  # the same page, the secret token
    name="gitlab",
    header="X-Gitlab-Token",
    key=shown_keys(token_bytes),
    id=Field("header", "Idempotency-Key"),
    type=Field("header", "X-Gitlab-Event"),
)

STRIPE = Scheme(  # docs.stripe.com/webhooks/signature: v0 entries are of tests, and ignored
    name="stripe",
    header="Stripe-Signature",
    separator=",",
    key=hmac_keys(text_bytes, "sha256", hexadecimal, b"v1="),
    signed=Content("{timestamp}.{body}"),
    timestamp=Stamp("entry", "t="),
    id=Field("body", "id"),
    type=Field("body", "type"),
)

PADDLE = Scheme(  # developer.paddle.com/webhooks/signature-verification
    name="paddle",
    header="Paddle-Signature",
    separator=";",
    key=hmac_keys(text_bytes, "sha256", hexadecimal, b"h1="),
    signed=Content("{timestamp}:{body}"),
    timestamp=Stamp("entry", "ts="),
    tolerance=5_000,
    id=Field("body", "event_id"),
    type=Field("body", "event_type"),
)

GITHUB = Scheme(  # docs.github.com/webhooks/using-webhooks/validating-webhook-deliveries
    name="github",
    header="X-Hub-Signature-256",
    key=hmac_keys(text_bytes, "sha256", hexadecimal, b"sha256="),
    signed=BODY,
    id=Field("header", "X-GitHub-Delivery"),
    type=Field("header", "X-GitHub-Event"),
)

GITHUB_SHA1 = replace(  # what older servers send alone; SHA-1 is weak, so it has to be asked for
    GITHUB,
    name="github-sha1",
    header="X-Hub-Signature",
    key=hmac_keys(text_bytes, "sha1", hexadecimal, b"sha1="),
)

META = Scheme(  # developers.facebook.com/docs/graph-api/webhooks/getting-started
    name="meta",
    header="X-Hub-Signature-256",
    key=GITHUB.key,
    signed=BODY,
    type=Field("body", "object"),
    handshake="meta",
)

RAZORPAY = Scheme(  # razorpay.com/docs/webhooks/validate-test
    name="razorpay",
    header="X-Razorpay-Signature",
    key=hmac_keys(text_bytes, "sha256", hexadecimal),
    signed=BODY,
    id=Field("header", "x-razorpay-event-id"),
    type=Field("body", "event"),
)

SHOPIFY_EVENTS = Scheme(  # shopify.dev/docs/apps/build/events/verify-deliveries
    name="shopify",
    header="shopify-hmac-sha256",
    key=hmac_keys(text_bytes, "sha256", base64),
    signed=BODY,
    id=Field("header", "shopify-event-id"),
    type=Field("header", "shopify-topic"),
)

SHOPIFY = replace(  # shopify.dev/docs/apps/build/webhooks/delivery-structure
    SHOPIFY_EVENTS,
    header="X-Shopify-Hmac-Sha256",
    id=Field("header", "X-Shopify-Event-Id"),
    type=Field("header", "X-Shopify-Topic"),
    otherwise=SHOPIFY_EVENTS,
)

SLACK = Scheme(  # docs.slack.dev/authentication/verifying-requests-from-slack
    name="slack",
    header="X-Slack-Signature",
    key=hmac_keys(text_bytes, "sha256", hexadecimal, b"v0="),
    signed=Content("v0:{timestamp}:{body}"),
    timestamp=Stamp("header", "X-Slack-Request-Timestamp"),
    id=Field("body", "event_id"),
    type=Field("body", "event.type"),
    handshake="slack",
    silent=True,
)

ZOOM = Scheme(  # developers.zoom.us/docs/api/webhooks, under "Verify webhook events"
    name="zoom",
    header="x-zm-signature",
    key=SLACK.key,
    signed=SLACK.signed,
    timestamp=Stamp("header", "x-zm-request-timestamp"),
    type=Field("body", "event"),
    handshake="zoom",
)

LINEAR = Scheme(  # linear.app/developers/webhooks
    name="linear",
    header="Linear-Signature",
    key=hmac_keys(text_bytes, "sha256", hexadecimal),
    signed=BODY,
    timestamp=Stamp("body", "webhookTimestamp", "ms"),
    tolerance=60_000,
    id=Field("header", "Linear-Delivery"),
    type=Field("body", "type"),
)

SQUARE = Scheme(  # developer.squareup.com/docs/webhooks/step3validate
    name="square",
    header="x-square-hmacsha256-signature",
    key=hmac_keys(text_bytes, "sha256", base64),
    signed=Content("{url}{body}"),
    id=Field("body", "event_id"),
    type=Field("body", "type"),
)

DISCORD = Scheme(  # discord.com/developers/docs/events/webhook-events, and interactions
    name="discord",
    header="X-Signature-Ed25519",
    key=ed25519_keys("hex"),
    signed=Content("{timestamp}{body}"),
    timestamp=Stamp("header", "X-Signature-Timestamp"),
    type=Field("body", "event.type"),
    handshake="discord",
    silent=True,
)

TWILIO = Twilio(  # twilio.com/docs/usage/security
    name="twilio",
    header="X-Twilio-Signature",
    key=hmac_keys(text_bytes, "sha1", base64),
    signed=Content("{url}{body}"),
    id=Field("header", "I-Twilio-Idempotency-Token"),
    silent=True,
)

RFC9421 = MessageSignatures(  # RFC 9421, HTTP Message Signatures, with RFC 9530, Digest Fields
    name="rfc9421",
    header="Signature",
    separator=", ",
    key=hmac_keys(text_bytes, "sha256", base64, pairs=ed25519_keys("base64")),
    signed=Content("{url}{body}"),
    id=Field("header", "webhook-id"),
    type=Field("body", "type"),
    handshake="cloudevents",
)

TOKEN = Scheme(
    name="token",
    header="X-Webhook-Token",
    key=shown_keys(token_bytes),
    handshake="cloudevents",
)

BASIC = Scheme(  # RFC 7617
    name="basic",
    header="Authorization",
    key=shown_keys(credentials_bytes, b"Basic "),
    handshake="cloudevents",
)

SCHEMES: Final[Mapping[str, Scheme]] = MappingProxyType(
    {
        row.name: row
        for row in (
            *(STANDARD, SVIX, STRIPE, GITHUB, GITHUB_SHA1, META, RAZORPAY, SHOPIFY, SLACK, ZOOM, PADDLE, LINEAR),
            *(SQUARE, TWILIO, GITLAB, GITLAB_SIGNING, DISCORD, RFC9421, TOKEN, BASIC),
        )
    }
)

_HEADER_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
"""A token in the grammar of RFC 9110, section 5.6.2."""


def scheme(name: str, header: str | None = None, schemes: Mapping[str, Scheme] = SCHEMES) -> Scheme:
    """Answer the scheme of a name; `header` is another header for the one that shows a token.

    `schemes` are those of the table, and more where there are. A ValueError says which names there are, or why the
    header can't be chosen.
    """
    row = schemes.get(name)
    if row is None:
        raise ValueError(f"expected a scheme of {', '.join(schemes)}, got {name[:40]!r}")
    if header is None:
        return row
    if row is not TOKEN:
        raise ValueError(f"a header can be chosen for the scheme token only; {name} has its own")
    if _HEADER_NAME.fullmatch(header) is None:
        raise ValueError(f"expected the name of a header, got {header[:40]!r}")
    return replace(row, header=header)


def check_secret(name: str, secret: str, schemes: Mapping[str, Scheme] = SCHEMES) -> None:
    """Do nothing where `secret` suits the scheme of that name; else a ValueError that says what would."""
    scheme(name, schemes=schemes).key(secret)
