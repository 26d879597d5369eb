"""What a measurement found: figures, each beside its yardstick, as a table or as one JSON object."""

import importlib.metadata
import json
import os
import platform
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from hookd.version import VERSION


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure: the median of its rounds, in a unit, with what it is held against.

    `floor` is what the ratio to the yardstick must reach; `ceiling` what the figure itself must not exceed.
    """

    name: str
    unit: str
    rounds: Sequence[float]
    yardstick: str | None = None
    yardstick_rounds: Sequence[float] = ()
    floor: float | None = None
    ceiling: float | None = None

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
    def met(self) -> bool | None:
        """Whether it keeps to its floor or ceiling; None where it has neither."""
        if self.floor is not None and self.ratio is not None:
            return self.ratio >= self.floor
        return None if self.ceiling is None else self.value <= self.ceiling

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
            "ceiling": self.ceiling,
            "met": self.met,
        }


@dataclass(frozen=True, slots=True)
class Report:
    """The figures of a scenario, and what they were measured on."""

    scenario: str
    events: int
    figures: Sequence[Figure]
    each: str = "a round"
    machine: dict[str, Any] = field(default_factory=lambda: machine())

    def as_json(self) -> str:
        """Write one JSON object, on one line."""
        figures = {figure.name: figure.plain() for figure in self.figures}
        return json.dumps(
            {"scenario": self.scenario, "events": self.events, "machine": self.machine, "figures": figures}
        )

    def as_table(self) -> str:
        """Write a table for people, and under it the machine."""
        rows = [("figure", "", "unit", "yardstick", "", "ratio", "wanted"), *map(_row, self.figures)]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows]
        facts = ", ".join(f"{name} {value}" for name, value in self.machine.items())
        return "\n".join([line.rstrip() for line in lines] + ["", f"{self.events} events {self.each}; {facts}"])


def machine() -> dict[str, Any]:
    """Describe what the figures depend on: processor, interpreter and libraries."""
    versions = {name: _version(name) for name in ("aiohttp", "uvloop")}
    return {
        "hookd": VERSION,
        "cores": os.cpu_count(),
        "architecture": platform.machine(),
        "system": platform.system(),
        "python": platform.python_version(),
        **versions,
    }


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _row(figure: Figure) -> tuple[str, ...]:
    return (
        figure.name,
        _number(figure.value),
        figure.unit,
        figure.yardstick or "",
        _number(figure.yardstick_value),
        "" if figure.ratio is None else f"{figure.ratio:.2f}",
        _wanted(figure),
    )


def _number(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:,.0f}" if value >= 100 else f"{value:.2f}"


def _wanted(figure: Figure) -> str:
    if figure.met is None:
        return ""
    bound = f"ratio ≥ {figure.floor}" if figure.floor is not None else f"≤ {figure.ceiling:g}"
    return f"{bound}: {'yes' if figure.met else 'NO'}"
