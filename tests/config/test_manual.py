"""Documentation that is held to the code: the README's table, and the comments of the shipped configuration."""

import re
from dataclasses import fields
from pathlib import Path

import pytest

from hookd.config import Settings, read, settings_table
from hookd.config.manual import SECTIONS
from tests.nouns import NEW_KEY, in_base64

TOP = Path(__file__).parents[2]
MARKED = re.compile(r"<!-- settings -->\n(.*)\n<!-- /settings -->", re.DOTALL)
COMMENTED_OUT = re.compile(r"^# (?=\[\[?[a-z.]+\]|[a-z_]+ = )", re.MULTILINE)


def test_the_readme_lists_every_setting() -> None:
    found = MARKED.search((TOP / "README.md").read_text("utf-8"))
    assert found is not None
    assert found[1] == settings_table()


def test_the_table_has_a_row_for_every_setting() -> None:
    rows = settings_table().splitlines()
    for shape in SECTIONS.values():
        for item in fields(shape):
            meanings = [row.split(" | ")[3] for row in rows if row.startswith(f"| `{item.name}` |")]
            assert meanings
            assert all(meaning.endswith(". |") for meaning in meanings)


@pytest.fixture
def uncommented(tmp_path: Path) -> Path:
    """The shipped configuration with all that is commented out put in."""
    path = tmp_path / "config.toml"
    path.write_text(COMMENTED_OUT.sub("", (TOP / "config.toml").read_text("utf-8")))
    return path


def test_the_shipped_configuration_shows_every_setting(uncommented: Path) -> None:
    heading, found = "", set()
    for line in uncommented.read_text().splitlines():
        heading = line.replace("schemes.acme", "schemes.NAME") if line.startswith("[") else heading
        found |= {(heading, key) for key in re.findall(r"^(\w+) = ", line)}
    known = {(heading, item.name) for heading, shape in SECTIONS.items() for item in fields(shape)}
    assert known - found == {("[[auth.tokens]]", "token")}  # it stands in place of the hash, as the comment says


def test_what_is_commented_out_can_be_put_in_and_is_the_default(uncommented: Path) -> None:
    found, default = read(uncommented, {"HOOKD_KEY": in_base64(NEW_KEY)}), Settings()
    assert found.store.keys == (NEW_KEY,), "a key that anybody can read in the example would be none"
    assert found.delivery == default.delivery
    assert found.log == default.log
    assert found.server.max_body == default.server.max_body
    assert found.server.drain == default.server.drain
    assert found.store.dedupe == default.store.dedupe
    assert found.store.retention == default.store.retention
    assert (found.store.lease, found.store.listen) == (default.store.lease, default.store.listen)
    assert found.store.path == uncommented.parent / "hookd.db"
