"""Kinds of stores: a SQLite file, or a PostgreSQL server, whose password is never shown."""

import os
import re
from typing import Any

from hookd.config import secrets
from hookd.config.kinds import Kind, Surroundings, quoted
from hookd.config.places import LARGEST_PORT, is_host

FILE = "sqlite:"
"""What the URL of a file begins with; any other is a server's."""

_SERVER = re.compile(
    r"""postgres(ql)?://
    ([^:@/?\#]*(:[^@/?\#]*)?@)?                      # a user, and a password
    (?P<hosts>[^@/?\#]*)                             # several where one takes over from another; or none
    /[^:@/?\#]+                                      # a database
    (\?[a-z_.]+=[^@\#&]*(&[a-z_.]+=[^@\#&]*)*)?      # options, such as a socket's folder
    """,
    re.VERBOSE | re.IGNORECASE,
)
"""A URL as PostgreSQL's own programs take it ("Connection URIs" in the manual of libpq), and a database is in it.

What would end a part of it early is escaped, so that nothing of a password can be taken for anything else.
"""

_HOST = re.compile(r"(?P<host>\[[^]]+\]|[^:]+)(:(?P<port>\d{1,5}))?", re.ASCII)
_SLASH = "%2f"
_PASSWORD = re.compile(r"(?<=://)([^:@/]*):[^@/]*@")
_OPTION = re.compile(r"(?<=[?&])((?:ssl)?password=)[^&]*(&?)", re.IGNORECASE)

_URL = '"postgresql://USER:PASSWORD@HOST:PORT/DATABASE"'
_EXPECTED = f'"sqlite:PATH" or {_URL}'


def masked(url: str) -> str:
    """Answer a server's URL with `***` for its passwords."""
    return _OPTION.sub(r"\1***\2", _PASSWORD.sub(r"\1:***@", url))


def without_password(url: str) -> str:
    """Answer a server's URL without its passwords."""
    return _OPTION.sub("", _PASSWORD.sub(r"\1@", url)).rstrip("?&")


def _store(value: Any, surroundings: Surroundings, *_: object) -> str:
    """Read the URL of a store; a file's becomes absolute. A fault repeats nothing of it: there may be a password."""
    url = value if isinstance(value, str) else secrets.resolve(value, surroundings)
    if url.startswith(FILE):
        return FILE + os.path.realpath(surroundings.folder / _path(url.removeprefix(FILE)))
    if not url.lower().startswith("postgres"):
        raise ValueError(f"expected {_EXPECTED}")
    if not _is_server(url):
        raise ValueError(
            f"expected {_URL}; in USER and PASSWORD write %40 for @, %3A for :, %2F for /, %3F for ?, %23 for #, "
            "%25 for % and %20 for a space"
        )
    return url


def _path(path: str) -> str:
    if not path or path.startswith(":") or not path.isprintable() or path.endswith("/"):
        raise ValueError('expected "sqlite:PATH", a file, such as "sqlite:hookd.db"')
    return path


def _is_server(url: str) -> bool:
    found = _SERVER.fullmatch(url)
    if found is None or not url.isprintable() or " " in url:
        return False
    return not found["hosts"] or all(map(_is_host, found["hosts"].split(",")))


def _is_host(text: str) -> bool:
    """Tell a host, or the folder of a socket, with a port or without one."""
    found = _HOST.fullmatch(text)
    if found is None or not 0 < int(found["port"] or LARGEST_PORT) <= LARGEST_PORT:
        return False
    host = found["host"]
    return host.lower().startswith(_SLASH) or is_host(host[1:-1] if ":" in host else host)


def _shown(url: str) -> str:
    return quoted(url if url.startswith(FILE) else masked(url))


STORE = Kind(f"{_EXPECTED}, as {secrets.EXPECTED}", _store, _shown)
