"""Addresses that are signed: what is one, and what another may have been that a sender knows a source by."""

from collections.abc import Iterator
from itertools import product
from typing import Final
from urllib.parse import SplitResult, urlsplit

from hookd.signing.headers import Collected

_OTHER: Final = {"https": "http", "http": "https"}
_HOSTS: Final = ("Host", "X-Forwarded-Host")

Change = tuple[str, dict[str, str]]
"""In words, and the parts of an address that are others."""


def is_address(url: str) -> bool:
    """Tell a request's address (RFC 3986), in whatever letters, from what every scheme would stumble over."""
    try:
        parts = urlsplit(url)
        return parts.scheme in _OTHER and bool(parts.hostname) and parts.port != 0
    except ValueError:  # a port that is no number or too large, a bracket that is never closed, a letter that hides a /
        return False


def other_addresses(url: str, headers: Collected) -> Iterator[tuple[str, str]]:
    """Answer what may have been signed in place of `url`, each once, and in words how it differs; two dozen at most."""
    seen = {url}
    try:
        parts = urlsplit(url)
    except ValueError:
        return
    for changes in sorted(product(*_changes(parts, headers)), key=lambda each: sum(bool(words) for words, _ in each)):
        changed: dict[str, str] = {}
        for _, change in changes:
            changed |= change
        other = parts._replace(**changed).geturl()
        if other not in seen:
            seen.add(other)
            yield " and ".join(words for words, _ in changes if words), other


def _changes(parts: SplitResult, headers: Collected) -> Iterator[list[Change]]:
    """Answer, of each part of an address, what may be done to it."""
    same: Change = ("", {})
    hosts = [(name, headers.get(name.lower(), [])) for name in _HOSTS]
    yield [same, *((f"by the host that {name} names", {"netloc": each[0]}) for name, each in hosts if len(each) == 1)]
    other = _OTHER.get(parts.scheme)
    yield [same, *([(f"by {other} in place of {parts.scheme}", {"scheme": other})] if other else [])]
    if parts.path.endswith("/"):
        yield [same, ("by its address without the slash at the end", {"path": parts.path[:-1]})]
    else:
        yield [same, ("by its address with a slash at the end", {"path": parts.path + "/"})]
    yield [same, ("by its address without the query", {"query": ""})]
