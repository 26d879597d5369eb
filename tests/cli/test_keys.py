"""The real commands `sign`, `verify` and `token`, each in a process of its own."""

import hashlib
import hmac
import io
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import hookd
from hookd.cli import main

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
OTHER = "whsec_bm90IHRoZSByaWdodCBzZWNyZXQhISEh"
NOW = 1_700_000_000
BODY = b'{"binary":"\xff\x00"}\r\n'


def run(*arguments: str, body: bytes = BODY, **environment: str) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "hookd", *arguments]
    return subprocess.run(command, input=body, capture_output=True, env=os.environ | environment, check=False)


def as_options(headers: dict[str, str]) -> list[str]:
    return [part for name, value in headers.items() for part in ("--header", f"{name}:  {value} ")]


def refused(done: subprocess.CompletedProcess[bytes], status: int) -> str:
    assert done.returncode == status
    assert done.stdout == b""
    text = done.stderr.decode()
    assert text.startswith("hookd: ")
    assert text.count("\n") == 1
    assert SECRET[6:] not in text
    return text


def test_sign_prints_the_headers_and_verify_the_id(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text(SECRET + "\n")
    payload = tmp_path / "payload"
    payload.write_bytes(BODY)
    options = ["--scheme", "standard", "--secret", f"@{secret}", "--now", str(NOW)]
    signed = run("sign", *options, "--id", "evt_1", "--body", str(payload), body=b"not this")
    headers = dict(line.split(": ") for line in signed.stdout.decode().splitlines())
    assert headers == hookd.sign("standard", SECRET, BODY, id="evt_1", now=NOW)
    verified = run("verify", *options, *as_options(headers), "--body", "-")
    assert (verified.returncode, verified.stdout, verified.stderr) == (0, b"evt_1\n", b"")


def test_verify_takes_the_headers_that_sign_prints_at_once_or_from_a_file(tmp_path: Path) -> None:
    options = ["--scheme", "standard", "--secret", SECRET, "--now", str(NOW)]
    printed = run("sign", *options, "--id", "evt_1").stdout
    saved = tmp_path / "headers"
    saved.write_bytes(printed.replace(b"\n", b"\r\n"))
    for headers in (printed.decode(), f"@{saved}"):
        assert run("verify", *options, "--header", headers).stdout == b"evt_1\n"


@pytest.mark.parametrize(("scheme", "printed"), [("square", b""), ("rfc9421", b"evt_1\n"), ("github", b"evt_1\n")])
def test_the_address_and_the_type_of_schemes_that_have_them(scheme: str, printed: bytes) -> None:
    url = ["--url", "https://example.com/hook?a=b"]
    options = ["--scheme", scheme, "--secret", "sesame", "--now", str(NOW), *url]
    signed = run("sign", *options, "--id", "evt_1", "--type", "push")
    headers = dict(line.split(": ") for line in signed.stdout.decode().splitlines())
    assert ("push" in headers.values()) == (scheme == "github")
    verified = run("verify", *options, *as_options(headers))
    assert (verified.returncode, verified.stdout) == (0, printed)
    if scheme != "github":
        options[-1] += "c"
        assert refused(run("verify", *options, *as_options(headers)), 1).startswith("hookd: signature_mismatch: ")
        assert "expected --url" in refused(run("sign", "--scheme", scheme, "--secret", "sesame"), 2)


def test_what_is_no_address_is_one_line() -> None:
    options = ["--scheme", "twilio", "--secret", "sesame", "--url", "https://h:99999/a"]
    for arguments in (["sign", *options], ["verify", *options, "--header", "X-Twilio-Signature: a"]):
        assert "expected the whole address" in refused(run(*arguments), 2)


def test_a_secret_of_the_environment_and_a_rotation() -> None:
    signed = run("sign", "--scheme", "standard", "--secret", "env:KEY", "--secret", OTHER, "--id", "a", KEY=SECRET)
    headers = dict(line.split(": ") for line in signed.stdout.decode().splitlines())
    for key in (SECRET, OTHER):
        assert hookd.verify("standard", key, headers, BODY).id == "a"
    verified = run(
        "verify",
        "--scheme",
        "standard",
        "--secret",
        OTHER,
        "--secret",
        "env:KEY",
        *as_options(headers),
        KEY=SECRET,
    )
    assert verified.stdout == b"a\n"


def test_a_scheme_of_the_configuration_signs_and_verifies(tmp_path: Path) -> None:
    config = tmp_path / "own.toml"
    config.write_text('[schemes.acme]\nheader = "X-Acme"\nprefix = "v1="\nid = "header:X-Acme-Id"\n')
    options = ["--scheme", "acme", "--secret", "sesame"]
    told = refused(run("sign", *options, HOOKD_CONFIG=os.devnull), 2)
    assert "expected a scheme of standard, " in told
    for chosen, named in ((["--config", str(config)], ""), ([], str(config))):
        signed = run("sign", *options, *chosen, "--id", "evt_1", HOOKD_CONFIG=named)
        headers = dict(line.split(": ") for line in signed.stdout.decode().splitlines())
        assert headers == {"X-Acme-Id": "evt_1", "X-Acme": "v1=" + hmac.digest(b"sesame", BODY, "sha256").hex()}
        assert run("verify", *options, *chosen, *as_options(headers), HOOKD_CONFIG=named).stdout == b"evt_1\n"
        spoilt = [*as_options(headers), "--explain"]
        told = refused(run("verify", *options, *chosen, *spoilt, body=BODY + b" ", HOOKD_CONFIG=named), 1)
        assert "signature_mismatch" in told


def test_verify_says_why_not() -> None:
    headers = hookd.sign("standard", SECRET, BODY, id="evt_1", now=NOW)
    options = ["verify", "--scheme", "standard", "--secret", SECRET, *as_options(headers), "--now"]
    assert "signature_mismatch" in refused(run(*options, str(NOW), body=BODY + b" "), 1)
    assert "timestamp_too_old" in refused(run(*options, str(NOW + 301)), 1)
    assert run(*options, str(NOW + 301), "--tolerance", "10m").stdout == b"evt_1\n"
    assert "timestamp_too_new" in refused(run(*options, str(NOW - 2), "--tolerance", "1500ms"), 1)
    assert "repeated_header" in refused(run(*options, str(NOW), "--header", "Webhook-Id: x"), 1)


def test_verify_explains_by_what_is_configured(tmp_path: Path) -> None:
    config = tmp_path / "config.toml"
    config.write_text(
        f'[schemes.acme]\nheader = "X-Acme"\n[[sources]]\nname = "crm"\npath = "/crm"\nscheme = "acme"\n'
        f'secrets = ["{OTHER}"]\n'
    )
    headers = {"X-Acme": hmac.digest(OTHER.encode(), BODY, "sha256").hex()}
    options = ["verify", "--scheme", "github", "--secret", "sesame", *as_options(headers), "--explain"]
    told = refused(run(*options, "--config", str(config)), 1)
    assert "It verifies by the scheme acme, and with a secret of the source crm" in told
    assert OTHER not in told
    config.write_text("[[sources]]\n")
    done = run(*options, "--config", str(config))
    notes = done.stderr.decode().splitlines()
    assert (done.returncode, len(notes)) == (1, 2)
    assert notes[0].startswith("hookd: the secrets of the configuration are not tried: ")
    assert "X-Hub-Signature-256 is missing" in notes[1]


def test_verify_explains_why_not_where_it_is_asked_to() -> None:
    headers = hookd.sign("standard", SECRET, BODY, id="evt_1", now=NOW)
    options = ["verify", "--scheme", "standard", "--secret", SECRET, *as_options(headers), "--explain", "--now"]
    assert "without the newline" not in refused(run(*options, str(NOW), body=BODY + b"x"), 1)
    told = refused(run(*options, str(NOW), body=BODY + b"\n"), 1)
    assert "signature_mismatch: " in told
    assert "It verifies with its body without the newline at its end" in told
    assert "20 min in the past" in refused(run(*options, str(NOW + 1200)), 1)
    assert run(*options, str(NOW)).stdout == b"evt_1\n"


def test_a_token_has_no_id_to_print() -> None:
    assert run("sign", "--scheme", "token", "--secret", "sesame").stdout == b"X-Webhook-Token: sesame\n"
    done = run("verify", "--scheme", "token", "--secret", "sesame", "--header", "x-webhook-token: sesame")
    assert (done.returncode, done.stdout) == (0, b"")
    assert b"authentic" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["sign", "--scheme", "standard"], "--secret"),
        (["sign", "--scheme", "md5", "--secret", SECRET], "standard"),
        (["sign", "--scheme", "standard", "--secret", SECRET[:-1]], "24 to 64 bytes"),
        (["sign", "--scheme", "standard", "--secret", "env:HOOKD_NO_SUCH_NAME"], "HOOKD_NO_SUCH_NAME"),
        (["sign", "--scheme", "standard", "--secret", "@/nowhere/secret"], "/nowhere/secret"),
        (["sign", "--scheme", "standard", "--secret", SECRET, "--body", "/nowhere/body"], "/nowhere/body"),
        (["sign", "--scheme", "standard", "--secret", SECRET, "--id", "a.b"], "without a dot"),
        (["sign", "--scheme", "standard", "--secret", SECRET, "--now", "soon"], "--now"),
        (["verify", "--scheme", "token", "--secret", "x", "--header", "no colon"], "Name: value"),
        (["verify", "--scheme", "token", "--secret", "x", "--header", "a: b\nno colon"], "Name: value"),
        (["verify", "--scheme", "token", "--secret", "x", "--header", ""], "Name: value"),
        (["verify", "--scheme", "token", "--secret", "x", "--header", "@/nowhere/headers"], "/nowhere/headers"),
        (["verify", "--scheme", "token", "--secret", "x", "--header", "a: b", "--tolerance", "5"], "5m"),
        (["verify", "--scheme", "token", "--secret", "x", "--header", "a: b", "--explained"], "--explained"),
        (["verify", "--scheme", "slack", "--secret", "x", "--header", "a: b", "--tolerance", "50000d"], "36500d"),
        (["verify", "--scheme", "github", "--secret", "x", "--header", "a: b", "--tolerance", "5m"], "no timestamp"),
        (["verify", "--scheme", "square", "--secret", "x", "--header", "a: b"], "expected --url"),
        (["sign", "--scheme", "rfc9421", "--secret", "x"], "expected --url"),
        (["sign", "--scheme", "square", "--secret", "x", "--url", "example.com/hook"], "https://example.com/hook"),
        (["sign", "--scheme", "acme", "--secret", "x", "--config", "/nowhere/config.toml"], "/nowhere/config.toml"),
        (["token", "--name", 'a"b'], "--name"),
        (["token", "--scope", "all"], "publish"),
        (["token", "--tenant", ""], "printable"),
    ],
)
def test_a_misuse_is_one_line_and_exit_2(arguments: list[str], told: str) -> None:
    assert told in refused(run(*arguments), 2)


