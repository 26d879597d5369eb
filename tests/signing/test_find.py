"""Where a request names its id or its type."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hookd.model import Field
from hookd.signing import collect, find
from hookd.signing.fields import body_reader


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
        ('"id"', b'{"\\"id\\"":"a"}', "a"),
        ("data.id", b'{"data":{"x":1}}', None),
        ("id", b'{"id":"a","id":"b"}', "b"),
        ("id", b'{"id":true,"id":"b"}', "b"),
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


SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
NAMES = st.sampled_from(["a", "b", '"'])
PATHS = st.sampled_from(["a", "b", "a.a", "a.b", "a.b.a", '"', 'b."'])


@given(st.recursive(SCALARS, lambda inner: st.lists(inner) | st.dictionaries(NAMES, inner)), st.lists(PATHS))
def test_each_of_several_paths_is_found_as_if_alone(value: object, paths: list[str]) -> None:
    body = json.dumps(value).encode()
    found = body_reader(*(Field("body", path) for path in paths)).read(body)
    assert found == {path: text for path in paths if (text := in_body(path, body)) is not None}
    assert found == {path: text for path in paths if (text := plainly(path, value))}


def plainly(path: str, value: Any) -> str | None:
    for name in path.split("."):
        value = value.get(name) if isinstance(value, dict) else None
    return str(value) if isinstance(value, str) or type(value) is int else None


def test_of_headers_those_that_are_looked_at_count_in_any_case_and_as_often_as_they_came() -> None:
    headers: list[tuple[str | bytes, str | bytes]] = [("X-A", "1"), (b"x-a", b"2"), ("x-b", "3"), (b"X-C", b"4")]
    assert collect(headers, {"x-a", "x-c"}) == {"x-a": ["1", "2"], "x-c": ["4"]}
    assert collect(headers, set()) == {}
    assert collect(headers) == {"x-a": ["1", "2"], "x-b": ["3"], "x-c": ["4"]}
