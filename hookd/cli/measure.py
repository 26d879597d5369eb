"""The command `bench`."""

import contextlib
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import click

T = TypeVar("T")

SCENARIOS = (
    "drain", "pipeline", "fanout", "isolation", "backlog", "claims", "processes", "endpoints", "rate", "latency",
    "verify", "soak", "simulate",
)  # fmt: skip


@click.command(short_help="Measure this machine, each figure beside its yardstick.")
@click.argument("scenario", type=click.Choice(SCENARIOS), metavar="SCENARIO")
@click.option(
    "--rounds",
    type=click.IntRange(1, 100),
    help="The median counts; the soak's are its lives.  [default: 3; isolation, soak: 5; rate, claims: 1]",
)
@click.option(
    "--events",
    type=click.IntRange(2, 1_000_000),
    help="Events a round; backlog: how many wait.  [default: drain, pipeline, processes, simulate: 20000; fanout: 10; "
    "isolation: 3000; backlog, claims: 1000000; endpoints, verify: 10000; rate: 650; latency: 300]",
)
@click.option("--minutes", type=click.FloatRange(0.01, 1440), help="How long the soak takes.  [default: 10]")
@click.option(
    "--level", type=click.Choice(("debug", "info", "warning", "error")), default="warning", show_default=True,
    help="What the daemon logs; info has a line for each attempt.",
)  # fmt: skip
@click.option(
    "--store", metavar="URL",
    help="A PostgreSQL server at which databases may be made, in place of a file: postgresql://USER@HOST/DATABASE.",
)  # fmt: skip
@click.option(
    "--world", type=click.Path(exists=True, dir_okay=False, path_type=Path), metavar="FILE",
    help="What the simulation is to suppose, as TOML; docs/scaling.md.",
)  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Answer one JSON object.")
@click.option(
    "--compare", type=click.Path(exists=True, dir_okay=False, path_type=Path), metavar="FILE",
    help="Set each figure beside that of an earlier run, whose --json is in FILE.",
)  # fmt: skip
def bench(
    scenario: str,
    rounds: int | None,
    events: int | None,
    minutes: float | None,
    level: str,
    store: str | None,
    world: Path | None,
    as_json: bool,
    compare: Path | None,
) -> None:
    """Measure this machine, each figure beside its yardstick.

    \b
    drain      deliveries a second out of a backlog, for one endpoint and for a thousand
    pipeline   events a second, published over HTTP, stored, delivered and recorded
    fanout     deliveries a second of one event to a thousand endpoints
    isolation  what four troubled endpoints cost the ninety-six beside them
    backlog    delivering, starting and memory with a million deliveries waiting
    claims     what a claim costs with a million deliveries waiting, and after as many have gone
    processes  what a second process adds at a PostgreSQL server, and what an idle one asks of it
    endpoints  publishing among a hundred thousand endpoints
    rate       whether an endpoint's rate limit holds, and is made use of
    latency    from a publish to the receiver while idle; memory and processor time at rest
    verify     checking a request by each scheme of signatures
    soak       memory, open files, latency and lost events over ten minutes with failures and restarts
    simulate   what several processes on one database could do, by the times that this machine takes for each step

    A daemon, a receiver and a source of load run on 127.0.0.1 for some minutes, with a store in $TMPDIR or
    else in the current directory (backlog: 1 GB); nothing of them stays.

    \b
    Example:
      hookd bench drain --json > before.json
      hookd bench drain --compare before.json
    """  # noqa: D301 - click wants the character, not the backslash
    from hookd.bench.compare import Comparison, read  # the load of it is for this command alone
    from hookd.bench.report import Report
    from hookd.bench.scenario import endure, measure, simulate
    from hookd.bench.simulate import world as worlds

    _expect_suitable(scenario, minutes, events, world)
    earlier = _read(compare, "--compare", lambda path: read(path, scenario))
    supposed = _read(world, "--world", worlds.read)
    report: Report
    if scenario == "soak":
        report = endure(minutes or 10, rounds or 5, level, _progress)
    elif scenario == "simulate":
        report = simulate(supposed or worlds.World(), rounds, events, level, _progress)
    else:
        report = measure(scenario, rounds, events, level, _progress, store)
    comparison = None if earlier is None else Comparison(report, earlier)
    if as_json:
        compared = {} if comparison is None else {"compared": comparison.plain()}
        click.echo(json.dumps(report.plain() | compared))
    else:
        click.echo(report.as_table() if comparison is None else f"{report.as_table()}\n\n{comparison.as_table()}")


def _read(path: Path | None, option: str, reader: Callable[[Path], T]) -> T | None:
    """Read the file of an option, where there is one; what is wrong with it is a matter of usage."""
    if path is None:
        return None
    from hookd.bench.wire import BenchError

    try:
        return reader(path)
    except BenchError as error:
        raise click.BadParameter(str(error), param_hint=option) from None


def _expect_suitable(scenario: str, minutes: float | None, events: int | None, world: Path | None) -> None:
    if world is not None and scenario != "simulate":
        raise click.UsageError("--world is for simulate alone, which supposes what is in it")
    if minutes is not None and scenario != "soak":
        raise click.UsageError("--minutes is for the soak alone; the others take --rounds and --events")
    if events is not None and scenario == "soak":
        raise click.UsageError("--events is not for the soak, which takes --minutes and --rounds")


@contextlib.contextmanager
def _progress(steps: int) -> Iterator[Callable[[], object]]:
    """Show a bar on stderr, where that is a terminal."""
    if not sys.stderr.isatty():
        yield lambda: None
        return
    with click.progressbar(length=steps, file=sys.stderr) as bar:
        yield lambda: bar.update(1)
