"""The simulation keeps to the laws of queues, comes to what can be worked out by hand, and to the same each time."""

import itertools
import json
import random
import re
import statistics
import tomllib
from functools import partial
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from hookd.bench.simulate.calendar import Calendar
from hookd.bench.simulate.capacity import attempts, bounds, capacity
from hookd.bench.simulate.check import Point, figures, middle
from hookd.bench.simulate.cluster import Cluster
from hookd.bench.simulate.costs import MICROSECOND, Costs, Work
from hookd.bench.simulate.line import SLICE, Journal, Line
from hookd.bench.simulate.store import Sample
from hookd.bench.simulate.traffic import arrivals
from hookd.bench.simulate.world import Database, Machines, Receivers, Traffic, World, read
from hookd.bench.wire import BenchError
from hookd.cli import hookd
from hookd.policy.breaker import USUAL

DATABASE = "cores of the database"
NOTHING = Work(process=0, database=0)
BARE = Costs(
    source="a test",
    accept=100,
    attempt=50,
    commit=NOTHING,
    event=NOTHING,
    delivery=NOTHING,
    claim=NOTHING,
    record=NOTHING,
    fsync=0,
    event_bytes=0,
    delivery_bytes=0,
)
"""Nothing but the event loop takes any time."""
USUAL_COSTS = Costs(
    source="a test",
    accept=90,
    attempt=70,
    commit=Work(process=100, database=150),
    event=Work(process=5, database=8),
    delivery=Work(process=4, database=6),
    claim=Work(process=3, database=5),
    record=Work(process=5, database=8),
    fsync=200,
    event_bytes=3000,
    delivery_bytes=2000,
)
ALONE = World(database=Database(cores=0), receivers=Receivers(latency=0))
"""One process, with its database in it, and receivers that answer at once."""

microseconds = st.floats(1, 300)
works = st.builds(Work, process=microseconds, database=microseconds)
costs = st.builds(
    Costs,
    source=st.just("drawn"),
    accept=microseconds,
    attempt=microseconds,
    commit=works,
    event=works,
    delivery=works,
    claim=works,
    record=works,
    fsync=st.floats(0, 5000),
    event_bytes=st.floats(2000, 9000),
    delivery_bytes=st.floats(0, 2000),
)
machines = st.builds(
    Machines,
    cores=st.integers(1, 4),
    taken=st.floats(0, 1),
    processes=st.integers(1, 2),
    max_in_flight=st.integers(2, 64),
    per_endpoint=st.integers(1, 16),
)


def worlds(receivers: st.SearchStrategy[Receivers], own: st.SearchStrategy[int]) -> st.SearchStrategy[World]:
    return st.builds(
        World,
        seed=st.integers(0, 9),
        machines=machines,
        database=st.builds(Database, cores=own),
        receivers=receivers,
        traffic=st.builds(Traffic, fanout=st.integers(0, 4)),
    )


prompt = st.builds(Receivers, endpoints=st.integers(1, 20), latency=st.just(0.0))
troubled = st.builds(
    Receivers,
    endpoints=st.integers(1, 20),
    latency=st.floats(0, 50),
    slow=st.floats(0, 0.5),
    slowness=st.just(200.0),
    down=st.floats(0, 0.5),
    failing=st.floats(0, 0.5),
)


@settings(max_examples=50, deadline=None)
@given(worlds(troubled, st.integers(1, 4)), costs, st.integers(1, 3), st.integers(1, 200))
def test_every_event_is_over_once_and_littles_law_holds(
    world: World, costs: Costs, processes: int, events: int
) -> None:
    cluster = Cluster(world, costs, processes)
    course = cluster.burst(events, producers=16)
    ledger = cluster.ledger
    assert course.arrived == course.over == events == len(ledger.answers)
    number, rate, time = ledger.area / course.seconds, events / course.seconds, ledger.spent / events
    assert number == pytest.approx(rate * time)


