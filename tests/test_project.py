"""What the project promises about itself: one version everywhere, and help for every command."""

import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from hookd.cli import COMMANDS, hookd
from hookd.version import VERSION

ROOT = Path(__file__).parents[1]


def test_the_changelog_begins_with_this_version() -> None:
    entries = re.findall(r"^## \[?(\d+\.\d+\.\d+)\]?", (ROOT / "CHANGELOG.md").read_text("utf-8"), re.MULTILINE)
    assert entries[0] == VERSION


def test_the_command_tells_this_version() -> None:
    assert VERSION in CliRunner().invoke(hookd, ["--version"]).output


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_shows_an_example(command: str) -> None:
    told = CliRunner().invoke(hookd, [command, "--help"])
    assert told.exit_code == 0, told.output
    example = told.output.partition("Example")[2]
    assert f"hookd {command}" in example


def test_every_command_is_listed_with_what_it_does() -> None:
    told = CliRunner().invoke(hookd, ["--help"]).output
    for command in COMMANDS:
        assert re.search(rf"^  {command} +\w", told, re.MULTILINE), command
