"""The settings in their final form: frozen, typed, every default in its place.

Durations are milliseconds, sizes bytes. The kind beside a type is all that reading and showing need.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, ClassVar

from pydantic import ConfigDict, Field

from hookd.attempt import SOURCE
from hookd.config import places, stores, words
from hookd.config.kinds import choice, duration, integer, share, size
from hookd.config.places import Address
from hookd.config.schemes import SchemeTable, with_described
from hookd.config.tripping import TRIPPING
from hookd.model import ApiToken, Handler, Source, Trigger
from hookd.policy.breaker import USUAL, BreakerPolicy
from hookd.signing import Scheme
from hookd.units import parse_duration, parse_size

RETRY = tuple(map(parse_duration, ("5s", "5m", "30m", "2h", "5h", "10h", "14h", "20h", "24h")))
STRICT = ConfigDict(extra="forbid")


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerSettings:
    """`[server]`: where hookd listens, and what it takes in."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    host: Annotated[str, places.HOST] = "127.0.0.1"
    """Where to listen; anything but loopback needs a token."""
    port: Annotated[int, integer(0, 65_535)] = 8080
    """The port to listen on; 0 takes any free one."""
    inbound: Annotated[Address | None, places.ADDRESS] = None
    """A second address that serves the sources alone, so that nothing else need be public."""
    max_body: Annotated[int, size("1B", "512MiB", "1MiB")] = parse_size("1MiB")
    """The largest request body; a larger one is answered with 413."""
    drain: Annotated[int, duration("0s", "1h", "20s")] = parse_duration("20s")
    """How long a stop waits for the attempts in flight."""
    proxies: tuple[Annotated[str, places.NETWORK], ...] = ()
    """The reverse proxies whose `X-Forwarded-For` says who calls, for `allow` of sources; nobody else's is believed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreSettings:
    """`[store]`: where events, deliveries and attempts are kept."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    url: Annotated[str, stores.STORE] = field(default="sqlite:hookd.db", repr=False)
    """The database: a file, which is this daemon's alone, or a PostgreSQL server, which any number of daemons share.
    With `$STATE_DIRECTORY` set (by systemd) the default is in that directory."""
    keys: Annotated[tuple[Annotated[bytes, words.KEY], ...], words.DIFFERENT] = field(default=(), repr=False)
    """What encrypts endpoints' secrets, tokens and headers in the file: the first key encrypts, all decrypt. Without
    any they are plain there. To change keys put a new one first, restart, and run `hookd migrate --rekey`."""
    dedupe: Annotated[int, duration("1s", "3650d", "30d")] = parse_duration("30d")
    """How long an id is remembered; never shorter than the retry schedule."""
    retention: Annotated[int, duration("1s", "3650d", "30d")] = parse_duration("30d")
    """How long an event is kept, with its deliveries and attempts, once the last of them has ended; then it is pruned.
    What waits is kept for as long as it waits."""
    rejections: Annotated[int, integer(0, 10_000)] = 250
    """How many requests that were refused are kept of each source, the newest ones; 0 keeps none."""
    rejection_body: Annotated[int, size("0B", "1MiB", "64KiB")] = parse_size("64KiB")
    """How much of the body of such a request is kept; one with a longer body can't be accepted by hand."""
    rejection_age: Annotated[int, duration("1s", "3650d", "7d")] = parse_duration("7d")
    """How long such a request is kept."""
    lease: Annotated[int, duration("1s", "5m", "10s")] = parse_duration("10s")
    """How long a daemon that is not heard of keeps what it is sending; then others take it up. A third of it is how
    often each says that it lives. For PostgreSQL alone: a file has one daemon."""
    listen: Annotated[bool, words.FLAG] = True
    """Whether daemons wake each other with LISTEN and NOTIFY; set it to false behind PgBouncer in transaction mode. For
    PostgreSQL alone."""

    @property
    def path(self) -> Path | None:
        """The SQLite file; None where the store is on a server."""
        return Path(self.url.removeprefix(stores.FILE)) if self.url.startswith(stores.FILE) else None

    @property
    def server(self) -> str | None:
        """The URL of the PostgreSQL server, password included; None where the store is a file."""
        return self.url if self.path is None else None

    @property
    def place(self) -> str:
        """Where the store is, for people: the file, or the server's URL without its password."""
        return stores.without_password(self.url) if self.path is None else str(self.path)


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliverySettings:
    """`[delivery]`: how deliveries are attempted, where an endpoint or a handler says nothing else."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    timeout: Annotated[int, duration("1ms", "1h", "15s")] = parse_duration("15s")
    """How long one attempt may take, the answer included."""
    max_in_flight: Annotated[int, integer(1, 10_000)] = 256
    """How many attempts are under way at once, all together; the last places are kept for endpoints that have few."""
    per_endpoint: Annotated[int, integer(1, 10_000)] = 16
    """How many attempts are under way at once for one endpoint."""
    retry: Annotated[
        tuple[Annotated[int, duration("0s", "30d", "5s")], ...],
        Field(max_length=100),
    ] = RETRY
    """The waits before the second attempt, the third and so on; `[]` means one attempt only."""
    jitter: Annotated[float, share()] = 0.1
    """By which share of itself a wait is lengthened or shortened at random."""
    breaker: Annotated[BreakerPolicy, TRIPPING] = USUAL
    """When an endpoint is left alone for a while: after `failures` in a row, or once this `share` of the attempts in a
    `window` has failed, of `least` or more. After `wait`, and twice as long each time up to `longest`, one delivery is
    tried: a success ends it."""
    disable_after: Annotated[int, duration("1s", "3650d", "5d")] = parse_duration("5d")
    """How long an endpoint fails, without one success, before it is disabled."""
    response_kept: Annotated[int, size("0B", "64KiB", "4KiB")] = parse_size("4KiB")
    """How much of a response's body, or of what a program writes, is stored with the attempt."""
    cloudevents_source: Annotated[str, words.REFERENCE] = SOURCE
    """The `source` of the CloudEvents that are sent; a tenant's have `/TENANT` behind it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkSettings:
    """`[network]`: which addresses may be dialled; without these settings, the public ones."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    allow: tuple[Annotated[str, places.NETWORK], ...] = ()
    """Networks that are not public and may be dialled all the same."""
    deny: tuple[Annotated[str, places.NETWORK], ...] = ()
    """Networks that may not be dialled, whatever is allowed."""
    proxy: Annotated[str | None, places.PROXY] = field(default=None, repr=False)
    """An HTTP proxy for all attempts; it has to guard the addresses that it dials."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LogSettings:
    """`[log]`: what is logged to stderr, and how."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    level: Annotated[str, choice("debug", "info", "warning", "error")] = "info"
    """The least important line that is written; `info` has one for each attempt."""
    format: Annotated[str, choice("text", "json")] = "text"
    """`json` writes one object a line, for a log collector."""


PLAIN: Mapping[str, type] = MappingProxyType(
    {
        "server": ServerSettings,
        "store": StoreSettings,
        "delivery": DeliverySettings,
        "network": NetworkSettings,
        "log": LogSettings,
    }
)
"""The plain tables, whose keys may also stand in the environment."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Everything the configuration says."""

    server: ServerSettings = ServerSettings()
    store: StoreSettings = StoreSettings()
    delivery: DeliverySettings = DeliverySettings()
    network: NetworkSettings = NetworkSettings()
    log: LogSettings = LogSettings()
    described: Mapping[str, SchemeTable] = field(default_factory=dict)
    """The schemes of `[schemes.NAME]`, by name."""
    tokens: tuple[ApiToken, ...] = ()
    triggers: tuple[Trigger, ...] = ()
    sources: tuple[Source, ...] = ()
    handlers: tuple[Handler, ...] = ()

    @property
    def schemes(self) -> dict[str, Scheme]:
        """Every scheme that sources and endpoints may have, by name."""
        return with_described(self.described)
