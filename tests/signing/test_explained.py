"""Explanations of every scheme of the table: the usual faults are named, and nothing is told that would verify."""

import base64
import json
import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hookd.signing import SCHEMES, Scheme, explain, scheme
from hookd.signing.explain import MOST_BYTES
from hookd.signing.guesses import WEIGHT
from hookd.signing.keys import text_bytes
from hookd.signing.proof import HmacKey, SharedKeys, kept, shared_keys
from hookd.signing.proof import base64 as in_base64
from hookd.signing.ways import keys
from tests.signing.examples import BODY, DATED, NOW, SECRETS, SHARED, UNSIGNED, URL, address, signed

OTHER = {"discord": "whsk_" + base64.b64encode(b"o" * 32).decode(), "basic": "ada:guess"}
SIGNED = sorted(set(SCHEMES) - UNSIGNED)
SHARING = sorted(name for name in SIGNED if shared_keys(scheme(name).key) is not None)
KEY = base64.b64decode(SHARED.removeprefix("whsec_"))

_LONG = re.compile(r"[A-Za-z0-9+/]{16,}")


def other(name: str) -> str:
    return OTHER.get(name, "whsec_" + base64.b64encode(b"o" * 32).decode())


def told(name: str, headers: Any, body: bytes = BODY, *secrets: str, now: int = NOW, **more: Any) -> str:
    """Answer the explanation of a request, in which nothing stands that would verify."""
    own = secrets or (SECRETS[name],)
    text = explain(scheme(name), own, headers, body, now * 1000, **{"url": address(name), **more})
    proofs = {headers.get(scheme(name).header, "")}
    for secret in {*own, SECRETS[name], other(name)}:
        assert secret not in text
        proofs.add(signed(name, secret, body=body)[scheme(name).header])
    assert not set(_LONG.findall(text)) & {token for proof in proofs for token in _LONG.findall(proof)}
    assert text.isprintable()
    assert text.endswith(".")
    return text


@pytest.mark.parametrize("name", SCHEMES)
def test_what_verifies_needs_no_explanation(name: str) -> None:
    assert told(name, signed(name)) == "With these secrets, and at that time, it verifies."


@pytest.mark.parametrize("name", sorted(set(SIGNED) - {"twilio"}))
def test_a_body_that_was_written_anew_or_got_a_newline(name: str) -> None:
    assert "with its body without the newline" in told(name, signed(name), BODY + b"\n")
    anew = json.dumps(json.loads(BODY), separators=(",", ":")).encode()
    text = told(name, signed(name), anew)
    assert "with its body as JSON with a space after each comma and colon" in text
    assert "let it pass the bytes on as they come" in text


def test_a_body_of_twilio_that_was_written_anew_or_got_a_newline() -> None:
    """Its digest stands in the address, or it is a form."""
    anew = json.dumps(json.loads(BODY), separators=(",", ":")).encode()
    for came in (BODY + b"\n", anew):
        assert "It verifies with its body " in told("twilio", signed("twilio"), came)
    form = b"To=%2B1&From=%2B2"
    headers = scheme("twilio").sign([SHARED], form, "evt_1", NOW, url=URL)
    assert "with its body without the newline" in told("twilio", headers, form + b"\n", url=URL)


@pytest.mark.parametrize("name", SCHEMES)
def test_a_secret_of_another_source_or_a_former_one(name: str) -> None:
    headers = signed(name, other(name))
    assert "with a secret of the source crm" in told(name, headers, others={"crm": (other(name),)})
    assert "that this source no longer has: put it back" in told(name, headers, former=(other(name),))
    assert "It verifies" not in told(name, headers)


def by_key(row: Scheme, raw: bytes) -> Scheme:
    """The same scheme with a key of these bytes, whatever the secret."""
    keys = shared_keys(row.key)
    assert keys is not None
    return replace(row, key=replace(keys, decode=lambda _: raw))


def by_other_key(name: str, raw: bytes) -> dict[str, str]:
    return by_key(scheme(name), raw).sign([SHARED], BODY, "evt_1", NOW, url=address(name), event_type="order.paid")


