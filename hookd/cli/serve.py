"""The commands that begin with the configuration: `run`, `init`, `check`, `migrate` and `prune`."""

import os
import time
from base64 import b64encode
from importlib.resources import files
from pathlib import Path

import click

from hookd.cli import configuration
from hookd.cli.keys import Duration
from hookd.config import shown
from hookd.config.words import KEY_BYTES
from hookd.errors import ConfigError, Fault, HookdError
from hookd.model import wall_clock
from hookd.signing import generate_secret
from hookd.units import format_duration

FRESH = Path("config.toml")
SECRET, KEY = "FRESH_SECRET", "FRESH_KEY"
MIB = 1024 * 1024


@click.command(short_help="Run the daemon, in the foreground.", epilog="\b\nExample:\n  hookd run --config config.toml")
@configuration.option
def run(config: Path | None) -> None:
    """Run the daemon, in the foreground, with its log on stderr.

    SIGTERM and SIGINT finish what is in flight and exit 0, a second SIGINT exits at once; SIGHUP reads the
    configuration again.
    """
    settings, path = configuration.effective(config)
    from hookd.process import serve  # the load of it is for this command alone

    serve(settings, path)


@click.command(short_help="Write a config.toml to start from.", epilog="\b\nExample:\n  hookd init && hookd run")
def init() -> None:
    """Write a commented config.toml with a random secret into this directory; never over an existing file."""
    template = files("hookd.cli").joinpath("init.toml").read_text("utf-8")
    key = b64encode(os.urandom(KEY_BYTES)).decode("ascii")
    text = template.replace(SECRET, generate_secret(os.urandom)).replace(KEY, key)
    try:
        FRESH.touch(mode=0o600, exist_ok=False)
        FRESH.write_text(text, "utf-8")
    except FileExistsError:
        raise HookdError(f"{FRESH} exists already and stays as it is; move it away first") from None
    except OSError as error:
        raise HookdError(f"{FRESH} can't be written: {error.strerror}") from None
    click.echo(f"wrote {FRESH}, with a fresh secret in it; next: hookd run")


@click.command(short_help="Show the settings in effect.", epilog="\b\nExample:\n  hookd check --config config.toml")
@configuration.option
def check(config: Path | None) -> None:
    """Show the settings in effect, secrets masked, or everything that is wrong with them (exit status 2)."""
    settings, path = configuration.effective(config)
    click.echo(f"# {path.absolute() if path else 'built-in defaults'}\n{shown(settings)}")


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

    store = settings.store
    if rekey and not store.keys:
        raise ConfigError(Fault("store.keys", "--rekey encrypts with the first of them; expected at least one key"))
    before, after = upkeep.migrate(store.path)
    click.echo(f"{store.path}: schema {after}, {'up to date' if before == after else f'brought up from {before}'}")
    if rekey:
        count = upkeep.rekey(store.path, Vault(store.keys, os.urandom), time.sleep)
        endpoints = "1 endpoint" if count == 1 else f"{count} endpoints"
        click.echo(f"{store.path}: encrypted anew the secrets of {endpoints}; all are under the first key now")


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

    path, age = settings.store.path, settings.store.retention if older_than is None else older_than
    before = wall_clock() - age
    count, size = upkeep.count_old(path, before) if dry_run else upkeep.prune(path, before, time.sleep)
    events = "1 event" if count == 1 else f"{count} events"
    done = f"{events} would go" if dry_run else f"pruned {events}"
    click.echo(f"{path}: {done}, over for more than {format_duration(age)}; the file has {size / MIB:.1f} MiB")
