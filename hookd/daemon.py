"""The one composition root: opens what the daemon is made of, starts it, and stops it in reverse order."""

import asyncio
import logging
import os
import random
import resource
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, suppress
from dataclasses import fields, replace
from pathlib import Path

from hookd import logs
from hookd.accept import Acceptor
from hookd.attempt import Poster
from hookd.config import Settings, StoreSettings, expect_token, read
from hookd.deliver import Deliverer, Policy
from hookd.egress import Guard, Session, open_session
from hookd.errors import ConfigError, HookdError, StartError, Unavailable
from hookd.greeting import greet
from hookd.handlers import Runner
from hookd.ids import IdFactory
from hookd.lanes import Lanes
from hookd.metrics import Metrics
from hookd.model import Clock, Handler, wall_clock
from hookd.policy.networks import all_networks
from hookd.receive import Receiver
from hookd.rejections import Rejections
from hookd.store import ServerClock, Store, Vault, open_store, share
from hookd.web.app import application, inbound_application
from hookd.web.call import Services, Site, SiteBox
from hookd.web.connections import Connections
from hookd.web.server import listening

EXPIRE_EVERY = 60.0
"""Seconds between looks for dedupe keys that have expired."""

PRUNE_EVERY = 1.0
"""Seconds between looks for events to prune, and for space to give back: the fewer at once, the smoother."""

MOST_CONNECTIONS = 4096
"""Connections of callers at once, and idle ones to receivers, at the most: it bounds memory where descriptors don't."""

FEWEST_CONNECTIONS = 64

OWN_DESCRIPTORS = 128
"""File descriptors for the store, the log, look-ups of names, and whatever a handler opens."""

KILLED_BY_INTERRUPT = 130

log = logging.getLogger("hookd")