def test_token_prints_itself_once_and_an_entry_with_its_hash() -> None:
    printed = run("token", "--name", "shop", "--scope", "publish", "--scope", "read").stdout.decode()
    token, entry = printed.split("\n", 1)
    assert token.startswith("hookd_")
    assert token not in entry
    digest = hashlib.sha256(token.encode()).hexdigest()
    assert tomllib.loads(entry) == {
        "auth": {"tokens": [{"name": "shop", "hash": digest, "scopes": ["publish", "read"]}]}
    }


@pytest.mark.parametrize("tenant", ["acme", 'Zoë "&" \\ Söhne \U0001f600'])
def test_a_token_may_be_bound_to_a_tenant(tenant: str) -> None:
    entry = run("token", "--tenant", tenant).stdout.decode().split("\n", 1)[1]
    assert tomllib.loads(entry)["auth"]["tokens"][0]["tenant"] == tenant


def test_every_token_is_another_and_may_do_everything_unless_told() -> None:
    first, second = (run("token").stdout.decode().split("\n", 1) for _ in range(2))
    assert first[0] != second[0]
    assert tomllib.loads(first[1])["auth"]["tokens"][0]["scopes"] == ["read", "write", "publish"]


@pytest.mark.parametrize("command", ["sign", "verify", "token"])
def test_help_shows_an_example(command: str) -> None:
    done = run(command, "--help")
    assert done.returncode == 0
    assert f"Example:\n    hookd {command} " in done.stdout.decode()


WORDS = st.sampled_from(
    ["--scheme", "standard", "token", "--secret", SECRET, "env:NOBODY", "@nowhere", "--header", "webhook-id: a", "x",
     "--now", "1", "-1", "1e9", "--tolerance", "5m", "0s", "--url", "--type", "--body", "-", "--id", "a.b", "é", "",
     "--", "-h"]
)  # fmt: skip
SEEN = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=8)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(command=st.sampled_from(["sign", "verify", "token"]), words=st.lists(WORDS | SEEN, max_size=9), body=st.binary())
def test_whatever_is_asked_is_an_answer_or_one_line(
    command: str, words: list[str], body: bytes, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(body)))
    with pytest.raises(SystemExit) as ended:
        main([command, *words])
    output = capsys.readouterr()
    assert ended.value.code in (0, 1, 2)
    if ended.value.code:
        assert output.err.count("\n") == 1
        assert output.err.startswith(("hookd: ", "Usage: "))
    assert "Traceback" not in output.err
