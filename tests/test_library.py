"""hookd as a library: `sign` and `verify`, without a server or a database."""

import subprocess
import sys
import time
from typing import Any

import pytest

import hookd

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
OTHER = "whsec_bm90IHRoZSByaWdodCBzZWNyZXQhISEh"


def test_what_the_library_offers() -> None:
    assert sorted(hookd.__all__) == ["SignatureError", "Verified", "sign", "verify"]


def test_importing_it_needs_neither_server_nor_database() -> None:
    script = (
        "import sys, hookd; hookd.sign('token', 'x', b''); "
        "print(*{'aiohttp', 'pydantic', 'sqlite3', 'aiosqlite', 'click', 'asyncio'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_round_trip_with_the_clock_and_a_fresh_id() -> None:
    before = int(time.time())
    headers = hookd.sign("standard", SECRET, b"{}")
    verified = hookd.verify("standard", SECRET, headers, b"{}")
    assert verified.id == headers["webhook-id"]
    assert verified.id.startswith("evt_")
    assert verified.id != hookd.sign("standard", SECRET, b"{}")["webhook-id"]
    assert verified.timestamp is not None
    assert before <= verified.timestamp <= time.time()


def test_times_are_in_seconds() -> None:
    headers = hookd.sign("standard", [SECRET], b"{}", id="evt_1", now=1_700_000_000.9)
    assert headers["webhook-timestamp"] == "1700000000"
    verified = hookd.verify("standard", [OTHER, SECRET], headers, b"{}", now=1_700_000_300)
    assert verified == hookd.Verified("evt_1", None, 1_700_000_000, b"{}")
    assert hookd.verify("standard", SECRET, headers, b"{}", now=1_700_000_600, tolerance=600).id == "evt_1"
    assert hookd.verify("standard", SECRET, headers, b"{}", now=1_700_000_001.2, tolerance=1.5).id == "evt_1"
    for now, tolerance, reason in (
        (1_700_000_300.5, None, "timestamp_too_old"),
        (1_699_999_699, None, "timestamp_too_new"),
        (1_700_000_001, 0.5, "timestamp_too_old"),
    ):
        with pytest.raises(hookd.SignatureError) as caught:
            hookd.verify("standard", SECRET, headers, b"{}", now=now, tolerance=tolerance)
        assert caught.value.reason == reason


@pytest.mark.parametrize("scheme", ["square", "rfc9421", "token"])
def test_address_and_method_count_where_a_scheme_signs_them(scheme: str) -> None:
    url = "https://example.com/in?a=b"
    headers = hookd.sign(scheme, "sesame", b"{}", url=url, method="PUT")
    assert hookd.verify(scheme, "sesame", headers, b"{}", url=url, method="PUT").body == b"{}"
    wrong: dict[str, Any] = {"square": [{"url": url + "c"}], "rfc9421": [{"url": url + "c"}, {"url": url}], "token": []}
    for arguments in wrong[scheme]:
        with pytest.raises(hookd.SignatureError):
            hookd.verify(scheme, "sesame", headers, b"{}", **arguments)


NO_ADDRESSES = [
    "",
    "/in",
    "https://",
    "https://h:99999/a",
    "https://h:abc/a",
    "https://[x/a",
    "https://h\u2100.example/a",
]


@pytest.mark.parametrize("scheme", ["square", "twilio", "rfc9421"])
def test_what_is_no_address_is_told(scheme: str) -> None:
    headers = hookd.sign(scheme, "sesame", b"", url="https://h/a")
    for url in NO_ADDRESSES:
        with pytest.raises(ValueError, match="url: expected a whole address"):
            hookd.sign(scheme, "sesame", b"", url=url)
        with pytest.raises(ValueError, match="url: expected a whole address"):
            hookd.verify(scheme, "sesame", headers, b"", url=url)
    for odd in ("ä", "\udcff", "a\nb", " ", "?bodySHA256=\udcff"):
        with pytest.raises(ValueError, match="url: expected visible ASCII"):
            hookd.sign(scheme, "sesame", b"", url=f"https://h/a{odd}")
        with pytest.raises(hookd.SignatureError):
            hookd.verify(scheme, "sesame", headers, b"", url=f"https://h/a{odd}")
    assert hookd.verify("token", "sesame", {"X-Webhook-Token": "sesame"}, b"", url="/a").body == b""


def test_the_type_stands_in_the_header_for_it() -> None:
    headers = hookd.sign("github", "sesame", b"{}", id="1", type="push")
    assert hookd.verify("github", "sesame", headers, b"{}") == hookd.Verified("1", "push", None, b"{}")
    assert "push" not in hookd.sign("stripe", "sesame", b"{}", type="push").values()


def test_a_parsed_body_is_a_mistake_that_is_told() -> None:
    with pytest.raises(TypeError, match="raw bytes"):
        hookd.sign("standard", SECRET, "{}")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="raw bytes"):
        hookd.verify("token", "sesame", {}, {})  # type: ignore[arg-type]


@pytest.mark.parametrize("headers", [None, "webhook-id: evt_1", b"", 5])
def test_what_are_no_headers_is_a_mistake_that_is_told(headers: Any) -> None:
    with pytest.raises(TypeError, match="headers: expected a mapping or pairs"):
        hookd.verify("standard", SECRET, headers, b"{}")


@pytest.mark.parametrize("secrets", ["", "whsec_short", [SECRET, "whsec_short"]])
def test_a_bad_secret_is_told_without_repeating_it(secrets: str | list[str]) -> None:
    headers = hookd.sign("standard", SECRET, b"{}")
    for call in (
        lambda: hookd.sign("standard", secrets, b"{}"),
        lambda: hookd.verify("standard", secrets, headers, b"{}"),
        lambda: hookd.verify("standard", secrets, {}, b"{}"),
    ):
        with pytest.raises(ValueError, match="24 to 64 bytes") as caught:
            call()
        assert "short" not in str(caught.value)
