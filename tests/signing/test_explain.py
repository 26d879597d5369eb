"""Explanations: each fault that is put into a request is named, and no secret or signature ever is."""

import base64
import gzip
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hookd.errors import SignatureError
from hookd.signing import SCHEMES, Scheme, explain, scheme
from hookd.signing.bodies import LONGEST, LONGEST_FORM, MOST_FIELDS, MOST_INDENTED, former_bodies
from hookd.signing.explain import MOST_BYTES, MOST_GUESSES
from hookd.signing.keys import text_bytes
from hookd.signing.proof import HmacKey, SharedKeys, hexadecimal, kept
from hookd.signing.proof import base64 as in_base64
from hookd.signing.readings import readings
from tests.nouns import SECRET

STANDARD = scheme("standard")
TOKEN = scheme("token")
NOW = 1_700_000_000_000
OTHER = "whsec_" + base64.b64encode(bytes(range(32))).decode()
VALUE = {"b": "é/<", "a": [1, 2.5, None], "id": "evt_1"}
BODY = json.dumps(VALUE, separators=(",", ":"), ensure_ascii=False).encode()


GITHUB = scheme("github")
ROWS = [STANDARD, GITHUB]


def by_key(row: Scheme, raw: bytes) -> Scheme:
    """The same with a key of these bytes, whatever the secret."""
    write, prefix = (in_base64, b"v1,") if row is STANDARD else (hexadecimal, b"sha256=")
    return replace(row, key=lambda _: HmacKey(raw, "sha256", write, prefix))


