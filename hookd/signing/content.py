"""What is signed: a text in which parts of the request stand."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from operator import itemgetter
from typing import Final

PARTS: Final = ("id", "timestamp", "url", "body")
VISIBLE: Final = frozenset(map(chr, range(0x21, 0x7F)))
SPELT: Final = {".": "a dot", ":": "a colon"}

_PLACE: Final = re.compile(rf"\{{({'|'.join(PARTS)})\}}")


@dataclass(frozen=True, slots=True)
class Content:
    """What is signed, as a text over `{id}`, `{timestamp}`, `{url}` and `{body}`; false where that is nothing."""

    text: str
    has_id: bool = field(init=False, repr=False, compare=False)
    has_url: bool = field(init=False, repr=False, compare=False)
    ids: re.Pattern[str] = field(init=False, repr=False, compare=False)
    """What an id may be: with a character that stands beside it, bytes could move out of it or in."""
    _is_body: bool = field(init=False, repr=False, compare=False)
    """Whether it is the body alone, of which no copy is made."""
    _template: bytes = field(init=False, repr=False, compare=False)
    _choose: Callable[[Sequence[bytes]], object] = field(init=False, repr=False, compare=False)
    """Answers those of the PARTS that the template has places for."""

    def __post_init__(self) -> None:
        parts = _PLACE.findall(self.text)
        object.__setattr__(self, "has_id", "id" in parts)
        object.__setattr__(self, "has_url", "url" in parts)
        object.__setattr__(self, "ids", re.compile(f"[{re.escape(''.join(sorted(VISIBLE.difference(self.beside))))}]+"))
        object.__setattr__(self, "_is_body", self.text == "{body}")
        object.__setattr__(self, "_template", _PLACE.sub("%b", self.text.replace("%", "%%")).encode())
        object.__setattr__(self, "_choose", itemgetter(*map(PARTS.index, parts)) if parts else _nothing)

    def __bool__(self) -> bool:
        return bool(self.text)

    @property
    def beside(self) -> Sequence[str]:
        """The characters beside the id, each once; none where it is not signed."""
        return sorted(set(_PLACE.sub("", self.text))) if "{id}" in self.text else ()

    @property
    def without(self) -> str:
        """What an id may not hold, as the end of a sentence."""
        return "".join(f", without {SPELT.get(character, character)}" for character in self.beside)

    def of(self, event_id: str, stamp: str, url: str, body: bytes) -> bytes:
        """Answer the bytes that the signature of such a request is over."""
        if self._is_body:
            return body
        parts = (event_id.encode(), stamp.encode(), url.encode("utf-8", "surrogatepass"), body)
        return self._template % self._choose(parts)


def _nothing(_: Sequence[bytes]) -> object:
    return ()


NOTHING: Final = Content("")
BODY: Final = Content("{body}")
