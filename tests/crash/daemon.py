"""The daemon under test: a real process, killed and started again on the same file."""

import asyncio
import os
import re
import shutil
import signal
import sys
from pathlib import Path

from tests.crash import ledger
from tests.crash.waiting import until

PER_ENDPOINT = 16
MAX_IN_FLIGHT = 128
PARTNER = "whsec_cGFydG5lciBwYXJ0bmVyIHBhcnRuZXIgcGFydG5lcg=="
"""The secret of the source that sends us webhooks."""

CONFIG = f"""\
[server]
port = 0

[delivery]
timeout = "60s"
max_in_flight = {MAX_IN_FLIGHT}
per_endpoint = {PER_ENDPOINT}
breaker = "off"
retry = ["50ms", "100ms", {", ".join(['"200ms"'] * 38)}]

[network]
allow = ["loopback"]

[[sources]]
name = "partner"
path = "/partner"
scheme = "standard"
secrets = ["{PARTNER}"]

[[handlers]]
name = "ledger"
event_types = ["partner.*"]
run = "python:ledger:record"

[[handlers]]
name = "stuck"
event_types = ["partner.stuck"]
run = "python:ledger:block"
"""

_LISTENS = re.compile(r"listens on (http://[^;\s]+);")


class Daemon:
    """A daemon that lives several times. Each life takes a free port, which its log tells."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._config = folder / "config.toml"
        self._config.write_text(CONFIG)
        shutil.copy(ledger.__file__, folder / "ledger.py")
        self._up = asyncio.Event()
        self._url = ""
        self.database = folder / "hookd.db"
        self.life = 0

    @property
    def _log(self) -> Path:
        return self._folder / f"hookd-{self.life}.log"

    async def start(self) -> None:
        """Begin the next life, without waiting until it can do anything."""
        self.life += 1
        environment = {name: value for name, value in os.environ.items() if not name.startswith("HOOKD_")}
        with self._log.open("wb") as log:
            self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "hookd", "run", "--config", str(self._config)),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=environment | {"LIFE": str(self.life)},
                start_new_session=True,
            )

    async def ready(self) -> None:
        """Wait until it serves."""
        await until(self._listens, f"life {self.life} listens")

    def _listens(self) -> bool:
        log = self._log.read_text("utf-8", "replace")
        assert self._process.returncode is None, f"life {self.life} ended by itself:\n{log[-2000:]}"
        found = _LISTENS.search(log)
        if found:
            self._url = found[1]
            self._up.set()
        return found is not None

    async def url(self, path: str) -> str:
        """Answer where a path is served, once it is."""
        await self._up.wait()
        return self._url + path

    def kill(self) -> None:
        """End this life between two instructions."""
        self._up.clear()
        self._process.kill()

    async def gone(self) -> None:
        """Wait until the process is no more."""
        code = await self._process.wait()
        assert code == -signal.SIGKILL, f"life {self.life} ended by itself, with {code}: {self._log}"

    async def stop(self) -> int:
        """Tell it to end as an operator would, and answer its exit status."""
        self._up.clear()
        self._process.terminate()
        return await self._process.wait()

    async def discard(self) -> None:
        """End the process, if it still runs."""
        if self.life and self._process.returncode is None:
            self._process.kill()
            await self._process.wait()
