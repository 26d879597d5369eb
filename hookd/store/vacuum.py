"""The file's size: pages that are free are given back, but for those that what comes next will need.

A tenth of the pages in use may be free, at least 1 MiB and at most 64 MiB: so a steady load does not shrink and grow
the file all the time.
"""

import sqlite3
from typing import Final

AT_ONCE: Final = 128
"""Pages that one step gives back, two or three milliseconds' work."""

SEARCHED: Final = 2_000_000
"""Entries of the list of free pages that one step goes through: for each page, SQLite may go through all of it."""

SHARE: Final = 10
"""Pages in use for each that may be free."""

FEWEST, MOST = 256, 16_384
"""Pages that may be free, however many are in use."""

PAGES = "SELECT page_count, freelist_count FROM pragma_page_count, pragma_freelist_count"


def give_back(connection: sqlite3.Connection) -> bool:
    """Give some free pages at the end of the file back, outside any transaction; answer whether there are more.

    The file itself is cut off when the log is next emptied into it.
    """
    pages, free = connection.execute(PAGES).fetchone()
    spare = free - min(max(FEWEST, (pages - free) // SHARE), MOST)
    count = min(spare, AT_ONCE, SEARCHED // max(free, 1) + 1)
    if count > 0:  # as a script, since that alone runs to its end in one go
        connection.executescript(f"PRAGMA incremental_vacuum({count})")
    return bool(spare > count)
