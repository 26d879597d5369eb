"""Find the configuration, read it, and judge it as a whole."""

import math
import os
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from hookd.config import environment as variables
from hookd.config.clashes import clashes
from hookd.config.entries import HandlerTable, SourceTable, TokenTable, TriggerTable
from hookd.config.kinds import Surroundings
from hookd.config.places import is_host, is_loopback
from hookd.config.schemes import SchemeTable, check_name, with_described
from hookd.config.settings import (
    PLAIN,
    DeliverySettings,
    LogSettings,
    NetworkSettings,
    ServerSettings,
    Settings,
    StoreSettings,
)
from hookd.config.tables import Reader, joined
from hookd.errors import ConfigError, Fault
from hookd.model import Scope
from hookd.units import DURATIONS, format_duration

OPEN = 'without a token only this machine may call: set host = "127.0.0.1", or add a token (see `hookd token`)'
USUAL_PLACES = (Path("config.toml"), Path("/etc/hookd/config.toml"))
OTHERS = ("schemes", "auth", "triggers", "sources", "handlers")


def locate(option: Path | None, environment: Mapping[str, str]) -> Path | None:
    """Answer where the configuration is: the option, `$HOOKD_CONFIG`, a usual place, or nowhere."""
    if option is not None:
        return option
    named = environment.get("HOOKD_CONFIG")
    if named:
        return Path(named)
    return next((path for path in USUAL_PLACES if os.access(path, os.F_OK)), None)


def read(path: Path | None, environment: Mapping[str, str]) -> Settings:
    """Answer the settings of a file, or the defaults, under those of the environment.

    ConfigError names every fault, and never a secret.
    """
    document = {} if path is None else _parsed(path)
    folder = Path.cwd() if path is None else path.absolute().parent
    return judged(document, Surroundings(folder, environment))


def judged(document: Mapping[str, Any], surroundings: Surroundings) -> Settings:
    """Answer the settings that a parsed document and the environment make; ConfigError names every fault."""
    merged = variables.overlay(document, surroundings.environment)
    reader = Reader(surroundings)
    reader.faults += variables.unknown(surroundings.environment)
    reader.faults += clashes(merged)
    settings = _settings(merged, reader)
    if settings is None:
        raise ConfigError(*(variables.renamed(fault, surroundings.environment) for fault in reader.faults))
    return settings


def _parsed(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_bytes().decode("utf-8-sig"))
    except OSError as error:
        raise ConfigError(Fault(str(path), f"can't be read: {error.strerror}")) from None
    except UnicodeDecodeError as error:
        raise ConfigError(Fault(str(path), f"is not UTF-8, from byte {error.start} on")) from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(Fault(str(path), f"is not TOML: {error}")) from None
    except (ValueError, RecursionError):  # limits of tomllib: digits of a number, depth
        raise ConfigError(Fault(str(path), "is nested too deeply, or has too large a number")) from None


def _settings(document: Mapping[str, Any], reader: Reader) -> Settings | None:
    """Turn every table into its final form; None, and faults with the reader, where one has faults."""
    reader.keys(document, (*PLAIN, *OTHERS), "")
    server = reader.table(ServerSettings, document.get("server", {}), "server")
    store = reader.table(StoreSettings, document.get("store", {}), "store")
    delivery = reader.table(DeliverySettings, document.get("delivery", {}), "delivery")
    network = reader.table(NetworkSettings, document.get("network", {}), "network")
    log = reader.table(LogSettings, document.get("log", {}), "log")
    described = _schemes(document, reader)
    reader.surroundings = replace(reader.surroundings, schemes=with_described(described))
    tokens = _tokens(document, reader)
    triggers = reader.array(TriggerTable, document.get("triggers", []), "triggers")
    sources = reader.array(SourceTable, document.get("sources", []), "sources")
    handlers = reader.array(HandlerTable, document.get("handlers", []), "handlers")
    reader.faults += () if tokens else _open(document)
    if store and delivery:
        reader.faults += _forgetful(store, delivery)
    if reader.faults or not (server and store and delivery and network and log):
        return None
    return Settings(
        server=server,
        store=store,
        delivery=delivery,
        network=network,
        log=log,
        described=described,
        tokens=tuple(table.noun() for table in tokens if table),
        triggers=tuple(table.noun() for table in triggers if table),
        sources=tuple(table.noun(server.max_body) for table in sources if table),
        handlers=tuple(table.noun() for table in handlers if table),
    )


def _schemes(document: Mapping[str, Any], reader: Reader) -> dict[str, SchemeTable]:
    """Answer the schemes that are described, and can work, by name."""
    found: dict[str, SchemeTable] = {}
    tables = document.get("schemes", {})
    for name, value in reader.keys(tables, tables, "schemes").items():
        place = joined("schemes", name)
        try:
            check_name(name)
        except ValueError as error:
            reader.faults.append(Fault(place, str(error)))
        table = reader.table(SchemeTable, value, place)
        if table is not None:
            reader.faults += [Fault(joined(place, key), detail) for key, detail in table.problems()]
            found[name] = table
    return found


def _tokens(document: Mapping[str, Any], reader: Reader) -> list[TokenTable | None]:
    """Answer the tokens of the document and that of the environment, which has every scope unless it is one of them."""
    auth = reader.keys(document.get("auth", {}), ("tokens",), "auth")
    tokens = reader.array(TokenTable, auth.get("tokens", []), "auth.tokens")
    reader.faults += _repeated(tokens)
    environment = reader.surroundings.environment
    if variables.TOKEN in environment:
        table = {"name": variables.TOKEN, "token": environment[variables.TOKEN], "scopes": list(Scope)}
        own = reader.table(TokenTable, table, variables.TOKEN)
        if own is None or own.noun().digest not in {token.noun().digest for token in tokens if token}:
            tokens.append(own)
    return tokens


def _repeated(tokens: Iterable[TokenTable | None]) -> Iterator[Fault]:
    names: dict[str, str] = {}
    for token in filter(None, tokens):
        other = names.setdefault(token.noun().digest, token.name)
        if other != token.name:
            yield Fault("auth.tokens", f"expected each token once: {token.name} is the same as {other}")


def expect_token(settings: Settings, host: str) -> None:
    """Raise ConfigError where these settings would let anybody call who reaches the host that is listened on."""
    if not settings.tokens and not is_loopback(host):
        raise ConfigError(Fault("server.host", f"{host} is listened on until a restart, and {OPEN}"))


def _open(document: Mapping[str, Any]) -> Iterator[Fault]:
    """Name the fault of listening to everybody while anybody may call."""
    server = document.get("server")
    host = server.get("host") if isinstance(server, dict) else None
    if isinstance(host, str) and is_host(host) and not is_loopback(host):
        yield Fault("server.host", OPEN)


def _forgetful(store: StoreSettings, delivery: DeliverySettings) -> Iterator[Fault]:
    """Name the fault of forgetting an id while its event may still be retried."""
    longest = sum(delivery.retry) + int(sum(delivery.retry) * delivery.jitter)
    enough = math.ceil(longest / DURATIONS["s"]) * DURATIONS["s"]
    if store.dedupe < enough:
        said = format_duration(enough)
        yield Fault("store.dedupe", f"expected at least {said}: so long does the schedule of retries last")
