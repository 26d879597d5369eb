import logging
from collections.abc import AsyncIterator, Mapping
from hashlib import sha256

import pytest
from aiohttp import ClientSession, web

from hookd.model import ApiToken, Scope
from hookd.web.auth import admit
from tests.web.serving import serve

Headers = Mapping[str, str] | list[tuple[str, str]] | None

READER = ApiToken("reader", sha256(b"read-me").hexdigest(), frozenset({Scope.READ}))
TENANT = ApiToken("acme's", sha256(b"all-mine").hexdigest(), frozenset(Scope), tenant="acme")


def application(*tokens: ApiToken) -> web.Application:
    async def act(request: web.Request) -> web.Response:
        scope = request.match_info["scope"]
        caller = admit(request, tokens, None if scope == "open" else Scope(scope))
        return web.json_response({"name": caller.name, "tenant": caller.tenant})

    app = web.Application()
    app.router.add_route("*", "/{scope}", act)
    return app


@pytest.fixture
async def guarded() -> AsyncIterator[str]:
    async with serve(application(READER, TENANT)) as url:
        yield url


@pytest.fixture
async def unguarded() -> AsyncIterator[str]:
    async with serve(application()) as url:
        yield url


async def call(
    url: str, method: str = "GET", headers: Headers = None
) -> tuple[int, dict[str, object], Mapping[str, str]]:
    async with (
        ClientSession(skip_auto_headers=["Content-Type"]) as session,
        session.request(method, url, headers=headers) as response,
    ):
        return response.status, await response.json(content_type=None), response.headers


async def test_a_token_with_the_scope_is_admitted(guarded: str) -> None:
    status, caller, _ = await call(guarded + "read", headers={"Authorization": "Bearer read-me"})
    assert (status, caller) == (200, {"name": "reader", "tenant": None})
    status, caller, _ = await call(guarded + "write", "POST", headers={"Authorization": "bearer  all-mine"})
    assert (status, caller) == (200, {"name": "acme's", "tenant": "acme"})


async def test_a_token_without_the_scope_is_told_which_one(guarded: str) -> None:
    status, document, headers = await call(guarded + "write", headers={"Authorization": "Bearer read-me"})
    assert status == 403
    assert "'write'" in str(document["detail"])
    assert 'error="insufficient_scope", scope="write"' in headers["WWW-Authenticate"]


@pytest.mark.parametrize(
    "value",
    [
        None,
        "Bearer",
        "Bearer ",
        "Bearer nope",
        "Basic cmVhZC1tZQ==",
        "read-me",
        "Bearer \xff\u20ac",
        "Bearer a b",
    ],
)
async def test_anybody_else_is_asked_for_a_token(
    guarded: str, value: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "hookd")
    status, document, headers = await call(guarded + "read", headers={"Authorization": value} if value else None)
    assert status == 401
    assert headers["WWW-Authenticate"].startswith('Bearer realm="hookd"')
    assert "read-me" not in str(document)
    [record] = caplog.records
    assert (record.levelname, record.message) == ("WARNING", "refused a request")
    fields = getattr(record, "fields", {})
    assert {"status": 401, "method": "GET", "path": "/read", "peer": "127.0.0.1"}.items() <= fields.items()
    assert "read-me" not in str(record.__dict__)


async def test_two_tokens_are_none(guarded: str) -> None:
    both = [("Authorization", "Bearer read-me"), ("Authorization", "Bearer read-me")]
    assert (await call(guarded + "read", headers=both))[0] == 401


async def test_an_open_route_needs_no_token(guarded: str) -> None:
    assert (await call(guarded + "open"))[0] == 200


async def test_with_tokens_any_host_and_content_type_will_do(guarded: str) -> None:
    headers = {"Authorization": "Bearer all-mine", "Host": "hooks.example", "X-Forwarded-For": "192.0.2.1"}
    assert (await call(guarded + "write", "POST", headers=headers))[0] == 200


@pytest.mark.parametrize("host", ["localhost", "localhost:8080", "127.0.0.1:1", "[::1]", "[::1]:8080", "LocalHost"])
async def test_without_tokens_this_machine_is_admitted(unguarded: str, host: str) -> None:
    assert (await call(unguarded + "read", headers={"Host": host}))[0] == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "rebound.example"},
        {"Host": "localhost.rebound.example"},
        {"Host": "127.0.0.1.nip.io:8080"},
        {"Host": "localhost@rebound.example"},
        {"Host": ""},
        {"Forwarded": "for=192.0.2.1"},
        {"X-Forwarded-For": "127.0.0.1"},
        {"x-forwarded-anything": ""},
        {"Via": "1.1 proxy"},
        {"Origin": "https://foreign.example"},
        {"Origin": "null"},
        [("Origin", "http://localhost:8080"), ("Origin", "https://foreign.example"), ("Host", "localhost:8080")],
        {"Host": "localhost:8080", "Origin": "http://localhost:3000"},
    ],
)
@pytest.mark.parametrize("scope", ["read", "open"])
async def test_without_tokens_nobody_else_is(unguarded: str, headers: Headers, scope: str) -> None:
    status, document, _ = await call(unguarded + scope, headers=headers)
    assert status == 403
    assert "[[auth.tokens]]" in str(document["detail"])


async def test_without_tokens_a_page_of_our_own_is_admitted(unguarded: str) -> None:
    headers = {"Host": "localhost:8080", "Origin": "http://localhost:8080"}
    assert (await call(unguarded + "read", headers=headers))[0] == 200


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
@pytest.mark.parametrize(
    "kind", [None, "text/plain", "application/x-www-form-urlencoded", "text/plain; application/json"]
)
async def test_without_tokens_a_write_says_that_it_is_json(unguarded: str, method: str, kind: str | None) -> None:
    status, document, _ = await call(unguarded + "write", method, headers={"Content-Type": kind} if kind else None)
    assert (status, document["detail"]) == (415, "expected application/json; with curl use --json")


async def test_without_tokens_json_may_have_parameters(unguarded: str) -> None:
    headers = {"Content-Type": "Application/JSON; charset=utf-8"}
    assert (await call(unguarded + "write", "DELETE", headers=headers))[0] == 200