def signed(row: Scheme = STANDARD, body: bytes = BODY, secret: str = SECRET, at: int = NOW) -> dict[str, str]:
    return row.sign([secret], body, "evt_1", at // 1000)


def told(
    headers: Any, body: bytes = BODY, row: Scheme = STANDARD, secrets: tuple[str, ...] = (SECRET,), **more: Any
) -> str:
    """Answer the explanation of a request that does not verify, in which no secret and no signature stands."""
    text = explain(row, secrets, headers, body, more.pop("now", NOW), **more)
    shown = dict(headers).get(row.header, "")
    for secret in (*secrets, OTHER, shown[-20:] or SECRET):
        assert secret not in text
    assert "\n" not in text
    assert len(text) < 600
    return text


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
@pytest.mark.parametrize(
    ("sent", "words"),
    [
        (json.dumps(VALUE).encode(), "as JSON with a space after each comma and colon, what is not ASCII escaped"),
        (
            json.dumps(VALUE, ensure_ascii=False).encode(),
            "with a space after each comma and colon, what is not ASCII not",
        ),
        (json.dumps(VALUE, sort_keys=True, separators=(",", ":")).encode(), "without spaces and with its keys sorted"),
        (json.dumps(VALUE, indent=2).encode(), "as JSON indented by 2"),
        (json.dumps(VALUE, separators=(",", ":")).replace("/", "\\/").encode(), "slashes escaped"),
        (BODY + b"\n", "with a newline at its end"),
        (BODY + b"\r\n", "with CR LF at its end"),
        (b"", "with an empty body"),
    ],
)
def test_a_body_that_was_changed(row: Scheme, sent: bytes, words: str) -> None:
    text = told(signed(row, sent), BODY, row)
    assert words in text
    assert "let it pass the bytes on" in text


@pytest.mark.parametrize(
    ("sent", "came", "words"),
    [
        (b"{}", b"{}\n", "without the newline at its end"),
        (b"{}", b"{}\r\n", "without the newline at its end"),
        (b"{\r\n}", b"{\n}", "with CR LF for LF"),
        (b"{\n}", b"{\r\n}", "with LF for CR LF"),
        (b"a=1", b"  a=1 ", "without the space around it"),
        (b"\xef\xbb\xbf{}", b"{}", "with a byte order mark"),
        (b"\xe9", b"\xc3\xa9", "read as UTF-8 and written as Latin-1"),
        (b"\xc3\xa9", b"\xc3\x83\xc2\xa9", "read as UTF-8 and written as Latin-1"),
        (b'{"a": 1}', gzip.compress(b'{"a": 1}', mtime=0), "unpacked by gzip"),
        (b'{"a": 1}', base64.b64encode(b'{"a": 1}'), "decoded from base64"),
        (b'{"a": 1}', b'"{\\"a\\": 1}"', "taken out of the JSON string that it came in"),
        (b"command=%2Fhi&text=a+b&to=", b"command=/hi&text=a%20b&to=", "as a form with its spaces as plus signs"),
        (b"command=%2Fhi&text=a%20b", b"command=/hi&text=a+b", "as a form with its spaces as %20"),
        (b"command=%2Fhi&text=a+b", b'{"command": "/hi", "text": "a b"}', "as a form with its spaces as plus signs"),
    ],
)
def test_bytes_that_were_changed(sent: bytes, came: bytes, words: str) -> None:
    assert words in told(signed(body=sent), came)


KEY = base64.b64decode(SECRET[6:])


@pytest.mark.parametrize(
    ("key", "words"),
    [
        (SECRET.encode(), "with the secret taken as text, not decoded"),
        (SECRET[6:].encode(), "taken as text without its prefix, not decoded"),
        (SECRET.encode() + b"\n", "with a newline at its end"),
    ],
)
def test_a_secret_that_was_not_decoded(key: bytes, words: str) -> None:
    assert words in told(signed(by_key(STANDARD, key)))


def test_a_secret_that_was_decoded_and_should_not_have_been() -> None:
    text = told(signed(by_key(GITHUB, KEY)), row=GITHUB)
    assert "decoded from base64 without its prefix" in text
    assert "github wants it taken as text, not decoded; let the sender do so" in text


def test_a_secret_of_another_source_and_one_that_has_expired() -> None:
    headers = signed(secret=OTHER)
    assert "with a secret of the source shop: the sender posts to the wrong path" in told(
        headers, others={"crm": (SECRET,), "shop": (OTHER,)}
    )
    assert "with a secret that this source no longer has: put it back" in told(headers, former=(OTHER,))
    assert "signed with another secret, or its body" in told(headers)


def test_an_address_that_is_another_altogether() -> None:
    square = scheme("square")
    headers = square.sign([SECRET], BODY, "evt_1", NOW // 1000, url="https://example.com/a")
    text = told(headers, row=square, url="https://example.com/b")
    assert "with another secret or for another address than url" in text
    assert "Compare the source's secret and url with the sender's" in text


def test_a_body_that_was_changed_is_found_among_many_sources() -> None:
    many = {str(number): (f"secret-{number}",) for number in range(2 * MOST_GUESSES)}
    assert "without the newline at its end" in told(signed(GITHUB), BODY + b"\n", GITHUB, others=many)


Change = Callable[[dict[str, str]], Any]


def respelt(change: Callable[[str], str]) -> Change:
    return lambda headers: {**headers, "webhook-signature": change(headers["webhook-signature"])}


def to_hexadecimal(text: str) -> str:
    return "v1," + base64.b64decode(text.removeprefix("v1,")).hex()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (respelt(to_hexadecimal), "written in base64, as v1,SIGNATURE"),
        (respelt(lambda text: text.removeprefix("v1,")), "with webhook-signature written as v1,SIGNATURE"),
        (respelt(lambda text: text.replace("v1,", "v2,")), "with webhook-signature written as v1,SIGNATURE"),
        (respelt(lambda text: text.rstrip("=")), "as v1,SIGNATURE"),
        (respelt(lambda text: f'"{text}"'), "with webhook-signature without the quotes around it"),
        (lambda headers: headers | {"webhook-id": "evt_1, evt_2"}, "the values alone that are joined in webhook-id"),
    ],
)
def test_a_signature_that_is_written_otherwise(change: Change, words: str) -> None:
    assert words in told(change(signed()))


