"""Kinds of words: names, paths, types, secrets, and where things stand in a request."""

import binascii
import os
import re
from collections.abc import Mapping
from hashlib import sha256
from typing import Any

from pydantic import AfterValidator
from pydantic_core import PydanticCustomError

from hookd import signing
from hookd.attempt.headers import RESERVED
from hookd.config.kinds import Kind, Surroundings, checked, choice, duration, got, kind, quoted, text
from hookd.config.secrets import EXPECTED, masked, resolve
from hookd.handlers import load, located
from hookd.model import Field, RateLimit, Scope
from hookd.policy.types import check_pattern, check_type
from hookd.units import format_rate, parse_rate

KEY_BYTES = 32
LEAST_DIFFERENT = 16
"""How many different bytes are among the 32 of a key, at the least."""
LONGEST_TENANT = 128
LONGEST_PATH = 256

_SOURCE_NAME = re.compile(r"[A-Za-z0-9_]{1,64}")
_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
_TOKEN_NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_DIGEST = re.compile(r"[0-9a-f]{64}")
_VISIBLE = re.compile(r"[!-~]+")
_PATH = re.compile(r"/|(/(?!\.\.?(/|$))[A-Za-z0-9._~!$&'()*+,;=:@-]+)+/?")
_REFERENCE = re.compile(r"[A-Za-z0-9._~:/?#@!$&'()*+,;=%\[\]-]{1,256}")
HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_PLACE = re.compile(r"header:[!#$%&'*+.^_`|~0-9A-Za-z-]+|body:[^.\s]+(\.[^.\s]+)*")

_SCHEME = 'a scheme of docs/signatures.md such as "standard", "github" or "token"'
_URL = re.compile(r"(?=[!-~]+$)https?://[^/?#@]+(/[^?#]*)?")
_PUBLIC_URL = 'the address as the sender has it, such as "https://example.com/hooks/shop", in ASCII and without a query'

_DURATION = duration("1s", "3650d", "5m")
_SCOPES = 'an array of "read", "write" and "publish", at least one of them'
_RUN = '"log:TEXT with {field}", "python:module:function" or "exec:PROGRAM ARGS"'
_KEY = f"the base64 of {KEY_BYTES} random bytes"


def digest(token: str) -> str:
    """Answer the SHA-256 of a token in hexadecimal, which is all that is kept of it."""
    return sha256(token.encode()).hexdigest()


def _hash(value: Any, *_: object) -> str:
    if not isinstance(value, str) or _DIGEST.fullmatch(value) is None:
        # What stands there is not repeated: it may be the token itself.
        raise ValueError("expected the 64 hexadecimal digits that `hookd token` prints")
    return value


def _token(value: Any, surroundings: Surroundings, siblings: Mapping[str, Any]) -> str | None:
    if value is None:
        if siblings.get("hash", "faulty") is None:
            raise ValueError("expected a hash from `hookd token`, or a token")
        return None
    if siblings.get("hash") is not None:
        raise ValueError("expected either a hash or a token, got both")
    token = resolve(value, surroundings)
    if _VISIBLE.fullmatch(token) is None:
        raise ValueError("expected a token of visible ASCII characters, without spaces")
    return token


def _secret(value: Any, surroundings: Surroundings, siblings: Mapping[str, Any]) -> str:
    secret = resolve(value, surroundings)
    if "scheme" in siblings:
        signing.check_secret(siblings["scheme"], secret, surroundings.schemes)
    return secret


def _key(value: Any, surroundings: Surroundings, *_: object) -> bytes:
    secret = resolve(value, surroundings)
    try:
        key = binascii.a2b_base64(secret, strict_mode=True)
    except ValueError:  # binascii.Error is one, and so is what non-ASCII text raises
        key = b""
    if len(key) != KEY_BYTES or not _is_random(key):
        raise ValueError(f"expected {_KEY}, as `head -c {KEY_BYTES} /dev/urandom | base64` prints it")
    return key


