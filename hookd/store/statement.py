"""Transactions as plain data: a generator yields statements and is sent their rows.

So each transaction is written once, without knowing whether a thread or an event loop carries it out.
"""

import re
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any, TypeVar

Row = Sequence[Any]


@dataclass(frozen=True, slots=True)
class Query:
    """One statement with named parameters; answered by the list of its rows."""

    sql: str
    parameters: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Many:
    """One statement over many rows, at the place that says `:rows(TYPE, …)`; answered by its rows.

    The types are those of the columns, in PostgreSQL's words, for which SQLite has no use. A whole batch is one step of
    the database, so that the thread that runs it gives up and re-takes the interpreter's lock once, not once a row. The
    first column of a row is never NULL.
    """

    sql: str
    rows: Sequence[Row]


@dataclass(frozen=True, slots=True)
class Insert:
    """As `Many`, but answered by the `range` of sequences that the new rows got, in their order."""

    sql: str
    rows: Sequence[Row]


@dataclass(frozen=True, slots=True)
class Each:
    """One statement over a part for each row, where it says `:parts`; answered by its rows.

    The parts are joined by UNION ALL, in the order of the rows, whose values they take as `?`; `nothing` is a row for
    which a part finds nothing.
    """

    sql: str
    part: str
    rows: Sequence[Row]
    nothing: Row


class Alone:
    """From here on, the transaction has to be the only one: no other process carries one out beside it.

    What a process knows of destinations, and decides by, does not change under it so.
    """


ALONE = Alone()


class Again(Exception):
    """The transaction is to be carried out once more, from its beginning: another process came in between."""


Statement = Query | Many | Insert | Each | Alone

T = TypeVar("T")
Steps = Generator[Statement, Any, T]
"""A transaction, or a part of one, that answers a T."""


class Statements:
    """The named statements of one .sql file, as attributes."""

    def __init__(self, text: str) -> None:
        parts = re.split(r"^(?:-- (?!name:).*\n)*-- name: ([\w.]+)\n", text, flags=re.MULTILINE)
        self._sql = {name: sql.strip().rstrip(";") for name, sql in zip(parts[1::2], parts[2::2], strict=True)}

    def __getattr__(self, name: str) -> str:
        try:
            return self._sql[name]
        except KeyError:
            raise AttributeError(f"no statement is named {name}") from None

    def __iter__(self) -> Generator[tuple[str, str], None, None]:
        yield from self._sql.items()


@cache
def statements(file: str) -> Statements:
    """Read `sql/FILE.sql`."""
    return Statements(resources.files("hookd.store").joinpath("sql", f"{file}.sql").read_text("utf-8"))
