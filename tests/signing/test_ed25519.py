"""Ed25519: Standard Webhooks v1a, and keys in every form."""

import base64

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from hookd.errors import SignatureError
from hookd.signing import public_of, scheme
from hookd.signing.ed25519 import MOST_PROOFS
from tests.signing.examples import BODY, NOW, SEED, SHARED

STANDARD = scheme("standard")
PRIVATE = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
RAW_PUBLIC = PRIVATE.public_key().public_bytes_raw()
PUBLIC = "whpk_" + base64.b64encode(RAW_PUBLIC).decode()
LONG = "whsk_" + base64.b64encode(bytes(range(32)) + RAW_PUBLIC).decode()


@pytest.mark.parametrize("private", [SEED, LONG])
@pytest.mark.parametrize("public", [SEED, LONG, PUBLIC])
def test_the_private_key_signs_and_the_public_one_verifies(private: str, public: str) -> None:
    headers = STANDARD.sign([private], BODY, "evt_1", NOW)
    expected = PRIVATE.sign(b"evt_1.%d.%b" % (NOW, BODY))
    assert headers["webhook-signature"] == "v1a," + base64.b64encode(expected).decode()
    assert STANDARD.verify([public], headers, BODY, NOW * 1000).id == "evt_1"
    with pytest.raises(SignatureError):
        STANDARD.verify([public], headers, BODY + b" ", NOW * 1000)


def test_both_kinds_in_one_header() -> None:
    headers = STANDARD.sign([SEED, SHARED], BODY, "evt_1", NOW)
    assert [entry.partition(",")[0] for entry in headers["webhook-signature"].split(" ")] == ["v1a", "v1"]
    for secret in (PUBLIC, SHARED):
        assert STANDARD.verify([secret], headers, BODY, NOW * 1000).id == "evt_1"


def test_a_public_key_can_not_sign() -> None:
    with pytest.raises(ValueError, match="a public key can't sign"):
        STANDARD.sign([PUBLIC], BODY, "evt_1", NOW)


def test_the_public_key_is_known_of_a_private_one_alone() -> None:
    assert public_of(SEED) == public_of(LONG) == PUBLIC
    assert public_of(SHARED) is None


def test_discord_gives_its_public_key_in_hexadecimal() -> None:
    headers = scheme("discord").sign([SEED], BODY, "evt_1", NOW)
    assert headers["X-Signature-Ed25519"] == PRIVATE.sign(b"%d%b" % (NOW, BODY)).hex()
    assert scheme("discord").verify([RAW_PUBLIC.hex()], headers, BODY, NOW * 1000).body == BODY


@pytest.mark.parametrize(
    "secret",
    [
        "whsk_",
        "whpk_",
        "whsk_" + base64.b64encode(bytes(31)).decode(),
        "whpk_" + base64.b64encode(bytes(64)).decode(),
        "whsk_" + base64.b64encode(bytes(64)).decode(),
        "whsk_é",
        "00" * 31,
        "zz" * 32,
        base64.b64encode(bytes(32)).decode(),
    ],
)
def test_what_is_no_key_is_told_without_being_repeated(secret: str) -> None:
    with pytest.raises(ValueError, match="expected") as caught:
        scheme("discord").key(secret)
    assert secret[5:] not in str(caught.value) or len(secret) < 8


P = 2**255 - 19
OF_EIGHT = [
    0x7A03AC9277FDC74EC6CC392CFA53202A0F67100D760B3CBA4FD84D3D706A17C7,
    0x05FC536D880238B13933C6D305ACDFD5F098EFF289F4C345B027B2C28F95E826,
]
"""The y of the points of order 8 (libsodium's list of what it refuses)."""


@pytest.mark.parametrize("sign", [0, 1])
@pytest.mark.parametrize("y", [0, 1, P - 1, P, P + 1, *OF_EIGHT])
def test_a_key_that_anybody_can_sign_for_is_none(y: int, sign: int) -> None:
    raw = (y | sign << 255).to_bytes(32, "little")
    for name, secret in (("standard", "whpk_" + base64.b64encode(raw).decode()), ("discord", raw.hex())):
        with pytest.raises(ValueError, match="small order"):
            scheme(name).key(secret)


@given(st.binary(min_size=32, max_size=32))
def test_no_key_of_a_pair_is_taken_for_one(seed: bytes) -> None:
    raw = Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes_raw()
    scheme("discord").key(raw.hex())


def test_more_signatures_than_anybody_needs_are_not_looked_at() -> None:
    headers = STANDARD.sign([SEED], BODY, "evt_1", NOW)
    good, wrong = headers["webhook-signature"], "v1a," + base64.b64encode(bytes(64)).decode()
    almost = " ".join([wrong] * (MOST_PROOFS - 1) + [good])
    assert STANDARD.verify([PUBLIC], headers | {"webhook-signature": almost}, BODY, NOW * 1000).id == "evt_1"
    with pytest.raises(SignatureError):
        STANDARD.verify([PUBLIC], headers | {"webhook-signature": f"{wrong} {almost}"}, BODY, NOW * 1000)
