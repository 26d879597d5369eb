"""The commands for the store's upkeep: `migrate`, `prune` and `backup`."""

import asyncio
import os
import shlex
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from hookd.cli import configuration
from hookd.cli.keys import Duration
from hookd.config import StoreSettings
from hookd.errors import ConfigError, Fault
from hookd.model import wall_clock
from hookd.units import counted, format_duration

if TYPE_CHECKING:
    from hookd.store.tend import Tending

MIB = 1024 * 1024


class File(click.ParamType[Path]):
    """A SQLite file, as `[store] url` names it, as a path."""

    name = "file"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        """Answer the path, relative to this directory."""
        kind, _, path = str(value).partition(":")
        if kind != "sqlite" or not path:
            self.fail("expected sqlite:PATH, such as sqlite:/var/lib/hookd/hookd.db", param, ctx)
        return Path(os.path.realpath(path))


def _tending(store: StoreSettings, command: str) -> "Tending":
    """Answer who tends a store at a server; ConfigError where it is a file."""
    from hookd.store.tend import Tending  # the load of it is for these commands alone

    if store.server is None:
        expected = f'"postgresql://USER:PASSWORD@HOST:PORT/DATABASE": `hookd {command}` copies to a PostgreSQL server'
        raise ConfigError(Fault("store.url", f"expected {expected}"))
    return Tending(store.server, command.partition(" ")[0], listens=store.listen)


@click.command(
    short_help="Bring the store up to date, encrypt it anew, or move it to a server.",
    epilog="\b\nExamples:\n  hookd migrate --rekey\n  hookd migrate --from sqlite:/var/lib/hookd/hookd.db",
)
@configuration.option
@click.option("--rekey", is_flag=True, help="Encrypt all secrets with the first of [store] keys.")
@click.option("--from", "source", metavar="sqlite:FILE", type=File(), help="Copy that store to the PostgreSQL server.")
def migrate(config: Path | None, rekey: bool, source: Path | None) -> None:
    """Bring the store's schema up to date, as `hookd run` does when it starts, and say what was done.

    With --rekey, secrets that are plain, or encrypted with an older key, are encrypted with the first of [store]
    keys, and nothing of what they were stays in the file. To make a key:

    \b
      head -c 32 /dev/urandom | base64

    Put it first in [store] keys, before the old ones, and restart hookd; run this, while hookd runs or not; then
    the old keys can be taken out, though earlier backups need them. Interrupted, it can be run again.

    With --from, all that is in a SQLite file is copied to the PostgreSQL server that [store] url names, which holds
    nothing yet. A hookd that runs on the file goes on until you are told to stop it; then the rest follows, and the
    rows of both are counted. Interrupted, nothing is left of it at the server, and it can be run again.
    """  # noqa: D301 - click wants the character, not the backslash
    settings, _ = configuration.effective(config)
    store = settings.store
    if rekey and source is not None:
        raise click.UsageError("--rekey and --from are two steps: run one after the other")
    if rekey and not store.keys:
        raise ConfigError(Fault("store.keys", "--rekey encrypts with the first of them; expected at least one key"))
    if source is not None:
        _move(store, source)
    elif store.server is not None:
        _migrate_server(store, rekey=rekey)
    else:
        _migrate_file(Path(store.place), store.keys, rekey=rekey)


def _migrate_file(path: Path, keys: tuple[bytes, ...], *, rekey: bool) -> None:
    from hookd.store import Vault, upkeep

    _say_schema(str(path), *upkeep.migrate(path))
    if rekey:
        _say_rekeyed(str(path), upkeep.rekey(path, Vault(keys, os.urandom), time.sleep))


def _migrate_server(store: StoreSettings, *, rekey: bool) -> None:
    from hookd.store import Vault

    tending = _tending(store, "migrate")
    _say_schema(store.place, *asyncio.run(tending.migrate()))
    if rekey:
        _say_rekeyed(store.place, asyncio.run(tending.rekey(Vault(store.keys, os.urandom))))


