"""Filters: what they mean, against a straightforward reading of them; and what they may say."""

import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import ValidationError

from hookd.policy.declare import DEEPEST, MOST_NAMES, MOST_VALUES, declared
from hookd.policy.filter import MOST_STEPS, Subject, passes

Pattern = dict[str, Any]


def asked(pattern: Pattern, payload: object, event_type: str = "a.b") -> bool:
    return passes(declared(pattern), Subject(event_type, json.dumps(payload).encode()))


ORDER = {
    "status": "paid",
    "amount": 42,
    "price": 4.5,
    "test": False,
    "coupon": None,
    "customer": {"country": "DE", "vip": True},
    "tags": ["new", "blue"],
    "items": [{"sku": "a", "count": 1}, {"sku": "b", "count": 5}],
    "none": [],
}


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"status": ["paid"]}, True),
        ({"status": ["open", "paid"]}, True),
        ({"status": ["open"]}, False),
        ({"status": ["PAID"]}, False),
        ({"status": ["paid"], "amount": [41]}, False),
        ({"amount": [42.0]}, True),
        ({"amount": ["42"]}, False),
        ({"test": [0]}, False),
        ({"test": [False]}, True),
        ({"customer": {"vip": [1]}}, False),
        ({"customer": {"vip": [True], "country": ["DE", "AT"]}}, True),
        ({"customer": ["DE"]}, False),
        ({"coupon": [None]}, True),
        ({"gift": [None]}, False),
        ({"gift": [{"exists": False}]}, True),
        ({"gift": {"from": [{"exists": False}]}}, True),
        ({"coupon": [{"exists": True}]}, True),
        ({"customer": [{"exists": True}]}, True),
        ({"status": {"deeper": [{"exists": True}]}}, False),
        ({"status": [{"prefix": "pa"}]}, True),
        ({"amount": [{"prefix": "4"}]}, False),
        ({"amount": [{"numeric": [">=", 42]}]}, True),
        ({"amount": [{"numeric": [">", 42]}]}, False),
        ({"price": [{"numeric": [">", 4, "<", 5]}]}, True),
        ({"price": [{"numeric": [">=", 4.5, "<=", 4.5]}]}, True),
        ({"amount": [{"numeric": ["=", 42]}]}, True),
        ({"customer": {"vip": [{"numeric": [">", 0]}]}}, False),
        ({"status": [{"anything-but": "open"}]}, True),
        ({"status": [{"anything-but": ["open", "paid"]}]}, False),
        ({"gift": [{"anything-but": "open"}]}, False),
        ({"customer": [{"anything-but": "open"}]}, True),
        ({"tags": ["blue"]}, True),
        ({"tags": ["red"]}, False),
        ({"tags": [{"anything-but": "blue"}]}, True),
        ({"$not": {"tags": ["blue"]}}, False),
        ({"none": ["blue"]}, False),
        ({"none": [{"exists": True}]}, True),
        ({"items": {"sku": ["b"], "count": [{"numeric": [">", 3]}]}}, True),
        ({"items": {"sku": ["a"], "count": [{"numeric": [">", 3]}]}}, False),
        ({"items": {"$or": [{"sku": ["c"]}, {"count": [5]}]}}, True),
        ({"$or": [{"status": ["open"]}, {"amount": [42]}]}, True),
        ({"$or": [{"status": ["open"]}, {"amount": [41]}]}, False),
        ({"$or": [{"status": ["open"]}, {"amount": [42]}], "test": [True]}, False),
        ({"$not": {"status": ["open"]}}, True),
        ({"$not": {"status": ["paid"], "amount": [41]}}, True),
        ({"$not": {"status": ["paid"], "amount": [42]}}, False),
    ],
)
def test_what_a_filter_means(body: Pattern, expected: bool) -> None:
    assert asked({"body": body}, ORDER) is expected


