"""The process that the daemon runs in: its event loop, its thread switches, its garbage, its file descriptors."""

import asyncio
import gc
import logging
import os
import resource
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

from hookd import logs
from hookd.config import Settings
from hookd.daemon import Daemon

SWITCH_INTERVAL = 0.001
"""Seconds after which a busy event loop lets the store's thread have the interpreter, which it needs at every step."""

COLLECT_AFTER = (20_000, 20, 100)
"""Thresholds of the garbage collector. Requests and attempts leave hardly a cycle behind, so that looking for them as
often as by default costs each event more than its signature does."""

LAST_MOMENT = 2.0
"""Seconds that handlers have to end once they are cancelled, programs among them."""

log = logging.getLogger("hookd")


def serve(settings: Settings, path: Path | None) -> None:
    """Run the daemon until a signal ends it; StartError where it can't start. `path` is read again at SIGHUP."""
    logs.setup(settings.log.level, settings.log.format, sys.stderr)
    sys.setswitchinterval(SWITCH_INTERVAL)
    _allow_sockets()
    gc.freeze()  # what was loaded stays, and need not be looked through again
    gc.set_threshold(*COLLECT_AFTER)
    with asyncio.Runner(loop_factory=_loop_factory()) as loop:
        loop.run(Daemon(settings, path).run())
        ended = loop.run(_all_ended())
        log.info("stopped")
        if not ended:
            log.warning("a handler did not end, and is left behind")
            _leave()
    if threading.active_count() > 1:  # a look-up of a name that nobody answers, or a handler's own
        _leave()


async def _all_ended() -> bool:
    """Wait for what was cancelled, and say whether it has ended: a program is only killed where it wants to go on."""
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    return not tasks or not (await asyncio.wait(tasks, timeout=LAST_MOMENT))[1]


def _leave() -> NoReturn:
    """Exit without waiting for what does not end: all that matters is on disk."""
    logging.shutdown()
    os._exit(0)


def _allow_sockets() -> None:
    """Let this process have as many sockets as the machine allows: the usual 1024 are soon taken."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        with suppress(ValueError, OSError):  # some systems name no limit, and then refuse to be taken at their word
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop
    except ImportError:  # it does not install everywhere, and asyncio's own loop serves as well, if slower
        return None
    return uvloop.new_event_loop