class Daemon:
    """The running whole: its parts, its settings, and what signals do to them."""

    def __init__(self, settings: Settings, path: Path | None) -> None:
        self._started = self._settings = settings
        self._path = path
        self._server_clock = ServerClock(wall_clock)
        self._clock: Clock = wall_clock if settings.store.server is None else self._server_clock
        self._rng = random.Random(os.urandom(16))  # noqa: S311 - ids and jitter; secrets come from os.urandom
        self._ids = self._fresh_ids()
        self._metrics = Metrics()
        self._lanes = Lanes(settings.delivery.max_in_flight, settings.delivery.per_endpoint)
        self._box = SiteBox(_site(settings))
        self._stop = asyncio.Event()
        self._hangup = asyncio.Event()

    async def run(self) -> None:
        """Start, serve until told to stop, and stop: intake first, then claiming, then what is in flight."""
        settings = self._settings
        self._listen_to_signals()
        async with AsyncExitStack() as stack:
            self._store = await stack.enter_async_context(self._open_store())
            self._session = _session(settings)
            stack.push_async_callback(self._close_session)
            self._compose()
            try:
                await self._run_loops()
            except ExceptionGroup as errors:  # except* would wrap what it raises, before Python 3.11.4
                raise _cause(errors) from None

    def _open_store(self) -> AbstractAsyncContextManager[Store]:
        store = self._settings.store
        told = (self._fresh_ids(), store.dedupe, Vault(store.keys, os.urandom))
        if store.server is None:
            return open_store(Path(store.place), self._clock, *told)
        clock = self._server_clock
        return share(store.server, clock, *told, lease=store.lease, listens=store.listen, hear=clock.hear)

    def _fresh_ids(self) -> IdFactory:
        return IdFactory(self._clock, self._rng)

    def _compose(self) -> None:
        self._connections = Connections(_connections(self._settings))
        self._acceptor = Acceptor(self._store, self._metrics, self._clock, self._ids)
        self._receiver = Receiver(self._acceptor, self._rejections(), self._metrics, self._clock)
        self._deliverer = Deliverer(
            store=self._store,
            acceptor=self._acceptor,
            lanes=self._lanes,
            poster=self._poster(),
            runner=self._runner(),
            policy=self._policy(),
            metrics=self._metrics,
            clock=self._clock,
            rng=self._rng,
        )

    def _rejections(self) -> Rejections:
        store = self._settings.store
        return Rejections(self._store, self._ids, self._clock, most=store.rejections, longest_body=store.rejection_body)

    def _poster(self) -> Poster:
        delivery = self._settings.delivery
        return Poster(
            self._session,
            timeout=delivery.timeout,
            response_kept=delivery.response_kept,
            source=delivery.cloudevents_source,
            clock=self._clock,
            ids=self._ids,
            schemes=self._settings.schemes,
        )

    def _runner(self) -> Runner:
        delivery = self._settings.delivery
        return Runner(timeout=delivery.timeout, response_kept=delivery.response_kept, clock=self._clock, ids=self._ids)

    def _policy(self) -> Policy:
        delivery = self._settings.delivery
        return Policy(delivery.retry, delivery.jitter, delivery.disable_after, delivery.breaker)

    async def _run_loops(self) -> None:
        async with asyncio.TaskGroup() as loops:
            loops.create_task(self._store.run(), name="commit")
            self._loops = loops
            upkeep = [
                loops.create_task(self._upkeep(EXPIRE_EVERY, self._store.expire_keys), name="expire"),
                loops.create_task(self._upkeep(EXPIRE_EVERY, self._expire_rejections), name="expire rejections"),
                loops.create_task(self._upkeep(EXPIRE_EVERY, self._store.forget_deleted), name="forget"),
                loops.create_task(self._upkeep(PRUNE_EVERY, self._prune), name="prune"),
                loops.create_task(self._upkeep(PRUNE_EVERY, self._store.shrink), name="shrink"),
            ]
            try:
                await self._recover()
                loops.create_task(self._deliverer.run(), name="deliver")
                picking_up = loops.create_task(self._acceptor.watch(self._sources), name="pick up")
                upkeep.append(picking_up)
                upkeep.append(loops.create_task(self._deliverer.watch(), name="watch"))
                upkeep.append(loops.create_task(self._reloading(), name="reload"))
                async with self._serving():
                    await self._greet()
                    await self._stop.wait()
                    log.info("stopping: nothing new is taken in, and what is in flight ends first")
                    picking_up.cancel()
                    await self._deliverer.drain(self._settings.server.drain / 1000)
            finally:
                await self._wind_down(upkeep)

    def _sources(self) -> frozenset[str]:
        return self._box.site.source_names

    async def _recover(self) -> None:
        """Take up what the last run left; StartError where the store can't be written."""
        try:
            _tell_of_gone(await self._store.recover(_handlers(self._settings)))
        except Unavailable as error:
            raise StartError(f"[store] url: {error}") from None

    async def _wind_down(self, upkeep: list[asyncio.Task[None]]) -> None:
        for task in upkeep:
            task.cancel()
        await self._deliverer.drain(0)
        self._store.stop()

    @asynccontextmanager
    async def _serving(self) -> AsyncIterator[None]:
        """Serve on the main address and, where there is one, on the sources' own."""
        server, services = self._settings.server, self._services()
        async with AsyncExitStack() as stack:
            app = application(self._box, services)
            self._address = await stack.enter_async_context(listening(app, server.host, server.port, self._connections))
            if server.inbound is not None:
                app, (host, port) = inbound_application(self._box, services), server.inbound
                await stack.enter_async_context(listening(app, host, port, self._connections))
            yield

    def _services(self) -> Services:
        return Services(
            store=self._store,
            acceptor=self._acceptor,
            receiver=self._receiver,
            metrics=self._metrics,
            clock=self._clock,
            make_id=self._ids,
            random_bytes=os.urandom,
            test=self._deliverer.test,
            unready=self._unready,
            stopping=self._stop.is_set,
        )

    def _unready(self) -> str | None:
        if self._stop.is_set():
            return "hookd is stopping"
        if self._store.fault is not None:
            return f"the store can't commit: {self._store.fault}"
        return None

    async def _upkeep(self, seconds: float, step: Callable[[], Awaitable[None]]) -> None:
        while True:
            await asyncio.sleep(seconds)
            if self._store.fault is None:
                with suppress(Unavailable):  # the store says so itself
                    await step()

    async def _prune(self) -> None:
        await self._store.prune(self._started.store.retention)

    async def _expire_rejections(self) -> None:
        await self._store.expire_rejections(self._started.store.rejection_age)

    async def _greet(self) -> None:
        """Say what runs here, for whom, and how to try it."""
        endpoints = sum((await self._store.totals()).endpoints.values())
        greet(self._settings, self._path, self._address, endpoints)

    # Signals.

    def _listen_to_signals(self) -> None:
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, self._stop.set)
        loop.add_signal_handler(signal.SIGINT, self._interrupt)
        loop.add_signal_handler(signal.SIGHUP, self._hangup.set)

    def _interrupt(self) -> None:
        if self._stop.is_set():
            os._exit(KILLED_BY_INTERRUPT)  # what is in flight is made again at the next start
        self._stop.set()

    async def _reloading(self) -> None:
        """Reload at every SIGHUP, one at a time."""
        while True:
            await self._hangup.wait()
            self._hangup.clear()
            self._metrics.last_reload_successful = await self._reload()

    async def _reload(self) -> bool:
        """Take the configuration as a whole, or leave everything as it is; answer which."""
        try:
            settings = read(self._path, os.environ)
            expect_token(settings, self._started.server.host)
            _tell_of_gone(await self._store.set_handlers(_handlers(settings)))
        except ConfigError as error:
            for fault in error.faults:
                log.error("the configuration was not reloaded", extra=_fields(key=fault.pointer, fault=fault.detail))
            return False
        except Unavailable as error:
            log.error("the configuration was not reloaded", extra=_fields(fault=f"the store can't commit: {error}"))
            return False
        for key in _fixed(self._started, settings):
            log.warning("a changed setting takes effect at the next start", extra=_fields(key=key))
        self._apply(settings)
        log.info("the configuration was reloaded")
        return True

    def _apply(self, settings: Settings) -> None:
        before, self._settings = self._settings, settings
        logs.setup(settings.log.level, settings.log.format, sys.stderr)
        self._box.site = replace(_site(settings), former=_former(self._box.site, settings))
        self._lanes.reconfigure(settings.delivery.max_in_flight, settings.delivery.per_endpoint)
        self._connections.most = _connections(settings)
        former = self._session
        if settings.network != before.network:
            self._session = _session(settings)  # kept connections would bypass the new rules
            self._loops.create_task(self._retire(former), name="retire")
        self._deliverer.reconfigure(self._poster(), self._runner(), self._policy())

    async def _retire(self, session: Session) -> None:
        """Close a session once the attempts that go through it have ended."""
        await self._deliverer.settled()
        await session.close()

    async def _close_session(self) -> None:
        await self._session.close()


