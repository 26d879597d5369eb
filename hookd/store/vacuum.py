"""The file's size: pages that are free are given back, but for those that what comes next will need."""

import sqlite3
from typing import Final

AT_ONCE: Final = 256
"""Pages that one step gives back, three milliseconds' work."""

KEPT: Final = 256
"""Free pages that are always kept: 1 MiB."""

SHARE: Final = 10
"""Of the pages in use, one in so many may be free, or a steady load would shrink and grow the file."""

PAGES = "SELECT page_count, freelist_count FROM pragma_page_count, pragma_freelist_count"


def give_back(connection: sqlite3.Connection) -> bool:
    """Give some free pages at the end of the file back, outside any transaction; answer whether there are more.

    The file itself is cut off when the log is next emptied into it.
    """
    pages, free = connection.execute(PAGES).fetchone()
    spare = free - max(KEPT, (pages - free) // SHARE)
    if spare > 0:  # as a script, since that alone runs to its end in one go
        connection.executescript(f"PRAGMA incremental_vacuum({min(spare, AT_ONCE)})")
    return bool(spare > AT_ONCE)
