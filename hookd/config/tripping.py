"""When a breaker opens, as a setting: a table of its own in one line, or `"off"`."""

from collections.abc import Mapping
from typing import Any

from msgspec.structs import asdict

from hookd.config.kinds import Kind, Surroundings, duration, got, integer, kind
from hookd.policy.breaker import NEVER, USUAL, BreakerPolicy
from hookd.units import format_duration

OFF = "off"

KEYS: Mapping[str, Kind] = {
    "failures": integer(1, 10_000),
    "share": kind(
        "a number above 0, up to 1",
        lambda value: float(value) if type(value) in (int, float) and 0 < value <= 1 else None,
        str,
    ),
    "least": integer(1, 10_000),
    "window": duration("1s", "24h", "1m"),
    "wait": duration("1ms", "24h", "10s"),
    "longest": duration("1ms", "24h", "5m"),
}


def _read(value: Any, surroundings: Surroundings, siblings: Mapping[str, Any]) -> BreakerPolicy:
    if value == OFF:
        return NEVER
    if not isinstance(value, dict):
        raise ValueError(f"expected {EXPECTED}, got {got(value)}")  # noqa: TRY004 - ValueError is what pydantic collects
    faults, found = [], asdict(USUAL)
    for key, entry in value.items():
        try:
            found[key] = _kind(key).read(entry, surroundings, siblings)
        except ValueError as error:
            faults.append(f"{key}: {error}")
    if not faults and found["wait"] > found["longest"]:
        wait, longest = (format_duration(found[key]) for key in ("wait", "longest"))
        faults.append(f"wait: expected at most longest, which is {longest}, got {wait}")
    if faults:
        raise ValueError("; ".join(faults))
    return BreakerPolicy(**found)


def _kind(key: str) -> Kind:
    try:
        return KEYS[key]
    except KeyError:
        raise ValueError(f"unknown key; known are {', '.join(KEYS)}") from None


def _show(policy: BreakerPolicy) -> str:
    if policy == NEVER:
        return f'"{OFF}"'
    return "{ " + ", ".join(f"{key} = {kind.show(getattr(policy, key))}" for key, kind in KEYS.items()) + " }"


EXPECTED = f'"{OFF}" or a table such as {{ failures = 20, wait = "10s" }}'
TRIPPING = Kind(EXPECTED, _read, _show)
