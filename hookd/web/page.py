"""Lists, a page at a time: `?limit=&cursor=` in, `{data, next_cursor, prev_cursor}` out, newest first."""

import re
from collections.abc import Callable, Mapping
from typing import Final, TypeVar

from aiohttp import web

from hookd.errors import Fault, InvalidInput
from hookd.store import Listing, Page
from hookd.web.answers import answer

PARAMETERS: Final = frozenset({"limit", "cursor"})
LIMIT: Final = 50
LONGEST: Final = 250

_LIMIT: Final = re.compile(r"[0-9]{1,3}")
_CURSOR: Final = re.compile(r"(before|after)_([0-9]{1,18})")

T = TypeVar("T")


def page_of(query: Mapping[str, str]) -> Page:
    """Answer the page that a query asks for, or an InvalidInput for a limit or cursor that is none."""
    faults = []
    limit = query.get("limit", str(LIMIT))
    if not _LIMIT.fullmatch(limit) or not 1 <= int(limit) <= LONGEST:
        faults.append(Fault("?limit", f"expected a whole number from 1 to {LONGEST}"))
    cursor = query.get("cursor")
    place = None if cursor is None else _CURSOR.fullmatch(cursor)
    if cursor is not None and place is None:
        faults.append(Fault("?cursor", "expected next_cursor or prev_cursor of an earlier answer"))
    if faults:
        raise InvalidInput(*faults)
    return Page(int(limit), **({} if place is None else {place[1]: int(place[2])}))


def answer_page(listing: Listing[T], show: Callable[[T], object]) -> web.Response:
    """Answer one page of a list."""
    return answer(
        {
            "data": [show(item) for item in listing.items],
            "next_cursor": None if listing.next is None else f"before_{listing.next}",
            "prev_cursor": None if listing.previous is None else f"after_{listing.previous}",
        }
    )