@settings(max_examples=50, deadline=None)
@given(worlds(prompt, st.integers(1, 4)), costs, st.integers(1, 3))
def test_no_more_is_done_than_the_resources_allow(world: World, costs: Costs, processes: int) -> None:
    events = 60
    course = Cluster(world, costs, processes).burst(events, producers=32)
    assert events / course.seconds <= min(bounds(world, costs, processes).values()) * (1 + 1e-9)
    assert all(0 <= busy <= 1 + 1e-9 for busy in course.busy.values())


def test_a_loop_that_alone_takes_time_does_what_its_times_add_up_to() -> None:
    events = 2000
    course = Cluster(ALONE, BARE, 1).burst(events, producers=64)
    assert course.seconds == pytest.approx(events * (100 + 50) * MICROSECOND, rel=0.02)
    assert course.busy["event loop"] == pytest.approx(1, rel=0.02)


def test_a_backlog_is_delivered_as_fast_as_attempts_can_be_made() -> None:
    deliveries = 5000
    cluster = Cluster(ALONE, BARE, 1)
    cluster.drain(deliveries)
    assert cluster.ledger.last_reception == pytest.approx(deliveries * 50 * MICROSECOND, rel=0.02)


def test_the_time_in_a_line_is_that_of_pollaczek_and_khinchine() -> None:
    """M/D/1: a fixed time of service s, Poisson arrivals, at a load of r: s + r s / (2 (1 - r)) in the mean."""
    service, load, count = 0.0004, 0.7, 40_000
    assert service < SLICE
    calendar = Calendar()
    line = Line(1, calendar.after)
    took: list[float] = []

    def arrive() -> None:
        arrived = calendar.now
        line.ask(service, lambda: took.append(calendar.now - arrived))

    chance, at = random.Random(1), 0.0
    for _, (gap, _) in zip(range(count), arrivals(Traffic(), load / service, chance), strict=False):
        at += gap
        calendar.after(at, arrive)
    calendar.run(at * 2)
    assert statistics.mean(took) == pytest.approx(service * (1 + load / (2 * (1 - load))), rel=0.05)


def test_long_work_takes_turns_with_short_work() -> None:
    calendar = Calendar()
    line = Line(1, calendar.after)
    ended: dict[str, float] = {}
    for name, seconds in (("long", 10 * SLICE), ("short", SLICE / 2)):
        line.ask(seconds, partial(note, calendar, ended, name))
    calendar.run(1)
    assert ended == pytest.approx({"short": 1.5 * SLICE, "long": 10.5 * SLICE})


def note(calendar: Calendar, ended: dict[str, float], name: str) -> None:
    ended[name] = calendar.now


def test_who_commits_during_a_flush_shares_the_next() -> None:
    calendar = Calendar()
    journal = Journal(calendar, fsync=1.0, rate=100.0)
    ended: dict[str, float] = {}
    for number, name in enumerate(("first", "second", "third")):
        calendar.after(0.1 * number, partial(journal.flush, 50, partial(note, calendar, ended, name)))
    calendar.run(10)
    assert ended == pytest.approx({"first": 1.5, "second": 3.5, "third": 3.5})


@pytest.mark.parametrize(
    ("pattern", "spread"), [("poisson", pytest.approx(1, rel=0.1)), ("steady", pytest.approx(3**-0.5, rel=0.1))]
)
def test_traffic_keeps_its_rate(pattern: str, spread: float) -> None:
    gaps = [gap for _, (gap, _) in zip(range(5000), arrivals(traffic(pattern), 50, random.Random(2)), strict=False)]
    assert statistics.mean(gaps) == pytest.approx(1 / 50, rel=0.05)
    assert statistics.pstdev(gaps) * 50 == spread


def test_bursts_keep_the_rate_as_well() -> None:
    drawn = [each for _, each in zip(range(5000), arrivals(traffic("bursts"), 50, random.Random(2)), strict=False)]
    assert sum(together for _, together in drawn) / sum(gap for gap, _ in drawn) == pytest.approx(50, rel=0.05)
    assert {together for _, together in drawn} == {Traffic().burst}


def traffic(pattern: str) -> Traffic:
    return Traffic.model_validate({"pattern": pattern})


