"""What is signed: a text in which parts of the request stand."""

import re
from collections.abc import Callable, Sequence
from operator import itemgetter
from typing import Final

PARTS: Final = ("id", "timestamp", "url", "body")
VISIBLE: Final = frozenset(map(chr, range(0x21, 0x7F)))
SPELT: Final = {".": "a dot", ":": "a colon"}

_PLACE: Final = re.compile(rf"\{{({'|'.join(PARTS)})\}}")


class Content:
    """What is signed, as a text over `{id}`, `{timestamp}`, `{url}` and `{body}`; false where that is nothing."""

    __slots__ = ("_beside", "_choose", "_is_body", "_template", "has_id", "has_url", "ids", "text")

    has_id: bool
    has_url: bool
    ids: re.Pattern[str]
    """What an id may be: with a character that stands beside it, bytes could move out of it or in."""

    def __init__(self, text: str) -> None:
        parts = _PLACE.findall(text)
        self.text = text
        self.has_id, self.has_url = "id" in parts, "url" in parts
        self._beside = sorted(set(_PLACE.sub("", text))) if self.has_id else []
        self.ids = re.compile(f"[{re.escape(''.join(sorted(VISIBLE.difference(self._beside))))}]+")
        self._is_body = text in ("", "{body}")
        self._template = _PLACE.sub("%b", text.replace("%", "%%")).encode()
        self._choose = _chooser([PARTS.index(part) for part in parts])

    def __bool__(self) -> bool:
        return bool(self.text)

    @property
    def without(self) -> str:
        """What an id may not hold, as the end of a sentence."""
        return "".join(f", without {SPELT.get(character, character)}" for character in self._beside)

    def of(self, event_id: str, stamp: str, url: str, body: bytes) -> bytes:
        """Answer the bytes that such a request's signature is over."""
        if self._is_body:
            return body  # no copy of it
        parts = (event_id.encode(), stamp.encode(), url.encode("utf-8", "surrogatepass"), body)
        return self._template % self._choose(parts)


def _chooser(places: Sequence[int]) -> Callable[[Sequence[bytes]], object]:
    """Answer what takes those of the PARTS that a template has places for."""
    return itemgetter(*places) if places else lambda _: ()


NOTHING: Final = Content("")
BODY: Final = Content("{body}")
