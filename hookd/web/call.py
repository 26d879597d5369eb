"""One request as a route sees it: who calls, what the configuration says, and what the daemon can do."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from aiohttp import web

from hookd.accept import Acceptor
from hookd.egress import Guard
from hookd.errors import Fault, InvalidInput
from hookd.ids import IdFactory
from hookd.members import Member
from hookd.metrics import Metrics
from hookd.model import ApiToken, Attempt, Clock, Endpoint, Source, Trigger
from hookd.policy.names import is_text
from hookd.policy.networks import Networks
from hookd.receive import Receiver
from hookd.signing import SCHEMES, Scheme
from hookd.store import Store
from hookd.text import printable
from hookd.web.auth import Caller
from hookd.web.body import Bodies, members, read_body
from hookd.web.problems import RequestError, nothing_here, pointer


@dataclass(frozen=True, slots=True)
class Site:
    """What the configuration tells the HTTP face. Sources and triggers stand under their paths."""

    sources: Mapping[str, Source]
    triggers: Mapping[str, Trigger]
    tokens: tuple[ApiToken, ...]
    max_body: int
    """The bytes of the longest body; sources have their own limits."""
    guard: Guard
    former: Mapping[str, tuple[str, ...]] = field(default_factory=dict, repr=False)
    """The secrets that sources, by their names, have had since hookd started, and have no longer."""
    proxies: Networks = ()
    """The reverse proxies whose X-Forwarded-For is believed."""
    schemes: Mapping[str, Scheme] = field(default_factory=lambda: SCHEMES)
    """Those that sources and endpoints may have, by name."""

    @property
    def source_names(self) -> frozenset[str]:
        """The names of the sources, with which no published type begins."""
        return frozenset(source.name for source in self.sources.values())

    def source(self, name: str) -> Source | None:
        """Answer the source of this name, if there is one."""
        return next((source for source in self.sources.values() if source.name == name), None)


@dataclass(slots=True)
class SiteBox:
    """Holds the current site; a reload puts another in its place, and requests under way keep theirs."""

    site: Site


@dataclass(frozen=True, slots=True)
class Services:
    """What the daemon lends to the HTTP face."""

    store: Store
    acceptor: Acceptor
    receiver: Receiver
    metrics: Metrics
    clock: Clock
    make_id: IdFactory
    random_bytes: Callable[[int], bytes]
    """Where fresh secrets come from, such as `os.urandom`."""
    test: Callable[[Endpoint], Awaitable[Attempt]]
    """Sends `hookd.test` to an endpoint now."""
    unready: Callable[[], str | None]
    """Why hookd can't accept anything now; None while it can."""
    stopping: Callable[[], bool]
    """Whether hookd takes nothing in any more, and lets what is in flight end."""
    bodies: Bodies = field(default_factory=Bodies)


@dataclass(frozen=True, slots=True)
class Call:
    """A request that has been admitted, and the parameters of its query."""

    request: web.Request
    caller: Caller
    site: Site
    services: Services
    query: Mapping[str, Any]

    @property
    def id(self) -> str:
        """The id in the path; NotFound where no database could keep it."""
        identity = self.request.match_info["id"]
        if not is_text(identity):
            raise nothing_here(self.request.path)
        return identity

    async def members(self) -> dict[str, Member]:
        """Answer the members of the body, which must be a JSON object."""
        return members(await self._body())

    async def values(self, *, optional: bool = False) -> dict[str, object]:
        """Answer the values of the body's members by name; where it is `optional`, no body has none."""
        body = await self._body()
        if optional and not body:
            return {}
        return {name: member.value for name, member in members(body).items()}

    async def expect_no_values(self) -> None:
        """Refuse a body that says something, since nothing would come of it."""
        unknown = await self.values(optional=True)
        if unknown:
            raise InvalidInput(*(Fault(pointer(name), "is unknown here") for name in unknown))

    async def _body(self) -> bytes:
        encoding = self.request.headers.get("Content-Encoding", "identity")
        if encoding.lower() != "identity":
            raise RequestError(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "expected a body without Content-Encoding")
        return await read_body(self.request, self.site.max_body, self.services.bodies)

    def tenant(self, asked: str | None) -> str | None:
        """Answer the tenant that a request is for; a token that is bound to one can name no other."""
        own = self.caller.tenant
        if own is not None and asked not in (None, own):
            detail = f"the token {self.caller.name!r} is bound to the tenant {own!r}"
            raise RequestError(HTTPStatus.FORBIDDEN, detail)
        return asked if own is None else own


Act = Callable[[Call], Awaitable[web.StreamResponse]]
"""What a route does."""


MOST_PARAMETERS = 100
"""Parameters of a query: many more than any route knows, since each may be a fault."""

Parameters = Mapping[str, Callable[[str, int], object]]
"""How to read the parameters of a query: from a text and the time now, or ValueError."""


def parameters(request: web.Request, known: Parameters, now: int) -> dict[str, object]:
    """Answer what the parameters of the query mean, by name, or an InvalidInput with every fault."""
    found, faults = dict[str, object](), []
    if len(request.query) > MOST_PARAMETERS:
        raise InvalidInput(Fault("?", f"expected at most {MOST_PARAMETERS} parameters"))
    for name in request.query:
        try:
            found[name] = _parameter(name, request.query.getall(name), known, now)
        except ValueError as error:
            faults.append(Fault(f"?{printable(name)}", str(error)))
    if faults:
        raise InvalidInput(*dict.fromkeys(faults))  # one that is there twice is found twice
    return found


def _parameter(name: str, values: list[str], known: Parameters, now: int) -> object:
    if name not in known:
        raise ValueError("is unknown here; known: " + (", ".join(sorted(known)) or "none"))
    if len(values) > 1:
        raise ValueError("is there twice; expected once")
    if not values[0].isprintable():
        raise ValueError("expected printable text")
    return known[name](values[0], now)
