"""The handlers of the crash test. A copy of this file lies beside the daemon's configuration.

Each handler writes down that it runs before it does anything else.
"""

import json
import os
import threading
from pathlib import Path

from hookd.handlers import Message

BOOK = Path(__file__).with_name("ledger.jsonl")


def record(message: Message) -> None:
    """Run to the end at once."""
    _write("handler:ledger", message)


def block(message: Message) -> None:
    """Run until the process dies."""
    _write("handler:stuck", message)
    threading.Event().wait()


def _write(handler: str, message: Message) -> None:
    line = {
        "handler": handler,
        "life": int(os.environ["LIFE"]),
        "event": message.id,
        "attempt": message.attempt,
        "body": message.payload.decode(),
    }
    file = os.open(BOOK, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(file, json.dumps(line).encode() + b"\n")
    finally:
        os.close(file)