def _cause(errors: ExceptionGroup[Exception]) -> Exception:
    """Answer what ended the loops; what nobody has foreseen is logged with its traceback."""
    foreseen = errors.subgroup(HookdError)
    error: Exception = foreseen or errors
    while isinstance(error, ExceptionGroup):
        error = error.exceptions[0]
    if foreseen is not None:
        return error
    log.critical("a loop died, and the daemon with it", exc_info=error)
    return StartError(f"the daemon died: {error!r}; its log says more")


def _site(settings: Settings) -> Site:
    return Site(
        sources={source.path: source for source in settings.sources},
        triggers={trigger.path: trigger for trigger in settings.triggers},
        tokens=settings.tokens,
        max_body=settings.server.max_body,
        guard=_guard(settings),
        proxies=all_networks(settings.server.proxies),
        schemes=settings.schemes,
    )


def _former(before: Site, settings: Settings) -> dict[str, tuple[str, ...]]:
    """Answer the secrets that sources have had before, and have no longer, by the sources' names."""
    known = {source.name: source.secrets + before.former.get(source.name, ()) for source in before.sources.values()}
    return {
        source.name: tuple(
            secret for secret in dict.fromkeys(known.get(source.name, ())) if secret not in source.secrets
        )
        for source in settings.sources
    }


def _connections(settings: Settings) -> int:
    """Answer how many connections of callers may be open, and as many to receivers kept idle.

    That leaves file descriptors to what is in flight, and to everything else.
    """
    allowed, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if allowed == resource.RLIM_INFINITY:
        return MOST_CONNECTIONS
    left = allowed - OWN_DESCRIPTORS - settings.delivery.max_in_flight
    if left < 2 * FEWEST_CONNECTIONS:
        log.warning(
            "file descriptors may run out: raise their limit (ulimit -n, or LimitNOFILE= of systemd)",
            extra=_fields(limit=allowed, wanted=allowed - left + 2 * FEWEST_CONNECTIONS),
        )
    return max(FEWEST_CONNECTIONS, min(left // 2, MOST_CONNECTIONS))


def _handlers(settings: Settings) -> dict[str, Handler]:
    return {handler.id: handler for handler in settings.handlers}


def _guard(settings: Settings) -> Guard:
    return Guard(settings.network.allow, settings.network.deny)


def _session(settings: Settings) -> Session:
    return open_session(_guard(settings), settings.network.proxy, kept=_connections(settings))


def _fixed(before: Settings, after: Settings) -> list[str]:
    """Name the settings that differ and can't be changed while running."""
    changed = [f"server.{key}" for key in ("host", "port", "inbound") if _differ(before.server, after.server, key)]
    of_store = [item.name for item in fields(StoreSettings)]
    return changed + [f"store.{key}" for key in of_store if _differ(before.store, after.store, key)]


def _differ(before: object, after: object, key: str) -> bool:
    return bool(getattr(before, key) != getattr(after, key))


def _tell_of_gone(handlers: Iterable[str]) -> None:
    for handler in handlers:
        log.warning("cancelled what waits for a handler that is not configured any more", extra=_fields(lane=handler))


def _fields(**fields: object) -> dict[str, object]:
    return {"fields": fields}
