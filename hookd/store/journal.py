"""The write-ahead journal beside a database file: whether it holds all that its index says."""

import mmap
import os
import struct
from pathlib import Path
from typing import Final

# https://sqlite.org/walformat.html: the journal's header and those of its frames, and the header of its index, of
# which there are two copies, in the machine's byte order: the page size (1 is 65536), the frames, and their salt.
HEADER: Final = 32
SALT_OF_HEADER: Final = slice(16, 24)
FRAME_HEADER: Final = 24
INDEX_HEADER: Final = 48
PAGE_SIZE_AND_FRAMES: Final = struct.Struct("=14xHI")
SALT: Final = slice(32, 40)
LARGEST_PAGE: Final = 65536


class Journal:
    """An open journal and its index. Made and closed while SQLite has no locks on them, or after it has let go."""

    def __init__(self, journal: Path, index: Path) -> None:
        """Open both; OSError where that can't be done."""
        self._descriptor = os.open(journal, os.O_RDONLY | os.O_CLOEXEC)
        self._index_descriptor = os.open(index, os.O_RDONLY | os.O_CLOEXEC)
        # Read as memory, it takes no system call, around which the interpreter's lock would change hands.
        self._index = mmap.mmap(self._index_descriptor, 2 * INDEX_HEADER, access=mmap.ACCESS_READ)

    def close(self) -> None:
        """Let go of both."""
        self._index.close()
        os.close(self._index_descriptor)
        os.close(self._descriptor)

    def stamp(self) -> bytes:
        """Answer the index's header, which every commit changes (https://sqlite.org/walformat.html, section 2.1)."""
        return self._index[:INDEX_HEADER]

    def cut_short(self, *, header: bool) -> bool:
        """Say whether frames are missing that the index counts; with `header`, whether they are another journal's too.

        Others may be writing, or emptying the journal, which they first tell the index: where it changes meanwhile,
        nothing can be said, and there is nothing to say.
        """
        index = self._index[:]
        page_size, frames = PAGE_SIZE_AND_FRAMES.unpack_from(index)
        if not frames:
            return False
        size = HEADER + frames * ((LARGEST_PAGE if page_size == 1 else page_size) + FRAME_HEADER)
        short = os.fstat(self._descriptor).st_size < size
        if not short and header:
            short = os.pread(self._descriptor, HEADER, 0)[SALT_OF_HEADER] != index[SALT]
        return short and index[:INDEX_HEADER] == index[INDEX_HEADER:] and index == self._index[:]
