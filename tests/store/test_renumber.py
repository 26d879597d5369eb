"""Sequences of a file at a server: in the same order, each on a day that has been."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from hookd.store.renumber import BITS, Made, Renumbering

TODAY = 6
LONG = 1 << BITS

days = st.lists(st.integers(-2, TODAY + 3), min_size=1, max_size=12)
"""On which day each sequence was made, from 1 on, by clocks that may have been wrong."""


def made(days: list[int], first: int) -> list[Made]:
    """Answer what a query groups by days, of sequences from `first` on."""
    numbered = list(enumerate(days, first))
    return [
        Made(day, min(n for n, each in numbered if each == day), max(n for n, each in numbered if each == day))
        for day in set(days)
    ]


def dated(days: list[int]) -> list[int]:
    """Answer the day that each has in the end."""
    return [min(max(0, *days[: place + 1]), TODAY) for place in range(len(days))]


@given(days, st.data())
def test_the_day_is_that_of_its_making_but_none_before_an_earlier_one(days: list[int], data: st.DataObject) -> None:
    numbers = Renumbering(TODAY)
    cut = data.draw(st.integers(0, len(days)))
    new = [*numbers.learn(made(days[:cut], 1))]
    before = [numbers(n) for n in range(1, cut + 1)]
    new += numbers.learn(made(days[cut:], cut + 1))
    after = [numbers(n) for n in range(1, len(days) + 1)]
    assert [number // LONG for number in after] == dated(days)
    assert [number % LONG for number in after] == [*range(1, len(days) + 1)]
    assert after[:cut] == before, "what is known stays"
    assert all(a < b for a, b in pairwise(after))
    assert new == sorted(set(dated(days)))
    assert numbers.known == len(days)


def test_what_is_between_those_that_are_there_has_a_number_too() -> None:
    numbers = Renumbering(TODAY)
    assert numbers(7) == 7
    numbers.learn([Made(2, 10, 20), Made(4, 30, 40)])
    assert [numbers(n) // LONG for n in (0, 9, 10, 29, 30, 99)] == [2, 2, 2, 2, 4, 4]
