"""Statements as PostgreSQL wants them: most are written once, and some again, in `sql/postgres.sql`.

Of SQLite's own words, a statement that both databases carry out may have these alone: parameters `:name`; rows
`(VALUES :rows(TYPE, …))`, whose columns are called column1, column2 and so on; lists of numbers as JSON,
`IN (SELECT value FROM json_each(:name))`; hints to the planner (`CROSS JOIN … ON`, `INDEXED BY`, `+` before a column).
"""

import re
from collections.abc import Sequence
from functools import cache, lru_cache
from typing import Any, Final

from hookd.store.statement import Each, Insert, Many, Query, statements

TABLES: Final = (
    "attempts", "changes", "dedupe", "endpoints", "events", "outbox", "outbox_open", "processes", "published",
    "rejections", "slots", "subscriptions",
)  # fmt: skip
"""They are in the schema `hookd`, and named so, since behind a pooler no session keeps its search_path."""

PLANNER: Final = {
    "enable_seqscan": "off",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
    "jit": "off",
    "plan_cache_mode": "force_generic_plan",
}
"""Settings that the statements rely on: every one has its index, which is the right way however much there is.

Without them, a plan that is made while a table is new and small may be kept when it is neither any more.
"""

RULES: Final = (
    (r"IN \(SELECT value FROM json_each\((:\w+)\)\)", r"= ANY (ARRAY(SELECT json_array_elements_text(\1))::bigint[])"),
    (r"IN \((SELECT sequence FROM events WHERE id = :\w+)\)", r"= ANY (ARRAY(\1))"),
    (r"\bCROSS (JOIN \w+(?: AS \w+)?\s+ON)\b", r"\1"),
    (r"\bINDEXED BY \w+ ", ""),
    (r"(?<=[\s(])\+(?=[a-z])", ""),
    (rf"\b(FROM|JOIN|INTO|UPDATE) ({'|'.join(TABLES)})\b", r"\1 hookd.\2"),
)
"""What is replaced by what."""

ROWS: Final = re.compile(r"\(VALUES :rows\(([^)]*)\)\)(?: AS (\w+))?")
PARAMETER: Final = re.compile(r"'[^']*'|::|:(\w+)")


def bound(statement: Query | Many | Insert | Each) -> tuple[Any, ...]:
    """Answer a statement's text for PostgreSQL, and behind it the values of its parameters, in order.

    Rows are bound column by column, so that the text is the same however many there are. An `Insert` is answered by
    rows that begin with a sequence each.
    """
    if isinstance(statement, Query):
        text, names = query(statement.sql)
        return text, *[statement.parameters[name] for name in names]
    text = batch(statement.sql)
    if isinstance(statement, Insert):
        text += " RETURNING sequence"
    return text, *zip(*statement.rows, strict=True)


@lru_cache(maxsize=1024)
def query(sql: str) -> tuple[str, Sequence[str]]:
    """Translate a statement with named parameters; answer also their names, in order."""
    names: dict[str, str] = {}

    def numbered(found: re.Match[str]) -> str:
        name = found[1]
        return found[0] if name is None else names.setdefault(name, f"${len(names) + 1}")

    return PARAMETER.sub(numbered, _translated(sql)), tuple(names)


@lru_cache(maxsize=1024)
def batch(sql: str) -> str:
    """Translate a statement over rows, which takes a list for each of their columns."""
    return ROWS.sub(_columns, _translated(sql))


def _columns(rows: re.Match[str]) -> str:
    types = [each.strip() for each in rows[1].split(",")]
    lists = ", ".join(f"${place}::{each}[]" for place, each in enumerate(types, 1))
    columns = ", ".join(f"column{place}" for place in range(1, len(types) + 1))
    return f"unnest({lists}) AS {rows[2] or 'given'} ({columns})"


def _translated(sql: str) -> str:
    """Answer what stands in another statement's place, or else what the rules make of it."""
    for other, own in _own():
        if sql.startswith(other):  # more may have been put behind it
            sql = own + sql[len(other) :]
    for pattern, by in RULES:
        sql = re.sub(pattern, by, sql)
    return sql


@cache
def _own() -> Sequence[tuple[str, str]]:
    """Pair what is written for both databases with what PostgreSQL has of its own."""
    named = ((name.split("."), own) for name, own in statements("postgres"))
    return [(getattr(statements(file), name), own) for (file, name), own in named]
