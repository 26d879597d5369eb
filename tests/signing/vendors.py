"""The libraries that receivers and senders of each scheme use, behind one face."""

import base64
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import parse_qs

import discord_interactions
import nacl.signing
import razorpay
import standardwebhooks
import stripe
import svix.webhooks
from gidgethub.sansio import validate_event
from http_message_signatures import HTTPMessageSigner, HTTPMessageVerifier, HTTPSignatureKeyResolver, algorithms
from paddle_billing.Notifications import Secret, Verifier
from slack_sdk.signature import SignatureVerifier
from square.utils.webhooks_helper import verify_signature
from twilio.request_validator import RequestValidator

URL = "https://hooks.example.com/in?tenant=1"
TEXT = "a secret of some length"
WHSEC = "whsec_" + base64.b64encode(bytes(range(32))).decode()
PAIR = nacl.signing.SigningKey(bytes(range(32)))
PRIVATE = "whsk_" + base64.b64encode(bytes(PAIR)).decode()
PUBLIC = "whpk_" + base64.b64encode(bytes(PAIR.verify_key)).decode()

Headers = Mapping[str, str]


@dataclass(frozen=True)
class Vendor:
    """A library: what it says to a request, and what it sends, where it can."""

    scheme: str
    verify: Callable[[Headers, bytes], object]
    """False, or whatever error, where the request is not authentic."""
    sign: Callable[[bytes, int], dict[str, str]] | None = None
    secret: str = TEXT
    """What hookd signs with."""
    public: str | None = None
    """What hookd verifies with, where that is another."""
    any_bytes: bool = False
    """Whether it takes in bodies that are no text."""
    empty: bool = True
    tolerance: int | None = 300
    """How old a request may be for it, in seconds; None: any age, since it has no timestamp or does not look."""
    several: bool = False
    """Whether its header has room for several signatures."""

    def accepts(self, headers: Headers, body: bytes) -> bool:
        """Say whether it takes the request for an authentic one."""
        try:
            return self.verify({name.lower(): value for name, value in headers.items()}, body) is not False
        except Exception:  # noqa: BLE001 - each has errors of its own
            return False


def now() -> int:
    """Answer the time: most of these libraries have no other clock."""
    return int(time.time())


def _standard(headers: Headers, body: bytes) -> None:
    standardwebhooks.Webhook(WHSEC).verify(body, dict(headers), json_parse=False)


def _svix(headers: Headers, body: bytes) -> None:
    svix.webhooks.Webhook(WHSEC).verify(body, dict(headers))


def _stripe(headers: Headers, body: bytes) -> object:
    return stripe.WebhookSignature.verify_header(body.decode(), headers["stripe-signature"], TEXT, 300)


def _github(headers: Headers, body: bytes) -> None:
    validate_event(body, signature=headers["x-hub-signature-256"], secret=TEXT)


def _razorpay(headers: Headers, body: bytes) -> object:
    utility = razorpay.Client(auth=("key", "secret")).utility
    return utility.verify_webhook_signature(body.decode(), headers["x-razorpay-signature"], TEXT)


def _slack(headers: Headers, body: bytes) -> bool:
    return SignatureVerifier(TEXT).is_valid_request(body, dict(headers))


def _slack_signs(body: bytes, timestamp: int) -> dict[str, str]:
    signature = SignatureVerifier(TEXT).generate_signature(timestamp=str(timestamp), body=body)
    return {"X-Slack-Signature": signature or "", "X-Slack-Request-Timestamp": str(timestamp)}


@dataclass(frozen=True)
class _Request:
    """A request as these libraries want one; header names as Paddle's wants them."""

    headers: dict[str, str]
    body: bytes
    method: str = "POST"
    url: str = URL


def _paddle(headers: Headers, body: bytes) -> bool:
    request = _Request({"Paddle-Signature": headers["paddle-signature"]}, body)
    return bool(Verifier(5).verify(request, Secret(TEXT)))


def _square(headers: Headers, body: bytes) -> bool:
    signature = headers["x-square-hmacsha256-signature"]
    return verify_signature(
        request_body=body.decode(), signature_header=signature, signature_key=TEXT, notification_url=URL
    )


def _discord(headers: Headers, body: bytes) -> bool:
    public = bytes(PAIR.verify_key).hex()
    signature, timestamp = headers["x-signature-ed25519"], headers["x-signature-timestamp"]
    return bool(discord_interactions.verify_key(body, signature, timestamp, public))


def _discord_signs(body: bytes, timestamp: int) -> dict[str, str]:
    signature = PAIR.sign(str(timestamp).encode() + body).signature
    return {"X-Signature-Ed25519": signature.hex(), "X-Signature-Timestamp": str(timestamp)}


def form(body: bytes) -> dict[str, str]:
    """Read a form whose fields are there once each."""
    return {name: values[-1] for name, values in parse_qs(body.decode(), keep_blank_values=True).items()}


def _twilio(headers: Headers, body: bytes) -> bool:
    return bool(RequestValidator(TEXT).validate(URL, form(body), headers["x-twilio-signature"]))


def _twilio_signs(body: bytes, _: int) -> dict[str, str]:
    return {"X-Twilio-Signature": RequestValidator(TEXT).compute_signature(URL, form(body))}


class _Keys(HTTPSignatureKeyResolver):
    """The one key of both sides."""

    def resolve_public_key(self, key_id: str) -> bytes:  # noqa: ARG002 - there is one
        return TEXT.encode()

    def resolve_private_key(self, key_id: str) -> bytes:  # noqa: ARG002 - as above
        return TEXT.encode()


def _messages(headers: Headers, body: bytes) -> object:
    verifier = HTTPMessageVerifier(signature_algorithm=algorithms.HMAC_SHA256, key_resolver=_Keys())
    return verifier.verify(_Request(dict(headers), body), body=body)


def _messages_signs(body: bytes, timestamp: int) -> dict[str, str]:
    request = _Request({}, body)
    signer = HTTPMessageSigner(signature_algorithm=algorithms.HMAC_SHA256, key_resolver=_Keys())
    signer.sign(request, key_id="theirs", created=datetime.fromtimestamp(timestamp, UTC), body=body)
    return request.headers


def _standard_signs(body: bytes, timestamp: int) -> dict[str, str]:
    signature = standardwebhooks.Webhook(WHSEC).sign("msg_1", datetime.fromtimestamp(timestamp, UTC), body.decode())
    return {"webhook-id": "msg_1", "webhook-timestamp": str(timestamp), "webhook-signature": signature}


VENDORS = {
    "standardwebhooks": Vendor("standard", _standard, _standard_signs, secret=WHSEC, several=True),
    "svix": Vendor("svix", _svix, secret=WHSEC, several=True),
    "stripe": Vendor("stripe", _stripe, several=True),
    "gidgethub": Vendor("github", _github, any_bytes=True, tolerance=None),
    "razorpay": Vendor("razorpay", _razorpay, tolerance=None),
    "slack_sdk": Vendor("slack", _slack, _slack_signs),
    "paddle": Vendor("paddle", _paddle, tolerance=5, several=True),
    "square": Vendor("square", _square, tolerance=None, empty=False),
    "discord-interactions": Vendor(
        "discord", _discord, _discord_signs, secret=PRIVATE, public=bytes(PAIR.verify_key).hex(), any_bytes=True,
        tolerance=None,
    ),
    "http-message-signatures": Vendor("rfc9421", _messages, _messages_signs, any_bytes=True),
}  # fmt: skip
