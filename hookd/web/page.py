"""Lists, a page at a time: `?limit=&cursor=` in, `{data, next_cursor, prev_cursor}` out, newest first."""

import re
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeVar

from aiohttp import web

from hookd.store import Listing, Page
from hookd.web.answers import answer
from hookd.web.call import Parameters

LIMIT: Final = 50
LONGEST: Final = 250

_LIMIT: Final = re.compile(r"[0-9]{1,3}")
_CURSOR: Final = re.compile(r"(before|after)_([0-9]{1,18})")

T = TypeVar("T")


def _limit(text: str, _now: int) -> int:
    if not _LIMIT.fullmatch(text) or not 1 <= int(text) <= LONGEST:
        raise ValueError(f"expected a whole number from 1 to {LONGEST}")
    return int(text)


def _cursor(text: str, _now: int) -> dict[str, int]:
    place = _CURSOR.fullmatch(text)
    if place is None:
        raise ValueError("expected next_cursor or prev_cursor of an earlier answer")
    return {place[1]: int(place[2])}


PARAMETERS: Final[Parameters] = {"limit": _limit, "cursor": _cursor}


def page_of(query: Mapping[str, Any]) -> Page:
    """Answer the page that the parameters of a query ask for."""
    return Page(query.get("limit", LIMIT), **query.get("cursor", {}))


def answer_page(listing: Listing[T], show: Callable[[T], object]) -> web.Response:
    """Answer one page of a list."""
    return answer(
        {
            "data": [show(item) for item in listing.items],
            "next_cursor": None if listing.next is None else f"before_{listing.next}",
            "prev_cursor": None if listing.previous is None else f"after_{listing.previous}",
        }
    )
