"""`[schemes.NAME]`: a scheme that is described works, and one that can't is told why."""

import hmac
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hookd.config import shown
from hookd.config.schemes import SchemeTable
from hookd.errors import SignatureError
from hookd.signing import SCHEMES, Scheme
from tests.config.documents import faults, settings
from tests.signing.examples import BODY, NOW, SEED, SHARED

STRIPE = """
[schemes.acme]
header = "Stripe-Signature"
prefix = "v1="
separator = ","
signed = "{timestamp}.{body}"
timestamp = "signature:t="
id = "body:id"
type = "body:type"
"""

SOURCE = """
[[sources]]
name = "acme"
path = "/acme"
scheme = "acme"
secrets = ["a secret"]
"""


def described(folder: Path, text: str) -> Scheme:
    return settings(folder, text).schemes["acme"]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("stripe", STRIPE),
        (
            "github",
            '[schemes.acme]\nheader = "X-Hub-Signature-256"\nprefix = "sha256="\nid = "header:X-GitHub-Delivery"',
        ),
        ("github-sha1", '[schemes.acme]\nheader = "X-Hub-Signature"\nprefix = "sha1="\nalgorithm = "hmac-sha1"'),
        ("linear", '[schemes.acme]\nheader = "Linear-Signature"\ntimestamp = "body:webhookTimestamp"\nunit = "ms"'),
        (
            "discord",
            '[schemes.acme]\nheader = "X-Signature-Ed25519"\nsigned = "{timestamp}{body}"\nalgorithm = "ed25519"\n'
            'timestamp = "header:X-Signature-Timestamp"',
        ),
        (
            "standard",
            '[schemes.acme]\nheader = "webhook-signature"\nsigned = "{id}.{timestamp}.{body}"\nseparator = " "\n'
            'prefix = "v1,"\nencoding = "base64"\nsecret = "standard"\nid = "header:webhook-id"\n'
            'timestamp = "header:webhook-timestamp"',
        ),
    ],
)
def test_a_described_scheme_signs_and_verifies_as_that_of_the_table(tmp_path: Path, name: str, text: str) -> None:
    row, secret = described(tmp_path, text), SEED if name == "discord" else SHARED
    url = "https://example.com/x"
    ours = row.sign([secret], BODY, "evt_1", NOW, url=url)
    theirs = SCHEMES[name].sign([secret], BODY, "evt_1", NOW, url=url)
    assert {header: theirs.get(header) for header in ours} == ours
    for one, other in ((row, theirs), (SCHEMES[name], ours)):
        assert one.verify([secret], other, BODY, NOW * 1000, url=url).body == BODY
    assert row.several == SCHEMES[name].several


def test_the_address_and_a_timestamp_behind_the_body(tmp_path: Path) -> None:
    signed = 'signed = "{body}.{url}.{timestamp}"\ntimestamp = "header:X-T"'
    row, url = described(tmp_path, f'[schemes.acme]\nheader = "X"\n{signed}'), "https://example.com/x?a=1"
    headers = row.sign(["key"], BODY, "", NOW, url=url)
    assert headers["X"] == hmac.digest(b"key", BODY + f".{url}.{NOW}".encode(), "sha256").hex()
    assert row.verify(["key"], headers, BODY, NOW * 1000, url=url).timestamp == NOW


def test_bearer_tokens(tmp_path: Path) -> None:
    row = described(tmp_path, '[schemes.acme]\nheader = "Authorization"\nalgorithm = "token"\nprefix = "Bearer "')
    assert row.sign(["sesame"], b"", "", 0) == {"Authorization": "Bearer sesame"}
    assert row.verify(["sesame"], {"authorization": "Bearer sesame"}, b"", 0).body == b""
    with pytest.raises(SignatureError):
        row.verify(["sesame"], {"authorization": "Bearer Sesame"}, b"", 0)


@pytest.mark.parametrize(("written", "secret"), [("base64", "a2V5"), ("hex", "6b6579"), ("text", "key")])
@pytest.mark.parametrize("algorithm", ["hmac-sha256", "hmac-sha512", "hmac-sha1"])
def test_secrets_in_every_form(tmp_path: Path, algorithm: str, written: str, secret: str) -> None:
    text = f'[schemes.acme]\nheader = "X"\nalgorithm = "{algorithm}"\n'
    plain = described(tmp_path, text).sign(["key"], BODY, "", 0)
    assert described(tmp_path, f'{text}secret = "{written}"').sign([secret], BODY, "", 0) == plain


