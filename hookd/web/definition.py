"""What defines an endpoint, as its owner writes it: checked when made, merged when changed."""

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import replace
from typing import Annotated, Any, NamedTuple, cast

import msgspec
from pydantic import AfterValidator, Field, ValidationInfo, field_validator

from hookd.attempt import check_format, check_header
from hookd.egress import Guard, check_url
from hookd.errors import Fault, InvalidInput
from hookd.model import Endpoint, EndpointState, Origin, PreviousSecret
from hookd.policy.declare import DEEPEST
from hookd.policy.match import EVERYTHING, matches
from hookd.signing import TOKEN, Scheme, generate_secret, scheme
from hookd.units import format_duration, format_rate, format_time
from hookd.web.call import Site
from hookd.web.fields import Body, Filter, Metadata, Patterns, Rate, Retry, Tenant, Text, Timeout, Token, at_most, check
from hookd.web.problems import pointer

Json = Mapping[str, object]

EXAMPLE = generate_secret(bytes)
"""What a fresh secret looks like; some schemes can't sign with such a one."""
UNUSED = "the scheme token shows the endpoint's token, and no secret"
MASK = "***"
"""Stands where a token or the value of a header is not shown."""
LONGEST_NAME = 256
"""Characters of the name of an endpoint's own header."""
LONGEST_HEADER = 4096
"""Characters of the value of an endpoint's own header."""


def _headers(headers: dict[str, str]) -> dict[str, str]:
    if len({name.lower() for name in headers}) < len(headers):
        raise ValueError("expected each header once; upper and lower case are the same")
    for name, value in headers.items():
        check_header(name, value)
    return headers


def _unmasked(text: str) -> str:
    if text == MASK:
        raise ValueError("expected the value itself, not the mask under which it is shown")
    return text


Format = Annotated[Text, AfterValidator(check_format)]
State = Annotated[EndpointState, Field(strict=False)]
Headers = Annotated[
    dict[
        Annotated[Text, Field(max_length=LONGEST_NAME)],
        Annotated[Text, Field(max_length=LONGEST_HEADER), AfterValidator(_unmasked)],
    ],
    at_most(32),
    AfterValidator(_headers),
]


class Definition(Body):
    """What the owner of an endpoint may write at any time. Null, or nothing, means the default."""

    scheme: Text = "standard"
    url: Text
    event_types: Patterns = (EVERYTHING,)
    description: Annotated[Text, Field(max_length=1000)] = ""
    token: Annotated[Token, AfterValidator(_unmasked)] | None = Field(None, repr=False, validate_default=True)
    format: Format = "plain"
    headers: Headers = Field({}, repr=False)
    filter: Filter | None = None
    rate_limit: Rate | None = None
    max_in_flight: Annotated[int, Field(ge=1, le=10_000)] | None = None
    ordered: bool = False
    timeout: Timeout | None = None
    retry: Retry | None = None
    metadata: Metadata = Field({})

    @field_validator("scheme")
    @classmethod
    def _provable(cls, name: str, info: ValidationInfo) -> str:
        rules = _rules(info)
        if "scheme" in rules.named:
            scheme(name, schemes=rules.schemes)
        return name

    @field_validator("url")
    @classmethod
    def _dialable(cls, url: str, info: ValidationInfo) -> str:
        rules = _rules(info)
        if rules.guard is not None and "url" in rules.named:
            url = check_url(url, rules.guard)
        row = rules.schemes.get(info.data.get("scheme", ""))
        if row is not None and not rules.named.isdisjoint(("url", "scheme")):
            row.check_address(url)
        return url

    @field_validator("token")
    @classmethod
    def _shown(cls, token: str | None, info: ValidationInfo) -> str | None:
        is_judged = not _rules(info).named.isdisjoint(("token", "scheme"))
        if token is None and is_judged and info.data.get("scheme") == TOKEN.name:
            raise ValueError("is required: the scheme token shows it")
        return token

    @field_validator("filter")
    @classmethod
    def _met(cls, text: str | None, info: ValidationInfo) -> str | None:
        types = [] if text is None else msgspec.json.decode(text).get("type", [])
        patterns = info.data.get("event_types", (EVERYTHING,))
        if types and not any(isinstance(each, dict) or matches(patterns, each, Origin.PUBLISHED) for each in types):
            raise ValueError("nothing can pass: its type is none of event_types")
        return text

    @field_validator("headers")
    @classmethod
    def _unsigned(cls, headers: dict[str, str], info: ValidationInfo) -> dict[str, str]:
        rules = _rules(info)
        row = rules.schemes.get(info.data.get("scheme", ""))
        if row is not None and rules.named & {"scheme", "headers"}:
            taken = [name for name in headers if name.lower() in row.names]
            if taken:
                raise ValueError(f"{taken[0]} is reserved: the scheme {row.name} sets it itself")
        return headers


class NewEndpoint(Definition):
    """An endpoint to be made: also whose it is, and the secret where it is not to be a fresh one."""

    tenant: Tenant | None = None
    secret: Annotated[Text, Field(max_length=1024)] | None = Field(None, repr=False, validate_default=True)

    @field_validator("secret")
    @classmethod
    def _suits(cls, secret: str | None, info: ValidationInfo) -> str | None:
        if secret is not None and info.data.get("scheme") == TOKEN.name:
            raise ValueError(f"{UNUSED}; take this out")
        if "scheme" in info.data:
            expect_signer(_rules(info).schemes[info.data["scheme"]], secret)
        return secret


