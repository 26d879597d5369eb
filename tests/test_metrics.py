"""Metrics: what Prometheus reads is what was counted."""

from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from hookd.metrics import LATENCY_BUCKETS, Gauges, Histogram, Metrics, exposition
from hookd.model import Outcome, Status
from hookd.version import VERSION

GAUGES = Gauges({Status.PENDING: 2, Status.SENDING: 1}, 3.5, {"active": 4})


def families(metrics: Metrics, gauges: Gauges | None = GAUGES, *, ready: bool = True) -> dict[str, Metric]:
    text = exposition(metrics, gauges, ready=ready).decode()
    return {family.name: family for family in text_string_to_metric_families(text)}


def value(family: Metric, **labels: str) -> float:
    (found,) = (sample.value for sample in family.samples if sample.labels == labels)
    return float(found)


def test_the_names_and_labels_are_those_that_are_documented() -> None:
    metrics = Metrics()
    metrics.events_accepted["api"] += 1
    metrics.inbound_requests["shop", "accepted"] += 1
    found = {
        (family.name, family.type, *sorted({label for sample in family.samples for label in sample.labels} - {"le"}))
        for family in families(metrics).values()
    }
    assert found == {
        ("hookd_build_info", "gauge", "version"),
        ("hookd_events_accepted", "counter", "source"),
        ("hookd_deliveries", "counter", "status"),
        ("hookd_attempts", "counter", "outcome"),
        ("hookd_attempt_duration_seconds", "histogram"),
        ("hookd_delivery_latency_seconds", "histogram"),
        ("hookd_outbox_depth", "gauge", "status"),
        ("hookd_outbox_oldest_due_seconds", "gauge"),
        ("hookd_attempts_in_flight", "gauge"),
        ("hookd_endpoints", "gauge", "state"),
        ("hookd_inbound_requests", "counter", "result", "source"),
        ("hookd_commit_batch_size", "histogram"),
        ("hookd_commit_seconds", "histogram"),
        ("hookd_config_last_reload_successful", "gauge"),
        ("hookd_ready", "gauge"),
    }


def test_what_was_counted_is_told() -> None:
    metrics = Metrics()
    metrics.events_accepted["api"] += 3
    metrics.attempts[Outcome.SUCCESS] += 2
    metrics.deliveries[Status.DELIVERED] += 1
    metrics.inbound_requests["shop", "duplicate"] += 5
    metrics.attempts_in_flight = 7
    metrics.last_reload_successful = False
    found = families(metrics)
    assert value(found["hookd_events_accepted"], source="api") == 3
    assert value(found["hookd_attempts"], outcome="success") == 2
    assert value(found["hookd_deliveries"], status="delivered") == 1
    assert value(found["hookd_inbound_requests"], source="shop", result="duplicate") == 5
    assert value(found["hookd_attempts_in_flight"]) == 7
    assert value(found["hookd_config_last_reload_successful"]) == 0
    assert value(found["hookd_build_info"], version=VERSION) == 1
    assert value(found["hookd_outbox_depth"], status="pending") == 2
    assert value(found["hookd_outbox_oldest_due_seconds"]) == 3.5
    assert value(found["hookd_endpoints"], state="active") == 4


def test_without_the_store_what_the_process_counted_is_told_and_nothing_of_the_store_is_made_up() -> None:
    found, all_of_them = families(Metrics(), None, ready=False), families(Metrics())
    assert all_of_them.keys() - found.keys() == {
        "hookd_outbox_depth",
        "hookd_outbox_oldest_due_seconds",
        "hookd_endpoints",
    }
    assert (value(found["hookd_ready"]), value(all_of_them["hookd_ready"])) == (0, 1)


def test_counters_begin_at_zero_so_that_their_first_increase_is_seen() -> None:
    found = families(Metrics())
    assert {sample.labels["outcome"] for sample in found["hookd_attempts"].samples} == set(Outcome)
    assert {sample.labels["status"] for sample in found["hookd_deliveries"].samples} == {
        "delivered",
        "failed",
        "cancelled",
    }


def test_a_histogram_is_cumulative() -> None:
    histogram = Histogram((1.0, 2.0, 4.0))
    for observed in (0.5, 1.0, 1.5, 4.0, 5.0):
        histogram.observe(observed)
    assert histogram.cumulative() == [("1.0", 2), ("2.0", 3), ("4.0", 4), ("+Inf", 5)]
    assert histogram.sum == 12.0


def test_a_histogram_is_told_whole() -> None:
    metrics = Metrics()
    for latency in (0.001, 100_000.0, 10_000_000.0):
        metrics.delivery_latency.observe(latency)
    samples = families(metrics)["hookd_delivery_latency_seconds"].samples
    buckets = [(sample.labels["le"], sample.value) for sample in samples if sample.name.endswith("_bucket")]
    assert (buckets[0], buckets[-2], buckets[-1]) == (("0.005", 1), ("259200.0", 2), ("+Inf", 3))
    assert [sample.value for sample in samples if sample.name.endswith("_count")] == [3]
    assert [sample.value for sample in samples if sample.name.endswith("_sum")] == [10_100_000.001]


def test_latency_is_told_from_milliseconds_to_days() -> None:
    assert (LATENCY_BUCKETS[0], LATENCY_BUCKETS[-1]) == (0.005, 3 * 24 * 3600)
