"""Libraries of vendors judge what hookd signs, and hookd judges what they sign: scheme by scheme, both ways."""

import base64
from hashlib import sha256
from urllib.parse import urlencode

import pytest
from twilio.request_validator import RequestValidator

import hookd
from tests.signing.vendors import PAIR, PRIVATE, PUBLIC, TEXT, URL, VENDORS, Headers, Vendor, form, now

TEXTS = [b'{"name":"Ada"}', '{"name":"Zoë 🎓"}'.encode(), b'{"a": 1}\r\n', b"", b" "]
BYTES = [b"\xff\xfe\x00", bytes(range(256)), b"\xef\xbb\xbf{}", b"{\xef\xbf\xbd}"]
EVERY = pytest.mark.parametrize("vendor", VENDORS.values(), ids=list(VENDORS))
SIGNING = pytest.mark.parametrize(
    "vendor",
    [vendor for vendor in VENDORS.values() if vendor.sign is not None],
    ids=[name for name, vendor in VENDORS.items() if vendor.sign is not None],
)


def bodies(vendor: Vendor) -> list[bytes]:
    texts = [body for body in TEXTS if body or vendor.empty]
    return texts + (BYTES if vendor.any_bytes else [])


def signed(vendor: Vendor, body: bytes, at: int | None = None, *others: str) -> dict[str, str]:
    return hookd.sign(vendor.scheme, [vendor.secret, *others], body, id="msg_1", now=at or now(), url=URL)


def verified(vendor: Vendor, headers: Headers, body: bytes, at: int | None = None, *others: str) -> bool:
    secrets = [*others, vendor.public or vendor.secret]
    try:
        message = hookd.verify(vendor.scheme, secrets, headers, body, now=at or now(), url=URL)
    except hookd.SignatureError:
        return False
    assert message.body == body
    return True


@EVERY
def test_what_hookd_signs_is_authentic_to_them(vendor: Vendor) -> None:
    for body in bodies(vendor):
        assert vendor.accepts(signed(vendor, body), body), body


@EVERY
def test_what_was_tampered_with_is_authentic_to_neither(vendor: Vendor) -> None:
    for body in filter(None, bodies(vendor)):
        headers = signed(vendor, body)
        for other in (body + b" ", body[:-1] + b"~"):
            assert not vendor.accepts(headers, other)
            assert not verified(vendor, headers, other)


@EVERY
def test_what_is_too_old_or_too_new_is_authentic_to_neither(vendor: Vendor) -> None:
    if vendor.tolerance is None:
        return
    body = b'{"name":"Ada"}'
    near, far = vendor.tolerance - 2, vendor.tolerance + 60
    for distance in (near, -near):
        assert verified(vendor, signed(vendor, body, now() - distance), body)
    assert vendor.accepts(signed(vendor, body, now() - near), body)
    for distance in (far, -far):
        assert not verified(vendor, signed(vendor, body, now() - distance), body)


@EVERY
def test_while_one_secret_replaces_another_both_are_good(vendor: Vendor) -> None:
    body = b'{"name":"Ada"}'
    other = {"standard": "whsec_" + "A" * 44, "svix": "whsec_" + "A" * 44}.get(vendor.scheme, "another one's secret")
    if vendor.several:
        headers = hookd.sign(vendor.scheme, [other, vendor.secret], body, id="msg_1", now=now(), url=URL)
        assert vendor.accepts(headers, body), "the second of two signatures is theirs"
    if vendor.public is None:
        assert verified(vendor, signed(vendor, body), body, None, other)


@SIGNING
def test_what_they_sign_is_authentic_to_hookd(vendor: Vendor) -> None:
    assert vendor.sign is not None
    for body in bodies(vendor):
        assert verified(vendor, vendor.sign(body, now()), body), body
        assert not verified(vendor, vendor.sign(body, now()), body + b"x"), body


@SIGNING
def test_what_they_sign_is_what_hookd_signs(vendor: Vendor) -> None:
    """To the letter, wherever nothing is left to either."""
    assert vendor.sign is not None
    if vendor.scheme == "rfc9421":
        return
    theirs = {name.lower(): value for name, value in vendor.sign(b'{"name":"Ada"}', now()).items()}
    ours = {name.lower(): value for name, value in signed(vendor, b'{"name":"Ada"}', now()).items()}
    assert {name: ours[name] for name in theirs} == theirs


# Standard Webhooks by a pair of keys.


def test_a_pair_of_keys_signs_as_the_specification_says() -> None:
    body = b'{"name":"Ada"}'
    headers = hookd.sign("standard", PRIVATE, body, id="msg_1", now=now())
    kind, _, proof = headers["webhook-signature"].partition(",")
    assert kind == "v1a"
    PAIR.verify_key.verify(f"msg_1.{headers['webhook-timestamp']}.".encode() + body, base64.b64decode(proof))
    assert hookd.verify("standard", PUBLIC, headers, body, now=now()).id == "msg_1"


# Twilio signs the address, and what it signs beside depends on the body.

FORMS = [
    urlencode({"From": "+15005550006", "Body": "Hello & welcome = 🎓", "Empty": ""}).encode(),
    b"b=2&a=1",
    b"",
]


@pytest.mark.parametrize("body", FORMS)
def test_a_form_that_twilio_signs_is_authentic(body: bytes) -> None:
    signature = RequestValidator(TEXT).compute_signature(URL, form(body))
    content = {"X-Twilio-Signature": signature, "content-type": "application/x-www-form-urlencoded"}
    assert hookd.verify("twilio", TEXT, content, body, url=URL).body == body
    for other in (body + b"&c=3", b"a=2"):
        with pytest.raises(hookd.SignatureError):
            hookd.verify("twilio", TEXT, content, other, url=URL)
    with pytest.raises(hookd.SignatureError):
        hookd.verify("twilio", TEXT, content, body, url=URL + "&other=1")


@pytest.mark.parametrize("body", [b'{"name":"Ada"}', '{"name":"Zoë"}'.encode()])
def test_json_that_twilio_signs_is_authentic(body: bytes) -> None:
    url = f"{URL}&bodySHA256={sha256(body).hexdigest()}"
    validator = RequestValidator(TEXT)
    headers = {"X-Twilio-Signature": validator.compute_signature(url, {}), "content-type": "application/json"}
    assert validator.validate(url, body.decode(), headers["X-Twilio-Signature"])
    assert hookd.verify("twilio", TEXT, headers, body, url=url).body == body
    with pytest.raises(hookd.SignatureError):
        hookd.verify("twilio", TEXT, headers, body + b" ", url=url)
    ours = hookd.sign("twilio", TEXT, body, url=url)
    assert validator.validate(url, body.decode(), ours["X-Twilio-Signature"])