class ChangedEndpoint(Definition):
    """An endpoint after a change: also its state."""

    state: State = EndpointState.ACTIVE


class Rules(NamedTuple):
    """What an endpoint is checked against."""

    guard: Guard | None
    schemes: Mapping[str, Scheme]
    named: AbstractSet[str] = frozenset(Definition.model_fields)
    """The fields that are written; of the others, what was fine once is not judged again."""


def _rules(info: ValidationInfo) -> Rules:
    return cast(Rules, info.context)


def new_endpoint(values: Json, site: Site) -> NewEndpoint:
    """Answer the endpoint that these values define, or an InvalidInput with every fault."""
    return check(NewEndpoint, _checkable({}, values, NewEndpoint), Rules(site.guard, site.schemes))


def changed(endpoint: Endpoint, patch: Json, site: Site, now: int) -> Endpoint:
    """Answer the endpoint with a merge patch applied (RFC 7396), or an InvalidInput with every fault.

    The url, the scheme and the headers are judged again only where the patch names them: what may be dialled, and the
    schemes, can have changed since.
    """
    values = _checkable(definition(endpoint), patch, ChangedEndpoint)
    after = check(ChangedEndpoint, values, Rules(site.guard, site.schemes, patch.keys()))
    if "scheme" in patch:
        _expect_secrets(site.schemes[after.scheme], endpoint, now)
    fields = {name: getattr(after, name) for name in Definition.model_fields}
    return in_state(replace(endpoint, **fields, updated_at=now), after.state, now)


def in_state(endpoint: Endpoint, state: EndpointState, now: int) -> Endpoint:
    """Answer the endpoint put into a state by hand."""
    if state is endpoint.state:
        return endpoint
    reason = None if state is EndpointState.ACTIVE else "by hand"
    return replace(endpoint, state=state, state_reason=reason, state_since=now)


def definition(endpoint: Endpoint) -> dict[str, Any]:
    """Answer what may be changed of an endpoint, as its owner would write it; the token is among it."""
    return {
        "url": endpoint.url,
        "event_types": list(endpoint.event_types),
        "description": endpoint.description,
        "token": endpoint.token,
        "scheme": endpoint.scheme,
        "format": endpoint.format,
        "headers": dict(endpoint.headers),
        "filter": None if endpoint.filter is None else msgspec.json.decode(endpoint.filter),
        "rate_limit": None if endpoint.rate_limit is None else format_rate(endpoint.rate_limit),
        "max_in_flight": endpoint.max_in_flight,
        "ordered": endpoint.ordered,
        "timeout": None if endpoint.timeout is None else format_duration(endpoint.timeout),
        "retry": None if endpoint.retry is None else [format_duration(wait) for wait in endpoint.retry],
        "metadata": dict(endpoint.metadata),
        "state": endpoint.state.value,
    }


def merged(target: Json, patch: Json, levels: int = DEEPEST + 1) -> dict[str, Any]:
    """Answer `target` with a JSON merge patch applied (RFC 7396), to as many levels as an endpoint has at the most."""
    result = dict(target)
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        elif isinstance(value, Mapping) and levels > 1:
            before = result.get(name)
            result[name] = merged(before if isinstance(before, Mapping) else {}, value, levels - 1)
        else:
            result[name] = value
    return result


def _checkable(target: Json, patch: Json, model: type[Body]) -> Json:
    """Merge, but keep unknown fields that are null for the check to refuse: the merge would drop them."""
    unknown = dict.fromkeys(name for name in patch if name not in model.model_fields)
    return unknown | merged(target, patch)


def expect_signer(row: Scheme, secret: str | None) -> None:
    """Return where the scheme can sign with a secret, or with a fresh one for None; else ValueError."""
    try:
        row.key(EXAMPLE if secret is None else secret).prove(b"")
    except ValueError as error:
        raise ValueError(f"is required: {error}" if secret is None else str(error)) from None


def shown_secret(endpoint: Endpoint) -> str | None:
    """Answer the secret that signs; None where none does, and one is merely kept for the schemes that want it."""
    return None if endpoint.scheme == TOKEN.name else endpoint.secret


def signing(endpoint: Endpoint, now: int) -> tuple[PreviousSecret, ...]:
    """Answer the earlier secrets that still sign."""
    return tuple(old for old in endpoint.previous_secrets if old.expires_at > now)


def _expect_secrets(row: Scheme, endpoint: Endpoint, now: int) -> None:
    """Refuse a scheme that the secret does not suit, or by which an earlier one would end before its time."""
    try:
        if row is not TOKEN:
            expect_signer(row, endpoint.secret)
    except ValueError as error:
        detail = f"the endpoint's secret does not suit it; rotate that, with this scheme in the same call: {error}"
        raise InvalidInput(Fault(pointer("scheme"), detail)) from None
    earlier = signing(endpoint, now)
    if not all(row.several and _can_sign(row, old.secret) for old in earlier):
        until = format_time(max(old.expires_at for old in earlier))
        detail = f"it can't carry the earlier secrets, which sign until {until}: wait, or rotate with an overlap of 0s"
        raise InvalidInput(Fault(pointer("scheme"), detail))


def _can_sign(row: Scheme, secret: str) -> bool:
    try:
        expect_signer(row, secret)
    except ValueError:
        return False
    return True
