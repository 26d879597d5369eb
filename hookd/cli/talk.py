"""The commands that talk to a running daemon: `send`, `tail`, `show` and `retry`."""

import json
import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import partial
from http import HTTPStatus
from itertools import islice
from pathlib import Path
from typing import NoReturn, TypeVar

import click

from hookd.cli.keys import Duration
from hookd.cli.story import counted, delivery_line, of_event, of_rejection
from hookd.client import PAGE, AnswerError, Client, Delivery, NoAnswerError, Receipt, connect
from hookd.errors import HookdError
from hookd.model import Status
from hookd.text import printable
from hookd.units import format_duration

LATEST = 50
"""The deliveries that `tail` begins with."""
GLANCE = 0.5
"""Seconds between two looks of `tail --follow`."""
RETRIED_UNLESS_TOLD = (Status.FAILED, Status.CANCELLED)
"""What `retry --endpoint` takes, and all that can be asked for of every endpoint at once."""

_SHORTEST_PAUSE = 0.05
_LONGEST_PAUSE = 1.0
_UNSETTLED = (Status.PENDING, Status.SENDING)

T = TypeVar("T")


class Payload(click.ParamType[bytes]):
    """A payload: JSON, or where it is: `@FILE`, or `-` for stdin. Its bytes stay as they are."""

    name = "payload"

    def convert(self, value: str | bytes, param: click.Parameter | None, ctx: click.Context | None) -> bytes:
        """Fetch the payload, and see that it is one JSON value (RFC 8259)."""
        if isinstance(value, bytes):
            return value
        try:
            payload = _fetch(value)
            json.loads(payload.decode(), parse_constant=_refuse_constant, parse_int=float)
        except OSError as error:
            self.fail(f"can't read {value.removeprefix('@')}: {error.strerror}", param, ctx)
        except UnicodeError:
            self.fail("expected JSON in UTF-8", param, ctx)
        except (ValueError, RecursionError) as error:
            self.fail(f"expected JSON, @FILE or -, got what is not JSON: {error}", param, ctx)
        return payload


def _fetch(text: str) -> bytes:
    if text == "-":
        return sys.stdin.buffer.read()
    if text.startswith("@"):
        return Path(text[1:]).read_bytes()
    return os.fsencode(text)


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON value")


def _daemon() -> Client:
    return connect(os.environ)


def _say(text: str) -> None:
    """Print a line; what the terminal's encoding lacks is escaped."""
    encoding = sys.stdout.encoding
    click.echo(text.encode(encoding, "backslashreplace").decode(encoding))


@click.command(
    short_help="Publish an event.",
    epilog='\b\nExample:\n  hookd send purchase --data \'{"name": "Ada"}\' --wait',
)
@click.argument("event_type", metavar="TYPE")
@click.option("--data", metavar="JSON|@FILE|-", type=Payload(), default="{}", show_default=True, help="The payload.")
@click.option("--id", "event_id", metavar="ID", help="The event's id; a repetition is accepted once.")
@click.option("--tenant", metavar="NAME", help="The tenant whose event it is.")
@click.option("--ordering-key", metavar="KEY", help="Ordered endpoints keep the order of events with the same key.")
@click.option(
    "--endpoint", "endpoints", metavar="EP", multiple=True, help="Deliver to this endpoint alone; may be repeated."
)
@click.option("--wait", is_flag=True, help="Wait for the first outcome of every delivery, and show it.")
@click.option(
    "--timeout", metavar="DURATION", type=Duration(), default="60s", show_default=True, help="Wait no longer than this."
)
def send(  # one parameter for each option
    event_type: str,
    data: bytes,
    event_id: str | None,
    tenant: str | None,
    ordering_key: str | None,
    endpoints: tuple[str, ...],
    wait: bool,
    timeout: int,
) -> int:
    """Publish an event, and print its id and how many deliveries it has.

    With --wait the exit status is 0 if all were delivered, and 1 if any failed, was cancelled or waits for a retry.
    """
    daemon = _daemon()
    receipt = daemon.publish(
        event_type, data, id=event_id, tenant=tenant, ordering_key=ordering_key, endpoints=endpoints or None
    )
    _say_accepted(receipt)
    if wait and receipt.deliveries:
        return 0 if _all_delivered(daemon, receipt.id, timeout) else 1
    return 0


