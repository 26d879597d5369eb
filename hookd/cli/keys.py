"""The commands about secrets: `sign`, `verify` and `token`. They need no daemon."""

import hashlib
import json
import os
import random
import re
import secrets as randomness
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import BinaryIO

import click

from hookd import signing
from hookd.cli import configuration
from hookd.errors import HookdError, SignatureError
from hookd.ids import IdFactory
from hookd.model import Scope, wall_clock
from hookd.signing import SCHEMES, Scheme
from hookd.text import printable
from hookd.units import parse_duration

LONGEST_TENANT = 128

_SCOPES = [scope.value for scope in Scope]
_NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_URL = re.compile(r"https?://[^\s/?#]+\S*", re.IGNORECASE)


class Secret(click.ParamType[str]):
    """A secret, or where it is kept: `@FILE` or `env:NAME`. No error repeats it."""

    name = "secret"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Fetch the secret from where the argument says."""
        if value.startswith("@"):
            try:
                return _text_of(Path(value[1:])).rstrip("\r\n")
            except ValueError as error:
                self.fail(str(error), param, ctx)
        if not value.startswith("env:"):
            return value
        name = value.removeprefix("env:")
        secret = os.environ.get(name)
        return secret if secret is not None else self.fail(f"the environment has no {name}", param, ctx)


def _text_of(path: Path) -> str:
    """Answer what is in a file; ValueError says why it can't be read."""
    try:
        return path.read_text("utf-8")
    except OSError as error:
        raise ValueError(f"can't read {path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ValueError(f"can't read {path}: it is not text") from None


class Header(click.ParamType[list[tuple[str, str]]]):
    """A header as curl takes it: `Name: value`, several such lines, or `@FILE` with them."""

    name = "header"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> list[tuple[str, str]]:
        """Part the names from the values."""
        try:
            text = _text_of(Path(value[1:])) if value.startswith("@") else value
            return [_header(line.removesuffix("\r")) for line in text.split("\n") if line.strip()] or [_header("")]
        except ValueError as error:
            self.fail(str(error), param, ctx)


def _header(line: str) -> tuple[str, str]:
    name, colon, text = line.partition(":")
    if not colon or not name.strip():
        raise ValueError("expected 'Name: value', one a line")
    return name.strip(), text.strip(" \t")


class Duration(click.ParamType[int]):
    """A duration such as `5m`, in milliseconds."""

    name = "duration"

    def convert(self, value: str | int, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Read the duration."""
        if isinstance(value, int):
            return value
        try:
            return parse_duration(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


class Url(click.ParamType[str]):
    """The whole address of a request."""

    name = "url"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Refuse what is no address."""
        if _URL.fullmatch(value) is None or not signing.is_address(value):
            self.fail("expected the whole address, such as https://example.com/hook", param, ctx)
        return value


def _example(line: str) -> str:
    return f"\b\nExample:\n  {line}"


_scheme = click.option(
    "--scheme",
    metavar="NAME",
    required=True,
    help=f"How to prove it: {', '.join(SCHEMES)}, or one of the configuration.",
)
_secrets = click.option(
    "--secret",
    "secrets",
    metavar="SECRET",
    type=Secret(),
    multiple=True,
    required=True,
    help="The secret, @FILE or env:NAME; once for each.",
)
_now = click.option("--now", metavar="UNIX", type=click.IntRange(0), help="Seconds since 1970, not the clock's.")
_url = click.option(
    "--url", metavar="URL", type=Url(), help="The whole address, its query included, for a scheme that signs it."
)
_body = click.option(
    "--body", metavar="FILE|-", type=click.File("rb"), default="-", help="The body; stdin unless given."
)


@click.command(epilog=_example("hookd sign --scheme standard --secret env:WEBHOOK_SECRET --body body.json"))
@_scheme
@_secrets
@click.option("--id", "event_id", metavar="ID", help="The event's id; a fresh one unless given.")
@click.option("--type", "event_type", metavar="TYPE", help="The event's type, for a scheme with a header for it.")
@_now
@_url
@_body
@configuration.option
def sign(
    scheme: str,
    secrets: Sequence[str],
    event_id: str | None,
    event_type: str | None,
    now: int | None,
    url: str | None,
    body: BinaryIO,
    config: Path | None,
) -> None:
    """Print the headers that prove a body, one `Name: value` a line."""
    row = _row(scheme, url, config)
    at = wall_clock() // 1000 if now is None else now
    identity = event_id or IdFactory(wall_clock, random.SystemRandom())("evt")
    try:
        headers = row.sign(secrets, body.read(), identity, at, url=url, event_type=event_type)
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    for name, value in headers.items():
        click.echo(f"{name}: {value}")


@click.command(
    epilog=_example("hookd verify --scheme token --secret env:TOKEN --header 'X-Webhook-Token: abc' --body body.json")
)
@_scheme
@_secrets
@click.option(
    "--header",
    "headers",
    metavar="'N: V'",
    type=Header(),
    multiple=True,
    required=True,
    help="A header of the request, once for each; or @FILE with one a line.",
)
@_now
@click.option("--tolerance", metavar="DURATION", type=Duration(), help="How old or new it may be: 5m.")
@_url
@_body
@configuration.option
@click.option(
    "--explain",
    is_flag=True,
    help="Try what usually goes wrong, the secrets of other sources too, and say what fits and what to do.",
)
def verify(
    scheme: str,
    secrets: Sequence[str],
    headers: Sequence[Sequence[tuple[str, str]]],
    now: int | None,
    tolerance: int | None,
    url: str | None,
    body: BinaryIO,
    config: Path | None,
    explain: bool,
) -> None:
    """Print the id of an authentic request and exit 0, or say why it is not and exit 1."""
    row = _row(scheme, url, config)
    if tolerance is not None and not row.timed:
        raise click.UsageError(f"the scheme {scheme} has no timestamp; leave out --tolerance")
    at = wall_clock() if now is None else now * 1000
    raw = body.read()
    pairs = [pair for each in headers for pair in each]
    try:
        verified = row.verify(secrets, pairs, raw, at, tolerance, url=url)
    except SignatureError as error:
        why = f"{error.reason}: {error}"
        if explain:
            others, schemes = _known(config)
            why += ". " + signing.explain(
                row, secrets, pairs, raw, at, tolerance, url=url, others=others, schemes=schemes
            )
        raise HookdError(why) from None
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    if verified.id is not None:
        click.echo(verified.id)
    else:
        click.echo(f"hookd: authentic; it has no id where the scheme {scheme} looks for one", err=True)


def _known(config: Path | None) -> tuple[dict[str, Sequence[str]], Mapping[str, Scheme]]:
    """Answer the secrets of the configured sources, by name, and the schemes; a line says where it can't be read."""
    try:
        known = configuration.effective(config)[0]
    except HookdError as error:
        click.echo(f"hookd: the secrets of the configuration are not tried: {printable(str(error))}", err=True)
        return {}, SCHEMES
    return {source.name: source.secrets for source in known.sources}, known.schemes


def _row(name: str, url: str | None, config: Path | None) -> Scheme:
    """Answer a scheme that hookd has or, of any other name, that the configuration describes."""
    schemes = SCHEMES if name in SCHEMES else configuration.effective(config)[0].schemes
    try:
        row = signing.scheme(name, schemes=schemes)
    except ValueError as error:
        raise click.UsageError(f"--scheme: {error}") from None
    if row.signs_url and url is None:
        raise click.UsageError(f"the scheme {name} signs the address; expected --url")
    return row


def _checked_name(_context: click.Context, _parameter: click.Parameter, name: str) -> str:
    if _NAME.fullmatch(name) is None:
        raise click.BadParameter("expected 1 to 64 letters, digits, dots, dashes or underscores")
    return name


def _checked_tenant(_context: click.Context, _parameter: click.Parameter, tenant: str | None) -> str | None:
    if tenant is not None and not (0 < len(tenant) <= LONGEST_TENANT and tenant.isprintable()):
        raise click.BadParameter(f"expected 1 to {LONGEST_TENANT} printable characters")
    return tenant


@click.command(epilog=_example("hookd token --name shop --scope publish"))
@click.option("--name", default="api", show_default=True, callback=_checked_name, help="Whose it is.")
@click.option(
    "--scope",
    "scopes",
    type=click.Choice(_SCOPES),
    multiple=True,
    default=_SCOPES,
    show_default=True,
    help="What it may do; once for each.",
)
@click.option("--tenant", metavar="NAME", callback=_checked_tenant, help="The one tenant that it sees.")
def token(name: str, scopes: Sequence[str], tenant: str | None) -> None:
    """Make a token for callers of the API, and its entry for config.toml, which holds the hash alone."""
    fresh = "hookd_" + randomness.token_urlsafe(32)
    click.echo(f"{fresh}\n")
    click.echo("# The token above is shown this once: give it to the caller. This belongs in config.toml:")
    click.echo("[[auth.tokens]]")
    click.echo(f'name = "{name}"')
    click.echo(f'hash = "{hashlib.sha256(fresh.encode("ascii")).hexdigest()}"')
    click.echo(f"scopes = {json.dumps(list(dict.fromkeys(scopes)))}")
    if tenant is not None:
        click.echo(f"tenant = {json.dumps(tenant, ensure_ascii=False)}")