def _is_random(key: bytes) -> bool:
    """Tell random bytes from a text and from a filler; of a million million random keys not one is taken for either."""
    is_text = key.isascii() and key.decode().isprintable()
    return not is_text and len(set(key)) >= LEAST_DIFFERENT


def _scheme(value: Any, surroundings: Surroundings, *_: object) -> str:
    if not isinstance(value, str):
        raise ValueError(f"expected {_SCHEME}, got {got(value)}")  # noqa: TRY004 - ValueError is what pydantic collects
    return signing.scheme(value, schemes=surroundings.schemes).name


def _public_url(value: Any, surroundings: Surroundings, siblings: Mapping[str, Any]) -> str | None:
    """Read the address that a sender has been given; it has to be there where the scheme signs it, and only there."""
    if "scheme" not in siblings:
        return None  # that fault is told already
    name = siblings["scheme"]
    needed = signing.scheme(name, schemes=surroundings.schemes).signs_url
    if value is None:
        if needed:
            raise ValueError(f"missing: the scheme {name} signs the address; expected {_PUBLIC_URL}")
        return None
    if not needed:
        raise ValueError(f"the scheme {name} signs no address; take it out")
    if not isinstance(value, str) or _URL.fullmatch(value) is None or not signing.is_address(value):
        raise ValueError(f"expected {_PUBLIC_URL}, got {got(value)}")
    return value


def _verify_token(value: Any, surroundings: Surroundings, siblings: Mapping[str, Any]) -> str:
    if siblings.get("scheme", "meta") != "meta":
        raise ValueError(f"only the scheme meta asks for it; {siblings['scheme']} does not")
    return resolve(value, surroundings)


def _tolerance(value: Any, surroundings: Surroundings, siblings: Mapping[str, Any]) -> Any:
    if "scheme" in siblings and not signing.scheme(siblings["scheme"], schemes=surroundings.schemes).timed:
        raise ValueError(f"the scheme {siblings['scheme']} has no timestamp; take it out")
    return _DURATION.read(value, surroundings, siblings)


def _header(value: Any, surroundings: Surroundings, siblings: Mapping[str, Any]) -> str:
    if not isinstance(value, str):
        raise ValueError('expected the name of a header such as "X-Webhook-Token"')  # noqa: TRY004 - pydantic's
    if value.lower() in RESERVED:
        raise ValueError(f"expected another header than {value}: HTTP sets this one")
    if "scheme" in siblings:
        signing.scheme(siblings["scheme"], value, surroundings.schemes)
    return value


def _scopes(value: Any, *_: object) -> frozenset[Scope]:
    wrong = [entry for entry in value if entry not in tuple(Scope)] if isinstance(value, list) else [value]
    if wrong or not value:
        raise ValueError(f"expected {_SCOPES}, got {got(wrong[0] if wrong else value)}")
    return frozenset(map(Scope, value))


def _required(value: Any) -> tuple[str, ...] | None:
    if not isinstance(value, list) or not all(isinstance(name, str) and name for name in value):
        return None
    return None if "id" in value or len(set(value)) < len(value) else tuple(value)


def place(value: Any) -> Field | None:
    """Answer where something stands in a request, written as `header:NAME` or `body:PATH`; else None."""
    if not isinstance(value, str) or _PLACE.fullmatch(value) is None:
        return None
    where, _, name = value.partition(":")
    return Field(where, name)


def _own_place(value: Any, surroundings: Surroundings, siblings: Mapping[str, Any]) -> Field:
    """Read where a source's id or type stands: not where its secret is shown, which would then be kept and logged."""
    found = place(value)
    if found is None:
        raise ValueError(f"expected {PLACE.expected}, got {got(value)}")
    if found.place == "header" and "scheme" in siblings and "header" in siblings:
        row = signing.scheme(siblings["scheme"], siblings["header"], surroundings.schemes)
        if not row.signed and found.name.lower() == row.header.lower():
            raise ValueError(f"expected another header than {row.header}, which holds the secret")
    return found


