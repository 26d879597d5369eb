"""What can't stand side by side: paths, names, types. Found in the document, whatever else is wrong."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from hookd.errors import Fault

OWN_ROUTES = frozenset({"/", "/healthz", "/readyz", "/metrics", "/api/register-webhook", "/api/v1"})
OWN_PREFIX = "/api/v1/"
OWN_NAME = "hookd"
"""What the types of operational events begin with."""

Value = tuple[str, str]
"""Where something stands, and what it is."""


def clashes(document: Mapping[str, Any]) -> Iterator[Fault]:
    """Name every path, name and type that clashes with another, or with one of hookd's own."""
    sources = list(_values(document, "sources", "name"))
    paths = [*_values(document, "triggers", "path"), *_values(document, "sources", "path")]
    yield from _repeated(sources)
    yield from _repeated(_values(document, "handlers", "name"))
    yield from _repeated(_values(document, "auth.tokens", "name"))
    yield from _repeated(paths)
    for pointer, path in paths:
        if path in OWN_ROUTES or path.startswith(OWN_PREFIX):
            yield Fault(pointer, "expected another path: this one is hookd's own")
    for pointer, name in sources:
        if name == OWN_NAME:
            yield Fault(pointer, f'expected another name: hookd\'s own events begin with "{OWN_NAME}."')
    yield from _same_address(document.get("server"))
    yield from _taken(_values(document, "triggers", "type"), sources)


def _values(document: Mapping[str, Any], array: str, key: str) -> Iterator[Value]:
    entries: object = document
    for step in array.split("."):
        entries = entries.get(step) if isinstance(entries, Mapping) else None
    for place, entry in enumerate(entries if isinstance(entries, list) else ()):
        value = entry.get(key) if isinstance(entry, dict) else None
        if isinstance(value, str):
            yield f"{array}[{place}].{key}", value


def _repeated(values: Iterable[Value]) -> Iterator[Fault]:
    first: dict[str, str] = {}
    for pointer, value in values:
        if first.setdefault(value, pointer) != pointer:
            yield Fault(pointer, f"expected another one: {first[value]} is the same")


def _same_address(server: object) -> Iterator[Fault]:
    if isinstance(server, Mapping) and "inbound" in server:
        host, port = str(server.get("host", "127.0.0.1")), server.get("port", 8080)
        main = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        if server["inbound"] == main:
            yield Fault("server.inbound", f"expected another address than {main}: that is the main one")


def _taken(types: Iterable[Value], sources: Iterable[Value]) -> Iterator[Fault]:
    owners = {name: f"the events of {pointer.removesuffix('.name')}" for pointer, name in sources}
    owners[OWN_NAME] = "hookd's own events"
    for pointer, event_type in types:
        owner = owners.get(event_type.partition(".")[0])
        if owner is not None:
            yield Fault(pointer, f"expected another type: {owner} begin with it")
