"""What a body may have been before something changed it on its way: the usual rewritings, undone."""

import base64
import binascii
import json
import zlib
from collections.abc import Iterable, Iterator
from contextlib import suppress
from itertools import product
from typing import Final
from urllib.parse import parse_qsl, quote, quote_plus, urlencode

import msgspec

LONGEST: Final = 1024 * 1024
"""Bytes of a body that is written anew; a longer one takes too long."""

MOST_INDENTED: Final = 2 * LONGEST
"""Characters of a body that is indented, since one that is nested deeply can grow to thousands of its length."""

LONGEST_FORM: Final = 256 * 1024
"""Bytes of a form that is written anew: undoing its escapes takes eighty times its memory."""

MOST_FIELDS: Final = 1000
"""Fields of such a form."""

_GZIP: Final = zlib.MAX_WBITS + 16
_BOM: Final = b"\xef\xbb\xbf"
_LAYOUTS: Final[tuple[tuple[str, int | str | None, tuple[str, str]], ...]] = (
    ("without spaces", None, (",", ":")),
    ("with a space after each comma and colon", None, (", ", ": ")),
    ("indented by 2", 2, (",", ": ")),
    ("indented by 4", 4, (",", ": ")),
    ("indented by tabs", "\t", (",", ": ")),
)


def former_bodies(body: bytes) -> Iterator[tuple[str, bytes]]:
    """Answer what a body may have been, each once, and in words how that differs; a few dozen at the most."""
    seen = {body}
    changes = (_trimmed, _written_anew, _decoded_otherwise, _unpacked, _as_form)
    for words, other in (*(each for change in changes for each in change(body)), ("empty", b"")):
        if other not in seen:
            seen.add(other)
            yield words, other


def _trimmed(body: bytes) -> Iterator[tuple[str, bytes]]:
    yield "with a newline at its end", body + b"\n"
    yield "with CR LF at its end", body + b"\r\n"
    if body[-1:] == b"\n":
        yield "without the newline at its end", body.removesuffix(b"\n").removesuffix(b"\r")
    if len(body) <= LONGEST:
        lines = body.replace(b"\r\n", b"\n")
        yield "with LF for CR LF", lines
        yield "with CR LF for LF", lines.replace(b"\n", b"\r\n")
    yield "without the space around it", body.strip()
    yield "without the byte order mark", body.removeprefix(_BOM)
    yield "with a byte order mark", _BOM + body


def _written_anew(body: bytes) -> Iterator[tuple[str, bytes]]:
    """Write JSON in the ways in which the usual libraries do."""
    if len(body) > LONGEST:
        return
    try:
        value = json.loads(body)
        for (layout, indent, separators), ascii_only, sort in product(_LAYOUTS, (False, True), (False, True)):
            encoder = json.JSONEncoder(ensure_ascii=ascii_only, sort_keys=sort, indent=indent, separators=separators)
            text = _written(encoder, value)
            if text is None:
                continue
            order = " and with its keys sorted" if sort else ""
            escapes = "escaped" if ascii_only else "not escaped"
            words = f"as JSON {layout}{order}, what is not ASCII {escapes}"
            yield words, text.encode()
            yield f"{words} and slashes escaped", text.replace("/", "\\/").encode()
    except (ValueError, RecursionError):  # no JSON, half a character, or more digits than Python converts
        return


def _written(encoder: json.JSONEncoder, value: object) -> str | None:
    """Write a value; None where it is indented and grows too long, which is told as soon as it does."""
    if not encoder.indent:
        return encoder.encode(value)
    parts, left = [], MOST_INDENTED
    for part in encoder.iterencode(value):
        parts.append(part)
        left -= len(part)
        if left < 0:
            return None
    return "".join(parts)


def _decoded_otherwise(body: bytes) -> Iterator[tuple[str, bytes]]:
    """Undo what comes of reading one encoding as another."""
    if len(body) > LONGEST:
        return
    yield "read as Latin-1 and written as UTF-8", body.decode("latin-1").encode()
    try:
        yield "read as UTF-8 and written as Latin-1", body.decode().encode("latin-1")
    except UnicodeError:
        return


def _unpacked(body: bytes) -> Iterator[tuple[str, bytes]]:
    """Undo what a gateway does that passes a body on inside another text."""
    if len(body) > LONGEST:
        return
    unpacker = zlib.decompressobj(_GZIP)
    with suppress(zlib.error):
        unpacked = unpacker.decompress(body, LONGEST)
        if unpacker.eof:  # neither cut off nor too long
            yield "unpacked by gzip", unpacked
    with suppress(binascii.Error):
        yield "decoded from base64", base64.b64decode(body.strip(), validate=True)
    with suppress(ValueError):
        yield "taken out of the JSON string that it came in", msgspec.json.decode(body, type=str).encode()


def _as_form(body: bytes) -> Iterator[tuple[str, bytes]]:
    """Write a form anew that was read and written otherwise, or passed on as JSON."""
    fields = list(_fields(body)) if len(body) <= LONGEST_FORM else []
    if 0 < len(fields) <= MOST_FIELDS:
        for spaces, write in (("plus signs", quote_plus), ("%20", quote)):
            yield f"as a form with its spaces as {spaces}", urlencode(fields, quote_via=write).encode()


def _fields(body: bytes) -> Iterable[tuple[str, str]]:
    """Answer the fields of a form, or of the JSON object that was made of one; none where it is neither."""
    with suppress(ValueError):
        return parse_qsl(body.decode(), keep_blank_values=True, strict_parsing=True, max_num_fields=MOST_FIELDS)
    with suppress(ValueError):
        return msgspec.json.decode(body, type=dict[str, str]).items()
    return ()
