"""Service times: what each step of hookd takes of what, as it was measured, or is supposed."""

from pydantic import BaseModel, ConfigDict, Field

MICROSECOND = 1e-6


class Model(BaseModel):
    """A table of numbers that can't be changed, and has no key that nobody knows."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Work(Model):
    """Microseconds that a step of a transaction takes."""

    process: float = Field(ge=0)
    """Of the process's interpreter, for which its event loop has to wait."""
    database: float = Field(ge=0)
    """Of a core of the database's; on SQLite, of the process's machine, beside the event loop."""

    @property
    def both(self) -> float:
        """Microseconds altogether."""
        return self.process + self.database

    def times(self, count: float) -> "Work":
        """Answer what so many of them take."""
        return Work.model_construct(process=self.process * count, database=self.database * count)

    def __add__(self, other: "Work") -> "Work":
        return Work.model_construct(process=self.process + other.process, database=self.database + other.database)


class Costs(Model):
    """What hookd takes, in microseconds and bytes; `source` says where the numbers come from."""

    source: str
    accept: float = Field(ge=0)
    """Of the event loop, for each event that is published: the request, its checks, the answer."""
    attempt: float = Field(ge=0)
    """Of the event loop, for each attempt: to make it, judge it, and queue its record."""
    commit: Work
    """For each transaction, whatever is in it."""
    event: Work
    """For each event that is inserted."""
    delivery: Work
    """For each delivery that is inserted with it."""
    claim: Work
    """For each delivery that is claimed; one that is handed over as it is inserted is not."""
    record: Work
    """For each attempt that is recorded."""
    fsync: float = Field(ge=0)
    """Until what was written is on disk."""
    event_bytes: float = Field(ge=0)
    """What each event, with one delivery that is recorded, comes to on the way to the disk."""
    delivery_bytes: float = Field(ge=0)
    """What each further delivery comes to, recorded."""
