"""What befalls the storage of a running daemon, each for as long as a block lasts, and made with nothing but the real.

None needs a privilege, but for the disk that is mounted: where that can't be had, `no_growth` stands for it.
"""

import resource
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from tests.daemons import Daemon

DISK = "size=16m"
BLOCK = bytes(65536)

HASTY = (
    "-c",
    """
import hookd.deliver, hookd.store.commit, hookd.store.sqlite
hookd.store.sqlite.BUSY_TIMEOUT = 0.2
hookd.store.commit.LONGEST_PAUSE = 0.2
hookd.deliver.POLL = 0.2
from hookd.cli import main
main()
""",
)
"""A daemon that waits less long for another writer, and for the storage to mend, and looks at its files more often."""

POWERLESS = (
    "-c",
    """
import ctypes, os, sys
CAP_DAC_OVERRIDE, PR_CAPBSET_DROP = 1, 24
if os.geteuid() == 0:
    ctypes.CDLL(None).prctl(PR_CAPBSET_DROP, CAP_DAC_OVERRIDE, 0, 0, 0)
os.execv(sys.executable, [sys.executable, "-m", "hookd", *sys.argv[1:]])
""",
)
"""A daemon that permissions hold for, even where root starts it (capabilities(7))."""


def cramped(size: int) -> tuple[str, str]:
    """Answer a daemon that may write no file beyond a size from its start on."""
    return ("-c", CRAMPED.format(size=size))


CRAMPED = """
import resource
resource.setrlimit(resource.RLIMIT_FSIZE, ({size}, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))
from hookd.cli import main
main()
"""

Begin = Callable[[Daemon, Path], AbstractContextManager[None]]
"""Lets something befall the database file of a daemon."""


@dataclass(frozen=True, slots=True)
class Trouble:
    """What befalls it, and how /readyz calls that."""

    begin: Begin
    cause: str


@contextmanager
def largest_file(daemon: Daemon, size: int) -> Iterator[None]:
    """Let the daemon write no file beyond a size (RLIMIT_FSIZE, setrlimit(2)): EFBIG in place of ENOSPC or EROFS."""
    before = resource.prlimit(daemon.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(daemon.pid, resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        if daemon.process.returncode is None:
            resource.prlimit(daemon.pid, resource.RLIMIT_FSIZE, before)


def no_growth(daemon: Daemon, database: Path) -> AbstractContextManager[None]:
    """Let no file grow, as on a full disk."""
    return largest_file(daemon, database.stat().st_size)


def no_writing(daemon: Daemon, _: Path) -> AbstractContextManager[None]:
    """Let every write fail, as where a failing disk is mounted read-only anew."""
    return largest_file(daemon, 0)


@contextmanager
def full_disk(_: Daemon, database: Path) -> Iterator[None]:
    """Fill the disk that the database is on."""
    ballast = database.with_name("ballast")
    with ballast.open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(BLOCK)
    try:
        yield
    finally:
        ballast.unlink()


@contextmanager
def another_writer(_: Daemon, database: Path) -> Iterator[None]:
    """Hold the lock of writers."""
    with closing(sqlite3.connect(database, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield


@contextmanager
def moved_away(_: Daemon, database: Path) -> Iterator[None]:
    """Rename the file."""
    moved = database.rename(database.with_name("moved.db"))
    try:
        yield
    finally:
        moved.rename(database)


@contextmanager
def small_disk(folder: Path) -> Iterator[bool]:
    """Mount a small disk (tmpfs) at a new folder; False where this user, or this machine, can't."""
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", DISK, "hookd-test", str(folder)], capture_output=True, check=False
    )
    try:
        yield mounted.returncode == 0
    finally:
        if mounted.returncode == 0:
            subprocess.run(["umount", str(folder)], check=True)