def test_more_processes_do_more_until_the_database_is_the_limit() -> None:
    world = World(database=Database(cores=1), receivers=Receivers(endpoints=100, latency=1))
    able = [capacity(world, USUAL_COSTS, processes) for processes in (1, 2, 4, 8)]
    assert able[1].events >= 1.7 * able[0].events
    assert all(after.events >= 0.98 * before.events for before, after in itertools.pairwise(able))
    assert able[0].bottleneck == "event loop"
    assert able[-1].bottleneck == DATABASE
    assert able[-1].events <= bounds(world, USUAL_COSTS, 8)[DATABASE]
    assert able[-1].events < 8 * able[0].events


def test_each_resource_allows_what_is_asked_of_it_goes_into() -> None:
    world = World(
        machines=Machines(cores=4, processes=2),
        database=Database(cores=2, megabytes_per_second=100),
        receivers=Receivers(endpoints=10, latency=50, failing=0.5),
        traffic=Traffic(fanout=3),
    )
    allowed = bounds(world, USUAL_COSTS, 4)
    loop, database = 90 + 6 * 70 + (5 + 3 * 4 + 6 * 5), 8 + 3 * 6 + 6 * 8
    assert allowed == pytest.approx(
        {
            "event loop": 4 / (loop * MICROSECOND),
            "store's one transaction at a time": 4 / ((5 + 3 * 4 + 6 * 5 + database) * MICROSECOND),
            "cores of hookd's machines": 2 * 4 / (loop * MICROSECOND),
            "cores of the database": 2 / (database * MICROSECOND),
            "bytes of the database's log": 100e6 / (3000 + 5 * 2000),
            "attempts in flight": 4 * 256 / (6 * 0.05),
            "attempts in flight for one endpoint": 10 * 16 / (6 * 0.05),
        }
    )


def test_what_one_process_can_do_is_what_its_loop_can() -> None:
    able = capacity(World(), BARE, 1)
    assert able.events == pytest.approx(1 / (150 * MICROSECOND), rel=0.05)
    assert (able.bottleneck, able.deliveries) == ("event loop", able.events)


def test_slow_receivers_are_the_limit_of_what_they_are_sent() -> None:
    receivers = Receivers(endpoints=2, latency=100)
    able = capacity(World(receivers=receivers), BARE, 1)
    assert able.bottleneck == "attempts in flight for one endpoint"
    assert able.events == pytest.approx(2 * Machines().per_endpoint / 0.1, rel=0.1)


def test_an_endpoint_that_is_down_is_left_alone_after_some_attempts() -> None:
    receivers = Receivers(endpoints=4, latency=0, down=0.25)
    cluster = Cluster(World(receivers=receivers, traffic=Traffic(fanout=4)), USUAL_COSTS, 2)
    course = cluster.burst(500, producers=8)
    assert course.over == 500
    assert cluster.ledger.parked == 500
    assert USUAL.failures <= cluster.ledger.attempts - 3 * 500 <= USUAL.failures + Machines().per_endpoint


def test_what_fails_is_attempted_again() -> None:
    world = World(receivers=Receivers(latency=0, failing=0.5))
    cluster = Cluster(world, USUAL_COSTS, 1)
    cluster.burst(2000, producers=8)
    assert cluster.ledger.attempts == pytest.approx(2000 * attempts(world), rel=0.1)
    assert len(cluster.ledger.receptions) == 2000


def test_what_another_process_accepted_waits_for_its_notice() -> None:
    world = World(database=Database(notice=500, round_trips=0), receivers=Receivers(endpoints=1, latency=0))
    cluster = Cluster(world, BARE, 2)
    cluster.burst(2, producers=2)
    own, other = sorted(cluster.ledger.receptions)
    assert own < 0.1
    assert other >= 0.5


def test_the_same_seed_comes_to_the_same() -> None:
    def course(seed: int) -> object:
        return Cluster(World(seed=seed), USUAL_COSTS, 2).flow(4000, 0.2, 0.2)

    assert course(1) == course(1)
    assert course(1) != course(2)


