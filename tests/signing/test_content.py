"""What is signed, filled in for a request."""

import pytest

from hookd.signing.content import BODY, NOTHING, Content


@pytest.mark.parametrize(
    ("text", "filled"),
    [
        ("{id}.{timestamp}.{body}", b"evt_1.7.{url}%b"),
        ("v0:{timestamp}:{body}", b"v0:7:{url}%b"),
        ("{body}{url}", b"{url}%bhttps://h/\xc3\xa9"),
        ("100%{body}%(id)b", b"100%{url}%b%(id)b"),
        ("{body}", b"{url}%b"),
    ],
)
def test_each_part_stands_in_its_place_and_all_else_as_it_is(text: str, filled: bytes) -> None:
    assert Content(text).of("evt_1", "7", "https://h/é", b"{url}%b") == filled


def test_it_says_what_it_holds() -> None:
    assert [(each.has_id, each.has_url, bool(each)) for each in (NOTHING, BODY, Content("{id}:{body}{url}"))] == [
        (False, False, False),
        (False, False, True),
        (True, True, True),
    ]


def test_an_id_holds_nothing_that_stands_beside_it() -> None:
    dotted = Content("{id}.{timestamp}.{body}")
    assert dotted.ids.fullmatch("a:b")
    assert not dotted.ids.fullmatch("a.b")
    assert dotted.without == ", without a dot"
    assert Content("v1^{id}:{body}").without == ", without 1, without a colon, without ^, without v"
    assert not Content("v1^{id}:{body}").ids.fullmatch("a^")
    unsigned = Content("{timestamp}.{body}")
    assert unsigned.ids.fullmatch("a.b")
    assert unsigned.without == ""
    for each in (dotted, unsigned, NOTHING):
        assert not any(map(each.ids.fullmatch, ("", "a b", "é", "a\n")))