def test_hexadecimal_in_capitals() -> None:
    headers = {GITHUB.header: "sha256=" + signed(GITHUB)[GITHUB.header][7:].upper()}
    assert "in lower case, as sha256=SIGNATURE" in told(headers, row=GITHUB)


def test_base64_in_place_of_hexadecimal() -> None:
    digest = bytes.fromhex(signed(GITHUB)[GITHUB.header][7:])
    headers = {GITHUB.header: "sha256=" + base64.b64encode(digest).decode()}
    assert "written in hexadecimal, as sha256=SIGNATURE" in told(headers, row=GITHUB)


@pytest.mark.parametrize("rename", ["WEBHOOK_{}", "HTTP_WEBHOOK_{}", "X-Webhook-{}", "X-Forwarded-Webhook-{}"])
def test_headers_that_were_renamed(rename: str) -> None:
    headers = {rename.format(name.split("-")[1].title()): value for name, value in signed().items()}
    text = told(headers)
    assert "read as webhook-signature" in text
    assert "a proxy or a framework in between changes headers" in text


def test_a_header_that_came_twice() -> None:
    pairs = [*signed().items(), ("Webhook-Id", "evt_2")]
    assert "with one webhook-id alone" in told(pairs)


def test_two_faults_at_once() -> None:
    headers = {name.replace("-", "_"): value for name, value in signed(body=BODY + b"\n").items()}
    text = told(headers, BODY)
    assert "read as webhook-signature" in text
    assert "and with its body with a newline at its end" in text
    misread = signed(by_key(STANDARD, SECRET.encode()), BODY + b"\n")
    text = told(misread)
    assert "with the secret taken as text" in text
    assert "with its body with a newline at its end" in text


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (-310, "5 min in the past, more than the tolerance of 5m"),
        (-90_000, "25 h in the past"),
        (-864_000, "10 days in the past"),
        (400, "7 min in the future"),
        (3_600 - 1, "60 min in the future"),
    ],
)
def test_a_timestamp_that_is_off(seconds: int, words: str) -> None:
    headers = signed(at=NOW + seconds * 1000)
    assert words in told(headers)
    assert words.partition(",")[0] in told(signed(body=BODY + b"\n", at=NOW + seconds * 1000))


def test_a_timestamp_in_milliseconds() -> None:
    assert "webhook-timestamp is in milliseconds" in told(STANDARD.sign([SECRET], BODY, "evt_1", NOW))


def test_the_tolerance_is_the_sources() -> None:
    headers = signed(at=NOW - 60_000)
    assert told(headers) == "With these secrets, and at that time, it verifies."
    assert "60 s in the past, more than the tolerance of 10s" in told(headers, tolerance=10_000)


def test_another_scheme() -> None:
    headers = {"X-Webhook-Token": "sesame"}
    text = told(headers, secrets=("sesame",))
    assert 'by the scheme token: set scheme = "token"' in text
    text = told(headers, row=scheme("token", "X-Api-Key"), secrets=("guess",))
    assert text.endswith('set header = "X-Webhook-Token" and the secret for it.')
    text = told({"Authorization": "Bearer sesame"}, row=TOKEN, secrets=("sesame",))
    assert 'set scheme = "basic" (for a Bearer token, a scheme of your own)' in text
    assert "It carries x-webhook-token, not webhook-signature" in told({"X-Webhook-Token": "wrong"})
    stripe = told({"Stripe-Signature": "t=1,v1=" + "0" * 64})
    assert 'set scheme = "stripe" and the secret for it' in stripe
    assert stripe.startswith("It carries stripe-signature, not webhook-signature: ")
    assert 'set scheme = "standard"' in told(signed(), row=TOKEN)


def test_another_sources_request_is_sent_elsewhere_and_no_scheme_is_changed() -> None:
    text = told(signed(GITHUB, secret=OTHER), others={"crm": (OTHER,)})
    assert "It verifies by the scheme github, and with a secret of the source crm: the sender posts to" in text
    assert "set scheme" not in text


