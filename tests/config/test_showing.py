"""The settings in effect as TOML, and secrets that stay secret."""

import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hookd.config import read, shown
from hookd.config.kinds import Surroundings, quoted
from hookd.config.reading import judged
from hookd.errors import ConfigError
from tests.config.documents import HANDLER, SOURCE, STANDARD, TOKEN, TRIGGER, settings
from tests.config.test_reading import EVERYTHING

SHIPPED = Path(__file__).parents[2] / "config.toml"
SECRET = "zQ7whisper9Kx"


def test_what_is_shown_is_read_back_but_for_the_secrets(tmp_path: Path) -> None:
    found = settings(tmp_path, EVERYTHING + TRIGGER + HANDLER)
    secrets = (*(token.digest for token in found.tokens), *found.sources[0].secrets)
    again = shown(found)
    for secret in secrets:
        again = again.replace('"***"', quoted(secret), 1)
    assert settings(tmp_path, again) == found


def test_every_secret_is_masked(tmp_path: Path) -> None:
    text = SOURCE.replace("s3cret", SECRET) + STANDARD + TOKEN.replace("t0ken", SECRET)
    proxy = f'[network]\nproxy = "http://me:{SECRET}@proxy.example:3128"'
    found = settings(tmp_path, text + proxy, {"HOOKD_TOKEN": SECRET + SECRET})
    for written in (shown(found), repr(found)):
        assert SECRET not in written
        assert "whsec_" not in written
    assert 'proxy = "http://***@proxy.example:3128"' in shown(found)


ELSEWHERE = st.sampled_from(["token", "standard", "unknown", 1])


@given(ELSEWHERE, st.sampled_from(["secrets", "secret", "header", "token", "hash"]), st.booleans())
def test_no_error_repeats_a_secret(scheme: object, key: str, spaced: bool) -> None:
    secret = f"{SECRET} {SECRET}" if spaced else SECRET
    document = {
        "sources": [
            {"name": "shop", "path": "/shop", "scheme": scheme, "secrets": [secret, {"file": 1, "env": secret}]}
        ],
        "auth": {"tokens": [{"name": "ci", "scopes": [], "token": secret, "hash": secret, key: [secret]}]},
        "network": {"proxy": f"socks5://me:{secret}@proxy"},
        "store": {"url": f"postgresql://me:{secret}@db/hookd"},
    }
    with pytest.raises(ConfigError) as caught:
        judged(document, Surroundings(Path("/nowhere"), {"HOOKD_TOKEN": f"{SECRET} {SECRET}"}))
    assert SECRET not in str(caught.value)
    assert SECRET not in repr(caught.value.faults)


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_any_text_is_quoted_on_one_line(text: str) -> None:
    assert quoted(text).isprintable()
    assert tomllib.loads(f"value = {quoted(text)}") == {"value": text}


def test_the_shipped_configuration_is_the_common_example() -> None:
    found = read(SHIPPED, {})
    assert (found.server.host, found.server.port, found.network.allow) == ("127.0.0.1", 8080, ("loopback",))
    (trigger,), (source,), (handler,) = found.triggers, found.sources, found.handlers
    assert (trigger.path, trigger.type, trigger.required) == ("/api/purchase", "purchase", ("name", "email", "course"))
    assert trigger.reply == "Course purchased successfully"
    assert (source.path, source.header, source.secrets) == ("/webhook", "X-Webhook-Token", ("secret",))
    assert (source.reply, source.refuse) == ("OK", "token mismatch")
    assert (handler.event_types, handler.run) == (("automator.*",), "log:Invite sent to {name}")
