"""Where the store is: a file or a server, in every way to say it, and without the password wherever people look."""

from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from hookd.config import shown
from hookd.config.kinds import Surroundings, quoted
from hookd.config.reading import judged
from hookd.errors import ConfigError
from tests.config.documents import faults, settings

SERVER = "postgresql://me:zQ7whisper@db.example:5433/hookd"
PASSWORD = "zQ7whisper"


def written(url: str) -> str:
    return f"[store]\nurl = {quoted(url)}"


@pytest.mark.parametrize("path", ["hookd.db", "data/a b.db", "/var/lib/hookd/hookd.db", "postgresql:/me@x"])
def test_a_file(tmp_path: Path, path: str) -> None:
    store = settings(tmp_path, written(f"sqlite:{path}")).store
    assert (store.path, store.server, store.place) == (tmp_path / path, None, str(tmp_path / path))


@pytest.mark.parametrize(
    ("url", "place"),
    [
        (SERVER, "postgresql://me@db.example:5433/hookd"),
        ("postgres://db/hookd", "postgres://db/hookd"),
        ("postgresql://me:@db/hookd", "postgresql://me@db/hookd"),
        ("postgresql://me:a:b%40c%2Fd@db/hookd", "postgresql://me@db/hookd"),
        ("postgresql://me:schlüssel@db/hookd", "postgresql://me@db/hookd"),
        ("postgresql:///hookd", "postgresql:///hookd"),
        (
            "postgresql:///hookd?host=/var/run/postgresql&user=me",
            "postgresql:///hookd?host=/var/run/postgresql&user=me",
        ),
        ("postgresql://me:a@/hookd?host=/run&port=5433", "postgresql://me@/hookd?host=/run&port=5433"),
        ("postgresql://me@%2Frun%2Fpostgresql:5433/hookd", "postgresql://me@%2Frun%2Fpostgresql:5433/hookd"),
        ("postgresql://me:a@[2001:db8::1]:5433/hookd", "postgresql://me@[2001:db8::1]:5433/hookd"),
        ("postgresql://me:a@one:1,two:2/d?target_session_attrs=read-write", None),
        ("postgresql://db/d?sslmode=verify-full&sslrootcert=/etc/ca.pem", None),
        ("postgresql://db/d?password=a", "postgresql://db/d"),
        ("postgresql://db/d?password=a&sslmode=require", "postgresql://db/d?sslmode=require"),
        ("postgresql://db/d?sslmode=require&sslpassword=a&Password=b", "postgresql://db/d?sslmode=require"),
    ],
)
def test_a_server(tmp_path: Path, url: str, place: str | None) -> None:
    store = settings(tmp_path, written(url)).store
    assert (store.path, store.server) == (None, url)
    assert store.place == (place or url.replace("me:a@", "me@"))


@pytest.mark.parametrize(
    "url",
    ["", "hookd.db", "sqlite:", "sqlite::memory:", "sqlite:data/", "sqlite:a\nb", "mysql://me:zQ7whisper@db/hookd"],
)
def test_what_is_neither(tmp_path: Path, url: str) -> None:
    detail = faults(tmp_path, written(url))["store.url"]
    assert detail.startswith('expected "sqlite:PATH"')
    assert PASSWORD not in detail


@pytest.mark.parametrize(
    "url",
    [
        "postgresql:",
        "postgresql://",
        "postgresql://db",
        "postgresql://db/",
        "postgresql://db:many/hookd",
        "postgresql://db:0/hookd",
        "postgresql://db:65536/hookd",
        "postgresql://:5432/hookd",
        "postgresql://one,,two/hookd",
        "postgresql://::1/hookd",
        "postgresql://[db]/hookd",
        "postgresql://[db::x]/hookd",
        "postgresql://my host/hookd",
        "postgresql://db/hookd?sslmode",
        "postgresql://db/hookd?sslmode=require#a",
        "postgresql://db/hookd?pass%77ord=zQ7whisper",
        "postgresql+asyncpg://me:zQ7whisper@db/hookd",
        "postgresql://me:zQ7whisper@db/hookd\n",
        "postgresql://me:zQ7whisper @db/hookd",
        "postgresql://me:zQ7@whisper@db/hookd",
        "postgresql://me:1/zQ7whisper@db/hookd",
        "postgresql://me:1/zQ7?whisper=a@db/hookd",
        "postgresql://me:1?zQ7whisper@db/hookd",
        "postgresql://me:1/a#zQ7whisper@db/hookd",
        "postgresql://me:1/a?zQ7=a#whisper@db/hookd",
    ],
)
def test_what_is_no_server(tmp_path: Path, url: str) -> None:
    detail = faults(tmp_path, written(url))["store.url"]
    assert detail.startswith('expected "postgresql://USER:PASSWORD@HOST:PORT/DATABASE"')
    assert "write %40 for @" in detail
    assert detail.endswith("%20 for a space")
    assert not any(piece in detail for piece in (PASSWORD, "zQ7", "whisper"))


def test_it_may_stand_elsewhere_as_a_secret_may(tmp_path: Path) -> None:
    (tmp_path / "url").write_text(SERVER + "\n")
    for text in ('{ env = "DATABASE_URL" }', '{ file = "url" }'):
        found = settings(tmp_path, f"[store]\nurl = {text}", {"DATABASE_URL": SERVER})
        assert found.store.server == SERVER
    for variable in (SERVER, '{ env = "DATABASE_URL" }'):
        environment = {"HOOKD_STORE__URL": variable, "DATABASE_URL": SERVER}
        assert settings(tmp_path, "", environment).store.server == SERVER
    assert settings(tmp_path, '[store]\nurl = { env = "URL" }', {"URL": "sqlite:x"}).store.path == tmp_path / "x"


def test_a_fault_names_where_it_should_have_stood(tmp_path: Path) -> None:
    assert faults(tmp_path, '[store]\nurl = { env = "NO" }') == {"store.url": "the environment has no variable 'NO'"}
    wrong = f"{SERVER}#"
    found = faults(tmp_path, "", {"HOOKD_STORE__URL": wrong})
    assert list(found) == ["HOOKD_STORE__URL"]
    assert PASSWORD not in str(found)
    assert list(faults(tmp_path, "[store]\nurl = 5")) == ["store.url"]


def test_the_password_is_masked_wherever_settings_are_shown(tmp_path: Path) -> None:
    found = settings(tmp_path, written(f"{SERVER}?sslmode=require&sslpassword={PASSWORD}"))
    assert PASSWORD not in repr(found)
    assert PASSWORD not in found.store.place
    assert 'url = "postgresql://me:***@db.example:5433/hookd?sslmode=require&sslpassword=***"\n' in shown(found)
    assert settings(tmp_path, shown(found).replace("***", PASSWORD)) == found


@given(st.text(min_size=1), st.text("@:/?#%&=[]a ", max_size=3), st.booleans())
@example("", "", False)
def test_no_password_is_shown_escaped_or_not(noise: str, odd: str, escaped: bool) -> None:
    """What is not escaped makes no server, or one whose password is known to be one."""
    secret = f"zQ7{odd}whisper{noise}" if escaped else f"zQ7{odd}whisper"
    url = f"postgresql://me:{quote(secret, safe='', errors='replace') if escaped else secret}@db/hookd"
    try:
        found = judged({"store": {"url": url}}, Surroundings(Path("/nowhere"), {}))
    except ConfigError as error:
        assert not escaped
        text = str(error)
    else:
        text = shown(found) + repr(found) + found.store.place
        assert found.store.place == "postgresql://me@db/hookd"
    assert "zQ7" not in text
    assert "whisper" not in text
