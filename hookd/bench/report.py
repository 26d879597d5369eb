"""What a measurement found: figures, each beside its yardstick, as a table or as plain data."""

import contextlib
import importlib.metadata
import os
import platform
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hookd.version import VERSION

Row = Sequence[str]


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure: the median of its rounds, in a unit, with what it is held against.

    `floor` is what the ratio to the yardstick must reach, `times` what it must not exceed, `more` by how much the
    figure may exceed its yardstick, `ceiling` what it must not exceed at all; of upper bounds the widest counts.
    """

    name: str
    unit: str
    rounds: Sequence[float]
    yardstick: str | None = None
    yardstick_rounds: Sequence[float] = ()
    floor: float | None = None
    times: float | None = None
    more: float | None = None
    ceiling: float | None = None
    more_is_better: bool | None = False
    """None where neither is."""

    @property
    def value(self) -> float:
        """The median of the rounds."""
        return statistics.median(self.rounds)

    @property
    def yardstick_value(self) -> float | None:
        """The median of the yardstick's rounds; None without a yardstick."""
        return statistics.median(self.yardstick_rounds) if self.yardstick_rounds else None

    @property
    def ratio(self) -> float | None:
        """The figure as a multiple of its yardstick; None without one, and where less than nothing was waited."""
        beside = self.yardstick_value
        return self.value / beside if beside and self.value > 0 else None

    @property
    def most(self) -> float | None:
        """What the figure must not exceed, in its unit; None where it may be anything."""
        beside = self.yardstick_value or 0.0
        bounds = (
            self.ceiling,
            None if self.times is None else self.times * beside,
            None if self.more is None else self.more + beside,
        )
        return max((bound for bound in bounds if bound is not None), default=None)

    @property
    def met(self) -> bool | None:
        """Whether it keeps to its bounds; None where it has none."""
        kept = []
        if self.floor is not None and self.ratio is not None:
            kept.append(self.ratio >= self.floor)
        if self.most is not None:
            kept.append(self.value <= self.most)
        return all(kept) if kept else None

    @property
    def wanted(self) -> str:
        """The bounds, in words; empty where it has none."""
        upper = (
            "" if self.times is None else f"ratio ≤ {self.times:g}",
            "" if self.more is None else f"≤ {self.more:g} {self.unit} more",
            "" if self.ceiling is None else f"≤ {self.ceiling:g}",
        )
        lower = "" if self.floor is None else f"ratio ≥ {self.floor:g}"
        return " and ".join(filter(None, [lower, " or ".join(filter(None, upper))]))

    def plain(self) -> dict[str, Any]:
        """Answer everything there is to say, for JSON."""
        return {
            "unit": self.unit,
            "value": self.value,
            "rounds": list(self.rounds),
            "yardstick": self.yardstick,
            "yardstick_value": self.yardstick_value,
            "yardstick_rounds": list(self.yardstick_rounds),
            "ratio": self.ratio,
            "floor": self.floor,
            "times": self.times,
            "more": self.more,
            "ceiling": self.ceiling,
            "met": self.met,
        }


@dataclass(frozen=True, slots=True)
class Report:
    """The figures of a scenario, what they were measured on, and what the daemon logged."""

    scenario: str
    events: int
    figures: Sequence[Figure]
    each: str = "a round"
    level: str = "warning"
    machine: dict[str, Any] = field(default_factory=lambda: machine())

    def plain(self) -> dict[str, Any]:
        """Answer everything there is to say, for JSON."""
        figures = {figure.name: figure.plain() for figure in self.figures}
        return {
            "scenario": self.scenario,
            "events": self.events,
            "level": self.level,
            "machine": self.machine,
            "figures": figures,
        }

    def as_table(self) -> str:
        """Write a table for people, and under it the machine."""
        rows = [("figure", "", "unit", "yardstick", "", "ratio", "wanted"), *map(_row, self.figures)]
        facts = ", ".join(f"{name} {value}" for name, value in self.machine.items())
        return f"{table(rows)}\n\n{self.events} events {self.each}; log level {self.level}; {facts}"


def table(rows: Sequence[Row]) -> str:
    """Write rows in columns."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)
    return "\n".join(line.rstrip() for line in lines)


def machine() -> dict[str, Any]:
    """Describe what the figures depend on: processor, interpreter and libraries."""
    versions = {name: _version(name) for name in ("aiohttp", "uvloop")}
    return {
        "hookd": VERSION,
        "cores": os.cpu_count(),
        "processor": _processor(),
        "architecture": platform.machine(),
        "system": platform.system(),
        "python": platform.python_version(),
        **versions,
    }


def _processor() -> str:
    """Name the processor, where the system tells."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or "unknown"


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _row(figure: Figure) -> Row:
    return (
        figure.name,
        number(figure.value),
        figure.unit,
        figure.yardstick or "",
        number(figure.yardstick_value),
        number(figure.ratio),
        "" if figure.met is None else f"{figure.wanted}: {'yes' if figure.met else 'NO'}",
    )


def number(value: float | None) -> str:
    """Write a number for people; nothing for None."""
    if value is None:
        return ""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.2f}"
