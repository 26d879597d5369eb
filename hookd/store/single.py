"""A store of one process: the file is its own."""

import asyncio
from contextlib import suppress

from hookd.ids import IdFactory
from hookd.model import Clock
from hookd.store import prune, recover
from hookd.store.database import StorageError
from hookd.store.face import PAUSE, Store
from hookd.store.file import File
from hookd.store.files import FileError
from hookd.store.vault import Vault

SHRINK_PAUSE = 0.02
"""Seconds between steps of shrinking: longer than a step takes."""

GLANCE = 0.05
"""Seconds between looks at whether somebody has committed."""

POLL = 2.0
"""Seconds after which somebody may have, whatever the looks have shown."""


class SingleStore(Store):
    """A store in a SQLite file."""

    _database: File

    def __init__(self, database: File, *, clock: Clock, ids: IdFactory, dedupe: int, vault: Vault) -> None:
        super().__init__(database, clock=clock, ids=ids, dedupe=dedupe, vault=vault)
        self._version = self._stirred = -1
        self._stamp = b""
        self._walk = prune.Walk()

    def _suffer(self, fault: StorageError) -> None:
        if isinstance(fault, FileError):  # then nothing is to be written either
            self._committer.suffer(fault)

    def retire(self) -> None:
        """Nothing: there is nobody else."""

    async def notice(self) -> None:
        """See whether another process has written the file, and if so look for what is due."""
        version = await self._look(self._database.version())
        if version != self._version:
            self._directory.forget_endpoints()
            await self._write(recover.scan, None)
            self._version = version

    async def stirred(self) -> None:
        """Wait until an application may have published; as long as nobody commits, a look reads memory alone."""
        with suppress(TimeoutError):
            async with asyncio.timeout(POLL):
                stirred = False
                while not stirred:
                    await asyncio.sleep(GLANCE)
                    stirred = await self._glance()

    async def _glance(self) -> bool:
        """Say whether another process has written the file."""
        stamp = self._database.files.stamp()
        if stamp == self._stamp:
            return False
        self._stamp = stamp
        former, self._stirred = self._stirred, await self._look(self._database.version())
        return self._stirred != former

    async def prune(self, retention: int) -> None:
        """Delete the events that have been over for `retention` (ms), some at a time; one round, to be repeated."""
        before = self._clock() - retention
        more = True
        while more:
            found = await self._read(prune.look(self._walk.place, before))
            if found.over:
                await self._write(prune.prune, prune.Removal(found.over, before))
                await asyncio.sleep(PAUSE)
            self._walk.go_on(found)
            more = found.more
        self._walk.end_round()

    async def shrink(self) -> None:
        """Give free pages of the file back, some at a time; enough stay for what comes next."""
        more = True
        while more:
            more = await self._look(self._database.shrink())
            await asyncio.sleep(SHRINK_PAUSE)

    async def forget_deleted(self) -> None:
        """Let what was deleted or replaced stand in the journal no longer; in the file it is overwritten already."""
        if self.fault is None:
            await self._look(self._database.forget_deleted())
