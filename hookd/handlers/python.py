"""`python:`: a function, called with the message."""

import asyncio
import importlib
import inspect
import logging
import threading
import traceback
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from hookd.handlers.message import Message
from hookd.handlers.work import Output
from hookd.model import Handler
from hookd.text import one_line

Call = Callable[[Message], Any]
"""A handler's function, or a coroutine function; what it returns is ignored."""

logger = logging.getLogger("hookd.handler")


def find(where: str) -> Call:
    """Answer the function at `module:function`; ValueError says in one line why there is none."""
    module, _, path = where.partition(":")
    if not module or not path:
        raise ValueError(f'expected "python:module:function", got "python:{where}"')
    try:
        found: Any = importlib.import_module(module)
    except (Exception, SystemExit) as error:  # whatever the module does when it is imported
        raise ValueError(one_line(f"can't import {module}: {type(error).__name__}: {error}")) from error
    for name in path.split("."):
        if not hasattr(found, name):
            raise ValueError(f"the module {module} has no {path}")
        found = getattr(found, name)
    if not callable(found):
        raise ValueError(f"{path} of the module {module} is not a function")  # noqa: TRY004 - a bad setting
    call: Call = found
    return call


class Function:
    """A function at work: a coroutine function in a task, any other in a thread of its own."""

    def __init__(self, call: Call) -> None:
        self._call = call
        self._is_coroutine = inspect.iscoroutinefunction(call) or inspect.iscoroutinefunction(type(call).__call__)

    def start(self, handler: Handler, message: Message, output: Output) -> asyncio.Future[str | None]:  # noqa: ARG002 - it writes nothing
        """Call the function. A thread can't be stopped: it holds its place until the function returns."""
        if self._is_coroutine:
            return asyncio.create_task(self._awaited(handler, message))
        loop = asyncio.get_running_loop()
        future: asyncio.Future[str | None] = loop.create_future()

        def work() -> None:
            error = self._called(handler, message)
            with suppress(RuntimeError):  # the loop is closed: the daemon has stopped, and waits for nobody
                loop.call_soon_threadsafe(future.set_result, error)

        threading.Thread(target=work, name=handler.id, daemon=True).start()  # a pool's threads would hold up the exit
        return future

    async def _awaited(self, handler: Handler, message: Message) -> str | None:
        try:
            await self._call(message)
        except asyncio.CancelledError:
            raise
        except BaseException as error:  # SystemExit would end the event loop
            logger.exception("%s failed on event %s", handler.id, message.id)
            return _told(error)
        return None

    def _called(self, handler: Handler, message: Message) -> str | None:
        try:
            result = self._call(message)
            if inspect.iscoroutine(result):
                asyncio.run(result)
        except BaseException as error:
            logger.exception("%s failed on event %s", handler.id, message.id)
            return _told(error)
        return None


def _told(error: BaseException) -> str:
    return one_line("".join(traceback.format_exception_only(error)))