def _move(store: StoreSettings, source: Path) -> None:
    from hookd.store import Vault

    tending = _tending(store, "migrate --from")
    counts = asyncio.run(tending.move(source, Vault(store.keys, os.urandom), click.echo))
    rows = ", ".join(f"{table} {count}" for table, count in counts.items())
    click.echo(f"{store.place}: has all of {source}, counted in both: {rows}; start hookd on it, and none on the file")


def _say_schema(place: str, before: int, after: int) -> None:
    click.echo(f"{place}: schema {after}, {'up to date' if before == after else f'brought up from {before}'}")


def _say_rekeyed(place: str, endpoints: int) -> None:
    count = counted(endpoints, "endpoint")
    click.echo(f"{place}: encrypted anew the secrets of {count}; all are under the first key now")


@click.command(
    short_help="Delete old events from the store.", epilog="\b\nExample:\n  hookd prune --older-than 7d --dry-run"
)
@configuration.option
@click.option("--older-than", metavar="DURATION", type=Duration(), help="In place of [store] retention.")
@click.option("--dry-run", is_flag=True, help="Only say how many would go.")
def prune(config: Path | None, older_than: int | None, dry_run: bool) -> None:
    """Delete the events that ended longer ago than [store] retention, as `hookd run` does all the time.

    An event goes with its deliveries and attempts, and never while any delivery waits or is being sent; requests that
    were refused before then go as well. At a PostgreSQL server whole days go, in UTC, of which nothing waits. This may
    be run while hookd runs or not; interrupted, it can be run again.
    """
    settings, _ = configuration.effective(config)
    store = settings.store
    age = store.retention if older_than is None else older_than
    if store.server is None:
        _prune_file(Path(store.place), age, dry_run=dry_run)
    else:
        _prune_server(store, age, dry_run=dry_run)


def _prune_file(path: Path, age: int, *, dry_run: bool) -> None:
    from hookd.store import upkeep

    before = wall_clock() - age
    count, size = upkeep.count_old(path, before) if dry_run else upkeep.prune(path, before, time.sleep)
    done = _went(counted(count, "event"), age, dry_run=dry_run)
    click.echo(f"{path}: {done}; the file has {size / MIB:.1f} MiB")


def _prune_server(store: StoreSettings, age: int, *, dry_run: bool) -> None:
    pruning = _tending(store, "prune").prune(age, wall_clock() - age, dry_run=dry_run)
    pruned = asyncio.run(pruning)
    done = _went(f"{counted(pruned.days, 'day')} with {counted(pruned.events, 'event')}", age, dry_run=dry_run)
    kept = f"; {counted(pruned.stay, 'older day')} kept, of which something waits or is being read"
    click.echo(f"{store.place}: {done}{kept if pruned.stay else ''}")


def _went(what: str, age: int, *, dry_run: bool) -> str:
    done = f"{what} would go" if dry_run else f"pruned {what}"
    return f"{done}, over for more than {format_duration(age)}"


@click.command(short_help="Copy the store into a new file.", epilog="\b\nExample:\n  hookd backup /backup/hookd.db")
@configuration.option
@click.argument("target", metavar="TARGET", type=click.Path(path_type=Path))
def backup(config: Path | None, target: Path) -> None:
    """Copy the store, as it is at this moment, into the file TARGET, which must not be there yet.

    This may be run while hookd runs or not; who commits meanwhile does not wait. The copy is looked through before it
    gets its name, and is its owner's alone. Secrets are in it as they are in the store: plain, but with [store] keys,
    which you keep elsewhere. To restore it, stop hookd and put it where [store] url points.
    """
    settings, _ = configuration.effective(config)
    from hookd.store.backup import back_up  # the load of it is for this command alone

    store = settings.store
    if store.path is None:
        command = f"pg_dump --schema=hookd --format=custom --file={shlex.quote(str(target))} {shlex.quote(store.place)}"
        raise ConfigError(Fault("store.url", f"PostgreSQL has a command of its own for this: {command}"))
    found = back_up(store.path, target)
    parts = (counted(found.events, "event"), counted(found.waiting, "waiting delivery"))
    click.echo(f"{target}: {found.size / MIB:.1f} MiB, {', '.join(parts)}, {counted(found.endpoints, 'endpoint')}")
