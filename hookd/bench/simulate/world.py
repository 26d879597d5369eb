"""The world that is simulated: processes, machines, database, receivers and traffic."""

import math
import tomllib
from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError

from hookd.bench.simulate.costs import Costs, Model
from hookd.bench.wire import BenchError

_LEAST = 0.1
"""Cores that are left for hookd whatever others take."""


class Machines(Model):
    """Where hookd runs."""

    cores: int = Field(default=2, ge=1)
    """Of each machine."""
    taken: float = Field(default=0.0, ge=0)
    """How many of these others use, that have nothing to do with hookd."""
    processes: int = Field(default=1, ge=1)
    """On each machine."""
    max_in_flight: int = Field(default=256, ge=1)
    """As `[delivery] max_in_flight`, and `per_endpoint`."""
    per_endpoint: int = Field(default=16, ge=1)

    @property
    def left(self) -> float:
        """How many cores are left for hookd."""
        return max(_LEAST, self.cores - self.taken)

    @property
    def servers(self) -> int:
        """As how many cores these are simulated."""
        return math.ceil(self.left)

    @property
    def speed(self) -> float:
        """How fast each of them is, beside a whole one."""
        return self.left / self.servers


class Database(Model):
    """Where it keeps everything."""

    cores: int = Field(default=16, ge=0)
    """Of the database's own machine; 0: it runs in the process, as SQLite does, and nothing is on the way."""
    round_trips: float = Field(default=1.0, ge=0)
    """Milliseconds that a transaction takes on the way between, all its statements together."""
    notice: float = Field(default=1.0, ge=0)
    """Milliseconds until a process hears of what another has accepted for a lane of its own."""
    megabytes_per_second: float = Field(default=500.0, gt=0)
    """What its log's disk takes."""


class Receivers(Model):
    """The endpoints, and how they answer. Shares are of the endpoints, `failing` is of the attempts."""

    endpoints: int = Field(default=1000, ge=1)
    latency: float = Field(default=20.0, ge=0)
    """Milliseconds until an answer, in the mean."""
    slow: float = Field(default=0.0, ge=0, le=1)
    """They answer all the same, but late."""
    slowness: float = Field(default=2000.0, ge=0)
    """Milliseconds until a slow one answers."""
    down: float = Field(default=0.0, ge=0, le=1)
    """They refuse every attempt, at once."""
    failing: float = Field(default=0.0, ge=0, lt=1)
    """Of the attempts, at endpoints that work, how many are answered with a 5xx."""
    retry: float = Field(default=0.05, ge=0)
    """Seconds until the next attempt: a short while, since a longer one changes the latency alone."""


class Traffic(Model):
    """What is published."""

    rate: float | None = Field(default=None, gt=0)
    """Events a second, at which the latency is told; None: half of what they can do."""
    fanout: int = Field(default=1, ge=0)
    """Deliveries for each event."""
    pattern: Literal["poisson", "steady", "bursts"] = "poisson"
    burst: int = Field(default=50, ge=1)
    """Events that come at once, in a burst."""


class World(Model):
    """All of it, as docs/scaling.md shows it."""

    processes: tuple[int, ...] = Field(default=(1, 2, 4, 8), min_length=1)
    """For how many the capacity is told."""
    events: int = Field(default=4000, ge=100)
    """For each process, in each course."""
    seed: int = 0
    machines: Machines = Machines()
    database: Database = Database()
    receivers: Receivers = Receivers()
    traffic: Traffic = Traffic()
    costs: Costs | None = None
    """What each step takes; None: what it takes on this machine, which is measured."""


def read(path: Path) -> World:
    """Read a world; BenchError names every fault, in one line."""
    try:
        return World.model_validate(tomllib.loads(path.read_text("utf-8")))
    except OSError as error:
        raise BenchError(f"{path} can't be read: {error.strerror}") from None
    except ValidationError as error:
        raise BenchError(f"{path}: {faults(error)}") from None
    except ValueError as error:  # not UTF-8, or not TOML
        raise BenchError(f"{path} is not TOML: {error}") from None


def faults(error: ValidationError) -> str:
    """Write every fault of a table, each with its place."""
    return "; ".join(f"{'.'.join(map(str, each['loc']))}: {each['msg'].lower()}" for each in error.errors())