def test_of_two_sizes_of_a_transaction_what_a_row_takes_is_told() -> None:
    sample = Sample(one=110.0, many=740.0, bytes=0.0, rows=64)
    assert (sample.each, sample.alone) == (10.0, 100.0)
    assert Sample(one=50.0, many=40.0, bytes=0.0).each == 0.0


def test_of_several_measurements_the_medians_count() -> None:
    slow = USUAL_COSTS.model_copy(update={"accept": 900.0, "claim": Work(process=30, database=1)})
    found = middle([USUAL_COSTS, slow, slow.model_copy(update={"accept": 100.0})])
    assert (found.accept, found.claim, found.source) == (100.0, Work(process=30, database=1), "a test")


def test_each_point_stands_beside_its_prediction() -> None:
    drain, pipeline, p50, p99 = figures([Point(900, 400, (2.0, 9.0))], [Point(1000, 600, (1.0, 3.0))])
    assert (drain.ratio, drain.met, pipeline.met) == (0.9, True, False)
    assert (p50.value, p50.yardstick_value, p99.ratio, p99.met) == (2.0, 1.0, 3.0, None)


@pytest.mark.parametrize(
    ("content", "saying"),
    [
        (b"processes = []", "processes: "),
        (b"[machine]\ncores = 2", "machine: extra inputs are not permitted"),
        (b"[machines]\ncores = 0\n[traffic]\npattern = 'odd'", "machines.cores: input should be greater"),
        (b"[costs]\naccept = 1", "costs.attempt: field required"),
        (b"processes = ", "is not TOML"),
        (b"\xff", "is not TOML"),
    ],
)
def test_a_world_that_makes_no_sense_is_one_line(tmp_path: Path, content: bytes, saying: str) -> None:
    file = tmp_path / "world.toml"
    file.write_bytes(content)
    with pytest.raises(BenchError) as caught:
        read(file)
    assert saying in str(caught.value)
    assert "\n" not in str(caught.value)
    told = CliRunner().invoke(hookd, ["bench", "simulate", "--world", str(file)])
    assert told.exit_code == 2
    assert saying in told.output


def test_the_world_that_the_document_shows_is_one(tmp_path: Path) -> None:
    document = Path(__file__).parents[2] / "docs" / "scaling.md"
    [shown] = re.findall(r"```toml\n(.*?)```", document.read_text("utf-8"), re.DOTALL)
    (tmp_path / "world.toml").write_text(shown)
    world = read(tmp_path / "world.toml")
    shown_names = {name for table in tomllib.loads(shown).values() if isinstance(table, dict) for name in table}
    tables = (world.machines, world.database, world.receivers, world.traffic)
    left_out = {name for table in tables for name in type(table).model_fields} - shown_names
    assert left_out == {"taken", "retry"}
    assert world.costs is not None


GIVEN = """\
processes = [1, 2]
events = 500
[machines]
max_in_flight = 64
[traffic]
rate = 500
[costs]
source = "a test"
accept = 1000
attempt = 500
commit = {process = 100, database = 150}
event = {process = 5, database = 8}
delivery = {process = 4, database = 6}
claim = {process = 3, database = 5}
record = {process = 5, database = 8}
fsync = 200
event_bytes = 3000
delivery_bytes = 2000
"""


def test_where_all_costs_are_given_nothing_is_measured(tmp_path: Path) -> None:
    file = tmp_path / "world.toml"
    file.write_text(GIVEN)
    arguments = ["bench", "simulate", "--world", str(file)]
    report = json.loads(CliRunner().invoke(hookd, [*arguments, "--json"]).output)
    assert report["figures"] == {}
    one, two = report["forecast"]
    assert two["events"] == pytest.approx(2 * one["events"], rel=0.1)
    assert (one["rate"], one["bottleneck"]) == (500, "event loop")
    assert 0 < one["answered_ms"][0] <= one["delivered_ms"][0]
    table = CliRunner().invoke(hookd, arguments).output
    assert "nothing was measured" in table
    assert "accept 1,000" in " ".join(table.split())
    assert " ".join(table.split()).count("event loop") == 2
