"""The commands about the daemon and its configuration: `run`, `init` and `check`."""

import os
from base64 import b64encode
from importlib.resources import files
from pathlib import Path

import click

from hookd.cli import configuration
from hookd.config import shown
from hookd.config.words import KEY_BYTES
from hookd.errors import HookdError
from hookd.signing import generate_secret

FRESH = Path("config.toml")
SECRET, KEY = "FRESH_SECRET", "FRESH_KEY"


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
