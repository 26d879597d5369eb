"""Requests that somebody has laid hands on, and what a verifier may say to them."""

import base64
import json
import time
from collections.abc import Sequence
from urllib.parse import parse_qsl

import hookd
from hookd.errors import SignatureError
from hookd.signing import SCHEMES, Scheme, Verified
from hookd.signing.twilio import FORM

URL = "https://hooks.example.com/in"
ID = "evt_1"
RAW = base64.b64encode(bytes(range(32))).decode()
SECRETS = (f"whsec_{RAW}", "user:password", f"whsk_{RAW}")
UNPROTECTED = {name for name, scheme in SCHEMES.items() if not scheme.signed}
"""Schemes that show a token, whatever the body."""

Pairs = list[tuple[str, str]]


def now() -> int:
    return int(time.time())


def secret(scheme: Scheme) -> str:
    """Choose a secret that is one of this scheme, and can sign."""
    for each in SECRETS:
        try:
            scheme.key(each).prove(b"")
        except ValueError:
            continue
        return each
    raise AssertionError(scheme.name)


def body(text: str = "") -> bytes:
    """A body that says all that any scheme looks for, and when."""
    told = {"id": "evt_1", "event_id": "evt_1", "type": "a.b", "webhookTimestamp": now() * 1000, "text": text}
    return json.dumps(told, ensure_ascii=False).encode()


def signed(name: str, content: bytes) -> Pairs:
    """Sign as the scheme does, and name the headers that are always there."""
    scheme = SCHEMES[name]
    headers = hookd.sign(name, secret(scheme), content, id=ID, now=now(), url=URL)
    content_type = FORM if name == "twilio" else "application/json"  # without a digest in the address
    return [("Host", "hooks.example.com"), ("Content-Type", content_type), *headers.items()]


def asked(name: str, headers: Sequence[tuple[str, str]], content: bytes) -> Verified | None:
    """Verify; None where it is not authentic. Any other error is a fault."""
    try:
        return hookd.verify(name, secret(SCHEMES[name]), list(headers), content, url=URL)
    except SignatureError as error:
        refusal = error
    assert refusal.reason
    assert "\n" not in str(refusal)
    assert not any(each in str(refusal) for each in SECRETS)
    return None


def is_what_was_signed(name: str, message: Verified, content: bytes, original: bytes, stamp: int | None) -> bool:
    """Say whether an accepted request says nothing that was not signed."""
    if name in UNPROTECTED:
        return message.body == content
    same = _fields(content) == _fields(original) if name == "twilio" else content == original
    signs_id = SCHEMES[name].signed.has_id
    return same and message.body == content and message.timestamp == stamp and (message.id == ID or not signs_id)


def _fields(content: bytes) -> str:
    """What Twilio signs of a form: its scheme can't tell where a name ends."""
    fields = set(parse_qsl(content.decode("latin-1"), keep_blank_values=True, encoding="latin-1"))
    return "".join(name + value for name, value in sorted(fields))