def test_the_type_and_the_body_together() -> None:
    pattern = {"$or": [{"type": [{"prefix": "order."}]}, {"body": {"amount": [1]}}]}
    assert asked(pattern, {}, "order.paid")
    assert asked(pattern, {"amount": 1}, "invoice.paid")
    assert not asked(pattern, {}, "invoice.paid")
    assert asked({"type": ["a.b"]}, {})
    assert not asked({"type": [{"anything-but": ["a.b", "a.c"]}]}, {})


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        ("push", False),
        ({"prefix": "pu"}, False),
        ({"anything-but": "pull"}, False),
        ({"exists": False}, False),
        ({"exists": True}, True),
    ],
)
@pytest.mark.parametrize("values", [["push", "pull"], ["pull", "push"], ["push", "push"]])
def test_of_a_repeated_header_no_value_fits(entry: Any, values: list[str], expected: bool) -> None:
    text = declared({"headers": {"X-Event": [entry]}}, source="s")
    assert passes(text, Subject("s.a", b"", {"x-event": values})) is expected


def test_headers_in_any_case() -> None:
    text = declared({"headers": {"X-Event": ["push"], "$not": {"x-test": [{"exists": True}]}}}, source="s")
    assert passes(text, Subject("s.a", b"", {"x-event": ["push"]}))
    assert not passes(text, Subject("s.a", b"", {"x-event": ["push"], "x-test": [""]}))
    assert not passes(text, Subject("s.a", b"", {}))
    assert passes(
        declared({"headers": {"X-Event": [{"prefix": "pu"}]}}, source="s"), Subject("s.a", b"", {"x-event": ["push"]})
    )


@pytest.mark.parametrize("payload", [b"", b"\xff", b"a=b", b"{", b"[" * 200_000, b"NaN"])
def test_of_a_payload_that_is_not_json_nothing_exists(payload: bytes) -> None:
    assert not passes(declared({"body": {"a": [1]}}), Subject("a", payload))
    assert not passes(declared({"body": [{"exists": True}]}), Subject("a", payload))
    assert passes(declared({"body": {"a": [{"exists": False}]}}), Subject("a", payload))
    assert passes(declared({"body": [{"exists": False}]}), Subject("a", payload))


def test_a_payload_is_parsed_once_and_only_where_a_filter_asks() -> None:
    subject = Subject("a.b", b'{"a": [1]}')
    assert passes(declared({"type": ["a.b"]}), subject)
    assert "body" not in vars(subject)
    assert passes(declared({"body": {"a": [1]}}), subject)
    before = subject.body
    assert passes(declared({"body": {"a": [{"exists": True}]}}), subject)
    assert subject.body is before


