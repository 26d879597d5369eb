"""Whatever bytes come, a verifier answers or refuses; and it accepts nothing that was not signed."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hookd.signing import SCHEMES
from tests.signing.mutations import Pairs, asked, body, is_what_was_signed, signed

NAMES = sorted(SCHEMES)
KNOWN = sorted({name.lower() for scheme in NAMES for name, _ in signed(scheme, body())})
VALUES = st.text(st.characters(max_codepoint=0xFF), max_size=60) | st.text(max_size=20)
HEADERS = st.lists(st.tuples(st.sampled_from(KNOWN) | VALUES, VALUES), max_size=8)
EVERY = pytest.mark.parametrize("name", NAMES)
MEGABYTE = 1 << 20


@st.composite
def changed(draw: st.DrawFn, headers: Pairs) -> Pairs:
    """Drop, repeat, rename and rewrite some headers."""
    pairs = list(headers)
    for _ in range(draw(st.integers(0, 3))):
        place = draw(st.integers(0, len(pairs) - 1))
        name, value = pairs[place]
        at = draw(st.integers(0, len(value)))
        match draw(st.sampled_from(["drop", "repeat", "insert", "cut", "case", "replace", "twice"])):
            case "drop" if len(pairs) > 1:
                del pairs[place]
            case "repeat":
                pairs.append((name, draw(VALUES)))
            case "insert":
                pairs[place] = (name, value[:at] + draw(VALUES) + value[at:])
            case "cut":
                pairs[place] = (name, value[:at] + value[at + 1 :])
            case "case":
                pairs[place] = (name.swapcase(), value.swapcase())
            case "twice":
                pairs[place] = (name, f"{value} {value}")
            case "replace":
                pairs[place] = (name, draw(VALUES))
    return pairs


@st.composite
def spoilt(draw: st.DrawFn, content: bytes) -> bytes:
    """Change some bytes of a body, or none."""
    at = draw(st.integers(0, len(content)))
    return draw(
        st.just(content)
        | st.binary(max_size=4).map(lambda more: content[:at] + more + content[at:])
        | st.just(content[:at] + content[at + 1 :])
        | st.binary(max_size=50)
    )


@EVERY
@given(HEADERS, st.binary(max_size=100))
@settings(max_examples=20)
def test_nothing_that_was_made_up_is_authentic(name: str, headers: Pairs, content: bytes) -> None:
    assert asked(name, headers, content) is None


@EVERY
@given(st.data(), st.text(st.characters(exclude_categories=["Cs"]), max_size=20))
@settings(max_examples=40)
def test_only_what_was_signed_is_authentic(name: str, data: st.DataObject, text: str) -> None:
    original = body(text)
    headers = signed(name, original)
    untouched = asked(name, headers, original)
    assert untouched is not None
    content = data.draw(spoilt(original))
    message = asked(name, data.draw(changed(headers)), content)
    assert message is None or is_what_was_signed(name, message, content, original, untouched.timestamp)


@EVERY
def test_a_flood_of_headers_costs_little_and_hides_nothing(name: str) -> None:
    content = body()
    headers = signed(name, content)
    others = [(f"x-{number}", "v") for number in range(20_000)]
    assert asked(name, [*others, *headers], content) is not None


@EVERY
@pytest.mark.parametrize("filler", ["a", ",", " ", "v1,", "=", "t=1,", "sig1=();", '"', ":"])
def test_a_header_of_a_megabyte_is_refused(name: str, filler: str) -> None:
    content = body()
    value = filler * (MEGABYTE // len(filler))
    for at, (header, _) in enumerate(signed(name, content)):
        if header.lower() not in ("host", "content-type"):
            pairs = signed(name, content)
            pairs[at] = (header, value)
            message = asked(name, pairs, content)
            assert message is None or message.id in (value, value.strip() or None), (
                "an id that nothing signs may be what it likes"
            )
