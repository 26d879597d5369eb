"""What an attempt came to."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

from hookd.model import Outcome


class Result(NamedTuple):
    """What came of an exchange: the part of an attempt that the endpoint decides."""

    outcome: Outcome
    error: str | None
    status_code: int | None = None
    headers: Mapping[str, str] = MappingProxyType({})
    body: bytes = b""
    truncated: bool = False
    retry_after: int | None = None
