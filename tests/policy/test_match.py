"""Which patterns match which types."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hookd.model import Origin
from hookd.policy.match import candidates, matches
from hookd.policy.types import LONGEST, check_pattern, check_type

segments = st.text("abAB09_", min_size=1, max_size=4)
types = st.lists(segments, min_size=1, max_size=4).map(".".join)
patterns = st.one_of(types, types.map(lambda name: f"{name}.*"), st.just("*"))


def meant(pattern: str, event_type: str, origin: Origin) -> bool:
    """The rule as it is written: an exact type, `a.*` for further segments, `*` for everything published."""
    if pattern == "*":
        return origin is Origin.PUBLISHED
    if pattern.endswith(".*"):
        return event_type.startswith(pattern[:-1])
    return pattern == event_type


@given(st.lists(patterns, max_size=4), types, st.sampled_from(Origin))
def test_the_rule(several: list[str], event_type: str, origin: Origin) -> None:
    assert matches(several, event_type, origin) == any(meant(each, event_type, origin) for each in several)


@given(types, st.sampled_from(Origin))
def test_every_candidate_is_a_pattern(event_type: str, origin: Origin) -> None:
    for candidate in candidates(event_type, origin):
        check_pattern(candidate)
        assert meant(candidate, event_type, origin)


@given(types)
def test_a_type_is_a_pattern_too(event_type: str) -> None:
    check_type(event_type)
    check_pattern(event_type)


@pytest.mark.parametrize(
    "text", ["", ".", "a.", ".a", "a..b", "a b", "a-b", "ä", "a\n", "a.*", "*", "a" * (LONGEST + 1)]
)
def test_what_is_no_type(text: str) -> None:
    with pytest.raises(ValueError, match="expected an event type"):
        check_type(text)


@pytest.mark.parametrize("text", ["", ".*", "**", "*.a", "a.*.b", "a*", "a.**", "a.*\n", "a" * LONGEST + ".*"])
def test_what_is_no_pattern(text: str) -> None:
    with pytest.raises(ValueError, match="expected an event type"):
        check_pattern(text)
