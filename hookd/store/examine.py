"""What a start looks at, before it uses a database file: damage, in a time that does not grow with the file."""

import sqlite3
from pathlib import Path

from hookd.errors import StartError
from hookd.text import one_line

WHOLE = 64 * 1024 * 1024
"""Bytes up to which a file is looked through as a whole: a tenth of a second, where it is in memory."""

SIZE = "SELECT page_count * page_size FROM pragma_page_count, pragma_page_size"
CHECK = "PRAGMA quick_check(1)"
ENDS = """\
SELECT printf('"%w"', tables.name),
       group_concat(printf('"%w"', columns.name)), group_concat(printf('"%w" DESC', columns.name))
FROM sqlite_master AS tables, pragma_table_info(tables.name) AS columns
WHERE tables.type = 'table' AND columns.pk > 0
GROUP BY tables.name"""
"""Every table, and its primary key in both directions."""


def examine(connection: sqlite3.Connection, path: Path) -> None:
    """Raise StartError where the file is damaged; it is left as it is.

    A file of at most WHOLE bytes is looked through page by page. Of a larger one the ends of every table are read,
    which leads from each root along both edges; what else is wrong with it is met while running.
    """
    (size,) = connection.execute(SIZE).fetchone()
    if size <= WHOLE:
        (found,) = connection.execute(CHECK).fetchone()
        if found != "ok":
            raise StartError(damaged(path, found))
    else:
        for table, forwards, backwards in connection.execute(ENDS).fetchall():
            for order in (forwards, backwards):
                connection.execute(f"SELECT * FROM {table} ORDER BY {order} LIMIT 1").fetchall()  # noqa: S608 - quoted


def damaged(path: Path, how: str) -> str:
    """Say how a file is damaged, and what to do."""
    return f"[store] url: {path}: {one_line(how)}; the file is damaged: restore a backup"