@pytest.mark.parametrize(
    ("row", "content"),
    [("stripe", "{timestamp}.{body}"), ("slack", "v0:{timestamp}:{body}"), ("square", "{url}{body}")],
)
def test_a_sender_that_signs_the_body_alone(row: str, content: str) -> None:
    own = replace(scheme(row), signed=GITHUB.signed)
    headers = own.sign([SECRET], BODY, "evt_1", NOW // 1000)
    text = told(headers, row=scheme(row), url="https://example.com/in")
    assert f"It verifies as a signature of the body alone: the scheme {row} signs {content}" in text
    text = told(own.sign([SECRET[6:]], BODY, "evt_1", NOW // 1000), row=scheme(row), url="https://example.com/in")
    assert "of the body alone, and with the secret taken as text without its prefix" in text
    headers["X-" + scheme(row).header] = headers.pop(scheme(row).header)
    text = told(headers, row=scheme(row), url="https://example.com/in")
    assert f" read as {scheme(row).header}, and as a signature of the body alone: a proxy" in text


def test_a_body_that_was_dropped() -> None:
    assert "it came without a body" in told(signed(), b"")
    assert "without a body" not in told(signed(secret=OTHER))


def test_headers_that_are_missing() -> None:
    headers = signed()
    text = told({})
    assert "webhook-signature and webhook-id and webhook-timestamp are missing: the sender has been given no" in text
    del headers["webhook-timestamp"]
    assert "webhook-timestamp is missing" in told(headers)


def test_headers_that_make_no_sense() -> None:
    assert "webhook-id is not of visible ASCII characters, without a dot: " in told(signed() | {"webhook-id": "a.b"})
    assert "number of seconds" in told(signed() | {"webhook-timestamp": "soon"})
    assert told({"Stripe-Signature": "v1=00"}, row=scheme("stripe")).startswith("Stripe-Signature has no t=, expected")


@pytest.mark.parametrize("shown", ["Bearer sesame-sesame", '"sesame-sesame"'])
def test_a_token_with_something_around_it(shown: str) -> None:
    assert "It verifies with X-Webhook-Token without" in told(
        {"X-Webhook-Token": shown}, row=TOKEN, secrets=("sesame-sesame",)
    )


def test_a_wrong_token() -> None:
    assert "none of the secrets" in told({"X-Webhook-Token": "wrong"}, row=TOKEN, secrets=("sesame",))


@pytest.mark.parametrize("row", [TOKEN, GITHUB], ids=lambda row: row.name)
def test_only_a_signature_may_fail_for_other_bytes(row: Scheme) -> None:
    with pytest.raises(SignatureError) as refused:
        row.verify(["sesame"], row.sign(["wrong"], BODY, "evt_1", NOW // 1000), BODY, NOW)
    assert str(refused.value).endswith("another secret" if row is TOKEN else "another secret, or other bytes")


def test_no_secret() -> None:
    assert "no secret" in told(signed(), secrets=())


# Whatever comes.

HEADER_NAMES = st.sampled_from(
    [
        *(row.header for row in SCHEMES.values()),
        "webhook-id",
        "webhook-timestamp",
        "Webhook_Id",
        "Stripe-Signature",
        "a",
    ]
)
HEADERS = st.lists(st.tuples(HEADER_NAMES, st.text(max_size=40) | st.sampled_from(list(signed().values()))), max_size=8)


@settings(deadline=None, max_examples=50)
@given(HEADERS, st.binary(max_size=60) | st.just(BODY), st.sampled_from([*SCHEMES.values(), GITHUB]))
def test_whatever_comes_is_explained_in_a_line_without_a_secret(headers: Any, body: bytes, row: Scheme) -> None:
    text = explain(row, (SECRET,), headers, body, NOW, others={"other": (OTHER, "ünsafe")})
    assert text.isprintable()
    assert SECRET[6:] not in text
    assert text.endswith(".")


@settings(deadline=None, max_examples=50)
@given(st.binary(max_size=200))
def test_a_request_that_verifies_needs_no_explanation_and_one_byte_less_is_never_taken_for_right(body: bytes) -> None:
    assert told(signed(body=body), body) == "With these secrets, and at that time, it verifies."
    headers = signed(body=body + b"\0x")
    with pytest.raises(SignatureError):
        STANDARD.verify([SECRET], headers, body, NOW)
    assert "It verifies" not in told(headers, body)


@pytest.mark.parametrize("length", [0, LONGEST - 100])
def test_the_work_is_bounded(length: int) -> None:
    sizes: list[int] = []

    class Counting(HmacKey):
        def prove(self, content: bytes) -> bytes:
            sizes.append(len(content))
            return super().prove(content)

    row = replace(
        GITHUB, key=kept(SharedKeys(text_bytes, lambda raw: Counting(raw, "sha256", hexadecimal, b"sha256=")))
    )
    body = json.dumps(VALUE | {"c/": "é" + "x" * length}, ensure_ascii=False).encode()
    headers = {"X-Hub-Signature-256": "sha256=" + "0" * 64}
    others = {str(number): tuple(f"secret-{number}-{other}" for other in range(20)) for number in range(20)}
    assert "Nothing that usually goes wrong" in told(headers, body, row, others=others)
    assert len(sizes) < 2 * MOST_GUESSES
    assert sum(sizes) < 2 * MOST_BYTES


@pytest.mark.parametrize("depth", [10, 900])
def test_a_body_that_is_nested_deeply_is_not_indented_without_end(depth: int) -> None:
    nested = b"[" * depth + b",".join([b"1"] * 30_000) + b"]" * depth
    bodies = dict(former_bodies(nested))
    assert max(map(len, bodies.values())) <= MOST_INDENTED
    assert "as JSON with a space after each comma and colon, what is not ASCII not escaped" in bodies
    indented = [words for words in bodies if "indented by 4" in words]
    assert len(indented) == (1 if depth == 10 else 0)


def test_few_bodies_and_few_keys_are_tried() -> None:
    assert len(list(former_bodies(b"[" * 100_000))) < 20
    assert len(list(former_bodies(BODY))) < 100
    assert len(list(readings("whsec_" + "ab" * 30))) < 20


def as_json(fields: int) -> bytes:
    return json.dumps({str(number): "/" for number in range(fields)}).encode()


PACKED = gzip.compress(bytes(LONGEST), mtime=0)


@pytest.mark.parametrize(
    ("body", "more", "words"),
    [
        (b"&".join([b"a=/"] * MOST_FIELDS), b"&".join([b"a=/"] * (MOST_FIELDS + 1)), "as a form"),
        (as_json(MOST_FIELDS), as_json(MOST_FIELDS + 1), "as a form"),
        (b"a=".ljust(LONGEST_FORM, b"/"), b"a=".ljust(LONGEST_FORM + 1, b"/"), "as a form"),
        (base64.b64encode(bytes(3 * LONGEST // 4)), base64.b64encode(bytes(3 * LONGEST // 4 + 1)), "from base64"),
        (f'"{"x" * (LONGEST - 2)}"'.encode(), f'"{"x" * (LONGEST - 1)}"'.encode(), "JSON string"),
        (PACKED, gzip.compress(bytes(LONGEST + 1), mtime=0), "by gzip"),
        (PACKED, PACKED[:-1], "by gzip"),
    ],
    ids=["fields", "fields of JSON", "form", "base64", "JSON string", "gzip", "gzip that is cut off"],
)
def test_what_would_take_long_is_not_undone(body: bytes, more: bytes, words: str) -> None:
    found = [other for said, other in former_bodies(body) if words in said]
    assert found
    assert max(map(len, found)) <= LONGEST
    assert not any(words in said for said, _ in former_bodies(more))


def test_a_body_of_half_a_character_is_no_form() -> None:
    assert not any("as a form" in words for words, _ in former_bodies(b'{"a": "\\ud800"}'))
