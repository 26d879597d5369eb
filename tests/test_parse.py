"""Other people's JSON."""

import json
import math
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hookd.parse import parse, parse_anything

characters = st.characters(exclude_categories=()) | st.sampled_from("\0\ud800\udfff")
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(characters),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(characters), inner),
    max_leaves=10,
)


@given(values)
def test_whatever_is_written_is_read(value: Any) -> None:
    body = json.dumps(value).encode()
    assert parse(body) == parse_anything(body) == value


@given(st.binary())
def test_what_is_no_json_is_a_value_error(body: bytes) -> None:
    with suppress(ValueError):
        parse(body)


@pytest.mark.parametrize("body", [b"", b"NaN", b"[-Infinity]", b"\xff", b'"\xed\xa0\x80"', b"[" * 100_000, b"{}{}"])
def test_what_the_rfc_does_not_know_is_refused(body: bytes) -> None:
    with pytest.raises(ValueError, match=r".+"):
        parse(body)


def test_an_integer_of_too_many_digits_is_a_float_and_no_other_is() -> None:
    body = b'[1, "\\ud800", %b]' % (b"9" * 5000)
    assert parse(body) == [1, "\ud800", math.inf]
    assert isinstance(parse(body)[0], int)
    assert parse_anything(body, integer=str) == ["1", "\ud800", "9" * 5000]
