"""The version, in one place for the code; a test holds pyproject.toml and CHANGELOG.md to it."""

VERSION = "0.1.0"
