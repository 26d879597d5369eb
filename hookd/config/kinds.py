"""What a setting may be: for each kind, the words that say so, and how it is read from TOML and written."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import GetCoreSchemaHandler, ValidationError, ValidationInfo
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from hookd import units
from hookd.signing import SCHEMES, Scheme

LONGEST_SHOWN = 40
LARGEST_SHOWN = 2**53


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the text of a configuration refers to: the folder it stands in, the environment, and the schemes."""

    folder: Path
    environment: Mapping[str, str]
    schemes: Mapping[str, Scheme] = field(default_factory=lambda: SCHEMES)


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of setting: `expected` says it in words, `read` takes a TOML value or raises ValueError.

    `read` is also given the surroundings, and what the same table says further up; `show` writes TOML.
    """

    expected: str
    read: Callable[[Any, Surroundings, Mapping[str, Any]], Any]
    show: Callable[[Any], str]

    def __get_pydantic_core_schema__(self, _source: Any, _handler: GetCoreSchemaHandler) -> CoreSchema:
        """Let pydantic call `read`, so that it collects this fault among all the others."""
        return core_schema.with_info_plain_validator_function(self._validate)

    def _validate(self, value: Any, info: ValidationInfo) -> Any:
        surroundings: Any = info.context
        try:
            return self.read(value, surroundings, info.data)
        except ValidationError:
            raise  # its faults have places of their own
        except ValueError as error:
            raise PydanticCustomError("setting", "{detail}", {"detail": str(error)}) from None


def quoted(text: str) -> str:
    """Write a string as TOML does, on one line and without control characters."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + "".join(c if c.isprintable() else f"\\U{ord(c):08X}" for c in escaped) + '"'


def is_bare(key: str) -> bool:
    """Tell a key that TOML lets stand without quotes."""
    return key != "" and key.isascii() and key.replace("_", "a").replace("-", "a").isalnum()


def got(value: Any) -> str:
    """Name what stands where something else was expected. Not for a place where a secret may stand."""
    match value:
        case bool():
            return str(value).lower()
        case int() if abs(value) >= LARGEST_SHOWN:
            return "a larger number"
        case int() | float():
            return str(value)
        case str():
            return quoted(value if len(value) <= LONGEST_SHOWN else value[:LONGEST_SHOWN] + "…")
        case []:
            return "an empty array"
        case list():
            return "an array"
        case dict():
            return "a table"
        case _:
            return "a date or time"


def kind(expected: str, check: Callable[[Any], Any], show: Callable[[Any], str] = quoted) -> Kind:
    """Make a kind from a function that answers the final value, or None where the TOML value does not fit."""

    def read(value: Any, *_: object) -> Any:
        result = check(value)
        if result is None:
            raise ValueError(f"expected {expected}, got {got(value)}")
        return result

    return Kind(expected, read, show)


def quantity(
    noun: str,
    example: str,
    parse: Callable[[str], int],
    show: Callable[[int], str],
    minimum: int,
    maximum: int,
) -> Kind:
    """Make a kind of durations or of sizes from `minimum` to `maximum`."""

    def check(value: Any) -> int | None:
        try:
            amount = parse(value) if isinstance(value, str) else -1
        except ValueError:
            return None
        return amount if minimum <= amount <= maximum else None

    expected = f'a {noun} such as "{example}", from {show(minimum)} to {show(maximum)}'
    return kind(expected, check, lambda amount: f'"{show(amount)}"')


def duration(minimum: str, maximum: str, example: str) -> Kind:
    """Make a kind of durations; the value is in milliseconds."""
    lowest, highest = units.parse_duration(minimum), units.parse_duration(maximum)
    return quantity("duration", example, units.parse_duration, units.format_duration, lowest, highest)


def size(minimum: str, maximum: str, example: str) -> Kind:
    """Make a kind of sizes; the value is in bytes."""
    lowest, highest = units.parse_size(minimum), units.parse_size(maximum)
    return quantity("size", example, units.parse_size, units.format_size, lowest, highest)


def integer(minimum: int, maximum: int) -> Kind:
    """Make a kind of whole numbers; `true` is none."""
    return kind(
        f"a whole number from {minimum} to {maximum}",
        lambda value: value if type(value) is int and minimum <= value <= maximum else None,
        str,
    )


def share() -> Kind:
    """Make the kind of numbers from 0 to 1."""
    return kind(
        "a number from 0 to 1",
        lambda value: float(value) if type(value) in (int, float) and 0 <= value <= 1 else None,
        str,
    )


def choice(*values: str) -> Kind:
    """Make a kind of which there are only these values."""
    expected = " or ".join(quoted(value) for value in values)
    return kind(expected, lambda value: value if isinstance(value, str) and value in values else None)


def text(expected: str, fits: Callable[[str], object] = bool) -> Kind:
    """Make a kind of strings for which `fits` answers something true."""
    return kind(expected, lambda value: value if isinstance(value, str) and fits(value) else None)


def checked(expected: str, check: Callable[[str], object]) -> Kind:
    """Make a kind of strings for which `check` raises no ValueError, which is the fault where it does."""

    def read(value: Any, *_: object) -> str:
        if not isinstance(value, str):
            raise ValueError(f"expected {expected}, got {got(value)}")  # noqa: TRY004 - ValueError is what pydantic collects
        check(value)
        return value

    return Kind(expected, read, quoted)
