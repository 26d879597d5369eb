"""Every scheme of the table: what it signs it verifies, nothing else does, and vendors' own examples hold."""

import base64
import hashlib
import hmac
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hookd.errors import SignatureError
from hookd.signing import SCHEMES, Headers, Reason, Verified, scheme
from hookd.signing.content import Content
from tests.signing.examples import BODY, DATED, NOW, SECRETS, SHARED, UNSIGNED, URL, address, signed

OTHER = {"discord": "whsk_" + base64.b64encode(b"o" * 32).decode(), "basic": "ada:guess"}
SIGNED = sorted(set(SCHEMES) - UNSIGNED)
SEVERAL = sorted(name for name, row in SCHEMES.items() if row.several)


def verify(name: str, headers: Headers, body: bytes = BODY, *secrets: str, now: int = NOW) -> Verified:
    own = secrets or (SECRETS[name],)
    return scheme(name).verify(own, headers, body, now * 1000, url=address(name))


def refusal(name: str, headers: Headers, body: bytes = BODY, *secrets: str, now: int = NOW) -> str:
    with pytest.raises(SignatureError) as caught:
        verify(name, headers, body, *secrets, now=now)
    assert "\n" not in str(caught.value)
    assert not any(secret in str(caught.value) for secret in secrets or (SECRETS[name],))
    return caught.value.reason


def other(name: str) -> str:
    return OTHER.get(name, "whsec_" + base64.b64encode(b"o" * 32).decode())


@pytest.mark.parametrize("name", SCHEMES)
def test_what_is_signed_verifies(name: str) -> None:
    found = verify(name, signed(name))
    assert found.body == BODY
    assert found.id in ("evt_1", None)
    assert found.type in ("order.paid", "page", None)
    assert (found.timestamp == NOW) == (name in DATED)


@pytest.mark.parametrize("name", SIGNED)
@pytest.mark.parametrize(
    "body", [b"\xff" + BODY, BODY.replace(b"paid", b"pai\xef\xbf\xbd"), b"\xef\xbb\xbf" + BODY, b""]
)
def test_bytes_are_hashed_and_never_decoded(name: str, body: bytes) -> None:
    assert refusal(name, signed(name), body) == Reason.SIGNATURE_MISMATCH


@pytest.mark.parametrize("name", sorted(set(SIGNED) - {"linear", "twilio"}))
@pytest.mark.parametrize("body", [b"", b"\xff\x00%(id)b %", b"\xef\xbb\xbf{}"])
def test_a_body_may_be_any_bytes(name: str, body: bytes) -> None:
    found = scheme(name).verify([SECRETS[name]], signed(name, body=body), body, NOW * 1000, url=URL)
    assert found.body == body


@pytest.mark.parametrize("name", SCHEMES)
def test_another_secret_is_refused(name: str) -> None:
    assert refusal(name, signed(name, other(name))) == Reason.SIGNATURE_MISMATCH
    assert refusal(name, signed(name), BODY, other(name)) == Reason.SIGNATURE_MISMATCH


@pytest.mark.parametrize("name", SCHEMES)
def test_any_of_a_sources_secrets_will_do(name: str) -> None:
    assert verify(name, signed(name), BODY, other(name), SECRETS[name]).body == BODY


@pytest.mark.parametrize("name", SEVERAL)
def test_several_keys_sign_where_there_is_room(name: str) -> None:
    headers = signed(name, other(name), SECRETS[name])
    for secret in (other(name), SECRETS[name]):
        assert verify(name, headers, BODY, secret).body == BODY


@pytest.mark.parametrize("name", sorted(set(SCHEMES) - set(SEVERAL)))
def test_the_newest_key_signs_where_there_is_not(name: str) -> None:
    assert signed(name, SECRETS[name], other(name)) == signed(name)