def test_sources_can_have_it_and_it_is_shown(tmp_path: Path) -> None:
    found = settings(tmp_path, STRIPE + SOURCE)
    assert found.sources[0].scheme == "acme"
    (tmp_path / "again").mkdir()
    again = settings(tmp_path / "again", shown(found).replace('"***"', '"a secret"'))
    assert again.described == found.described


def test_a_source_whose_scheme_needs_an_address_says_it(tmp_path: Path) -> None:
    square = SOURCE.replace('"acme"\nsecrets', '"square"\nsecrets')
    address = '"https://example.com/acme"'
    assert settings(tmp_path, f"{square}url = {address}").sources[0].url == address.strip('"')
    assert "signs the address" in faults(tmp_path, square)["sources[0].url"]
    assert "signs no address" in faults(tmp_path, STRIPE + SOURCE + f"url = {address}")["sources[0].url"]
    wrongs = ["https://example.com/acme?a=b", "/acme", "ftp://example.com", "https://a b/", "https://example.com/ü"]
    wrongs += [
        "https://h:99999/s",
        "https://h:abc/s",
        "https://h:0/s",
        "https://[x/s",
        "https://h\u2100.example/s",
        "https://:1/",
    ]
    for wrong in ("1", *(f'"{each}"' for each in wrongs)):
        assert "without a query" in faults(tmp_path, f"{square}url = {wrong}")["sources[0].url"]


@pytest.mark.parametrize("key", ["id", "type"])
def test_a_source_names_itself_by_no_header_with_its_secret(tmp_path: Path, key: str) -> None:
    bearer = '[schemes.acme]\nheader = "Authorization"\nalgorithm = "token"\nprefix = "Bearer "\n'
    for name, header, more in (
        ("token", "x-webhook-token", ""),
        ("token", "X-Key", 'header = "X-Key"\n'),
        ("gitlab", "X-Gitlab-Token", ""),
        ("acme", "Authorization", bearer),
    ):
        source, table = SOURCE.replace('"acme"\nsecrets = ["a secret"]', f'"{name}"\nsecrets = ["secret"]'), ""
        source, table = (source, more) if name == "acme" else (source + more, "")
        told = faults(tmp_path, f'{table}{source}{key} = "header:{header}"')
        assert "which holds the secret" in told[f"sources[0].{key}"]
    assert settings(tmp_path, f'{bearer}{source}{key} = "header:X-Other"').sources


def test_a_token_stands_in_no_header_that_http_sets(tmp_path: Path) -> None:
    token = SOURCE.replace('"acme"\nsecrets = ["a secret"]', '"token"\nsecrets = ["secret"]')
    for name in ("Host", "content-length"):
        assert "HTTP sets this one" in faults(tmp_path, f'{token}header = "{name}"')["sources[0].header"]


def test_only_meta_has_a_word_to_verify_with(tmp_path: Path) -> None:
    meta = SOURCE.replace('"acme"\nsecrets', '"meta"\nsecrets')
    found = settings(tmp_path, f'{meta}verify_token = {{ env = "WORD" }}', {"WORD": "sesame"})
    assert found.sources[0].verify_token == "sesame"
    assert "sesame" not in shown(found) + repr(found)
    assert "only the scheme meta" in faults(tmp_path, STRIPE + SOURCE + 'verify_token = "x"')["sources[0].verify_token"]


