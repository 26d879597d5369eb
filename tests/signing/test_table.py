"""The table, and its row `token`."""

import pytest

from hookd.errors import SignatureError
from hookd.signing import Reason, Verified, scheme

TOKEN = scheme("token")


def refusal(headers: dict[str, str] | list[tuple[str, str]], *secrets: str) -> str:
    with pytest.raises(SignatureError) as caught:
        TOKEN.verify(secrets, headers, b"{}", 0)
    assert not any(secret in str(caught.value) for secret in secrets)
    return caught.value.reason


def test_a_token_is_shown_and_compared() -> None:
    headers = TOKEN.sign(["sesame"], b"{}", "", 0)
    assert headers == {"X-Webhook-Token": "sesame"}
    assert TOKEN.verify(["sesame"], headers, b"anything", 10**15) == Verified(None, None, None, b"anything")


def test_the_newest_token_is_shown_and_any_is_accepted() -> None:
    assert TOKEN.sign(["new", "old"], b"", "", 0) == {"X-Webhook-Token": "new"}
    for value in ("new", "old"):
        assert TOKEN.verify(["new", "old"], {"x-webhook-token": value}, b"", 0).id is None


@pytest.mark.parametrize("value", ["sesam", "sesame ", "Sesame", "sesamé", "sesame sesame", "\udcff", "?"])
def test_another_token_is_refused(value: str) -> None:
    assert refusal({"X-Webhook-Token": value}, "sesame", "0pen") == Reason.SIGNATURE_MISMATCH


def test_a_character_that_can_not_be_sent_never_stands_for_one_that_can() -> None:
    for value in ("é", "\udcff"):
        assert refusal({"X-Webhook-Token": value}, "?") == Reason.SIGNATURE_MISMATCH


def test_a_token_missing_empty_or_repeated_is_refused() -> None:
    assert refusal({}, "sesame") == Reason.MISSING_HEADER
    assert refusal({"X-Webhook-Token": ""}, "sesame") == Reason.MISSING_HEADER
    assert refusal([("X-Webhook-Token", "sesame"), ("x-webhook-token", "x")], "sesame") == Reason.REPEATED_HEADER
    assert refusal({"X-Webhook-Token": "sesame"}) == Reason.NO_SECRET


def test_an_empty_secret_opens_nothing() -> None:
    with pytest.raises(ValueError, match="visible ASCII"):
        TOKEN.verify([""], {"X-Webhook-Token": "x"}, b"", 0)


def test_a_token_in_another_header() -> None:
    row = scheme("token", "X-Gitlab-Token")
    assert row.sign(["sesame"], b"", "", 0) == {"X-Gitlab-Token": "sesame"}
    assert row.verify(["sesame"], {"x-gitlab-token": "sesame"}, b"", 0).body == b""
    with pytest.raises(SignatureError):
        row.verify(["sesame"], {"X-Webhook-Token": "sesame"}, b"", 0)


def test_what_the_table_does_not_hold() -> None:
    with pytest.raises(ValueError, match=r"standard, .*token, .*got 'md5'"):
        scheme("md5")
    with pytest.raises(ValueError, match="standard has its own"):
        scheme("standard", "X-Signature")
    for header in ("", "a b", "a:", "é", "a\n"):
        with pytest.raises(ValueError, match="name of a header"):
            scheme("token", header)
