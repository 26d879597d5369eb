"""The settings in effect as TOML, and secrets that stay secret."""

import gc
import pickle
import tomllib
from hashlib import sha256
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hookd.config import read, shown
from hookd.config.entries import SourceTable, TokenTable
from hookd.config.kinds import Surroundings, quoted
from hookd.config.reading import judged
from hookd.errors import ConfigError
from hookd.model import Scope
from tests.config.documents import HANDLER, SOURCE, STANDARD, TOKEN, TRIGGER, settings
from tests.config.test_reading import EVERYTHING
from tests.nouns import NEW_KEY, in_base64

SHIPPED = Path(__file__).parents[2] / "config.toml"
SECRET = "zQ7whisper9Kx"


def test_what_is_shown_is_read_back_but_for_the_secrets(tmp_path: Path) -> None:
    found = settings(tmp_path, EVERYTHING + TRIGGER + HANDLER)
    keys = map(in_base64, found.store.keys)
    secrets = (*keys, *(token.digest for token in found.tokens), *found.sources[0].secrets)
    again = shown(found)
    for secret in secrets:
        again = again.replace('"***"', quoted(secret), 1)
    assert settings(tmp_path, again) == found


def test_every_secret_is_masked(tmp_path: Path) -> None:
    text = SOURCE.replace("s3cret", SECRET) + STANDARD + TOKEN.replace("t0ken", SECRET)
    proxy = f'[network]\nproxy = "http://me:{SECRET}@proxy.example:3128"'
    keys = f'[store]\nkeys = ["{in_base64(NEW_KEY)}"]\n'
    found = settings(tmp_path, keys + text + proxy, {"HOOKD_TOKEN": SECRET + SECRET})
    for written in (shown(found), repr(found)):
        assert SECRET not in written
        assert "whsec_" not in written
        for shape in (in_base64(NEW_KEY), NEW_KEY.hex(), repr(NEW_KEY)):
            assert shape not in written
    assert '\nkeys = ["***"]\n' in shown(found)
    assert 'proxy = "http://***@proxy.example:3128"' in shown(found)


def test_the_tables_of_a_configuration_show_no_secret_either() -> None:
    scopes, digest = frozenset(Scope), sha256(SECRET.encode()).hexdigest()
    for table in (
        TokenTable(name="ci", token=SECRET, scopes=scopes),
        TokenTable(name="ci", hash=digest, scopes=scopes),
        SourceTable(name="shop", path="/shop", scheme="token", secrets=(SECRET,)),
    ):
        assert SECRET not in repr(table)
        assert digest not in repr(table)


def test_of_a_token_its_digest_alone_is_kept(tmp_path: Path) -> None:
    """Tokens become their digests while the configuration is read; the tables that held them are gone after."""
    (tmp_path / "token").write_text(SECRET + "3")
    text = "".join(
        TOKEN.replace("ci", f"ci{number}").replace('"t0ken"', token)
        for number, token in ((1, f'"{SECRET}1"'), (2, '{ env = "CI" }'), (3, '{ file = "token" }'))
    )
    found = settings(tmp_path, text, {"CI": SECRET + "2", "HOOKD_TOKEN": SECRET + "4"})
    digests = [sha256(f"{SECRET}{number}".encode()).hexdigest() for number in (1, 2, 3, 4)]
    assert [token.digest for token in found.tokens] == digests
    kept = pickle.dumps(found)
    assert digests[0].encode() in kept
    assert SECRET.encode() not in kept
    gc.collect()
    tables = [each for each in gc.get_objects() if type(each) is TokenTable and SECRET in str(each.token)]
    assert tables == []
    assert digests[0] not in repr(found)


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
        "store": {
            "url": f"postgresql://me:{secret}@db:many/hookd",
            "keys": [secret, {"env": 1, "file": secret}, [secret]],
        },
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
    assert (source.path, source.header, source.secrets) == ("/webhook", None, ("secret",))
    assert (source.reply, source.refuse) == (None, "token mismatch")
    assert (handler.event_types, handler.run) == (("automator.*",), "log:Invite sent to {name}")
