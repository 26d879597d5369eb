"""Headers as anybody's server hands them over: a mapping or pairs, text or bytes, names in any case."""

from collections.abc import Container, Iterable, Mapping
from typing import Protocol

from hookd.errors import SignatureError
from hookd.signing.reason import Reason

HeaderText = str | bytes


class Items(Protocol):
    """What every server's headers have, those that are no Mapping (http.server's) among them."""

    def items(self) -> Iterable[tuple[HeaderText, HeaderText]]:
        """Answer the pairs, with a repeated name as often as it came."""
        ...


Headers = Items | Iterable[tuple[HeaderText, HeaderText]]
"""A mapping, or a list of pairs."""

Collected = Mapping[str, list[str]]
"""Every value of each header, in order, under the name in lower case."""


def collect(headers: Headers, among: Container[str] | None = None) -> Collected:
    """Bring headers into one form, in which a repeated one can be seen; `among`, in lower case, are all that count."""
    collected: dict[str, list[str]] = {}
    for name, value in headers.items() if hasattr(headers, "items") else headers:
        key = name.lower() if isinstance(name, str) else name.decode("latin-1").lower()
        if among is None or key in among:
            text = value if isinstance(value, str) else value.decode("latin-1")
            if key in collected:
                collected[key].append(text)
            else:
                collected[key] = [text]
    return collected


def only(headers: Collected, name: str) -> str:
    """Answer the one value of a header; SignatureError where it is absent, empty or there more than once."""
    values = headers.get(name.lower(), ())
    if len(values) == 1 and values[0]:
        return values[0]
    if len(values) > 1:
        raise SignatureError(Reason.REPEATED_HEADER, f"{name} came {len(values)} times, expected once")
    raise SignatureError(Reason.MISSING_HEADER, f"{name} is missing or empty")
