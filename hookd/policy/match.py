"""Which event types an endpoint's patterns match: an exact type, `a.*`, or `*` for everything published."""

from collections.abc import Iterable

from hookd.model import Origin

EVERYTHING = "*"


def candidates(event_type: str, origin: Origin) -> tuple[str, ...]:
    """Name every pattern that matches an event of this type and origin.

    `a.b.c` is matched by `a.b.c`, `a.b.*` and `a.*`; by `*` only where it was published, so that inbound and
    operational events reach those alone who name their prefix.
    """
    segments = event_type.split(".")
    prefixes = (".".join(segments[:count]) + ".*" for count in range(1, len(segments)))
    everything = (EVERYTHING,) if origin is Origin.PUBLISHED else ()
    return (event_type, *prefixes, *everything)


def matches(patterns: Iterable[str], event_type: str, origin: Origin) -> bool:
    """Say whether one of the patterns matches."""
    return not set(candidates(event_type, origin)).isdisjoint(patterns)
