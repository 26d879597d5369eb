"""The log: one line for each thing that happened, as text for people or as JSON for collectors.

A record says more than its message by fields: `log.warning("refused", extra={"fields": {"source": "shop"}})`, or, where
every microsecond counts, by `wide`. Whatever it carries, it stays one line, with control characters escaped; only the
lines of a traceback follow, indented, in text.

Nothing waits for who reads the log for long: lines that are not taken are dropped, and of those that callers cause only
so many a minute are written. A later line says how many are missing.
"""

import json
import logging
import os
import time
from collections.abc import Mapping
from functools import lru_cache
from select import PIPE_BUF, select
from typing import Any, Final, TextIO

import msgspec

from hookd.text import printable

LEVELS: Final = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}

PATIENCE: Final = 0.2
"""Seconds for which a reader of the log may let it wait; after that, not at all until it reads again."""

REFUSALS: Final = 600
"""Lines a minute that callers can cause by being refused."""

_BARE: Final = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.:/*@+%")
_TITLES: Final = {
    logging.DEBUG: "DEBUG",
    logging.INFO: "INFO ",
    logging.WARNING: "WARN ",
    logging.ERROR: "ERROR",
    logging.CRITICAL: "FATAL",
}
_NO_FIELDS: Final[Mapping[str, Any]] = {}


def setup(level: str, format: str, stream: TextIO) -> None:  # noqa: A002 - the setting's name
    """Write what hookd logs from `level` on, and what its libraries warn of; the latest call holds."""
    handler = _Lines(stream)
    handler.setFormatter(Json() if format == "json" else Text())
    root = logging.getLogger()
    for former in [former for former in root.handlers if isinstance(former, _Lines)]:
        root.removeHandler(former)
    root.addHandler(handler)
    root.setLevel(max(LEVELS[level], logging.WARNING))
    logging.getLogger("hookd").setLevel(LEVELS[level])
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False  # nobody reads them, and they cost


def wide(logger: logging.Logger, level: int, message: str, **fields: object) -> None:
    """Log one line with many fields: for the hot path, since it never looks for its caller."""
    if logger.isEnabledFor(level):
        record = logging.LogRecord(logger.name, level, "", 0, message, (), None)
        record.fields = fields
        logger.handle(record)


def refused(logger: logging.Logger, level: int, **fields: object) -> None:
    """Log that a request was refused, in one of the lines that callers can cause as often as they like."""
    logger.log(level, "refused a request", extra={"fields": fields, "refusal": True})


class Text(logging.Formatter):
    """`2026-01-02T03:04:05.678Z INFO  message key=value`."""

    def format(self, record: logging.LogRecord) -> str:
        """Write a record as a line, and a traceback as indented lines below it."""
        title = _TITLES.get(record.levelno, record.levelname)
        parts = [_timestamp(record.created), title, printable(record.getMessage())]
        parts += [f"{name}={_value(value)}" for name, value in _fields(record).items() if value is not None]
        line = " ".join(parts)
        return line if record.exc_info is None else "\n    ".join([line, *self._traceback(record)])

    def _traceback(self, record: logging.LogRecord) -> list[str]:
        text = self.formatException(record.exc_info) if record.exc_info else ""
        return [printable(line) for line in text.splitlines()]


class Json(logging.Formatter):
    """`{"time":"2026-01-02T03:04:05.678Z","level":"info","logger":"hookd.attempt","message":"…",…}`."""

    def format(self, record: logging.LogRecord) -> str:
        """Write a record as one JSON object; its own members win over fields of the same name."""
        members: dict[str, Any] = {
            "time": _timestamp(record.created),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        line = {**members, **_fields(record), **members}
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return _json(line)


class _Lines(logging.StreamHandler[TextIO]):
    """The handler that `setup` makes: it writes to the stream's descriptor, and never waits for long."""

    def __init__(self, stream: TextIO) -> None:
        super().__init__(stream)
        self.addFilter(_Sparing())
        self._rest = b""
        """The end of a line that was not taken as a whole."""
        self._dropped = 0

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record, or count it where one before it has not been taken yet."""
        try:
            if not self._write(0):
                self._dropped += 1
                return
            if self._dropped:
                self._rest += self._line(_missing(self._dropped))
                self._dropped = 0
            self._rest += self._line(record)
            self._write(PATIENCE)
        except OSError:  # nobody reads any more, or the disk is full: it is told of as soon as it can be
            self._dropped += 1
        except Exception:  # noqa: BLE001 - as logging asks of every handler
            self.handleError(record)

    def _line(self, record: logging.LogRecord) -> bytes:
        return f"{self.format(record)}\n".encode(self.stream.encoding, "backslashreplace")

    def _write(self, patience: float) -> bool:
        """Write what there is as far as it is taken, in pieces that never block (select(2)); say whether all was."""
        while self._rest and select((), (self.stream,), (), patience)[1]:
            self._rest = self._rest[os.write(self.stream.fileno(), self._rest[:PIPE_BUF]) :]
        return not self._rest


class _Sparing(logging.Filter):
    """Lets through so many refusals a minute; the first of the next one says how many were left out."""

    def __init__(self) -> None:
        super().__init__()
        self._since = time.monotonic()
        self._count = 0

    def filter(self, record: logging.LogRecord) -> bool:
        """Say whether to write a record."""
        if not getattr(record, "refusal", False):
            return True
        now = time.monotonic()
        if now - self._since >= 60:
            left_out = self._count - REFUSALS
            self._since, self._count = now, 0
            if left_out > 0:
                record.fields = {**_fields(record), "left_out_before": left_out}
        self._count += 1
        return self._count <= REFUSALS


def _missing(count: int) -> logging.LogRecord:
    record = logging.LogRecord(__name__, logging.WARNING, "", 0, "lines are missing here: nobody took them", (), None)
    record.fields = {"count": count}
    return record


def _fields(record: logging.LogRecord) -> Mapping[str, Any]:
    fields: Mapping[str, Any] = getattr(record, "fields", _NO_FIELDS)
    return fields


def _timestamp(seconds: float) -> str:
    whole, millisecond = divmod(int(seconds * 1000), 1000)
    return f"{_second(whole)}.{millisecond:03d}Z"


@lru_cache(2)
def _second(whole: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(whole))


def _value(value: object) -> str:
    """Write a field so that its end can be seen: bare, or quoted as in JSON."""
    if type(value) is int or type(value) is float:
        return str(value)
    text = str(value)
    return text if text and _BARE.issuperset(text) else _quoted(text)


def _quoted(text: str) -> str:
    quoted = json.dumps(text, ensure_ascii=False)
    return quoted if quoted.isprintable() else json.dumps(text)


def _json(line: dict[str, Any]) -> str:
    try:
        text = msgspec.json.encode(line, enc_hook=str).decode()
    except UnicodeEncodeError:  # a lone surrogate, from a file's name or the environment
        return json.dumps(line, default=str)
    return text if text.isprintable() else json.dumps(line, default=str)