def test_what_would_take_too_many_steps_passes() -> None:
    pattern = {"body": {"a": [1], "b": [2]}}
    assert not asked(pattern, [{}] * (MOST_STEPS // 4))
    assert asked(pattern, [{}] * (MOST_STEPS // 4 + 1))
    nested: list[Any] = [[{}] * 100] * 100
    assert not asked({"body": {"a": {"b": [1]}}}, [{"a": [{"c": 1}] * 20}] * 20)
    assert asked({"body": {"a": {"b": [1]}}}, [{"a": each} for each in nested])


ENDLESS = {"list": [{"b": 1}] * MOST_STEPS, "status": "paid", "tags": ["new"]}
OPEN = {"list": {"b": [2], "c": [3]}}


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ({"body": OPEN}, True),
        ({"body": OPEN, "type": ["a.b"]}, True),
        ({"body": OPEN, "type": ["x.y"]}, False),
        ({"body": OPEN | {"status": ["open"]}}, False),
        ({"body": OPEN | {"tags": ["new"]}}, True),
        ({"body": OPEN | {"tags": ["old"]}}, False),
        ({"body": OPEN | {"z": {"list": [1]}}}, False),
        ({"$not": {"body": OPEN}}, True),
        ({"$not": {"body": OPEN, "type": ["a.b"]}}, True),
        ({"$not": {"$or": [{"body": OPEN}, {"type": ["a.b"]}]}}, False),
        ({"$or": [{"body": OPEN}, {"type": ["x.y"]}]}, True),
        ({"$or": [{"body": OPEN}, {"type": ["a.b"]}], "body": {"status": ["open"]}}, False),
    ],
)
def test_what_is_open_decides_only_where_nothing_else_does(pattern: Pattern, expected: bool) -> None:
    assert asked(pattern, ENDLESS) is expected
    assert asked(backwards(pattern), ENDLESS) is expected


def backwards(pattern: Any) -> Any:
    """Write a filter the other way round."""
    if isinstance(pattern, list):
        return [backwards(each) for each in reversed(pattern)]
    return {k: backwards(v) for k, v in reversed(pattern.items())} if isinstance(pattern, dict) else pattern


@pytest.mark.parametrize("lengths", [(MOST_STEPS // 4, 1), (1, MOST_STEPS // 4), (MOST_STEPS // 4,) * 2])
@pytest.mark.parametrize("values", [([1], [1]), ([1], [2]), ([2], [1]), ([2], [2])])
def test_the_order_of_a_filter_makes_no_difference_where_steps_run_out(
    lengths: tuple[int, ...], values: tuple[list[int], list[int]]
) -> None:
    event = {name: [{"x": 2}] * length for name, length in zip("ab", lengths, strict=False)}
    choices = [{name: {"x": value, "y": [{"exists": False}]}} for name, value in zip("ab", values, strict=True)]
    for pattern in ({"body": choices[0] | choices[1]}, {"$not": {"body": {"$or": choices}}}):
        assert asked(pattern, event) is asked(backwards(pattern), event)


# The reference: a filter read anew for each value, one sentence of docs/filters.md after another.

GONE = object()


def same(one: object, other: object) -> bool:
    return (isinstance(one, bool) is isinstance(other, bool)) and one == other


def entry_fits(entry: Any, value: Any) -> bool:
    if not isinstance(entry, dict):
        return same(entry, value)
    ((name, what),) = entry.items()
    if name == "exists":
        return bool(what) == (value is not GONE)
    if name == "prefix":
        return isinstance(value, str) and value[: len(what)] == what
    if name == "anything-but":
        return value is not GONE and not any(same(each, value) for each in (what if isinstance(what, list) else [what]))
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    signs = {
        "<": value < what[1],
        "<=": value <= what[1],
        "=": value == what[1],
        ">": value > what[1],
        ">=": value >= what[1],
    }
    return signs[what[0]] and (len(what) == 2 or entry_fits({"numeric": what[2:]}, value))


def fits(pattern: Any, value: Any) -> bool:
    if isinstance(value, list) and value:
        return any(fits_one(pattern, each) for each in value)
    return fits_one(pattern, value)


def fits_one(pattern: Any, value: Any) -> bool:
    if isinstance(pattern, list):
        return any(entry_fits(entry, value) for entry in pattern)
    for name, what in pattern.items():
        if name == "$not":
            fitting = not fits_one(what, value)
        elif name == "$or":
            fitting = any(fits_one(each, value) for each in what)
        else:
            fitting = fits(what, value[name] if isinstance(value, dict) and name in value else GONE)
        if not fitting:
            return False
    return True


names = st.sampled_from(["a", "b", "c"])
scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-2, 2),
    st.sampled_from([0.5, 1.0, 1e300]),
    st.sampled_from(["", "a", "ab", "1"]),
)
bodies = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3), max_leaves=12
)
matchers = st.one_of(
    st.fixed_dictionaries({"exists": st.booleans()}),
    st.fixed_dictionaries({"prefix": st.sampled_from(["a", "ab", "1"])}),
    st.fixed_dictionaries(
        {"numeric": st.tuples(st.sampled_from(["<", "<=", "=", ">=", ">"]), st.integers(-2, 2)).map(list)}
    ),
    st.fixed_dictionaries({"numeric": st.sampled_from([[">", 0, "<", 2], [">=", 0, "<=", 0], [">=", 0.5, "<", 1]])}),
    st.fixed_dictionaries({"anything-but": scalars | st.lists(scalars, min_size=1, max_size=3)}),
)
choices = st.lists(scalars | matchers, min_size=1, max_size=3)


def levels(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Pattern]:
    plain = st.dictionaries(names, inner, min_size=1, max_size=2)
    either = st.fixed_dictionaries({"$or": st.lists(plain, min_size=1, max_size=2)})
    negated = st.fixed_dictionaries({"$not": plain | either})
    return plain | st.builds(lambda *parts: {k: v for part in parts for k, v in part.items()}, plain, either | negated)


patterns = st.recursive(choices, levels, max_leaves=6)


@given(patterns, bodies)
@example([True], 1)
def test_a_filter_means_what_the_reference_says(pattern: Any, body: Any) -> None:
    assert asked({"body": pattern}, body) is fits(pattern, body)


@given(patterns, st.binary() | bodies.map(lambda body: json.dumps(body).encode()))
def test_a_filter_and_its_negation_share_all_events_between_them(pattern: Any, payload: bytes) -> None:
    subject = Subject("a.b", payload)
    assert passes(declared({"body": pattern}), subject) is not passes(declared({"$not": {"body": pattern}}), subject)


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.text(max_size=3)
            | st.sampled_from(
                ["body", "type", "headers", "$or", "$not", "prefix", "numeric", "exists", "anything-but"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=20,
)


@given(anything, st.none() | st.just("s"), anything.map(lambda value: json.dumps(value).encode()))
def test_whatever_is_declared_is_refused_or_can_be_asked(pattern: Any, source: str | None, payload: bytes) -> None:
    try:
        text = declared(pattern, source)
    except ValidationError:
        return
    assert isinstance(passes(text, Subject("s.a", payload, {"a": ["b"]})), bool)


@pytest.mark.parametrize(
    ("pattern", "places"),
    [
        (5, [()]),
        ({}, [()]),
        ({"header": {"a": ["b"]}}, [("header",)]),
        ({"headers": {"a": ["b"]}}, [("headers",)]),
        ({"body": {}}, [("body",)]),
        ({"body": 5}, [("body",)]),
        ({"body": {"a": "b", "c": 5}}, [("body", "a"), ("body", "c")]),
        ({"body": {"a": []}}, [("body", "a")]),
        ({"body": {"a": [[1]]}}, [("body", "a", 0)]),
        ({"body": {"a": [1, {"suffix": "x"}]}}, [("body", "a", 1, "suffix")]),
        ({"body": {"a": [{}]}}, [("body", "a", 0)]),
        ({"body": {"a": [{"prefix": "x", "exists": True}]}}, [("body", "a", 0)]),
        ({"body": {"a": [{"prefix": ""}]}}, [("body", "a", 0, "prefix")]),
        ({"body": {"a": [{"prefix": 5}]}}, [("body", "a", 0, "prefix")]),
        ({"body": {"a": [{"exists": 1}]}}, [("body", "a", 0, "exists")]),
        ({"body": {"a": [{"numeric": 5}]}}, [("body", "a", 0, "numeric")]),
        ({"body": {"a": [{"numeric": [">"]}]}}, [("body", "a", 0, "numeric")]),
        ({"body": {"a": [{"numeric": ["!=", 5]}]}}, [("body", "a", 0, "numeric")]),
        ({"body": {"a": [{"numeric": [[], 5]}]}}, [("body", "a", 0, "numeric")]),
        ({"body": {"a": [{"numeric": [">", True]}]}}, [("body", "a", 0, "numeric")]),
        ({"body": {"a": [{"numeric": [">", 5, "<", 5]}]}}, [("body", "a", 0, "numeric")]),
        ({"body": {"a": [{"numeric": ["<", 5, ">", 0]}]}}, [("body", "a", 0, "numeric")]),
        ({"body": {"a": [{"numeric": [">", float("nan")]}]}}, [("body", "a", 0, "numeric", 1)]),
        ({"body": {"a": {"numeric": [">=", 100]}}}, [("body", "a", "numeric")]),
        ({"body": {"a": {"prefix": "x"}, "exists": False}}, [("body", "a", "prefix"), ("body", "exists")]),
        ({"body": {"$not": {"a": {"anything-but": ["x"]}}}}, [("body", "$not", "a", "anything-but")]),
        ({"body": {"a": [{"anything-but": []}]}}, [("body", "a", 0, "anything-but")]),
        ({"body": {"a": [{"anything-but": [1, {}]}]}}, [("body", "a", 0, "anything-but", 1)]),
        ({"body": {"a": [2**63, float("inf"), "\ud800"]}}, [("body", "a", 0), ("body", "a", 1), ("body", "a", 2)]),
        ({"body": {"\ud800": [1]}}, [("body", "\ufffd\ufffd\ufffd")]),
        ({"$and": [{"body": {"a": [1]}}]}, [("$and",)]),
        ({"$or": []}, [("$or",)]),
        ({"$or": {"body": {"a": [1]}}}, [("$or",)]),
        ({"$or": [{"body": {"a": [1]}}, {"bodi": [1]}]}, [("$or", 1, "bodi")]),
        ({"$not": [{"body": {"a": [1]}}]}, [("$not",)]),
        ({"body": {"$not": {"a": 1}}}, [("body", "$not", "a")]),
        ({"type": "a.b"}, [("type",)]),
        ({"type": [5]}, [("type", 0)]),
        ({"type": ["a b"]}, [("type", 0)]),
        ({"type": [{"prefix": "a b"}]}, [("type", 0, "prefix")]),
        ({"type": [{"exists": False}]}, [("type", 0, "exists")]),
        ({"type": [{"anything-but": ["a", "b*"]}]}, [("type", 0, "anything-but", 1)]),
    ],
)  # fmt: skip
def test_what_can_not_work_is_refused_with_its_place(pattern: Any, places: list[tuple[object, ...]]) -> None:
    with pytest.raises(ValidationError) as caught:
        declared(pattern)
    assert [each["loc"] for each in caught.value.errors()] == places


@pytest.mark.parametrize(
    ("pattern", "places"),
    [
        ({"headers": ["a"]}, [("headers",)]),
        ({"headers": {"a": {"b": ["c"]}}}, [("headers", "a")]),
        ({"headers": {"a b": ["c"]}}, [("headers", "a b")]),
        ({"headers": {"a": [5]}}, [("headers", "a", 0)]),
        ({"headers": {"a": [{"numeric": [">", 5]}]}}, [("headers", "a", 0, "numeric")]),
        ({"type": ["push"]}, [("type", 0)]),
        ({"type": ["shopping.push"]}, [("type", 0)]),
        ({"type": [{"prefix": "push"}]}, [("type", 0, "prefix")]),
    ],
)
def test_what_can_not_work_for_a_source(pattern: Any, places: list[tuple[object, ...]]) -> None:
    with pytest.raises(ValidationError) as caught:
        declared(pattern, source="shop")
    assert [each["loc"] for each in caught.value.errors()] == places


@pytest.mark.parametrize("prefix", ["s", "shop.", "shop.order.", "shop.or"])
def test_types_of_a_source_begin_with_its_name(prefix: str) -> None:
    assert passes(declared({"type": [{"prefix": prefix}]}, source="shop"), Subject("shop.order.paid", b""))


def nested(levels: int) -> Pattern:
    pattern: Any = [1]
    for _ in range(levels):
        pattern = {"a": pattern}
    return {"body": pattern}


@pytest.mark.parametrize(
    ("fitting", "too_much"),
    [
        (nested(DEEPEST - 2), nested(DEEPEST - 1)),
        (nested(DEEPEST - 2), nested(900)),
        ({"body": {str(n): [n] for n in range(MOST_NAMES - 1)}}, {"body": {str(n): [n] for n in range(MOST_NAMES)}}),
        ({"body": {"a": list(range(MOST_VALUES))}}, {"body": {"a": list(range(MOST_VALUES + 1))}}),
    ],
)
def test_a_filter_is_bounded(fitting: Pattern, too_much: Pattern) -> None:
    declared(fitting)
    with pytest.raises(ValidationError, match="expected at most 50 names, 1000 values and 16 levels"):
        declared(too_much)
