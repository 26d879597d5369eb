"""A CloudEvent: its attributes, checked, and its data as bytes."""

import re
from collections.abc import Mapping
from typing import Final, NamedTuple

from hookd.units import is_time

VERSION: Final = "1.0"
FAMILY: Final = "application/cloudevents"
"""What the media types of all that is not in binary mode begin with."""
STRUCTURED: Final = f"{FAMILY}+json"

MOST: Final = 16 * 1024
"""Characters of all names and values together: in binary mode they are headers, and few servers take more."""

_NAME: Final = re.compile(r"[a-z0-9]+")
_NO_TEXT: Final = re.compile(r"[\0\ud800-\udfff]")
_JSON: Final = re.compile(r"[^/;\s]+/(?:[^/;\s]+\+)?json")


class CloudEvent(NamedTuple):
    """The attributes that are set, `specversion` among them, and the data; None where it has none."""

    attributes: Mapping[str, object]
    data: bytes | None


def check(attributes: Mapping[str, object]) -> None:
    """Return for attributes that a CloudEvent may have; ValueError names the first that is wrong."""
    if attributes.get("specversion") != VERSION:
        raise ValueError(f'specversion: expected "{VERSION}"')
    for name, value in attributes.items():
        _check_attribute(name, value)
    if sum(len(name) + len(str(value)) for name, value in attributes.items()) > MOST:
        raise ValueError(f"expected at most {MOST} characters of attributes")
    for name in ("id", "source", "type"):
        if not _is_text(attributes.get(name)):
            raise ValueError(f"{name}: expected a text, not an empty one")
    if any(letter.isspace() for letter in str(attributes["source"])):
        raise ValueError("source: expected a URI reference, without spaces")
    if "time" in attributes and not is_time(str(attributes["time"])):
        raise ValueError("time: expected an RFC 3339 time")
    kind = attributes.get("datacontenttype", "*/*")
    if not isinstance(kind, str) or not (kind and kind.isascii() and kind.isprintable()):
        raise ValueError("datacontenttype: expected a media type")


def _check_attribute(name: str, value: object) -> None:
    if not _NAME.fullmatch(name) or name == "data":
        raise ValueError(f"{name[:40]!a}: expected names of lower-case letters and digits")
    if not isinstance(value, str | int):  # true and false are among these
        raise ValueError(f"{name[:40]}: expected a text, a whole number, true or false")  # noqa: TRY004 - bad input
    if isinstance(value, str) and _NO_TEXT.search(value):
        raise ValueError(f"{name[:40]}: expected text without NUL and lone surrogates")


def _is_text(value: object) -> bool:
    return isinstance(value, str) and bool(value)


def media_type(content_type: str) -> str:
    """Answer a media type in lower case, without its parameters."""
    return content_type.partition(";")[0].strip().lower()


def is_of_json(content_type: object) -> bool:
    """Say whether a media type promises JSON (json-format.md, 3.1.1)."""
    return _JSON.fullmatch(media_type(str(content_type))) is not None