@pytest.mark.parametrize(
    ("text", "key", "told"),
    [
        ("", "header", "missing"),
        ('header = "a b"', "header", "name of a header"),
        ('header = "X"\nalgorithm = "md5"', "algorithm", "hmac-sha256"),
        ('header = "X"\nsigned = "{id}"\nid = "header:I"', "signed", "anybody may change the body"),
        ('header = "X"\nsigned = "{body}{body}"', "signed", "each of them once"),
        ('header = "X"\nsigned = "{bdy}.{body}"', "signed", "each of them once"),
        ('header = "X"\nsigned = "{body}}"', "signed", "each of them once"),
        ('header = "X"\nsigned = "{id}.{body}"', "id", "since {id} is signed"),
        ('header = "X"\nsigned = "{id}.{body}"\nid = "body:id"', "id", "since {id} is signed"),
        ('header = "X"\nsigned = "{id}{body}"\nid = "header:I"', "signed", "a character beside {id}"),
        ('header = "X"\nsigned = "{url}{body}"', "signed", "before {url}"),
        ('header = "X"\nsigned = "a.{url}.b.{body}"', "signed", "before {url}"),
        ('header = "X"\nsigned = "{body}{timestamp}"\ntimestamp = "header:T"', "signed", "no digit before"),
        ('header = "X"\nsigned = "{body}01{timestamp}"\ntimestamp = "header:T"', "signed", "no digit before"),
        ('header = "X"\nsigned = "{body}.{url}{timestamp}"\ntimestamp = "header:T"', "signed", "no digit before"),
        ('header = "X"\nsigned = "{timestamp}.{body}"', "timestamp", "missing"),
        ('header = "X"\ntimestamp = "header:T"', "signed", "anybody may change the timestamp"),
        ('header = "X"\ntimestamp = "T"', "timestamp", "signature:t="),
        ('header = "X"\ntimestamp = "header:a b"', "timestamp", "signature:t="),
        ('header = "X"\nsigned = "{timestamp}.{body}"\ntimestamp = "body:t"', "signed", "take {timestamp} out"),
        ('header = "X"\nsigned = "{timestamp}.{body}"\ntimestamp = "signature:t="', "separator", "missing"),
        ('header = "X"\nunit = "ms"', "unit", "there is no timestamp"),
        ('header = "X"\ntolerance = "1m"', "tolerance", "there is no timestamp"),
        ('header = "X"\nseparator = "a"', "separator", "may hold those"),
        ('header = "X"\nseparator = ","\nprefix = "v1,"', "prefix", "without the separator"),
        ('header = "X"\nalgorithm = "token"\nsigned = "{body}"', "signed", "a token signs nothing"),
        ('header = "X"\nalgorithm = "ed25519"\nsecret = "hex"', "secret", "take this out"),
        ('header = "X"\nhaeder = "X"', "haeder", "did you mean header"),
        *(
            (f'header = "{name}"', "header", "HTTP or hookd sets this one")
            for name in ("Host", "Content-Length", "transfer-encoding", "Connection", "Expect", "Content-Type")
        ),
        ('header = "X-Webhook-Token"\nalgorithm = "token"', "header", "HTTP or hookd sets this one"),
        ('header = "X"\nprefix = " v1="', "prefix", "HTTP takes that off"),
        (
            'header = "X"\nsigned = "{timestamp}.{body}"\ntimestamp = "signature:t,"\nseparator = ","',
            "timestamp",
            "without the separator",
        ),
        ('header = "webhook-id"', "header", "HTTP or hookd sets this one"),
        ('header = "ce-id"', "header", "HTTP or hookd sets this one"),
        ('header = "X"\nid = "header:X-Webhook-Event"', "id", "HTTP or hookd sets this one"),
        ('header = "X"\nid = "header:Content-Length"', "id", "HTTP or hookd sets this one"),
        ('header = "X"\nid = "header:x"', "id", "that of header"),
        ('header = "X"\ntype = "header:X"', "type", "that of header"),
        ('header = "X"\nalgorithm = "token"\nid = "header:X"', "id", "that of header"),
        (
            'header = "X"\nsigned = "{timestamp}.{body}"\ntimestamp = "header:Host"',
            "timestamp",
            "HTTP or hookd sets this one",
        ),
        (
            'header = "X"\nsigned = "{timestamp}.{body}"\ntimestamp = "header:T"\nid = "header:t"',
            "id",
            "that of timestamp",
        ),
        (
            'header = "X"\nsigned = "{timestamp}.{body}"\ntimestamp = "signature:t="\nseparator = ","\nprefix = "t=1"',
            "prefix",
            "another one than that of the timestamp",
        ),
    ],
)
def test_a_description_that_can_not_work_is_told_why(tmp_path: Path, text: str, key: str, told: str) -> None:
    assert told in faults(tmp_path, f"[schemes.acme]\n{text}")[f"schemes.acme.{key}"]


@pytest.mark.parametrize("name", ["github", "A", '"a b"', "token"])
def test_a_name_of_its_own(tmp_path: Path, name: str) -> None:
    assert f"schemes.{name}" in faults(tmp_path, f'[schemes.{name}]\nheader = "X"')


def test_what_is_no_table_is_told(tmp_path: Path) -> None:
    assert faults(tmp_path, "schemes = 1") == {"schemes": "expected a table"}
    assert faults(tmp_path, "[schemes]\nacme = 1") == {"schemes.acme": "expected a table"}


@given(
    st.text(st.sampled_from("{}%().:tv1 "))
    | st.lists(st.sampled_from(["{timestamp}", "{url}", ".", "%", "é"])).map("".join),
    st.binary(),
)
def test_any_description_without_a_fault_verifies_what_it_signs(around: str, body: bytes) -> None:
    table = SchemeTable(header="X", signed="{body}" + around, separator=";", timestamp=None)
    if list(table.problems()):
        return
    row = table.noun("acme")
    headers = row.sign(["secret"], body, "evt_1", NOW, url="https://example.com/")
    assert row.verify(["secret"], headers, body, NOW * 1000, url="https://example.com/").body == body
