"""Other people's JSON, with all that RFC 8259 lets them write."""

import json
from collections.abc import Callable
from typing import Any, NoReturn

import msgspec


def parse(body: bytes) -> Any:
    """Answer what a JSON value in UTF-8 means; ValueError in one line where it is none, or nested too deeply.

    A lone surrogate stays one. An integer of more digits than Python converts is a float.
    """
    try:
        return msgspec.json.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):  # it is stricter than the RFC
        return parse_anything(body)


def is_json(body: bytes) -> bool:
    """Say whether these bytes are one JSON value (RFC 8259)."""
    try:
        parse(body)
    except ValueError:
        return False
    return True


def parse_anything(body: bytes, integer: Callable[[str], object] | None = None) -> Any:
    """Answer the same, slowly, with each integer as the function makes it from its digits."""
    try:
        return json.loads(body.decode(), parse_constant=refuse_constant, parse_int=integer or _number)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def refuse_constant(name: str) -> NoReturn:
    """Refuse NaN and the infinities, which Python would read and the RFC does not know."""
    raise json.JSONDecodeError(f"{name} is no JSON value", "", 0)


def _number(digits: str) -> int | float:
    try:
        return int(digits)
    except ValueError:  # more digits than Python converts
        return float(digits)
