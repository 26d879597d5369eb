"""Where a request names its id or its type."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hookd.model import Field
from hookd.signing import collect, find


def in_body(path: str, body: bytes) -> str | None:
    return find(Field("body", path), {}, body)


def test_a_header_in_any_case_unless_it_is_empty_or_repeated() -> None:
    field = Field("header", "X-GitHub-Delivery")
    assert find(field, collect({"x-github-delivery": "7"}), b"") == "7"
    assert find(field, collect({"x-github-delivery": " 7\t"}), b"") == "7"
    assert find(field, collect({"x-github-delivery": ""}), b"") is None
    assert find(field, collect({"x-github-delivery": " "}), b"") is None
    assert find(field, collect([("X-GitHub-Delivery", "7"), ("x-github-delivery", "8")]), b"") is None
    assert find(field, collect({}), b'{"X-GitHub-Delivery":"7"}') is None


@pytest.mark.parametrize(
    ("path", "body", "found"),
    [
        ("id", b'{"id":"a"}', "a"),
        ("id", b' {"x":[1,{"id":"no"}],"id":"\\u00e9\\n"} ', "é\n"),
        ("data.object.id", b'{"data":{"object":{"id":12345678901234567890123}}}', "12345678901234567890123"),
        ("id", b'{"id":0}', "0"),
        ("id", b'{"id":""}', None),
        ("id", b'{"id":true}', None),
        ("id", b'{"id":null}', None),
        ("id", b'{"id":1.5}', None),
        ("id", b'{"id":["a"]}', None),
        ("id", b'["id"]', None),
        ("id.x", b'{"id":"a"}', None),
        ("", b"{}", None),
        ("id", b"", None),
        ("id", b'{"id":"a"', None),
        ("id", b'{"id":"\xff"}', None),
        ("id", b'{"id":"a","x":"\\ud800"}', "a"),
        ("data.id", b'{"data":{"id":7,"x":"\\ud800"}}', "7"),
        ("id", b'{"id":"a\\ud800"}', "a\ud800"),
        ("id", b'{"id":' + b"9" * 5000 + b"}", "9" * 5000),
        ("id", b'{"id":true,"x":"\\ud800"}', None),
        ("id.x", b'{"id":"a","x":"\\ud800"}', None),
        ("id", b'{"id":"a","x":["\\ud800",NaN]}', None),
        ("id", b"[" * 200_000, None),
        ("id", b'{"id":' * 200_000, None),
    ],
)
def test_a_path_of_the_body(path: str, body: bytes, found: str | None) -> None:
    assert in_body(path, body) == found


@given(st.text(), st.binary())
def test_no_body_raises(path: str, body: bytes) -> None:
    assert in_body(path, body) is None or body


@given(st.lists(st.text().filter(lambda name: "." not in name), min_size=1, max_size=5), st.text(min_size=1))
def test_text_is_found_at_any_depth(path: list[str], leaf: str) -> None:
    body: object = leaf
    for name in reversed(path):
        body = {name: body, name + "?": None}
    assert in_body(".".join(path), json.dumps(body).encode()) == leaf
