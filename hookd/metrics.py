"""What is counted, as plain numbers on the hot path, and put into Prometheus' text format when asked for."""

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric

from hookd.model import Outcome, Status
from hookd.version import VERSION

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

ATTEMPT_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 15.0, 30.0, 60.0)
LATENCY_BUCKETS = (
    0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1_800.0, 7_200.0, 21_600.0,
    43_200.0, 86_400.0, 259_200.0,
)  # fmt: skip
COMMIT_BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0)
BATCH_BUCKETS = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0)


FINAL = (Status.DELIVERED, Status.FAILED, Status.CANCELLED)


def _zeros(labels: Iterable[str]) -> Counter[str]:
    """Start every label at 0, so that a rate can be taken over its first increase too."""
    return Counter(dict.fromkeys(labels, 0))


class Histogram:
    """Counts observations by bucket."""

    def __init__(self, buckets: tuple[float, ...]) -> None:
        self.buckets = buckets
        self.counts = [0] * (len(buckets) + 1)
        self.sum = 0.0

    def observe(self, value: float) -> None:
        """Count one observation."""
        self.counts[bisect_left(self.buckets, value)] += 1
        self.sum += value

    def cumulative(self) -> list[tuple[str, float]]:
        """Answer the counts as Prometheus wants them: each with all that is below it."""
        total = 0
        rows: list[tuple[str, float]] = []
        for bound, count in zip((*map(str, self.buckets), "+Inf"), self.counts, strict=True):
            total += count
            rows.append((bound, float(total)))
        return rows


@dataclass(slots=True)
class Metrics:
    """The daemon's counters. Labels are bounded: names from the configuration, and words of ours."""

    events_accepted: Counter[str] = field(default_factory=Counter)
    """By source; `api` for what was published there, `outbox` for what applications have put into the database."""
    deliveries: Counter[str] = field(default_factory=lambda: _zeros(FINAL))
    attempts: Counter[str] = field(default_factory=lambda: _zeros(Outcome))
    inbound_requests: Counter[tuple[str, str]] = field(default_factory=Counter)
    attempt_duration: Histogram = field(default_factory=lambda: Histogram(ATTEMPT_BUCKETS))
    delivery_latency: Histogram = field(default_factory=lambda: Histogram(LATENCY_BUCKETS))
    commit_batch_size: Histogram = field(default_factory=lambda: Histogram(BATCH_BUCKETS))
    commit_seconds: Histogram = field(default_factory=lambda: Histogram(COMMIT_BUCKETS))
    attempts_in_flight: int = 0
    last_reload_successful: bool = True


@dataclass(frozen=True, slots=True)
class Gauges:
    """What is read from the store when somebody asks."""

    outbox_depth: Mapping[str, int]
    outbox_oldest_due: float
    """Seconds."""
    endpoints: Mapping[str, int]


def exposition(metrics: Metrics, gauges: Gauges | None, *, ready: bool) -> bytes:
    """Write everything in Prometheus' text format; without gauges of the store where it can't be read.

    `ready` is what `/readyz` says.
    """
    registry = CollectorRegistry(auto_describe=False)
    of_store = [] if gauges is None else _of_store(gauges)
    registry.register(
        _Collected([*_counters(metrics), *_histograms(metrics), *_of_process(metrics, ready=ready), *of_store])
    )
    return generate_latest(registry)


class _Collected:
    def __init__(self, families: Iterable[Metric]) -> None:
        self._families = list(families)

    def collect(self) -> list[Metric]:
        return self._families


def _counters(metrics: Metrics) -> Iterator[Metric]:
    yield _labelled(
        CounterMetricFamily("hookd_events_accepted", "Events on disk", labels=["source"]), metrics.events_accepted
    )
    yield _labelled(
        CounterMetricFamily("hookd_deliveries", "Deliveries that came to an end", labels=["status"]),
        metrics.deliveries,
    )
    yield _labelled(
        CounterMetricFamily("hookd_attempts", "Attempts that were made", labels=["outcome"]), metrics.attempts
    )
    inbound = CounterMetricFamily("hookd_inbound_requests", "Requests to sources", labels=["source", "result"])
    for labels, count in metrics.inbound_requests.items():
        inbound.add_metric(labels, count)
    yield inbound


def _labelled(family: CounterMetricFamily, counts: Mapping[str, int]) -> Metric:
    for label, count in counts.items():
        family.add_metric([label], count)
    return family


def _histograms(metrics: Metrics) -> Iterator[Metric]:
    for name, text, histogram in (
        ("hookd_attempt_duration_seconds", "How long attempts took", metrics.attempt_duration),
        ("hookd_delivery_latency_seconds", "From accepted to delivered", metrics.delivery_latency),
        ("hookd_commit_batch_size", "Writes in one commit", metrics.commit_batch_size),
        ("hookd_commit_seconds", "How long commits took", metrics.commit_seconds),
    ):
        family = HistogramMetricFamily(name, text)
        family.add_metric([], histogram.cumulative(), histogram.sum)
        yield family


def _of_process(metrics: Metrics, *, ready: bool) -> Iterator[Metric]:
    build = GaugeMetricFamily("hookd_build_info", "The version that runs", labels=["version"])
    build.add_metric([VERSION], 1)
    yield build
    for name, text, value in (
        ("hookd_ready", "1 if events are accepted, as /readyz says", ready),
        ("hookd_attempts_in_flight", "Attempts under way", metrics.attempts_in_flight),
        ("hookd_config_last_reload_successful", "1 if the last reload took effect", metrics.last_reload_successful),
    ):
        yield GaugeMetricFamily(name, text, value=float(value))


def _of_store(gauges: Gauges) -> Iterator[Metric]:
    depth = GaugeMetricFamily("hookd_outbox_depth", "Deliveries that wait or are being sent", labels=["status"])
    for status, count in gauges.outbox_depth.items():
        depth.add_metric([status], count)
    yield depth
    endpoints = GaugeMetricFamily("hookd_endpoints", "Endpoints by state", labels=["state"])
    for state, count in gauges.endpoints.items():
        endpoints.add_metric([state], count)
    yield endpoints
    yield GaugeMetricFamily(
        "hookd_outbox_oldest_due_seconds",
        "How long the oldest due delivery has waited",
        value=gauges.outbox_oldest_due,
    )
