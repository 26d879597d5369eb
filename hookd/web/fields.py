"""What a field of a request may be, and how everything wrong with a body is told at once."""

import re
from collections.abc import Iterable, Mapping
from typing import Annotated, Final, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic_core import ErrorDetails

from hookd.errors import Fault, InvalidInput
from hookd.model import RateLimit
from hookd.policy.declare import declared
from hookd.policy.names import LONGEST, event_id, plain, tenant
from hookd.policy.types import check_pattern, check_type
from hookd.units import DURATIONS, format_duration, parse_duration, parse_rate
from hookd.web.problems import pointer

LONGEST_KEY: Final = 255
LONGEST_TIMEOUT: Final = DURATIONS["h"]
LONGEST_WAIT: Final = 30 * DURATIONS["d"]

_KEY: Final = re.compile(rf"[!-~]{{1,{LONGEST_KEY}}}")
_TOKEN: Final = re.compile(r"[!-~](?:[ -~]*[!-~])?")

Model = TypeVar("Model", bound=BaseModel)


def event_type(text: str) -> str:
    """Answer an event type: segments of letters, digits and `_`, joined by dots; else ValueError."""
    check_type(text)
    return text


def idempotency_key(text: str) -> str:
    """Answer the key of an `Idempotency-Key` header, quoted or bare; else ValueError."""
    bare = text[1:-1] if len(text) > 1 and text[0] == text[-1] == '"' else text
    if not _KEY.fullmatch(bare):
        raise ValueError(f"expected at most {LONGEST_KEY} visible ASCII characters, quoted or bare")
    return bare


def _pattern(text: str) -> str:
    check_pattern(text)
    return text


def _token(text: str) -> str:
    if not _TOKEN.fullmatch(text):
        raise ValueError("expected visible ASCII characters, at least one")
    return text


def _duration(lowest: int, highest: int) -> BeforeValidator:
    """Take durations as people write them, such as `15s`, between two numbers of milliseconds."""
    limits = f"from {format_duration(lowest)} to {format_duration(highest)}"

    def read(value: object) -> int:
        if not isinstance(value, str):
            raise ValueError('expected a duration such as "15s"')  # noqa: TRY004 - pydantic collects ValueError
        duration = parse_duration(value)
        if not lowest <= duration <= highest:
            raise ValueError(f"expected a duration {limits}")
        return duration

    return BeforeValidator(read)


def _rate(value: object) -> RateLimit:
    if not isinstance(value, str):
        raise ValueError('expected a rate such as "50/s", "600/min" or "600/min burst 50"')  # noqa: TRY004 - as above
    return parse_rate(value)


def at_most(count: int) -> BeforeValidator:
    """Take arrays and objects of so many entries, before any of them is looked at: each could be a fault."""

    def count_entries(value: object) -> object:
        if isinstance(value, list | dict) and len(value) > count:
            raise ValueError(f"expected a length of at most {count}")
        return value

    return BeforeValidator(count_entries)


def one_or_more(values: tuple[str, ...]) -> tuple[str, ...]:
    """Answer the values without repetitions; ValueError where there are none."""
    if not values:
        raise ValueError("expected at least one")
    return tuple(dict.fromkeys(values))


Text = Annotated[str, AfterValidator(plain)]
EventType = Annotated[str, AfterValidator(event_type)]
EventId = Annotated[str, AfterValidator(event_id)]
Tenant = Annotated[str, AfterValidator(tenant)]
Pattern = Annotated[str, AfterValidator(_pattern)]
Patterns = Annotated[tuple[Pattern, ...], at_most(100), Field(strict=False), AfterValidator(one_or_more)]
Token = Annotated[str, Field(max_length=1024), AfterValidator(_token)]
Timeout = Annotated[int, _duration(1, LONGEST_TIMEOUT)]
Wait = Annotated[int, _duration(0, LONGEST_WAIT)]
Overlap = Annotated[int, _duration(0, LONGEST_WAIT)]
Rate = Annotated[RateLimit, BeforeValidator(_rate)]
Filter = Annotated[str, BeforeValidator(lambda value: declared(value))]
"""A filter of what is published, as its JSON text."""
OrderingKey = Annotated[Text, Field(min_length=1, max_length=LONGEST)]
Retry = Annotated[tuple[Wait, ...], at_most(100), Field(strict=False)]
Metadata = Annotated[
    dict[
        Annotated[Text, Field(min_length=1, max_length=40)],
        Annotated[Text, Field(max_length=500)],
    ],
    at_most(50),
]


class Body(BaseModel):
    """The fields that a body may have; any other is a fault, and none is converted."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, hide_input_in_errors=True)


_SAYINGS: Final = {
    "missing": "is required",
    "extra_forbidden": "is unknown here",
    "string_type": "expected a string",
    "int_type": "expected a whole number",
    "bool_type": "expected true or false",
    "tuple_type": "expected an array",
    "dict_type": "expected an object",
    "string_unicode": "expected text without lone surrogates",
    "string_too_long": "expected at most {max_length} characters",
    "too_long": "expected at most {max_length} characters",
    "too_short": "expected at least {min_length} characters",
    "greater_than_equal": "expected at least {ge}",
    "less_than_equal": "expected at most {le}",
    "enum": "expected {expected}",
    "value_error": "{error}",
}
"""What pydantic's types of errors are called here; a text is too long before its validators, or after them."""


def check(model: type[Model], values: Mapping[str, object], context: object = None) -> Model:
    """Answer the model of these values, or an InvalidInput with every fault."""
    try:
        return model.model_validate(values, context=context)
    except ValidationError as error:
        details = error.errors(include_url=False, include_input=False)
    raise InvalidInput(*_faults(details))


def _faults(details: Iterable[ErrorDetails]) -> Iterable[Fault]:
    for detail in details:
        place = [part for part in detail["loc"] if part != "[key]"]
        saying = _SAYINGS.get(detail["type"])
        said = saying.format_map(detail.get("ctx", {})) if saying else detail["msg"].lower()
        yield Fault(pointer(*place), said)