def _say_accepted(receipt: Receipt) -> None:
    _say(printable(f"{receipt.id}  {counted(receipt.deliveries, 'delivery', 'deliveries')}"))
    if receipt.note is not None:
        _say(printable(receipt.note))


def _all_delivered(daemon: Client, event_id: str, timeout: int) -> bool:
    """Show each delivery of an event once it has an outcome, and say whether all were delivered."""
    deadline = time.monotonic() + timeout / 1000
    pause = _SHORTEST_PAUSE
    shown: dict[str, Status] = {}
    while True:
        deliveries = list(daemon.deliveries(event=event_id))
        for each in reversed(deliveries):
            if each.id not in shown and _has_outcome(each):
                shown[each.id] = each.status
                _say(delivery_line(each))
        if len(shown) == len(deliveries):
            return set(shown.values()) == {Status.DELIVERED}
        if time.monotonic() >= deadline:
            missing = counted(len(deliveries) - len(shown), "delivery has", "deliveries have")
            raise HookdError(f"after {format_duration(timeout)} {missing} no outcome yet; see `hookd show {event_id}`")
        time.sleep(pause)
        pause = min(2 * pause, _LONGEST_PAUSE)


def _has_outcome(delivery: Delivery) -> bool:
    return delivery.attempt_count > 0 or delivery.status not in _UNSETTLED


@click.command(short_help="Show the latest deliveries.", epilog="\b\nExample:\n  hookd tail --follow --status failed")
@click.option("-f", "--follow", is_flag=True, help="Go on, with every change, until Ctrl-C.")
@click.option("--status", type=click.Choice([status.value for status in Status]), help="Those of this status alone.")
@click.option("--endpoint", metavar="EP", help="Those of this endpoint alone.")
@click.option(
    "--limit", metavar="N", type=click.IntRange(1), default=LATEST, show_default=True, help="So many to begin with."
)
def tail(follow: bool, status: str | None, endpoint: str | None, limit: int) -> None:
    """Show the latest deliveries, one a line: when the event came, status, delivery, type, endpoint, attempts, error.

    With --follow new ones are shown as they come, and the latest 250 again when their status changes.
    """
    list_all = partial(_daemon().deliveries, status=status, endpoint=endpoint)
    wanted = max(limit + 1, PAGE if follow else 0)
    latest = list(islice(list_all(page=min(wanted, PAGE)), wanted))
    if not latest:
        click.echo("hookd: there are no such deliveries yet", err=True)
    if len(latest) > limit:
        click.echo(f"hookd: the latest {limit} are shown; --limit N shows more", err=True)
    for delivery in reversed(latest[:limit]):
        _say(delivery_line(delivery))
    if follow:
        with suppress(KeyboardInterrupt):  # the way to end it, and no failure
            _follow(list_all, {each.id: delivery_line(each) for each in latest})


def _follow(list_all: Callable[[], Iterable[Delivery]], known: dict[str, str]) -> NoReturn:
    """Show what is new or has changed; where the daemon is gone, wait until it is back."""
    gone = False
    while True:
        time.sleep(GLANCE)
        try:
            latest = _latest(list_all(), known)
        except HookdError as error:
            if not _is_away(error):
                raise
            if not gone:
                click.echo("hookd: the daemon does not answer; waiting until it does", err=True)
            gone = True
            continue
        for line in reversed([line for name, line in latest.items() if known.get(name) != line]):
            _say(line)
        known, gone = latest, False


def _is_away(error: HookdError) -> bool:
    """Say whether a daemon is stopped, or stopping."""
    return isinstance(error, NoAnswerError) or (
        isinstance(error, AnswerError) and error.status == HTTPStatus.SERVICE_UNAVAILABLE
    )


def _latest(deliveries: Iterable[Delivery], known: dict[str, str]) -> dict[str, str]:
    """Answer the lines of at least a page of deliveries by id, back to the first one that is known."""
    latest: dict[str, str] = {}
    for each in deliveries:
        if len(latest) >= PAGE and each.id in known:
            break
        latest[each.id] = delivery_line(each)
    return latest


