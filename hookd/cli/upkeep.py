"""The commands for the store's upkeep: `migrate`, `prune` and `backup`."""

import os
import shlex
import time
from pathlib import Path

import click

from hookd.cli import configuration
from hookd.cli.keys import Duration
from hookd.config import StoreSettings
from hookd.errors import ConfigError, Fault
from hookd.model import wall_clock
from hookd.units import counted, format_duration

MIB = 1024 * 1024


def _file(store: StoreSettings, command: str) -> Path:
    """Answer the store's file; ConfigError where it is on a server."""
    if store.path is None:
        raise ConfigError(Fault("store.url", f"expected sqlite:PATH: `hookd {command}` is not for a PostgreSQL store"))
    return store.path


@click.command(
    short_help="Bring the store up to date, and encrypt it anew.", epilog="\b\nExample:\n  hookd migrate --rekey"
)
@configuration.option
@click.option("--rekey", is_flag=True, help="Encrypt all secrets with the first of [store] keys.")
def migrate(config: Path | None, rekey: bool) -> None:
    """Bring the store's schema up to date, as `hookd run` does when it starts, and say what was done.

    With --rekey, secrets that are plain, or encrypted with an older key, are encrypted with the first of [store]
    keys, and nothing of what they were stays in the file. To make a key:

    \b
      head -c 32 /dev/urandom | base64

    Put it first in [store] keys, before the old ones, and restart hookd; run this, while hookd runs or not; then
    the old keys can be taken out, though earlier backups need them. Interrupted, it can be run again.
    """  # noqa: D301 - click wants the character, not the backslash
    settings, _ = configuration.effective(config)
    from hookd.store import Vault, upkeep  # the load of it is for this command alone

    path, keys = _file(settings.store, "migrate"), settings.store.keys
    if rekey and not keys:
        raise ConfigError(Fault("store.keys", "--rekey encrypts with the first of them; expected at least one key"))
    before, after = upkeep.migrate(path)
    click.echo(f"{path}: schema {after}, {'up to date' if before == after else f'brought up from {before}'}")
    if rekey:
        count = counted(upkeep.rekey(path, Vault(keys, os.urandom), time.sleep), "endpoint")
        click.echo(f"{path}: encrypted anew the secrets of {count}; all are under the first key now")


@click.command(
    short_help="Delete old events from the store.", epilog="\b\nExample:\n  hookd prune --older-than 7d --dry-run"
)
@configuration.option
@click.option("--older-than", metavar="DURATION", type=Duration(), help="In place of [store] retention.")
@click.option("--dry-run", is_flag=True, help="Only say how many would go.")
def prune(config: Path | None, older_than: int | None, dry_run: bool) -> None:
    """Delete the events that ended longer ago than [store] retention, as `hookd run` does all the time.

    An event goes with its deliveries and attempts, and never while any delivery waits or is being sent; requests that
    were refused before then go as well. This may be run while hookd runs or not; interrupted, it can be run again.
    """
    settings, _ = configuration.effective(config)
    from hookd.store import upkeep  # the load of it is for this command alone

    path = _file(settings.store, "prune")
    age = settings.store.retention if older_than is None else older_than
    before = wall_clock() - age
    count, size = upkeep.count_old(path, before) if dry_run else upkeep.prune(path, before, time.sleep)
    events = counted(count, "event")
    done = f"{events} would go" if dry_run else f"pruned {events}"
    click.echo(f"{path}: {done}, over for more than {format_duration(age)}; the file has {size / MIB:.1f} MiB")


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
