from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from hookd.egress import Guard
from hookd.errors import InvalidInput
from hookd.policy.names import event_id, tenant
from hookd.signing import SCHEMES
from hookd.web.definition import ChangedEndpoint, NewEndpoint, Rules, merged
from hookd.web.events import Publishing
from hookd.web.fields import _SAYINGS, Body, check, event_type
from hookd.web.register import Registration
from hookd.web.replay import Replaying
from hookd.web.rotation import Rotation

GUARD = Guard([])
CONTEXTS: dict[type[Body], object] = {
    NewEndpoint: Rules(GUARD, SCHEMES),
    ChangedEndpoint: Rules(GUARD, SCHEMES),
    Replaying: 0,
    Registration: GUARD,
}
"""What a body is checked against, beside itself."""

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


ODD: tuple[object, ...] = (
    *(None, True, 0, -1, 10**30, 0.5, "", "x" * 5000, "\ud800", "\0"),
    *([], ["a"] * 1000, [None], ["x" * 5000], ["\ud800"], [[]], [{}]),
    *({"": ""}, {"x" * 5000: "y"}, {"y": "x" * 50_000}, {"a": None}, {"\ud800": "x"}, dict.fromkeys("a" * 100, "")),
)
BODIES = (NewEndpoint, ChangedEndpoint, Publishing, Replaying, Rotation, Registration)


def refusals(body: type[Body], name: str, value: object) -> set[str]:
    """Answer pydantic's types of what is wrong with a field."""
    try:
        body.model_validate({"scheme": "standard", name: value}, context=CONTEXTS.get(body))
    except ValidationError as error:
        return {each["type"] for each in error.errors(include_url=False)}
    return set()


@pytest.mark.parametrize(
    ("body", "name"), [(body, name) for body in BODIES for name in body.model_fields if name != "scheme"]
)
def test_everything_that_is_wrong_with_a_field_is_said_in_our_words(body: type[Body], name: str) -> None:
    found = {each for value in ODD if value is not None for each in refusals(body, name, value)}
    assert found - set(_SAYINGS) == set()


def test_a_text_that_is_too_long_is_measured_in_characters() -> None:
    with pytest.raises(InvalidInput) as caught:
        check(Publishing, {"type": "a", "payload": 1, "ordering_key": "k" * 129, "endpoints": ["e" * 129]})
    assert {fault.detail for fault in caught.value.faults} == {"expected at most 128 characters"}


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
