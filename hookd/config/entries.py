"""The arrays of tables: a token, a trigger, a source and a handler in TOML, and what they become."""

from dataclasses import dataclass, field
from typing import Annotated, ClassVar

from pydantic import ConfigDict, Field

from hookd.config import filtering, places, words
from hookd.config.kinds import choice, duration, integer, size
from hookd.config.settings import STRICT
from hookd.model import ApiToken, Handler, RateLimit, Scope, Source, Trigger
from hookd.model import Field as Place
from hookd.policy.networks import all_networks


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenTable:
    """`[[auth.tokens]]`: who may call the API; without any, only this machine may."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    name: Annotated[str, words.TOKEN_NAME]
    """What the log calls it."""
    hash: Annotated[str | None, words.DIGEST] = field(default=None, repr=False)
    """The token's SHA-256, as `hookd token` prints it, so that the token itself stands nowhere."""
    token: Annotated[str | None, words.TOKEN, Field(validate_default=True)] = field(default=None, repr=False)
    """The token itself, in place of its hash."""
    scopes: Annotated[frozenset[Scope], words.SCOPES]
    """What it may do."""
    tenant: Annotated[str | None, words.TENANT] = None
    """The one tenant that it sees."""

    def noun(self) -> ApiToken:
        """Answer the token without itself."""
        digest = self.hash or words.digest(self.token or "")
        return ApiToken(name=self.name, digest=digest, scopes=self.scopes, tenant=self.tenant)


@dataclass(frozen=True, slots=True, kw_only=True)
class TriggerTable:
    """`[[triggers]]`: a route that turns a POST into an event."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    path: Annotated[str, words.PATH]
    """Where it is posted to."""
    type: Annotated[str, words.TYPE]
    """The type of the event."""
    required: Annotated[tuple[str, ...], words.REQUIRED] = ()
    """The fields that must be there; they are sent on behind the event's `id`, and others are dropped."""
    reply: Annotated[str, words.MESSAGE] = "OK"
    """The `message` of the answer."""
    auth: Annotated[str, choice("token", "none")] = "token"
    """`none` lets callers in without a token, where there are tokens."""

    def noun(self) -> Trigger:
        """Answer the trigger."""
        return Trigger(self.path, self.type, self.required, self.reply, authenticated=self.auth == "token")


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceTable:
    """`[[sources]]`: a path at which somebody else's webhooks arrive."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    name: Annotated[str, words.SOURCE_NAME]
    """What its events' types begin with."""
    path: Annotated[str, words.PATH]
    """Where they arrive."""
    scheme: Annotated[str, words.SCHEME]
    """How they prove where they come from."""
    secrets: Annotated[tuple[Annotated[str, words.SECRET], ...], words.FILLED] = field(repr=False)
    """The secrets that they may be signed with; several while one replaces another."""
    tolerance: Annotated[int | None, words.TOLERANCE] = None
    """How far a signed timestamp may be from now; each scheme has its own, of 5 minutes where nothing else is usual."""
    url: Annotated[str | None, words.PUBLIC_URL, Field(validate_default=True)] = None
    """The address that the sender has been given, without a query, for the schemes that sign it: `square`, `twilio` and
    `rfc9421`."""
    verify_token: Annotated[str | None, words.VERIFY_TOKEN] = field(default=None, repr=False)
    """The word that Meta shows when it asks whether the path is yours, for the scheme `meta`."""
    header: Annotated[str | None, words.HEADER] = None
    """The header that carries the token, for the scheme `token`; without it `X-Webhook-Token`."""
    format: Annotated[str, choice("plain", "cloudevents", "cloudevents-binary")] = "plain"
    """What the sender sends: anything, or CloudEvents, which name their own ids and types; signed ones in structured
    mode, with `cloudevents-binary` in binary mode too."""
    id: Annotated[Place | None, words.OWN_PLACE] = None
    """Where the id stands that tells a repetition; without it where the scheme has it, see docs/signatures.md."""
    type: Annotated[Place | None, words.OWN_PLACE] = None
    """Where the type stands; without it where the scheme has it, see docs/signatures.md."""
    tenant: Annotated[str | None, words.TENANT] = None
    """The tenant whose events they are."""
    max_body: Annotated[int | None, size("1B", "512MiB", "1MiB")] = None
    """The largest body; without it that of `[server]`."""
    reply: Annotated[str | None, words.MESSAGE] = None
    """The `message` of the answer once the event is on disk: without it "OK", or no body for senders that want none."""
    refuse: Annotated[str, words.MESSAGE] = "unauthorized"
    """The `message` of the answer to what is not authentic."""
    filter: Annotated[str | None, filtering.OF_SOURCE] = None
    """What a request has to be like to be kept, by its body, headers and type; others are answered alike, and
    dropped."""
    allow: Annotated[tuple[Annotated[str, places.NETWORK], ...] | None, words.FILLED] = None
    """Who may call; without it anybody. Behind a reverse proxy set `proxies` of `[server]`, too."""
    methods: Annotated[tuple[Annotated[str, words.METHOD], ...], words.FILLED] = ("POST",)
    """The methods that events come with; any other is answered with 405. What comes by GET has an empty
    payload as a rule: the query is not kept."""

    def noun(self, max_body: int) -> Source:
        """Answer the source; `max_body` is what it has in common with all routes."""
        return Source(
            name=self.name,
            path=self.path,
            scheme=self.scheme,
            secrets=self.secrets,
            tolerance=self.tolerance,
            url=self.url,
            verify_token=self.verify_token,
            header=self.header,
            id=self.id,
            type=self.type,
            tenant=self.tenant,
            max_body=self.max_body or max_body,
            reply=self.reply,
            refuse=self.refuse,
            filter=self.filter,
            allow=None if self.allow is None else all_networks(self.allow),
            methods=self.methods,
            format=self.format,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class HandlerTable:
    """`[[handlers]]`: a destination inside the daemon."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    name: Annotated[str, words.NAME]
    """What its deliveries are listed under, as `handler:NAME`."""
    event_types: Annotated[tuple[Annotated[str, words.PATTERN], ...], words.FILLED] = ("*",)
    """The events it gets: a type, `a.*` for all below `a`, or `*` for all that are published."""
    filter: Annotated[str | None, filtering.OF_DESTINATION] = None
    """Which of these events it gets, by their body and type; without it all of them."""
    run: Annotated[str, words.RUN]
    """What is done with each: a line in the log with fields of the payload, a Python function called, or a program
    run."""
    timeout: Annotated[int | None, duration("1ms", "1h", "15s")] = None
    """How long one attempt may take; without it that of `[delivery]`."""
    max_in_flight: Annotated[int | None, integer(1, 10_000)] = None
    """How many attempts are under way at once; without it `per_endpoint` of `[delivery]`."""
    rate_limit: Annotated[RateLimit | None, words.RATE] = None
    """How often attempts are begun; without it as often as there is something to do."""
    ordered: Annotated[bool, words.FLAG] = False
    """Whether deliveries are made one after another, in the order of their events."""

    def noun(self) -> Handler:
        """Answer the handler."""
        return Handler(
            name=self.name,
            event_types=self.event_types,
            run=self.run,
            timeout=self.timeout,
            max_in_flight=self.max_in_flight,
            rate_limit=self.rate_limit,
            ordered=self.ordered,
            filter=self.filter,
        )
