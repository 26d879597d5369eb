"""Twilio: forms in order, digests in the address, and both spellings of it."""

from base64 import b64encode
from hmac import digest

import pytest

from hookd.errors import SignatureError
from hookd.signing import scheme
from hookd.signing.twilio import LONGEST_FORM, MOST_FIELDS

TWILIO = scheme("twilio")
URL = "https://mycompany.com/myapp.php?foo=1&bar=2"
FORM = b"CallSid=CA1234567890ABCDE&Caller=%2B14158675309&Digits=1234&From=%2B14158675309&To=%2B18005551212"


def signature(url: str, body: bytes) -> dict[str, str]:
    return TWILIO.sign(["12345"], body, "evt_1", 0, url=url)


def is_good(headers: dict[str, str], url: str, body: bytes) -> bool:
    try:
        TWILIO.verify(["12345"], headers, body, 0, url=url)
    except SignatureError:
        return False
    return True


def test_twilios_own_example() -> None:
    """twilio.com/docs/usage/security."""
    assert signature(URL, FORM)["X-Twilio-Signature"] == "RSOYDt4T1cUTdK1PDd93/VVr8B8="


def test_fields_are_sorted_and_each_pair_counts_once() -> None:
    headers = signature(URL, b"b=2&a=1&a=0&c=")
    for body in (b"a=0&a=1&b=2&c=", b"c&b=2&a=1&a=0&a=1", b"a=0&a=1&b=2&c=&&"):
        assert is_good(headers, URL, body)
    for body in (b"a=0&a=1&b=2", b"a=0&b=2&c=", b"a=0&a=1&b=2&c=&d="):
        assert not is_good(headers, URL, body)


def test_bytes_of_a_form_stay_as_they_are() -> None:
    headers = signature(URL, b"a=%FF%C3%A9")
    assert is_good(headers, URL, b"a=\xff\xc3\xa9")
    assert not is_good(headers, URL, b"a=%EF%BF%BD%C3%A9")


@pytest.mark.parametrize("body", [b'{"a":1}', b"", b"\xff", b"a=1"])
def test_any_other_body_is_bound_by_its_digest(body: bytes) -> None:
    url = TWILIO.address(URL, body, "application/json; charset=utf-8")
    assert url.startswith(URL + "&bodySHA256=")
    headers = signature(url, body)
    assert is_good(headers, url, body)
    for changed in (body + b" ", b"&&", b"x"):
        assert not is_good(headers, url, changed)
    with pytest.raises(ValueError, match="can't sign this body"):
        signature(url, b"another")


def test_a_form_keeps_its_address() -> None:
    assert TWILIO.address(URL, FORM, "application/x-www-form-urlencoded; charset=utf-8") == URL


def test_a_body_that_is_no_form_is_not_unprotected_without_a_digest() -> None:
    headers = signature("https://example.com/", b"")
    assert not is_good(headers, "https://example.com/", b'{"a":1}')


def test_what_was_signed_as_a_form_is_taken_as_nothing_else() -> None:
    headers = signature(URL, FORM)
    for content_type in ("application/x-www-form-urlencoded", "Application/X-WWW-Form-Urlencoded; charset=utf-8"):
        assert is_good(headers | {"content-type": content_type}, URL, FORM)
    for content_type in ("application/json", "text/plain", ""):
        assert not is_good(headers | {"Content-Type": content_type}, URL, FORM)
    assert is_good(signature(URL, b"") | {"content-type": "application/json"}, URL, b"")


@pytest.mark.parametrize(
    ("signed", "known"),
    [
        ("https://example.com/x", "https://example.com:443/x"),
        ("https://example.com:443/x", "https://example.com/x"),
        ("https://example.com/x", "https://example.com:8443/x"),
        ("http://example.com/x", "http://example.com:80/x"),
        ("https://ada@[::1]/x?y", "https://ada@[::1]:443/x?y"),
    ],
)
def test_the_address_with_its_port_or_without(signed: str, known: str) -> None:
    assert is_good(signature(signed, FORM), known, FORM)
    assert not is_good(signature(signed, FORM), known.replace("/x", "/y"), FORM)


def test_a_form_that_is_longer_than_anybody_sends_is_refused_unread() -> None:
    longest = b"a=" + b"1" * (LONGEST_FORM - 2)
    assert is_good(signature(URL, longest), URL, longest)
    longer = b64encode(digest(b"12345", (URL + "a" + "1" * (LONGEST_FORM - 1)).encode(), "sha1")).decode()
    assert not is_good({"X-Twilio-Signature": longer}, URL, longest + b"1")


def test_a_form_of_more_fields_than_anybody_sends_is_refused_unread() -> None:
    most, more = b"&".join([b"a=1"] * MOST_FIELDS), b"&".join([b"a=1"] * (MOST_FIELDS + 1))
    assert is_good(signature(URL, most), URL, most)
    assert not is_good(signature(URL, most), URL, more)
