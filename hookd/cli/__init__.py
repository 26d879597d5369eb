"""The commands. Each lives in a module that is imported only when it is called, so that `hookd sign` starts fast."""

import importlib
import os
import sys
from typing import Any

import click

from hookd.errors import ConfigError, HookdError
from hookd.version import VERSION

COMMANDS = {
    "run": "hookd.cli.serve",
    "init": "hookd.cli.serve",
    "check": "hookd.cli.serve",
    "send": "hookd.cli.talk",
    "tail": "hookd.cli.talk",
    "show": "hookd.cli.talk",
    "retry": "hookd.cli.talk",
    "sign": "hookd.cli.keys",
    "verify": "hookd.cli.keys",
    "token": "hookd.cli.keys",
    "migrate": "hookd.cli.upkeep",
    "prune": "hookd.cli.upkeep",
    "backup": "hookd.cli.upkeep",
    "bench": "hookd.cli.measure",
}
"""Where each command is defined, in the order of `--help`; the function bears the command's name."""

FAILED = 1
MISUSED = 2


class Commands(click.Group):
    """A group that imports a command's module when the command is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """Name every command, in the order in which a newcomer meets them."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """Import the command; None where there is none of that name."""
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = getattr(importlib.import_module(COMMANDS[cmd_name]), cmd_name)
        return command


@click.group(
    cls=Commands,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="\b\nExample:\n  hookd init && hookd run",
)
@click.version_option(VERSION, prog_name="hookd")
def hookd() -> None:
    """Send and receive webhooks from one process, and lose nothing."""


def main(arguments: list[str] | None = None) -> None:
    """Run a command; an error is one line on stderr and exit status 1 (failed) or 2 (usage, config)."""
    sys.exit(_status(arguments))


def _status(arguments: list[str] | None) -> int:
    try:
        result: Any = hookd.main(args=arguments, prog_name="hookd", standalone_mode=False)
    except click.exceptions.Abort:
        return _complain("interrupted", FAILED)
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message(), err=True)
        return MISUSED
    except click.ClickException as error:
        return _complain(error.format_message(), MISUSED)
    except ConfigError as error:
        for fault in error.faults:
            _complain(f"{fault.pointer}: {fault.detail}" if fault.pointer else fault.detail, MISUSED)
        return MISUSED
    except HookdError as error:
        return _complain(str(error), FAILED)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or the interpreter complains at exit
        return FAILED
    return result if isinstance(result, int) else 0


def _complain(text: str, status: int) -> int:
    click.echo("hookd: " + " ".join(text.split()), err=True)
    return status
