"""Settings and secrets from the environment, and secrets from files."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hookd.config.environment import VARIABLES, value_of
from hookd.model import Scope
from tests.config.documents import SOURCE, TOKEN, faults, settings


def test_a_variable_wins_over_the_file(tmp_path: Path) -> None:
    environment = {
        "HOOKD_SERVER__PORT": "9090",
        "HOOKD_SERVER__HOST": "::1",
        "HOOKD_DELIVERY__TIMEOUT": "2s",
        "HOOKD_DELIVERY__RETRY": '["1s", "2s"]',
        "HOOKD_DELIVERY__JITTER": "0.5",
        "HOOKD_NETWORK__ALLOW": '["private"]',
        "HOOKD_LOG__FORMAT": '"json"',
    }
    found = settings(tmp_path, '[server]\nport = 1\ndrain = "1s"\n[log]\nformat = "text"', environment)
    assert (found.server.port, found.server.host, found.server.drain) == (9090, "::1", 1000)
    assert (found.delivery.timeout, found.delivery.retry, found.delivery.jitter) == (2000, (1000, 2000), 0.5)
    assert found.network.allow == ("private",)
    assert found.log.format == "json"


def test_every_key_of_a_plain_table_has_a_variable() -> None:
    assert VARIABLES["HOOKD_DELIVERY__MAX_IN_FLIGHT"] == ("delivery", "max_in_flight")
    assert {table for table, _ in VARIABLES.values()} == {"server", "store", "delivery", "network", "log"}


def test_a_fault_names_the_variable(tmp_path: Path) -> None:
    environment = {
        "HOOKD_SERVER__PORT": "many",
        "HOOKD_DELIVERY__RETRY": '["1s", 2]',
        "HOOKD_SERVER__COLOUR": "red",
        "HOOKD_AUTH__TOKENS": "[]",
        "HOOKD_TOKEN": "two words",
    }
    assert set(faults(tmp_path, "", environment)) == {
        "HOOKD_SERVER__PORT",
        "HOOKD_DELIVERY__RETRY[1]",
        "HOOKD_SERVER__COLOUR",
        "HOOKD_AUTH__TOKENS",
        "HOOKD_TOKEN",
    }


def test_a_variable_that_is_nearly_a_setting_is_refused(tmp_path: Path) -> None:
    found = faults(tmp_path, "", {"HOOKD_SERVER_PORT": "8081", "HOOKD_DELIVERY_MAX_IN_FLIGHT": "3"})
    assert found == {
        "HOOKD_SERVER_PORT": "did you mean HOOKD_SERVER__PORT, with two underscores?",
        "HOOKD_DELIVERY_MAX_IN_FLIGHT": "did you mean HOOKD_DELIVERY__MAX_IN_FLIGHT, with two underscores?",
    }


def test_an_array_that_is_none_is_told_how_one_is_written(tmp_path: Path) -> None:
    detail = faults(tmp_path, "", {"HOOKD_DELIVERY__RETRY": "1s,2s"})["HOOKD_DELIVERY__RETRY"]
    assert detail.startswith('expected an array, each entry a duration such as "5s"')
    assert detail.endswith('; an array is written ["…", "…"]')


def test_other_variables_are_no_settings(tmp_path: Path) -> None:
    environment = {"HOOKD_CONFIG": "x", "HOOKD_URL": "http://localhost", "PATH": "/bin", "MY_HOOKD_A__B": "x"}
    assert settings(tmp_path, "", environment) == settings(tmp_path, "")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("8080", 8080),
        ("true", True),
        ("0.5", 0.5),
        ('"8080"', "8080"),
        ('["a", "b"]', ["a", "b"]),
        ("15s", "15s"),
        ("127.0.0.1", "127.0.0.1"),
        ("", ""),
        ('1\nother = "x"', '1\nother = "x"'),
        ("[" * 10_000, "[" * 10_000),
    ],
)
def test_a_variable_is_toml_or_else_text(text: str, value: object) -> None:
    assert value_of(text) == value


@given(st.text())
def test_any_variable_has_a_value(text: str) -> None:
    value_of(text)


def test_the_token_of_the_environment_has_every_scope(tmp_path: Path) -> None:
    abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"  # FIPS 180-2, B.1: SHA-256 of "abc"
    (token,) = settings(tmp_path, "", {"HOOKD_TOKEN": "abc"}).tokens
    assert (token.name, token.digest, token.scopes, token.tenant) == ("HOOKD_TOKEN", abc, frozenset(Scope), None)


def test_systemd_names_the_place_of_the_store(tmp_path: Path) -> None:
    environment = {"STATE_DIRECTORY": "/var/lib/hookd:/var/lib/other"}
    assert settings(tmp_path, "", environment).store.path == Path("/var/lib/hookd/hookd.db")
    assert settings(tmp_path, "[store]\nurl = 'sqlite:mine.db'", environment).store.path == tmp_path / "mine.db"


def test_secrets_from_the_environment_and_from_files(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("from-file\n")
    text = SOURCE.replace('["s3cret"]', '[{ env = "SHOP" }, { file = "secret" }, "written"]')
    (source,) = settings(tmp_path, text, {"SHOP": "from-environment"}).sources
    assert source.secrets == ("from-environment", "from-file", "written")
    (token,) = settings(tmp_path, TOKEN.replace('"t0ken"', '{ env = "CI" }'), {"CI": "abc"}).tokens
    assert token.digest == settings(tmp_path, TOKEN.replace("t0ken", "abc")).tokens[0].digest


@pytest.mark.parametrize(
    ("secret", "detail"),
    [
        ('{ env = "NOWHERE" }', "the environment has no variable 'NOWHERE'"),
        ('{ env = "EMPTY" }', "an empty one"),
        ('{ file = "nowhere" }', "there is no file"),
        ('{ file = "." }', "there is no file"),
        ('{ file = "binary" }', "is not UTF-8"),
        ('{ file = "a\\u0000b" }', "there is no file"),
        ('{ env = "EMPTY", file = "binary" }', "expected a string,"),
        ("{}", "expected a string,"),
        ("1", "expected a string,"),
        ('""', "an empty one"),
        ('"two words"', "visible ASCII"),
    ],
)
def test_a_secret_that_is_none(tmp_path: Path, secret: str, detail: str) -> None:
    (tmp_path / "binary").write_bytes(b"\xff")
    text = SOURCE.replace('"s3cret"', secret)
    assert detail in faults(tmp_path, text, {"EMPTY": ""})["sources[0].secrets[0]"]
