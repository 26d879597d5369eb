"""The commands that begin with the configuration: `run`, `init` and `check`."""

import os
import sys
from importlib.resources import files
from pathlib import Path

import click

from hookd.config import Settings, locate, read, shown
from hookd.errors import HookdError
from hookd.signing import generate_secret

FRESH = Path("config.toml")
PLACEHOLDER = "FRESH_SECRET"

_config = click.option(
    "--config",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="The configuration.  [default: $HOOKD_CONFIG, ./config.toml, /etc/hookd/config.toml, built-in defaults]",
)


@click.command(short_help="Run the daemon, in the foreground.", epilog="\b\nExample:\n  hookd run --config config.toml")
@_config
def run(config: Path | None) -> None:
    """Run the daemon, in the foreground, with its log on stderr.

    SIGTERM and SIGINT finish what is in flight and exit 0, a second SIGINT exits at once; SIGHUP reads the
    configuration again.
    """
    settings, path = _effective(config)
    from hookd.daemon import serve  # the load of it is for this command alone

    serve(settings, path)


@click.command(short_help="Write a config.toml to start from.", epilog="\b\nExample:\n  hookd init && hookd run")
def init() -> None:
    """Write a commented config.toml with a random secret into this directory; never over an existing file."""
    template = files("hookd.cli").joinpath("init.toml").read_text("utf-8")
    text = template.replace(PLACEHOLDER, generate_secret(os.urandom))
    try:
        FRESH.touch(mode=0o600, exist_ok=False)
        FRESH.write_text(text, "utf-8")
    except FileExistsError:
        raise HookdError(f"{FRESH} exists already and stays as it is; move it away first") from None
    except OSError as error:
        raise HookdError(f"{FRESH} can't be written: {error.strerror}") from None
    click.echo(f"wrote {FRESH}, with a fresh secret in it; next: hookd run")


@click.command(short_help="Show the settings in effect.", epilog="\b\nExample:\n  hookd check --config config.toml")
@_config
def check(config: Path | None) -> None:
    """Show the settings in effect, secrets masked, or everything that is wrong with them (exit status 2)."""
    settings, path = _effective(config)
    click.echo(f"# {path.absolute() if path else 'built-in defaults'}\n{shown(settings)}")


def _effective(config: Path | None) -> tuple[Settings, Path | None]:
    """Read the settings; functions of handlers are looked for beside the file too."""
    path = locate(config, os.environ)
    if path is not None:
        sys.path.append(str(path.absolute().parent))
    return read(path, os.environ), path
