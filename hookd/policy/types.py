"""How event types and the patterns that match them are spelt."""

import re

LONGEST = 128
"""Characters of the longest event type, and of the longest pattern."""

_TYPE = re.compile(r"[A-Za-z0-9_]+(\.[A-Za-z0-9_]+)*", re.ASCII)


def check_type(text: str) -> None:
    """Return for an event type, dotted segments of letters, digits and `_`; ValueError for anything else."""
    if len(text) > LONGEST or _TYPE.fullmatch(text) is None:
        raise ValueError(
            'expected an event type such as "invoice.paid", segments of letters, digits and _ '
            f"joined by dots, at most {LONGEST} characters"
        )


def check_pattern(text: str) -> None:
    """Return for a pattern: an event type, `a.*` or `*`; ValueError for anything else."""
    exact = text.removesuffix(".*")
    if text != "*" and (len(text) > LONGEST or _TYPE.fullmatch(exact) is None):
        raise ValueError(
            f'expected an event type such as "invoice.paid", "invoice.*" or "*", at most {LONGEST} characters'
        )
