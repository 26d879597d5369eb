from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hookd.web.definition import merged
from hookd.web.fields import event_id, event_type, tenant

segments = st.from_regex(r"[A-Za-z0-9_]{1,20}", fullmatch=True)


def objects_of(leaves: st.SearchStrategy[int | None]) -> st.SearchStrategy[Any]:
    """Objects of up to four levels."""
    values: st.SearchStrategy[Any] = leaves
    for _ in range(3):
        values = leaves | st.dictionaries(st.sampled_from("abc"), values, max_size=3)
    return st.dictionaries(st.sampled_from("abc"), values, max_size=3)


objects, patches = objects_of(st.integers()), objects_of(st.none() | st.integers())


@given(st.lists(segments, min_size=1, max_size=5))
def test_dotted_segments_are_an_event_type(parts: list[str]) -> None:
    assert event_type(".".join(parts)) == ".".join(parts)


@given(st.text())
def test_what_names_an_event_is_ascii_of_bounded_length(text: str) -> None:
    for parse in (event_type, event_id):
        try:
            assert parse(text).isascii()
        except ValueError:
            continue
        assert len(text) <= 128
        assert not text.isspace()


@pytest.mark.parametrize("text", ["", "a" * 129, "a\tb", "a\u2028b", "\ud800", "\0"])
def test_a_tenant_is_printable_and_of_bounded_length(text: str) -> None:
    with pytest.raises(ValueError, match="expected 1 to 128 printable characters"):
        tenant(text)


def rfc_7396(target: object, patch: object) -> object:
    """The pseudocode of RFC 7396, section 2."""
    if not isinstance(patch, dict):
        return patch
    result = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        else:
            result[name] = rfc_7396(result.get(name), value)
    return result


@given(objects, patches)
def test_a_patch_is_merged_as_the_rfc_says(target: dict[str, object], patch: dict[str, object]) -> None:
    assert merged(target, patch) == rfc_7396(target, patch)
