"""Comparing a report with that of an earlier run: figure by figure, and what else was not the same."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from hookd.bench.report import Figure, Report, Row, number, table
from hookd.bench.wire import BenchError

_OURS = "hookd"
"""The one fact of a machine that is there to be compared."""
_NOTHING = 0.05
"""Percent that a figure may change by and be called the same."""
_SMALLEST = 0.1
"""What a figure is at the least for a change of it to be told in percent."""
_SHOWN = 0.01
"""The last of the decimals that small figures are shown with."""


class EarlierFigure(msgspec.Struct, frozen=True):
    """What an earlier run found."""

    value: float
    ratio: float | None = None


class Earlier(msgspec.Struct, frozen=True):
    """An earlier run, as `--json` told of it."""

    scenario: str
    events: int
    machine: dict[str, Any]
    figures: dict[str, EarlierFigure]
    level: str = "warning"


def read(path: Path, scenario: str) -> Earlier:
    """Read an earlier run of the same scenario; BenchError where the file holds anything else."""
    try:
        earlier = msgspec.json.decode(path.read_bytes(), type=Earlier)
    except OSError as error:
        raise BenchError(f"can't read {path}: {error.strerror}") from None
    except msgspec.DecodeError as error:
        raise BenchError(f"{path} is not what `hookd bench {scenario} --json` prints: {error}") from None
    if earlier.scenario != scenario:
        raise BenchError(f"{path} is of the scenario {earlier.scenario}, which is no measure of {scenario}")
    return earlier


@dataclass(frozen=True, slots=True)
class Change:
    """How a number differs from an earlier one."""

    now: float
    before: float
    more_is_better: bool | None

    @property
    def percent(self) -> float | None:
        """By how much it has grown; None where either is so near to zero, or below it, that a share says nothing."""
        return (self.now - self.before) / self.before * 100 if min(self.now, self.before) >= _SMALLEST else None

    @property
    def verdict(self) -> str:
        """Better, worse or the same; changed, where there is no better."""
        percent = self.percent
        if abs(self.now - self.before) < _SHOWN if percent is None else abs(percent) < _NOTHING:
            return "the same"
        if self.more_is_better is None:
            return "changed"
        return "better" if (self.now > self.before) is self.more_is_better else "worse"

    @property
    def words(self) -> str:
        """The change in percent, and the verdict."""
        return self.verdict if self.percent is None else f"{self.percent:+.1f} %, {self.verdict}"

    def plain(self) -> dict[str, Any]:
        """Answer everything there is to say, for JSON."""
        return {"before": self.before, "percent": self.percent, "verdict": self.verdict}


@dataclass(frozen=True, slots=True)
class Comparison:
    """A report beside an earlier run of the same scenario."""

    report: Report
    earlier: Earlier

    @property
    def remarks(self) -> list[str]:
        """Say what was not the same, a line each."""
        return [*self._elsewhere(), *self._otherwise(), *self._gone()]

    def _elsewhere(self) -> Iterator[str]:
        before, now = self.earlier.machine, self.report.machine
        others = [name for name in now if name != _OURS and before.get(name) != now[name]]
        if others:
            facts = ", ".join(f"{name} {before.get(name)} then and {now[name]} now" for name in others)
            yield f"another machine, or other libraries: {facts}; only the ratios can be compared"

    def _otherwise(self) -> Iterator[str]:
        if self.earlier.events != self.report.events:
            yield f"another number of events: {self.earlier.events} then and {self.report.events} now"
        if self.earlier.level != self.report.level:
            yield f"another log level: {self.earlier.level} then and {self.report.level} now"

    def _gone(self) -> Iterator[str]:
        names = {figure.name for figure in self.report.figures}
        yield from (f"{name} was only in the earlier run" for name in self.earlier.figures if name not in names)

    def _changes(self, figure: Figure) -> tuple[Change | None, Change | None]:
        """Answer how the figure has changed, and how its ratio has; None for what can't be told."""
        before = self.earlier.figures.get(figure.name)
        if before is None:
            return None, None
        value = Change(figure.value, before.value, figure.more_is_better)
        if figure.ratio is None or before.ratio is None:
            return value, None
        return value, Change(figure.ratio, before.ratio, figure.more_is_better)

    def plain(self) -> dict[str, Any]:
        """Answer everything there is to say, for JSON."""
        changes = {figure.name: self._changes(figure) for figure in self.report.figures}
        return {
            "hookd": self.earlier.machine.get(_OURS),
            "remarks": self.remarks,
            "figures": {
                name: {"value": value and value.plain(), "ratio": ratio and ratio.plain()}
                for name, (value, ratio) in changes.items()
            },
        }

    def as_table(self) -> str:
        """Write a table for people, and above it what was not the same."""
        heading = ("figure", "now", "before", "change", "ratio", "before", "change")
        lines = table([heading, *map(self._row, self.report.figures)])
        return "\n".join([*self.remarks, lines])

    def _row(self, figure: Figure) -> Row:
        value, ratio = self._changes(figure)
        return (figure.name, number(figure.value), *_cells(value), number(figure.ratio), *_cells(ratio))


def _cells(change: Change | None) -> Row:
    return ("", "") if change is None else (number(change.before), change.words)
