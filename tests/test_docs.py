"""The documents name the tests that prove what they say; each of these is really there."""

import ast
import re
from collections.abc import Iterator
from dataclasses import fields
from functools import cache
from pathlib import Path

import pytest

from hookd.config import read
from hookd.config.schemes import SchemeTable
from hookd.signing import SCHEMES, Reason
from hookd.units import format_duration
from tests.postgres import run

ROOT = Path(__file__).parent.parent
DOCUMENTS = sorted((ROOT / "docs").glob("*.md"))
PROOF = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")
SIGNATURES = (ROOT / "docs" / "signatures.md").read_text("utf-8")
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


def test_every_scheme_has_its_row() -> None:
    rows = {row.split("`")[1]: row.split(" | ") for row in SIGNATURES.splitlines() if row.startswith("| `")}
    for name, row in SCHEMES.items():
        _, signature, tolerance, identity, event_type, keys = rows[name]
        assert f"`{row.header}" in signature
        written = format_duration(row.tolerance).replace("m", " min").replace("s", " s")
        assert tolerance == (written if row.timed else "none")
        assert (row.id.name if row.id else "none") in identity
        assert (row.type.name if row.type else "none") in event_type
        assert keys.startswith("several" if row.several else "one")


def test_every_source_and_scheme_of_the_examples_is_one(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text("".join(re.findall(r"```toml\n(.*?)```", SIGNATURES, re.DOTALL)))
    found = read(tmp_path / "config.toml", {})
    assert {source.scheme for source in found.sources} >= set(SCHEMES) - {"svix", "github-sha1", "gitlab-signing"}
    assert set(found.described) == {"acme", "bearer"}


def test_every_key_of_a_scheme_and_every_reason_is_told() -> None:
    own = SIGNATURES.partition("## Your own")[2]
    assert all(f"`{item.name}`" in own for item in fields(SchemeTable))
    assert all(f"`{reason}`" in SIGNATURES for reason in Reason)


def test_every_query_of_the_page_on_postgresql_can_be_asked(postgres: str) -> None:
    watching = (ROOT / "docs" / "postgresql.md").read_text("utf-8").partition("## Watch it")[2]
    queries = re.findall(r"```sql\n(.*?)```", watching, re.DOTALL)[0].split(";\n")
    asked = [run(postgres, query) for query in queries if query.strip()]
    assert len(asked) == 5
    assert [len(rows) > 0 for rows in asked] == [False, False, True, True, True]
