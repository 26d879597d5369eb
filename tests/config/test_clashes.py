"""What can't stand side by side."""

from pathlib import Path

import pytest

from hookd.model import Scope
from hookd.policy.types import check_pattern, check_type
from tests.config.documents import HANDLER, SOURCE, TOKEN, TRIGGER, faults, settings

OTHER_SOURCE = SOURCE.replace("shop", "other")
OTHER_TRIGGER = TRIGGER.replace("purchase", "refund")


def test_different_ones_get_along(tmp_path: Path) -> None:
    found = settings(tmp_path, SOURCE + OTHER_SOURCE + TRIGGER + OTHER_TRIGGER + HANDLER)
    assert (len(found.sources), len(found.triggers)) == (2, 2)


@pytest.mark.parametrize(
    ("text", "pointer", "other"),
    [
        (SOURCE + OTHER_SOURCE.replace("/hooks/other", "/hooks/shop"), "sources[1].path", "sources[0].path"),
        (TRIGGER + OTHER_TRIGGER.replace("/api/refund", "/api/purchase"), "triggers[1].path", "triggers[0].path"),
        (SOURCE.replace("/hooks/shop", "/api/purchase") + TRIGGER, "sources[0].path", "triggers[0].path"),
        (SOURCE + OTHER_SOURCE.replace('"other"', '"shop"'), "sources[1].name", "sources[0].name"),
        (HANDLER + HANDLER, "handlers[1].name", "handlers[0].name"),
        (TOKEN + TOKEN.replace("t0ken", "another"), "auth.tokens[1].name", "auth.tokens[0].name"),
    ],
)
def test_what_stands_twice_names_the_first(tmp_path: Path, text: str, pointer: str, other: str) -> None:
    assert faults(tmp_path, text) == {pointer: f"expected another one: {other} is the same"}


def test_a_clash_is_found_beside_other_faults(tmp_path: Path) -> None:
    found = faults(tmp_path, SOURCE + SOURCE.replace('"token"', '"unknown"'))
    assert set(found) == {"sources[1].name", "sources[1].path", "sources[1].scheme"}


def test_one_token_under_two_names(tmp_path: Path) -> None:
    found = faults(tmp_path, TOKEN + TOKEN.replace('"ci"', '"cd"'))
    assert found == {"auth.tokens": "expected each token once: cd is the same as ci"}


def test_the_token_of_the_environment_may_be_a_listed_one_which_wins(tmp_path: Path) -> None:
    (token,) = settings(tmp_path, TOKEN, {"HOOKD_TOKEN": "t0ken"}).tokens
    assert (token.name, token.scopes) == ("ci", frozenset({Scope.READ}))


@pytest.mark.parametrize(
    "path",
    ["/", "/healthz", "/readyz", "/metrics", "/api/register-webhook", "/api/v1", "/api/v1/events", "/api/v1/anything"],
)
def test_the_daemons_own_routes_are_taken(tmp_path: Path, path: str) -> None:
    assert "hookd's own" in faults(tmp_path, SOURCE.replace("/hooks/shop", path))["sources[0].path"]
    assert "hookd's own" in faults(tmp_path, TRIGGER.replace("/api/purchase", path))["triggers[0].path"]


@pytest.mark.parametrize(
    "path",
    ["", "hooks", "/a?b", "//a", "/a//b", "/./a", "/a/..", "/a b", "/%61", "/ä", "/a#b", "/{a}", "/" + "a" * 256],
)
def test_what_is_no_path(tmp_path: Path, path: str) -> None:
    assert set(faults(tmp_path, SOURCE.replace("/hooks/shop", path))) == {"sources[0].path"}


@pytest.mark.parametrize("path", ["/a", "/a/", "/a.b/.c", "/a/...", "/~a/b:c@d", "/A-b_c"])
def test_what_is_a_path(tmp_path: Path, path: str) -> None:
    assert settings(tmp_path, SOURCE.replace("/hooks/shop", path)).sources[0].path == path


@pytest.mark.parametrize("name", ["a-b", "a.b", "", "ä", "a b", "a" * 65])
def test_what_is_no_sources_name(tmp_path: Path, name: str) -> None:
    assert set(faults(tmp_path, SOURCE.replace('"shop"', f'"{name}"'))) == {"sources[0].name"}


def test_no_source_is_named_as_the_daemon(tmp_path: Path) -> None:
    assert set(faults(tmp_path, SOURCE.replace('"shop"', '"hookd"'))) == {"sources[0].name"}


@pytest.mark.parametrize("event_type", ["shop", "shop.order", "hookd", "hookd.endpoint.disabled"])
def test_no_trigger_speaks_for_a_source_or_the_daemon(tmp_path: Path, event_type: str) -> None:
    text = SOURCE + TRIGGER.replace('"purchase"', f'"{event_type}"')
    assert set(faults(tmp_path, text)) == {"triggers[0].type"}


def test_a_trigger_may_begin_with_the_letters_of_a_source(tmp_path: Path) -> None:
    text = SOURCE + TRIGGER.replace('"purchase"', '"shopping.done"')
    assert settings(tmp_path, text).triggers[0].type == "shopping.done"


@pytest.mark.parametrize("text", ["a", "a.b", "A_1.b2.c_", "a" * 128])
def test_event_types(text: str) -> None:
    check_type(text)
    check_pattern(text)


@pytest.mark.parametrize("text", ["", ".", "a.", ".a", "a..b", "a-b", "ä", "a b", "a" * 129, "a\n"])
def test_what_is_no_event_type(text: str) -> None:
    with pytest.raises(ValueError, match="expected an event type"):
        check_type(text)
    with pytest.raises(ValueError, match="expected an event type"):
        check_pattern(text)


@pytest.mark.parametrize("text", ["*", "a.*", "a.b.*"])
def test_patterns_are_no_types(text: str) -> None:
    check_pattern(text)
    with pytest.raises(ValueError, match="expected an event type"):
        check_type(text)


@pytest.mark.parametrize("text", ["**", ".*", "*.a", "a.*.b", "a*", "*.*", "a.**"])
def test_what_is_no_pattern(text: str) -> None:
    with pytest.raises(ValueError, match="expected an event type"):
        check_pattern(text)


def test_the_second_address_is_another(tmp_path: Path) -> None:
    assert list(faults(tmp_path, '[server]\ninbound = "127.0.0.1:8080"\n')) == ["server.inbound"]
    assert list(faults(tmp_path, '[server]\nport = 9\nhost = "::1"\ninbound = "[::1]:9"\n')) == ["server.inbound"]
