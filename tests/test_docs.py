"""The documents name the tests that prove what they say; each of these is really there."""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
DOCUMENTS = sorted((ROOT / "docs").glob("*.md"))
PROOF = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")
SECTION = re.compile(r"^## (.+)$", re.MULTILINE)


def proofs(document: Path) -> list[tuple[str, str]]:
    """List the tests that a document names, as (file, function)."""
    return PROOF.findall(document.read_text("utf-8"))


@cache
def named_in(path: Path) -> frozenset[str]:
    """Name the test functions of a file, methods and hypothesis machines included."""
    tree = ast.parse(path.read_text("utf-8"))
    return frozenset(_named(tree))


def _named(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
            yield node.name
        elif isinstance(node, ast.Assign):
            yield from (target.id for target in node.targets if isinstance(target, ast.Name))


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_test_that_a_document_names_exists(document: Path) -> None:
    missing = [f"{file}::{name}" for file, name in proofs(document) if name not in _known(ROOT / file)]
    assert missing == []


def _known(path: Path) -> frozenset[str]:
    return named_in(path) if path.is_file() else frozenset()


def test_every_guarantee_names_its_proof() -> None:
    text = (ROOT / "docs" / "reliability.md").read_text("utf-8")
    _, _, guarantees = text.partition("## Guarantees")
    rows = [line for line in SECTION.split(guarantees)[0].splitlines() if line.startswith("| ")][1:]
    assert rows
    assert [row for row in rows if not PROOF.search(row) and "---" not in row] == []