@pytest.mark.parametrize("name", sorted(DATED))
def test_the_past_and_the_future_are_checked(name: str) -> None:
    limit = scheme(name).tolerance // 1000
    headers = signed(name)
    for now in (NOW - limit, NOW + limit):
        assert verify(name, headers, now=now).timestamp == NOW
    assert refusal(name, headers, now=NOW + limit + 1) == Reason.TIMESTAMP_TOO_OLD
    assert refusal(name, headers, now=NOW - limit - 1) == Reason.TIMESTAMP_TOO_NEW


@pytest.mark.parametrize("name", SCHEMES)
def test_the_header_with_the_proof_is_needed_once(name: str) -> None:
    headers, header = signed(name), scheme(name).header
    without = {key: value for key, value in headers.items() if key != header}
    assert refusal(name, without) == Reason.MISSING_HEADER
    assert refusal(name, without | {header: ""}) == Reason.MISSING_HEADER
    if name != "rfc9421":  # a dictionary of structured fields may come in several lines
        assert refusal(name, [*headers.items(), (header.upper(), headers[header])]) == Reason.REPEATED_HEADER


@pytest.mark.parametrize("name", ["square", "twilio", "rfc9421"])
def test_the_address_is_signed_and_needed(name: str) -> None:
    row, headers = scheme(name), signed(name)
    with pytest.raises(ValueError, match="expected its url"):
        row.verify([SECRETS[name]], headers, BODY, NOW * 1000)
    with pytest.raises(ValueError, match="expected its url"):
        row.sign([SECRETS[name]], BODY, "evt_1", NOW)
    with pytest.raises(SignatureError):
        row.verify([SECRETS[name]], headers, BODY, NOW * 1000, url=address(name).replace("them", "others"))


@pytest.mark.parametrize("name", ["github", "meta"])
def test_a_digest_is_bound_to_its_header(name: str) -> None:
    weak = "sha1=" + hmac.new(SHARED.encode(), BODY, hashlib.sha1).hexdigest()
    assert refusal(name, {"X-Hub-Signature-256": weak}) == Reason.SIGNATURE_MISMATCH
    assert refusal(name, {"X-Hub-Signature": weak}) == Reason.MISSING_HEADER
    assert verify("github-sha1", {"X-Hub-Signature": weak}).body == BODY


@pytest.mark.parametrize(("name", "key", "between"), [("stripe", "t=", ","), ("paddle", "ts=", ";")])
def test_a_repeated_timestamp_is_rejected_wherever_it_stands(name: str, key: str, between: str) -> None:
    headers, header = signed(name), scheme(name).header
    for more in (f"{key}{NOW}", f"{key}{NOW + 1}", key):
        for value in (more + between + headers[header], headers[header] + between + more):
            assert refusal(name, {header: value}) == Reason.MALFORMED_HEADER
    assert refusal(name, {header: headers[header].partition(between)[2]}) == Reason.MALFORMED_HEADER


@pytest.mark.parametrize("noise", ["", "v1=", "v0=00", "h1", "=", "é", "\udcff", "v1=zz"])
@pytest.mark.parametrize(("name", "between"), [("stripe", ","), ("paddle", ";"), ("svix", " ")])
def test_a_malformed_entry_neither_throws_nor_hides_a_good_one(name: str, between: str, noise: str) -> None:
    headers, header = signed(name), scheme(name).header
    for value in (noise + between + headers[header], headers[header] + 2 * between + noise):
        assert verify(name, headers | {header: value}).body == BODY


def test_shopify_in_both_forms() -> None:
    headers = signed("shopify")
    assert set(headers) == {"X-Shopify-Hmac-Sha256", "X-Shopify-Event-Id", "X-Shopify-Topic"}
    newer = {name.removeprefix("X-").lower(): value for name, value in headers.items()}
    for form in (headers, newer, headers | newer):
        assert verify("shopify", form) == Verified("evt_1", "order.paid", None, BODY)
    assert refusal("shopify", newer, BODY + b" ") == Reason.SIGNATURE_MISMATCH


