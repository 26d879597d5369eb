"""Waiting for what the test can only see by looking."""

import asyncio
from collections.abc import Awaitable, Callable

GLANCE = 0.002
PATIENCE = 60.0
"""Seconds after which what should have happened is taken to be lost."""


async def until(condition: Callable[[], bool], what: str) -> None:
    """Wait until the condition holds; AssertionError says what was waited for in vain."""

    async def look() -> bool:
        return condition()

    await until_answered(look, what)


async def until_answered(condition: Callable[[], Awaitable[bool]], what: str) -> None:
    """Do the same with a condition that has to ask somebody."""
    try:
        async with asyncio.timeout(PATIENCE):
            while not await condition():  # noqa: ASYNC110 - another process has no event for us
                await asyncio.sleep(GLANCE)
    except TimeoutError:
        raise AssertionError(f"waited in vain: {what}") from None
