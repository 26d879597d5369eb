"""What defines an endpoint, as its owner writes it: checked when made, merged when changed."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Any

import msgspec
from pydantic import AfterValidator, Field, ValidationInfo, field_validator

from hookd.attempt import check_format, check_header
from hookd.egress import Guard, check_url
from hookd.errors import Fault, InvalidInput
from hookd.model import Endpoint, EndpointState
from hookd.policy.declare import DEEPEST
from hookd.signing import check_secret, scheme
from hookd.units import format_duration, format_rate
from hookd.web.fields import Body, Filter, Metadata, Patterns, Rate, Retry, Tenant, Text, Timeout, Token, at_most, check
from hookd.web.problems import pointer

Json = Mapping[str, object]

MASK = "***"
"""Stands where a token or the value of a header is not shown."""
LONGEST_NAME = 256
"""Characters of the name of an endpoint's own header."""
LONGEST_HEADER = 4096
"""Characters of the value of an endpoint's own header."""


def _scheme(name: str) -> str:
    return scheme(name).name


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


Scheme = Annotated[Text, AfterValidator(_scheme)]
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

    url: Text
    event_types: Patterns = ("*",)
    description: Annotated[Text, Field(max_length=1000)] = ""
    token: Annotated[Token, AfterValidator(_unmasked)] | None = Field(None, repr=False)
    scheme: Scheme = "standard"
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
        if name == "token" and "token" in info.data and info.data["token"] is None:
            raise ValueError('the scheme token shows the endpoint\'s "token"; expected one')
        return name

    @field_validator("url")
    @classmethod
    def _dialable(cls, url: str, info: ValidationInfo) -> str:
        guard: Guard | None = info.context
        return url if guard is None else check_url(url, guard)


class NewEndpoint(Definition):
    """An endpoint to be made: also whose it is, and the secret where it is not to be a fresh one."""

    tenant: Tenant | None = None
    secret: Annotated[Text, Field(max_length=1024)] | None = Field(None, repr=False)

    @field_validator("secret")
    @classmethod
    def _suits(cls, secret: str, info: ValidationInfo) -> str:
        if "scheme" in info.data:
            check_secret(info.data["scheme"], secret)
        return secret


class ChangedEndpoint(Definition):
    """An endpoint after a change: also its state."""

    state: State = EndpointState.ACTIVE


def new_endpoint(values: Json, guard: Guard) -> NewEndpoint:
    """Answer the endpoint that these values define, or an InvalidInput with every fault."""
    return check(NewEndpoint, _checkable({}, values, NewEndpoint), guard)


def changed(endpoint: Endpoint, patch: Json, guard: Guard, now: int) -> Endpoint:
    """Answer the endpoint with a merge patch applied (RFC 7396), or an InvalidInput with every fault.

    The url is judged again only where the patch names it: what may be dialled can have changed since.
    """
    values = _checkable(definition(endpoint), patch, ChangedEndpoint)
    after = check(ChangedEndpoint, values, guard if "url" in patch else None)
    if "scheme" in patch:
        _expect_secret(after.scheme, endpoint.secret)
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


def _expect_secret(scheme_name: str, secret: str) -> None:
    try:
        check_secret(scheme_name, secret)
    except ValueError as error:
        detail = f"the endpoint's secret does not suit it, rotate that first: {error}"
        raise InvalidInput(Fault(pointer("scheme"), detail)) from None
