"""Secrets: made, checked, and never repeated."""

import base64
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hookd.signing import check_secret, generate_secret


def encoded(size: int) -> str:
    return base64.b64encode(b"\xfb" * size).decode()


def test_a_generated_secret_holds_what_the_randomness_gave() -> None:
    assert generate_secret(lambda size: b"\x01" * size) == "whsec_" + base64.b64encode(b"\x01" * 32).decode()
    check_secret("standard", generate_secret(os.urandom))


@pytest.mark.parametrize("size", [24, 25, 32, 63, 64])
def test_24_to_64_bytes_make_a_key(size: int) -> None:
    check_secret("standard", "whsec_" + encoded(size))


@pytest.mark.parametrize(
    "secret",
    [
        "",
        "whsec_",
        "whsec_" + encoded(23),
        "whsec_" + encoded(65),
        encoded(32),
        "WHSEC_" + encoded(32),
        "whsec_whsec_" + encoded(32),
        "whsec_" + encoded(32).rstrip("="),
        "whsec_" + encoded(32) + "=",
        "whsec_" + encoded(32) + "\n",
        "whsec_" + encoded(24)[:8] + " " + encoded(24)[8:],
        "whsec_" + base64.urlsafe_b64encode(b"\xfb" * 32).decode(),
        "whsec_é" + encoded(32),
        "whsec_\udcff" + encoded(32),
    ],
)
def test_anything_else_is_no_standard_secret(secret: str) -> None:
    with pytest.raises(ValueError, match="24 to 64 bytes") as caught:
        check_secret("standard", secret)
    assert len(secret) < 8 or secret[7:] not in str(caught.value)


def test_a_token_is_visible_ascii() -> None:
    check_secret("token", "!")
    check_secret("token", "a-~")
    for token in ("", " ", "a b", "é", "a\n", "\x7f"):
        with pytest.raises(ValueError, match="visible ASCII"):
            check_secret("token", token)


def test_an_unknown_scheme_has_no_secrets() -> None:
    with pytest.raises(ValueError, match="expected a scheme of"):
        check_secret("none", "secret")


@given(st.text(st.characters(exclude_categories=()), min_size=8))
def test_an_error_is_one_line_without_the_secret(secret: str) -> None:
    for name in ("standard", "token"):
        try:
            check_secret(name, secret)
        except ValueError as error:
            assert secret not in str(error)  # noqa: PT017 - some secrets are good ones
            assert "\n" not in str(error)  # noqa: PT017