@pytest.mark.parametrize("name", SHARING)
def test_a_secret_that_one_side_decodes_and_the_other_does_not(name: str) -> None:
    own = shared_keys(scheme(name).key)
    assert own is not None
    decodes = own.decode(SHARED) == KEY
    assert decodes == (name in ("standard", "svix", "gitlab-signing"))
    if decodes:
        assert "with the secret taken as text, not decoded" in told(name, by_other_key(name, SHARED.encode()))
    else:
        assert "with the secret decoded from base64 without its prefix" in told(name, by_other_key(name, KEY))
    assert "with the secret taken as text without its prefix" in told(name, by_other_key(name, SHARED[6:].encode()))


@pytest.mark.parametrize("name", SCHEMES)
def test_another_scheme(name: str) -> None:
    """A source expects one scheme, and the request is signed by another: with its secret, or with an unknown one."""
    row = scheme(name)
    first = next(each.name for each in SCHEMES.values() if each.header == row.header)
    for expected in {"github", "svix", "discord"} - {name, first}:
        text = explain(scheme(expected), (SECRETS[name],), signed(name), BODY, NOW * 1000, url=address(name))
        assert f'It verifies by the scheme {first}: set scheme = "{first}"' in text
        text = told(expected, signed(name, other(name)), url=None)
        assert f"It carries {row.header.lower()}, not {scheme(expected).header}" in text
        assert f'set scheme = "{first}"' in text


@pytest.mark.parametrize("name", sorted(DATED))
@pytest.mark.parametrize(("seconds", "words"), [(-90_000, "25 h in the past"), (400, "7 min in the future")])
def test_a_timestamp_that_is_off_and_by_how_much(name: str, seconds: int, words: str) -> None:
    row = scheme(name)
    body = BODY.replace(str(NOW).encode(), str(NOW + seconds).encode()) if name == "linear" else BODY
    headers = signed(name, body=body, at=NOW + seconds)
    text = told(name, headers, body)
    assert f"Its signature is right, but its {row.dated} is {words}" in text
    later = told(name, headers, body + b"\n")
    assert "with its body without the newline" in later
    assert words in later
    assert told(name, headers, body, tolerance=100_000_000).startswith("With these secrets")


def test_a_timestamp_in_another_unit() -> None:
    assert "t in Stripe-Signature is in milliseconds" in told("stripe", signed("stripe", at=NOW * 1000))
    body = BODY.replace(f"{NOW}000".encode(), str(NOW).encode())
    assert "webhookTimestamp in the body is in seconds" in told("linear", signed("linear", body=body), body)


def test_a_signature_that_has_expired() -> None:
    row = scheme("rfc9421")
    headers = signed("rfc9421")
    headers["Signature-Input"] += f";expires={NOW + 60}"
    headers["Signature"] = row.proof(SHARED, {k.lower(): [v] for k, v in headers.items()}, BODY, URL, "POST")
    assert told("rfc9421", headers).startswith("With these secrets")
    assert "the signature expired 20 s ago" in told("rfc9421", headers, now=NOW + 80)


@pytest.mark.parametrize("name", ["square", "twilio", "rfc9421"])
@pytest.mark.parametrize(
    ("known", "words"),
    [
        ("http://hooks.example.com/from/them", "by https in place of http"),
        ("https://hooks.example.com/from/them/", "by its address without the slash at the end"),
        ("https://10.0.0.1:8080/from/them", "by the host that Host names"),
        ("http://10.0.0.1:8080/from/them", "by the host that Host names and by https in place of http"),
    ],
)
def test_an_address_that_is_another(name: str, known: str, words: str) -> None:
    headers = signed(name) | {"host": "hooks.example.com"}
    came = known + address(name).removeprefix(URL)
    text = told(name, headers, url=came)
    assert words in text
    assert "the address exactly as the sender has it" in text
    assert (
        told(name, headers, url=None)
        == f"The scheme {name} signs the address: say which one the sender has been given, as url."
    )


@pytest.mark.parametrize("name", sorted(set(SIGNED) - {"discord"}))
def test_a_signature_in_another_encoding_or_without_its_prefix(name: str) -> None:
    header = scheme(name).header
    right = signed(name)[header]
    proof = max(_LONG.findall(right), key=len)
    padded = proof + "=" * right.count("=", right.index(proof))
    is_hexadecimal = re.fullmatch(r"[0-9a-f]+", proof) is not None
    other_one = base64.b64encode(bytes.fromhex(proof)).decode() if is_hexadecimal else base64.b64decode(padded).hex()
    text = told(name, signed(name) | {header: right.replace(padded, other_one)})
    assert f"with the signature in {header} written in {'hexadecimal' if is_hexadecimal else 'base64'}" in text
    assert "SIGNATURE" in text


