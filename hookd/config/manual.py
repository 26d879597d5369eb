"""The table of every setting, for people, taken from the code."""

import ast
import inspect
from collections.abc import Iterator
from dataclasses import MISSING, fields
from itertools import pairwise
from typing import Any

from hookd.config.entries import HandlerTable, SourceTable, TokenTable, TriggerTable
from hookd.config.schemes import SchemeTable
from hookd.config.settings import PLAIN
from hookd.config.showing import toml
from hookd.config.tables import expected

SECTIONS: dict[str, Any] = {
    **{f"[{name}]": shape for name, shape in PLAIN.items()},
    "[schemes.NAME]": SchemeTable,
    "[[auth.tokens]]": TokenTable,
    "[[triggers]]": TriggerTable,
    "[[sources]]": SourceTable,
    "[[handlers]]": HandlerTable,
}


def settings_table() -> str:
    """Answer every setting with what is expected, its default and its meaning, as a table in Markdown."""
    head = ["| Setting | Expected | Default | Meaning |", "| --- | --- | --- | --- |"]
    return "\n".join([*head, *(row for heading, shape in SECTIONS.items() for row in _rows(heading, shape))])


def _rows(heading: str, shape: Any) -> Iterator[str]:
    docstrings = _docstrings(shape)
    yield f"| **`{heading}`** | | | {_about(shape)} |"
    for item in fields(shape):
        cells = (f"`{item.name}`", expected(shape, item.name), _default(shape, item), docstrings[item.name])
        yield f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def _about(shape: Any) -> str:
    about = inspect.cleandoc(shape.__doc__).partition(": ")[2]
    return about[0].upper() + about[1:]


def _default(shape: Any, item: Any) -> str:
    if item.default is MISSING:
        return "required"
    return "" if item.default is None else f"`{toml(shape, item.name, item.default)}`"


def _docstrings(shape: Any) -> dict[str, str]:
    """Answer the text that stands under each field in the source."""
    definition: Any = ast.parse(inspect.getsource(shape)).body[0]
    found = {}
    for setting, text in pairwise(definition.body):
        if isinstance(setting, ast.AnnAssign) and isinstance(text, ast.Expr):
            found[ast.unparse(setting.target)] = " ".join(ast.literal_eval(text.value).split())
    return found