@click.command(
    short_help="Tell the story of an event, a delivery or a rejection.", epilog="\b\nExample:\n  hookd show evt_01jd2m…"
)
@click.argument("identity", metavar="ID")
def show(identity: str) -> None:
    """Tell the whole story of an event or a delivery: payload, deliveries, and attempts with what was said.

    `>` marks the headers that were sent, `<` those that came back. Of a request that a source refused (rej_…), tell
    what was wrong with it, and what to do.
    """
    for line in _story(_daemon(), identity):
        _say(line)


def _story(daemon: Client, identity: str) -> Iterable[str]:
    if identity.startswith("dlv_") and (delivery := _found(daemon.delivery, identity)) is not None:
        return of_event(daemon.event(delivery.event), [delivery])
    if identity.startswith("rej_") and (rejection := _found(daemon.rejection, identity)) is not None:
        return of_rejection(rejection)
    event = _found(daemon.event, identity)
    if event is None:
        raise HookdError(f"there is no event, delivery or rejection {identity}, or it is not kept any more")
    return of_event(event, [daemon.delivery(each.id) for each in reversed(event.deliveries)])


def _found(ask: Callable[[str], T], identity: str) -> T | None:
    """Ask for something by its id; None where there is no such thing: an event may have any id."""
    try:
        return ask(identity)
    except AnswerError as error:
        if error.status != HTTPStatus.NOT_FOUND:
            raise
    return None


@click.command(
    short_help="Make deliveries due again, or let in a rejection.",
    epilog="\b\nExample:\n  hookd retry --endpoint ep_01jd2m… --status failed",
)
@click.argument("delivery_id", metavar="[ID]", required=False)
@click.option("--endpoint", metavar="EP", help="All of this endpoint that failed or were cancelled.")
@click.option(
    "--status",
    type=click.Choice([status.value for status in Status if status is not Status.SENDING]),
    help="All of this status; delivered or pending ones of one endpoint alone.",
)
def retry(delivery_id: str | None, endpoint: str | None, status: str | None) -> int:
    """Put one delivery, or all that --endpoint and --status ask for, back at the start of its schedule, due now.

    A request that a source refused (rej_…) is verified again by the source's present secrets, whatever its age, and let
    in.
    """
    asked = endpoint is not None or status is not None
    if asked == (delivery_id is not None):
        raise click.UsageError(
            "expected either the ID of a delivery or a rejection, or --endpoint EP, --status STATUS or both"
        )
    if endpoint is None and status is not None and status not in RETRIED_UNLESS_TOLD:
        raise click.UsageError(f"--status {status} is for one endpoint at a time: add --endpoint EP")
    daemon = _daemon()
    if delivery_id is not None:
        _retry_one(daemon, delivery_id)
        return 0
    return _retry_all(daemon, endpoint, RETRIED_UNLESS_TOLD if status is None else (Status(status),))


def _retry_one(daemon: Client, identity: str) -> None:
    if identity.startswith("rej_"):
        _say_accepted(daemon.accept(identity))
    else:
        _say(delivery_line(daemon.retry(identity)))


def _retry_all(daemon: Client, endpoint: str | None, statuses: Iterable[Status]) -> int:
    """Retry all of an endpoint that have one of the statuses; say how many were, and how many were refused and why.

    The oldest goes first, which is what an ordered endpoint needs; ids sort by time.
    """
    found = sorted(each.id for status in statuses for each in daemon.deliveries(endpoint=endpoint, status=status))
    retried = 0
    refusals = Counter[str]()
    try:
        for delivery_id in found:
            refusal = _refusal(daemon, delivery_id)
            if refusal is None:
                retried += 1
                continue
            if refusal not in refusals:
                click.echo(f"hookd: {refusal}", err=True)
            refusals[refusal] += 1
    finally:
        refused = f", {refusals.total()} refused" if refusals else ""
        _say(f"{counted(retried, 'delivery', 'deliveries')} retried{refused}")
    return 1 if refusals else 0


def _refusal(daemon: Client, delivery_id: str) -> str | None:
    """Retry a delivery; where the state of things forbids it, answer why."""
    try:
        daemon.retry(delivery_id)
    except AnswerError as error:
        if error.status not in (HTTPStatus.CONFLICT, HTTPStatus.NOT_FOUND):
            raise
        return str(error)
    return None
