"""Configurations under test, read from real files."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from hookd.config import Settings, read
from hookd.errors import ConfigError

SOURCE = """
[[sources]]
name = "shop"
path = "/hooks/shop"
scheme = "token"
secrets = ["s3cret"]
"""

STANDARD = """
[[sources]]
name = "signed"
path = "/hooks/signed"
scheme = "standard"
secrets = ["whsec_c3R1ZHktaW4tc2NhcmxldC1pbi1tYW55LXBhcnRz"]
"""

TRIGGER = """
[[triggers]]
path = "/api/purchase"
type = "purchase"
"""

HANDLER = """
[[handlers]]
name = "greet"
run = "log:Hello {name}"
"""

TOKEN = """
[[auth.tokens]]
name = "ci"
token = "t0ken"
scopes = ["read"]
"""


def settings(folder: Path, text: str, environment: Mapping[str, str] | None = None) -> Settings:
    """Read a configuration from a file in the folder."""
    path = folder / "config.toml"
    path.write_text(text)
    return read(path, environment or {})


def faults(folder: Path, text: str, environment: Mapping[str, str] | None = None) -> dict[str, str]:
    """Read a configuration that can't be used; answer each fault's place and detail."""
    with pytest.raises(ConfigError) as caught:
        settings(folder, text, environment)
    assert "\n" not in str(caught.value)
    return {fault.pointer: fault.detail for fault in caught.value.faults}
