"""The command `bench`."""

import click

SCENARIOS = ("drain", "pipeline", "latency")


@click.command(short_help="Measure this machine, each figure beside its yardstick.")
@click.argument("scenario", type=click.Choice(SCENARIOS))
@click.option("--rounds", type=click.IntRange(1, 100), default=3, show_default=True, help="The median counts.")
@click.option("--events", type=click.IntRange(2, 1_000_000), help="Events a round.  [default: 20000; latency: 300]")
@click.option("--json", "as_json", is_flag=True, help="Answer one JSON object.")
def bench(scenario: str, rounds: int, events: int | None, as_json: bool) -> None:
    """Measure this machine, each figure beside its yardstick.

    \b
    drain     deliveries a second out of a backlog for one endpoint
    pipeline  events a second, published over HTTP, stored, delivered and recorded
    latency   from a publish to the receiver while idle; memory and processor time at rest

    A daemon, a receiver and a source of load run on 127.0.0.1 for a minute or two, with a store in $TMPDIR or
    else in the current directory; nothing of them stays.

    \b
    Example:
      hookd bench drain --json
    """  # noqa: D301 - click wants the character, not the backslash
    from hookd.bench.scenario import measure  # the load of it is for this command alone

    report = measure(scenario, rounds, events)
    click.echo(report.as_json() if as_json else report.as_table())
