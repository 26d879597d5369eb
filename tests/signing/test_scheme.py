"""The scheme `standard`: what is signed verifies, and nothing else does."""

import base64
import hashlib
import hmac
from email.message import Message

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict

from hookd.errors import SignatureError
from hookd.signing import Headers, Reason, Verified, scheme
from hookd.signing.proof import HmacKey

STANDARD = scheme("standard")
NOW = 1_700_000_000_000
BODY = b'{"type":"purchase","name":"Ada"}'
BODIES = [
    b"",
    BODY,
    bytes(range(256)),
    "ünïcödé 🎓".encode(),
    b"\xef\xbb\xbf{}",
    b"\xff\x00\r\n.",
    b"%(id)b %",
]
SECRET = "whsec_" + base64.b64encode(bytes(range(32))).decode()
VISIBLE_ID = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E, exclude_characters="."), min_size=1)


def signed(body: bytes = BODY, *secrets: str, at: int = NOW) -> dict[str, str]:
    return STANDARD.sign(secrets or (SECRET,), body, "evt_1", at // 1000)


def refusal(headers: Headers, body: bytes = BODY, secrets: tuple[str, ...] = (SECRET,)) -> str:
    with pytest.raises(SignatureError) as caught:
        STANDARD.verify(secrets, headers, body, NOW)
    assert "\n" not in str(caught.value)
    assert not any(secret in str(caught.value) for secret in secrets)
    return caught.value.reason


def test_vector_of_the_reference_suite() -> None:
    headers = STANDARD.sign(
        ["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"],
        b'{"test": 2432232314}',
        "msg_p5jXN8AQM9LWM0D4loKWxJek",
        1614265330,
    )
    assert headers == {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }


@pytest.mark.parametrize("body", BODIES)
def test_signature_is_the_specified_hmac_over_the_raw_bytes(body: bytes) -> None:
    digest = hmac.new(bytes(range(32)), b"evt_1.1700000000." + body, hashlib.sha256).digest()
    headers = signed(body)
    assert headers["webhook-signature"] == "v1," + base64.b64encode(digest).decode()
    assert STANDARD.verify([SECRET], headers, body, NOW).body == body


def test_verified_says_what_the_request_says() -> None:
    assert STANDARD.verify([SECRET], signed(), BODY, NOW) == Verified("evt_1", "purchase", 1_700_000_000, BODY)


@pytest.mark.parametrize("body", [b"", b"[]", b'{"type":{}}', b'{"type":', b"\xff", b"[" * 100_000])
def test_a_body_without_a_type_is_authentic_all_the_same(body: bytes) -> None:
    assert STANDARD.verify([SECRET], signed(body), body, NOW).type is None


def test_headers_in_every_form() -> None:
    headers = signed()
    message = Message()
    for name, value in headers.items():
        message[name] = value
    forms: list[Headers] = [
        {name.title(): value for name, value in headers.items()},
        [(name.upper(), value) for name, value in headers.items()],
        [(name.encode(), value.encode()) for name, value in headers.items()],
        CIMultiDict(headers),
        message,
    ]
    for form in forms:
        assert STANDARD.verify([SECRET], form, BODY, NOW).id == "evt_1"


def test_rotation_both_ways_three_keys_deep(secret: str, other_secret: str, third_secret: str) -> None:
    keys = (secret, other_secret, third_secret)
    headers = signed(BODY, *keys)
    assert headers["webhook-signature"].count(" ") == 2
    for key in keys:
        assert STANDARD.verify([key], headers, BODY, NOW).id == "evt_1"
        assert STANDARD.verify(keys, signed(BODY, key), BODY, NOW).id == "evt_1"
    assert refusal(headers) == Reason.SIGNATURE_MISMATCH


@pytest.mark.parametrize("noise", ["", " ", "v1", "v1,", "v1a,AAAA", "v1,%%%", "v2,x,y", "\x00", "é", "\udcff"])
def test_a_malformed_entry_neither_throws_nor_hides_a_good_one(noise: str) -> None:
    headers = signed()
    good = headers["webhook-signature"]
    for value in (f"{noise} {good}", f"{good} {noise}", f"{noise}  {good}  {noise}"):
        assert STANDARD.verify([SECRET], headers | {"webhook-signature": value}, BODY, NOW).id == "evt_1"
    assert refusal(headers | {"webhook-signature": noise or " "}) == Reason.SIGNATURE_MISMATCH


@pytest.mark.parametrize("change", [lambda s: s[3:], lambda s: "v1a" + s[2:], str.lower, lambda s: s.rstrip("=")])
def test_only_the_exact_signature_counts(change) -> None:  # type: ignore[no-untyped-def]
    headers = signed()
    headers["webhook-signature"] = change(headers["webhook-signature"])
    assert refusal(headers) == Reason.SIGNATURE_MISMATCH


@pytest.mark.parametrize("name", ["webhook-id", "webhook-timestamp", "webhook-signature"])
def test_each_header_is_needed_once(name: str) -> None:
    headers = signed()
    assert refusal({key: value for key, value in headers.items() if key != name}) == Reason.MISSING_HEADER
    assert refusal(headers | {name: ""}) == Reason.MISSING_HEADER
    assert refusal([*headers.items(), (name.upper(), headers[name])]) == Reason.REPEATED_HEADER


def test_bytes_can_not_move_between_id_timestamp_and_body() -> None:
    shifted = {"webhook-id": "evt_1.1700000000", "webhook-timestamp": "1700000001"}
    headers = signed(b"1700000001." + BODY) | shifted
    assert refusal(headers, BODY) == Reason.MALFORMED_HEADER


@pytest.mark.parametrize("event_id", ["a.b", ".", "a b", "é", "a\n", "a\x7f", "\udc80"])
def test_an_id_with_a_dot_or_unprintable_is_refused_on_both_sides(event_id: str) -> None:
    assert refusal(signed() | {"webhook-id": event_id}) == Reason.MALFORMED_HEADER
    with pytest.raises(ValueError, match="expected an id"):
        STANDARD.sign([SECRET], BODY, event_id, 1)


@pytest.mark.parametrize(
    "timestamp",
    [
        "+1700000000",
        "-1",
        "01700000000",
        "00",
        " 1700000000",
        "1700000000\n",
        "1_700_000_000",
        "1.7e9",
        "0x1",
        "1700000000.0",
        "\u0661\u0667",
        "²",
        "9" * 5000,
    ],
)
def test_a_timestamp_is_decimal_ascii(timestamp: str) -> None:
    assert refusal(signed() | {"webhook-timestamp": timestamp}) == Reason.MALFORMED_HEADER


def test_tolerance_in_the_past_and_in_the_future() -> None:
    for edge in (-300_000, 0, 300_000):
        assert STANDARD.verify([SECRET], signed(at=NOW + edge), BODY, NOW).timestamp == (NOW + edge) // 1000
    assert refusal(signed(at=NOW - 301_000)) == Reason.TIMESTAMP_TOO_OLD
    assert refusal(signed(at=NOW + 301_000)) == Reason.TIMESTAMP_TOO_NEW
    with pytest.raises(SignatureError, match="5 s in the past"):
        STANDARD.verify([SECRET], signed(at=NOW - 5_000), BODY, NOW, tolerance=4_000)
    assert STANDARD.verify([SECRET], signed(at=NOW - 900_000), BODY, NOW, tolerance=900_000).id == "evt_1"
    with pytest.raises(SignatureError):
        STANDARD.verify([SECRET], signed(at=NOW - 1_000), BODY, NOW, tolerance=0)


def test_without_a_secret_nothing_is_authentic_or_signed() -> None:
    assert refusal(signed(), secrets=()) == Reason.NO_SECRET
    with pytest.raises(ValueError, match="no secret"):
        STANDARD.sign([], BODY, "evt_1", 1)


@given(st.binary(), VISIBLE_ID, st.integers(0, 10**12))
def test_what_is_signed_verifies(body: bytes, event_id: str, timestamp: int) -> None:
    headers = STANDARD.sign([SECRET], body, event_id, timestamp)
    verified = STANDARD.verify([SECRET], headers, body, timestamp * 1000)
    assert (verified.id, verified.timestamp, verified.body) == (event_id, timestamp, body)


@given(st.data(), st.binary(min_size=1), st.sampled_from(["body", *signed()]))
def test_one_flipped_bit_is_refused(data: st.DataObject, body: bytes, place: str) -> None:
    headers = signed(body)
    flipped = bytearray(body if place == "body" else headers[place].encode())
    position = data.draw(st.integers(0, len(flipped) * 8 - 1))
    flipped[position // 8] ^= 1 << position % 8
    if place == "body":
        body = bytes(flipped)
    else:
        headers[place] = flipped.decode("latin-1")
    with pytest.raises(SignatureError):
        STANDARD.verify([SECRET], headers, body, NOW, tolerance=10**18)


NAMES = st.sampled_from(["webhook-id", "Webhook-Timestamp", "WEBHOOK-SIGNATURE", "X-Webhook-Token"])
ANY_TEXT = st.text(st.characters(exclude_categories=())) | st.from_regex(r"v1,[A-Za-z0-9+/=]{0,50}| +|[0-9]{1,20}")


@given(st.lists(st.tuples(NAMES | ANY_TEXT, ANY_TEXT) | st.tuples(st.binary(), st.binary())), st.binary())
def test_nothing_but_a_signature_error_whatever_comes(headers: list[tuple[str, str]], body: bytes) -> None:
    for row, secret in ((STANDARD, SECRET), (scheme("token"), "t0ken")):
        with pytest.raises(SignatureError) as caught:
            row.verify([secret], headers, body, NOW)
        assert caught.value.reason in list(Reason)


@given(
    st.binary(max_size=200),
    st.sampled_from(["sha1", "sha256", "sha512"]),
    st.lists(st.binary(max_size=300), min_size=1),
)
def test_a_key_signs_as_the_standard_library_does_however_often(
    key: bytes, algorithm: str, contents: list[bytes]
) -> None:
    begun = HmacKey(key, algorithm, bytes, b"")
    for content in contents:
        assert begun.prove(content) == hmac.digest(key, content, algorithm)


@pytest.mark.parametrize(
    ("name", "secret", "value", "told"),
    [
        ("github", "sesame", "garbage", '"sha256="'),
        ("github", "sesame", "sha1=00", '"sha256="'),
        ("standard", SECRET, "v2,AAAA v1=AAAA", '"v1,"'),
        ("basic", "user:password", "Bearer abc", '"Basic "'),
    ],
)
def test_what_a_proof_should_begin_with_is_told(name: str, secret: str, value: str, told: str) -> None:
    row = scheme(name)
    headers = row.sign([secret], b"{}", "evt_1", 1_700_000_000) | {row.header: value}
    with pytest.raises(SignatureError) as caught:
        row.verify([secret], headers, b"{}", 1_700_000_000_000)
    assert caught.value.reason is Reason.SIGNATURE_MISMATCH
    assert str(caught.value).endswith(f"expected what begins with {told}")
