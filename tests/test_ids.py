"""Ids: prefixed, distinct, in the order in which they were made."""

import random
from collections.abc import Iterable

from hypothesis import given
from hypothesis import strategies as st

from hookd.ids import ALPHABET, IdFactory, first_id

times = st.integers(1, (1 << 48) - 1)


def made(clock: Iterable[int], seed: int) -> list[str]:
    """Make an id at each of these times."""
    readings = list(clock)
    left = iter(readings)
    factory = IdFactory(lambda: next(left), random.Random(seed))
    return [factory("evt") for _ in readings]


@given(st.lists(times, min_size=1, max_size=50), st.integers())
def test_each_is_greater_than_the_one_before_whatever_the_clock_does(clock: list[int], seed: int) -> None:
    ids = made(clock, seed)
    assert ids == sorted(set(ids))


@given(st.lists(times, min_size=1, max_size=5), st.integers())
def test_they_are_spelt_alike(clock: list[int], seed: int) -> None:
    for identity in made(clock, seed):
        prefix, _, rest = identity.partition("_")
        assert (prefix, len(rest)) == ("evt", 20)
        assert set(rest) <= set(ALPHABET)


@given(times, st.integers())
def test_the_first_id_of_a_time_parts_earlier_ones_from_later(time: int, seed: int) -> None:
    before, at = made([time - 1], seed)[0] if time > 1 else "", made([time], seed)[0]
    assert before < first_id("evt", time) <= at < first_id("evt", time + 1)


@given(st.integers(-(1 << 70), 1 << 70))
def test_there_is_a_first_id_for_every_time(time: int) -> None:
    assert len(first_id("dlv", time)) == len("dlv_") + 20 - 10


def test_a_clock_that_stands_makes_ids_for_ever() -> None:
    class Greatest(random.Random):
        def getrandbits(self, k: int, /) -> int:
            return (1 << k) - 1

    factory = IdFactory(lambda: 5, Greatest())
    ids = [factory("evt") for _ in range(1 << 17)]
    assert ids == sorted(set(ids))


def test_two_factories_make_different_ids() -> None:
    one, other = (IdFactory(lambda: 5, random.Random(seed)) for seed in (1, 2))
    assert not {one("evt") for _ in range(1000)} & {other("evt") for _ in range(1000)}
