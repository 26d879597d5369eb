"""The command `bench`."""

import click

SCENARIOS = ("drain", "pipeline", "latency", "soak")


@click.command(short_help="Measure this machine, each figure beside its yardstick.")
@click.argument("scenario", type=click.Choice(SCENARIOS))
@click.option(
    "--rounds", type=click.IntRange(1, 100), help="The median counts; the soak's are its lives.  [default: 3; soak: 5]"
)
@click.option("--events", type=click.IntRange(2, 1_000_000), help="Events a round.  [default: 20000; latency: 300]")
@click.option("--minutes", type=click.FloatRange(0.01, 1440), help="How long the soak takes.  [default: 10]")
@click.option("--json", "as_json", is_flag=True, help="Answer one JSON object.")
def bench(scenario: str, rounds: int | None, events: int | None, minutes: float | None, as_json: bool) -> None:
    """Measure this machine, each figure beside its yardstick.

    \b
    drain     deliveries a second out of a backlog for one endpoint
    pipeline  events a second, published over HTTP, stored, delivered and recorded
    latency   from a publish to the receiver while idle; memory and processor time at rest
    soak      memory, open files, latency and lost events over ten minutes with failures and restarts

    A daemon, a receiver and a source of load run on 127.0.0.1 for a minute or two, with a store in $TMPDIR or
    else in the current directory; nothing of them stays.

    \b
    Example:
      hookd bench drain --json
    """  # noqa: D301 - click wants the character, not the backslash
    from hookd.bench.scenario import endure, measure  # the load of it is for this command alone

    if minutes is not None and scenario != "soak":
        raise click.UsageError("--minutes is for the soak alone; the others take --rounds and --events")
    report = endure(minutes or 10, rounds or 5) if scenario == "soak" else measure(scenario, rounds or 3, events)
    click.echo(report.as_json() if as_json else report.as_table())
