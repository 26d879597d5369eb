"""The store: events, endpoints, the outbox, attempts and dedupe keys, durable, behind one group commit."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from hookd.ids import IdFactory
from hookd.model import Clock
from hookd.store.accept import Accepted, Draft, Key, KeyKind
from hookd.store.commit import Committed
from hookd.store.context import Changes, Room
from hookd.store.deliveries import DeliveryFilter, DeliveryRecord
from hookd.store.draft import draft_of
from hookd.store.events import EventRecord
from hookd.store.face import Store
from hookd.store.file import own
from hookd.store.membership import ServerClock
from hookd.store.page import Listing, Page
from hookd.store.rejections import RejectionRecord
from hookd.store.replay import MISSED, Replay
from hookd.store.result import Result
from hookd.store.shared import share
from hookd.store.single import SingleStore
from hookd.store.totals import Totals
from hookd.store.vault import PLAIN, Vault

__all__ = [
    "MISSED",
    "Accepted",
    "Changes",
    "Committed",
    "DeliveryFilter",
    "DeliveryRecord",
    "Draft",
    "EventRecord",
    "Key",
    "KeyKind",
    "Listing",
    "Page",
    "RejectionRecord",
    "Replay",
    "Result",
    "Room",
    "ServerClock",
    "Store",
    "Totals",
    "Vault",
    "draft_of",
    "open_store",
    "share",
]  # fmt: skip


@asynccontextmanager
async def open_store(
    path: Path, clock: Clock, ids: IdFactory, dedupe: int, vault: Vault = PLAIN
) -> AsyncIterator[SingleStore]:
    """Own the file, open and migrate it, and close it in reverse order; `dedupe` is in milliseconds.

    StartError where its secrets are encrypted with a key that the vault lacks. The factory of ids is used on the
    store's thread alone.
    """
    async with own(path, vault) as file:
        yield SingleStore(file, clock=clock, ids=ids, dedupe=dedupe, vault=vault)