def test_a_label_or_a_prefix_that_looks_like_a_signature_is_not_taken_for_the_right_one() -> None:
    label = "a" * 16
    headers = signed("rfc9421")
    headers["Signature-Input"] = headers["Signature-Input"].replace("sig1=", f"{label}=")
    headers["Signature"] = f"{label}=:{base64.b64encode(bytes(32)).decode()}:"
    assert "Nothing that usually goes wrong" in told("rfc9421", headers)
    own = replace(scheme("github"), key=keys("hmac-sha256", "text", "hex", b"sha256-signature="))
    headers = {"X-Hub-Signature-256": "sha256-signature=" + "0" * 64}
    assert "Nothing that usually goes wrong" in explain(own, [SHARED], headers, BODY, NOW * 1000)


def test_both_forms_of_shopify() -> None:
    def of_newer(headers: dict[str, str]) -> dict[str, str]:
        return {name.removeprefix("X-").lower(): value for name, value in headers.items()}

    newer = of_newer(signed("shopify"))
    assert "with the secret decoded from base64" in told("shopify", of_newer(by_other_key("shopify", KEY)))
    assert "with its body without the newline" in told("shopify", newer, BODY + b"\n")
    assert "shopify_hmac_sha256 read as X-Shopify-Hmac-Sha256" in told(
        "shopify", {name.replace("-", "_"): value for name, value in newer.items()}
    )
    assert "X-Shopify-Hmac-Sha256 is missing" in told("shopify", {"a": "1"})


def test_only_what_is_needed_is_said_to_be_missing() -> None:
    assert told("github", {"a": "1"}).startswith("X-Hub-Signature-256 is missing: ")
    assert "Signature and Signature-Input and content-digest are missing" in told("rfc9421", {"a": "1"})


def test_a_scheme_of_ones_own() -> None:
    own = replace(scheme("slack"), name="acme", header="X-Acme-Signature")
    headers = own.sign([SHARED], BODY, "evt_1", NOW)
    text = told("github", headers, schemes={**SCHEMES, "acme": own})
    assert 'It verifies by the scheme acme: set scheme = "acme"' in text


HEADERS = sorted({header for row in SCHEMES.values() for header in (*row.names, *row.needed)})
VALUES = st.text(max_size=40) | st.sampled_from([value for name in SCHEMES for value in signed(name).values()])


@settings(deadline=None, max_examples=60)
@given(
    st.sampled_from(sorted(SCHEMES)),
    st.dictionaries(st.sampled_from(HEADERS), VALUES, max_size=8),
    st.binary(max_size=40) | st.just(BODY),
)
def test_whatever_comes(name: str, headers: Any, body: bytes) -> None:
    text = explain(scheme(name), (SECRETS[name],), headers, body, NOW * 1000, url=URL, others={"other": ("ünsafe",)})
    assert text.isprintable()
    assert text.endswith(".")
    assert SECRETS[name] not in text


def test_structured_fields_that_take_long_to_read_are_read_a_few_times() -> None:
    judged: list[int] = []

    class Counting(HmacKey):
        def fits(self, content: bytes, proofs: Sequence[bytes]) -> bool:
            judged.append(len(content))
            return super().fits(content, proofs)

    row = replace(
        scheme("rfc9421"), key=kept(SharedKeys(text_bytes, lambda raw: Counting(raw, "sha256", in_base64, b"")))
    )
    covered = " ".join(f'"a{number}"' for number in range(1000))
    headers = {f"a{number}": "1" for number in range(1000)} | signed("rfc9421")
    headers["Signature-Input"] = f'sig1=({covered} "content-digest");created={NOW}'
    others = {str(number): tuple(f"secret-{number}-{other}" for other in range(20)) for number in range(20)}
    text = explain(row, (SHARED,), headers, BODY, NOW * 1000, url=URL, others=others)
    assert "Nothing that usually goes wrong" in text
    assert len(judged) < 2 * MOST_BYTES // (WEIGHT * len(covered))
