"""Durations, sizes, rates and times as people write them, and back: `15s`, `64KiB`, `50/s`, `2026-01-02T03:04:05Z`.

Durations and times are integers of milliseconds (times since 1970 UTC), sizes integers of bytes.
"""

import re
from datetime import UTC, datetime, timedelta

from hookd.model import RateLimit

DURATIONS = {"d": 86_400_000, "h": 3_600_000, "m": 60_000, "s": 1_000, "ms": 1}
"""Milliseconds in each unit of a duration, the longest first."""

SIZES = {"GiB": 1 << 30, "MiB": 1 << 20, "KiB": 1 << 10, "B": 1}
"""Bytes in each unit of a size, the largest first."""

LONGEST = 36_500 * DURATIONS["d"]
"""The longest duration that is understood: a hundred years, so that adding one to a time never overflows."""

PERIODS = {"s": 1_000, "min": 60_000, "h": 3_600_000}
"""Milliseconds in each unit of time that a rate may have."""

MOST_ATTEMPTS = 1_000_000
"""The highest number of attempts in a rate, and in its burst."""

_RATE = re.compile(r"(?P<count>\d{1,7})/(?P<unit>s|min|h)( burst (?P<burst>\d{1,7}))?", re.ASCII)
_QUANTITY = re.compile(r"(\d{1,15})([A-Za-z]+)", re.ASCII)
_RFC_3339 = re.compile(
    r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d+)?(?P<offset>[Zz]|[+-]\d\d:\d\d)?",
    re.ASCII,
)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)


def parse_duration(text: str) -> int:
    """Answer the milliseconds of a whole number and its unit, such as `15s`; ValueError for anything else."""
    duration = _quantity(text, DURATIONS)
    if duration is None or duration > LONGEST:
        most = "" if duration is None else f", {format_duration(LONGEST)} at most"
        raise ValueError(f'expected a duration such as "15s", "5m" or "24h"{most}, got {_shown(text)}')
    return duration


def parse_size(text: str) -> int:
    """Answer the bytes of a whole number and its unit, such as `64KiB`; ValueError for anything else."""
    size = _quantity(text, SIZES)
    if size is None:
        raise ValueError(f'expected a size such as "512B", "64KiB" or "1MiB", got {_shown(text)}')
    return size


def parse_rate(text: str) -> RateLimit:
    """Answer the limit that `50/s`, `600/min` or `600/min burst 50` means; ValueError for anything else.

    Without a burst it is what comes in one second, and at least one.
    """
    match = _RATE.fullmatch(text)
    count, burst = (int(match["count"]), int(match["burst"] or 0)) if match is not None else (0, 0)
    if match is None or not 1 <= count <= MOST_ATTEMPTS or (match["burst"] and not 1 <= burst <= MOST_ATTEMPTS):
        raise ValueError(f'expected a rate such as "50/s", "600/min" or "600/min burst 50", got {_shown(text)}')
    period = PERIODS[match["unit"]]
    return RateLimit(count, period, burst or max(1, count * 1000 // period))


def format_rate(limit: RateLimit) -> str:
    """Write a rate limit, with its burst only where that is not the usual one."""
    unit = next(unit for unit, period in PERIODS.items() if period == limit.period)
    plain = f"{limit.count}/{unit}"
    return plain if parse_rate(plain) == limit else f"{plain} burst {limit.burst}"


def parse_time(text: str, now: int) -> int:
    """Answer the milliseconds of an RFC 3339 time with an offset, or of a duration before `now`.

    A ValueError says what was expected, a missing offset among them: no time zone is ever guessed.
    """
    ago = _quantity(text, DURATIONS)
    if ago is not None and ago <= LONGEST:
        return now - ago
    match = _RFC_3339.fullmatch(text)
    if match is not None and match["offset"] is None:
        raise ValueError(f"expected a time with an offset such as Z or +02:00, got {_shown(text)}")
    time = _instant(text) if match is not None else None
    if time is None:
        raise ValueError(f'expected a time such as "2026-01-02T03:04:05Z", or "1h" for an hour ago, got {_shown(text)}')
    return time


def is_time(text: str) -> bool:
    """Say whether this is an RFC 3339 time with an offset."""
    match = _RFC_3339.fullmatch(text)
    return match is not None and match["offset"] is not None and _instant(text) is not None


def format_duration(duration: int) -> str:
    """Write milliseconds as a duration in the longest unit that needs no fraction."""
    return _written(duration, DURATIONS, "s")


def format_size(size: int) -> str:
    """Write bytes as a size in the largest unit that needs no fraction."""
    return _written(size, SIZES, "B")


def format_time(time: int) -> str:
    """Write a time as RFC 3339 in UTC with milliseconds: `2026-01-02T03:04:05.678Z`."""
    return (_EPOCH + time * _MILLISECOND).isoformat(timespec="milliseconds").removesuffix("+00:00") + "Z"


def counted(count: int, noun: str) -> str:
    """Write how many there are of something: `1 event`, `2 deliveries`, `3 days`."""
    if count == 1:
        return f"1 {noun}"
    return f"{count} {noun[:-1]}ies" if noun.endswith("ry") else f"{count} {noun}s"


def _quantity(text: str, units: dict[str, int]) -> int | None:
    match = _QUANTITY.fullmatch(text)
    if match is None or match[2] not in units:
        return None
    return int(match[1]) * units[match[2]]


def _instant(text: str) -> int | None:
    try:
        return (datetime.fromisoformat(text.upper()) - _EPOCH) // _MILLISECOND
    except ValueError:  # the shape of a time, but there is no such day, hour or offset
        return None


def _written(amount: int, units: dict[str, int], none: str) -> str:
    unit = next((unit for unit, factor in units.items() if amount % factor == 0), none) if amount else none
    return f"{amount // units[unit]}{unit}"


def _shown(text: str) -> str:
    return '"' + "".join(letter if letter.isprintable() else "?" for letter in text[:40]) + '"'