def _run(value: Any, surroundings: Surroundings, *_: object) -> str:
    if not isinstance(value, str):
        raise ValueError(f"expected {_RUN}, got {got(value)}")  # noqa: TRY004 - ValueError is what pydantic collects
    run = located(value, surroundings.folder, surroundings.environment.get("PATH", os.defpath))
    load(run)
    return run


def _filled(entries: tuple[str, ...]) -> tuple[str, ...]:
    if not entries:
        raise PydanticCustomError("setting", "expected at least one entry")
    return entries


def _different(keys: tuple[bytes, ...]) -> tuple[bytes, ...]:
    if len(set(keys)) < len(keys):
        raise PydanticCustomError("setting", "expected each key once")
    return keys


def _is_tenant(name: str) -> bool:
    return 0 < len(name) <= LONGEST_TENANT and name.isprintable()


def _is_path(path: str) -> bool:
    return len(path) <= LONGEST_PATH and _PATH.fullmatch(path) is not None


def _array(names: tuple[str, ...]) -> str:
    return f"[{', '.join(map(quoted, names))}]"


FILLED = AfterValidator(_filled)
"""Beside an array: at least one entry, once all are good."""

DIFFERENT = AfterValidator(_different)
"""Beside an array: each entry once."""

NAME = text("a name of at most 64 letters, digits, _ and -", _NAME.fullmatch)
TOKEN_NAME = text("a name of at most 64 letters, digits, dots, _ and -", _TOKEN_NAME.fullmatch)
SOURCE_NAME = text("a name of at most 64 letters, digits and _", _SOURCE_NAME.fullmatch)
TENANT = text(f"1 to {LONGEST_TENANT} printable characters", _is_tenant)
REFERENCE = text('a URI or a path such as "/hookd" or "https://example.com/hooks"', _REFERENCE.fullmatch)
MESSAGE = text("a text, not an empty one")
TYPE = checked('an event type such as "invoice.paid"', check_type)
PATTERN = checked('an event type such as "invoice.paid", "invoice.*" or "*"', check_pattern)
PATH = text('a path such as "/webhook", without a query, escapes and dot segments', _is_path)
PLACE = kind('"header:NAME" or "body:PATH"', place, lambda field: quoted(f"{field.place}:{field.name}"))
OWN_PLACE = Kind(PLACE.expected, _own_place, PLACE.show)
RUN = Kind(_RUN, _run, quoted)
REQUIRED = kind('an array of the names of fields, each once and none of them "id"', _required, _array)
SCOPES = Kind(
    _SCOPES,
    _scopes,
    lambda scopes: _array(tuple(scope for scope in Scope if scope in scopes)),
)
DIGEST = Kind("the 64 hexadecimal digits that `hookd token` prints", _hash, masked)
TOLERANCE = Kind(_DURATION.expected, _tolerance, _DURATION.show)
HEADER = Kind('the name of a header such as "X-Webhook-Token"', _header, quoted)
SCHEME = Kind(_SCHEME, _scheme, quoted)
PUBLIC_URL = Kind(_PUBLIC_URL, _public_url, quoted)
VERIFY_TOKEN = Kind(EXPECTED, _verify_token, masked)
KEY = Kind(f"{_KEY}, as {EXPECTED}", _key, masked)
SECRET = Kind(EXPECTED, _secret, masked)
TOKEN = Kind(EXPECTED, _token, masked)
METHOD = choice("POST", "PUT", "PATCH", "GET", "DELETE")


def _rate(value: Any, *_: object) -> RateLimit:
    if not isinstance(value, str):
        raise ValueError(f"expected {_RATE}, got {got(value)}")  # noqa: TRY004 - ValueError is what pydantic collects
    return parse_rate(value)


_RATE = 'a rate such as "50/s", "600/min" or "600/min burst 50"'
RATE = Kind(_RATE, _rate, lambda limit: quoted(format_rate(limit)))
FLAG = kind("true or false", lambda value: value if isinstance(value, bool) else None, lambda flag: str(flag).lower())