def test_linear_needs_its_timestamp_in_the_body() -> None:
    for body in (b"{}", b"", b'{"webhookTimestamp":"soon"}'):
        with pytest.raises(SignatureError) as caught:
            scheme("linear").verify([SHARED], signed("linear", body=body), body, NOW * 1000)
        assert caught.value.reason in (Reason.MISSING_TIMESTAMP, Reason.MALFORMED_HEADER)


def test_a_header_that_is_not_signed_may_name_any_id_and_one_that_is_may_not() -> None:
    assert verify("github", signed("github") | {"X-GitHub-Delivery": "a.b c"}).id == "a.b c"
    assert refusal("svix", signed("svix") | {"svix-id": "a.b"}) == Reason.MALFORMED_HEADER
    colons = replace(scheme("standard"), signed=Content("{id}:{timestamp}:{body}"))
    assert colons.sign([SHARED], b"", "a.b", NOW)["webhook-id"] == "a.b"
    with pytest.raises(ValueError, match="without a colon"):
        colons.sign([SHARED], b"", "a:b", NOW)


@pytest.mark.parametrize("name", SCHEMES)
def test_nothing_but_visible_ascii_gets_into_a_header(name: str) -> None:
    for event_id, event_type in (("a\r\nb", "t"), ("é", "t"), ("a", "t\r\nx: y")):
        try:
            headers = scheme(name).sign(
                [SECRETS[name]], b"", event_id, NOW, url=address(name, b""), event_type=event_type
            )
        except ValueError:
            continue
        assert all(value.isascii() and value.isprintable() for value in headers.values())


HEADERS = sorted({header for row in SCHEMES.values() for header in (*row.names, "signature-input", "content-digest")})
VALUES = st.text(st.characters(exclude_categories=())) | st.sampled_from(
    [f"t={NOW},v1=00", "v0=00", "sig1=()", "sig1=:AA==:", f'sig1=("content-digest");created={NOW}', str(NOW), "evt_1"]
)


@settings(max_examples=200)
@given(st.lists(st.tuples(st.sampled_from(HEADERS), VALUES), max_size=8), st.binary())
def test_nothing_but_a_signature_error_whatever_comes(headers: list[tuple[str, str]], body: bytes) -> None:
    for name, row in SCHEMES.items():
        with pytest.raises(SignatureError) as caught:
            row.verify([SECRETS[name]], headers, body, NOW * 1000, url=URL)
        assert caught.value.reason in list(Reason)


@given(st.sampled_from(SIGNED), st.binary(max_size=50), st.data())
def test_one_flipped_bit_of_the_body_is_refused(name: str, body: bytes, data: st.DataObject) -> None:
    flipped = bytearray(body + BODY)
    position = data.draw(st.integers(0, len(flipped) * 8 - 1))
    flipped[position // 8] ^= 1 << position % 8
    with pytest.raises(SignatureError):
        verify(name, signed(name, body=body + BODY), bytes(flipped))


# Examples that vendors publish.


def test_githubs_own_example() -> None:
    """docs.github.com/webhooks/using-webhooks/validating-webhook-deliveries."""
    headers = scheme("github").sign(["It's a Secret to Everybody"], b"Hello, World!", "evt_1", NOW)
    expected = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"
    assert headers["X-Hub-Signature-256"] == expected


def test_slacks_own_example() -> None:
    """docs.slack.dev/authentication/verifying-requests-from-slack."""
    body = (
        b"token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V"
        b"&channel_name=foobar&user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text="
        b"&response_url=https%3A%2F%2Fhooks.slack.com%2Fcommands%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN"
        b"&trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c"
    )
    headers = scheme("slack").sign(["8f742231b10e8888abcd99yyyzzz85a5"], body, "", 1531420618)
    expected = "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503"
    assert headers["X-Slack-Signature"] == expected
