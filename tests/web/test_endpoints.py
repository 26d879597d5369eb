import base64
import json
from dataclasses import replace
from typing import Any

import pytest
from aiohttp import web
from yarl import URL

from hookd.model import Breaker, Scope
from hookd.signing import SCHEMES, public_of
from hookd.units import format_time
from tests.receivers import Receiver
from tests.signing.examples import SEED
from tests.web.serving import serve
from tests.web.stand import DAY, NOW, Stand, token

PATH = "/api/v1/endpoints"
NOW_TEXT = "2026-01-02T03:04:05.000Z"


def nested(levels: int) -> Any:
    """Objects in objects."""
    return {"body": nested(levels - 1)} if levels else {}


async def test_an_endpoint_is_made_with_every_default(stand: Stand) -> None:
    made = await stand.call("POST", PATH, {"url": "http://127.0.0.1:9/hook#part"})
    assert made.status == 201
    endpoint = made.json
    assert made.headers["Location"] == f"{PATH}/{endpoint['id']}"
    assert endpoint["id"].startswith("ep_")
    assert len(base64.b64decode(endpoint.pop("secret").removeprefix("whsec_"))) == 32
    assert endpoint == {
        "id": endpoint["id"],
        "tenant": None,
        "url": "http://127.0.0.1:9/hook",
        "event_types": ["*"],
        "description": "",
        "token": None,
        "scheme": "standard",
        "format": "plain",
        "headers": {},
        "filter": None,
        "rate_limit": None,
        "max_in_flight": None,
        "ordered": False,
        "timeout": None,
        "retry": None,
        "metadata": {},
        "state": "active",
        "state_reason": None,
        "state_since": NOW_TEXT,
        "breaker": {"state": "closed", "since": None, "blocked_until": None},
        "created_at": NOW_TEXT,
        "updated_at": NOW_TEXT,
    }
    assert (await stand.call("GET", f"{PATH}/{endpoint['id']}")).json == endpoint


async def test_an_endpoint_is_made_as_it_was_asked_for_and_shows_no_secret(stand: Stand) -> None:
    fields = {
        "event_types": ["order.*", "user.created", "order.*"],
        "description": "Überweisung",
        "tenant": "acme",
        "token": "token-text",
        "scheme": "github",
        "format": "standard",
        "secret": "secret-text",
        "headers": {"Authorization": "Basic header-text"},
        "filter": {"body": {"amount": [{"numeric": [">=", 100]}], "coupon": [None]}},
        "rate_limit": "600/min burst 50",
        "max_in_flight": 3,
        "ordered": True,
        "timeout": "1500ms",
        "retry": ["0s", "90s", "24h"],
        "metadata": {"team": "a/b"},
    }
    made = await stand.endpoint(**fields)
    assert made["secret"] == "secret-text"
    read = await stand.call("GET", f"{PATH}/{made['id']}")
    shown = read.json
    assert shown["event_types"] == ["order.*", "user.created"]
    assert (shown["timeout"], shown["retry"]) == ("1500ms", ["0s", "90s", "1d"])
    as_asked = (
        *("description", "tenant", "scheme", "format", "filter", "rate_limit", "max_in_flight", "ordered"),
        "metadata",
    )
    assert {name: shown[name] for name in as_asked} == {name: fields[name] for name in as_asked}
    listed = await stand.call("GET", PATH)
    for text in (read.text, listed.text):
        assert not any(secret in text for secret in ("token-text", "secret-text", "header-text"))


@pytest.mark.parametrize(
    ("fields", "pointers"),
    [
        ({"url": None}, ["#/url"]),
        ({"url": 5}, ["#/url"]),
        ({"url": "http://10.0.0.1/"}, ["#/url"]),
        ({"url": "http://127.0.0.1:9/\0"}, ["#/url"]),
        ({"event_types": []}, ["#/event_types"]),
        ({"event_types": ["a.b", "a.*.b", "*a", "a..b", "a b"]}, [f"#/event_types/{place}" for place in (1, 2, 3, 4)]),
        ({"event_types": ["a"] * 101}, ["#/event_types"]),
        ({"description": "x" * 1001}, ["#/description"]),
        ({"description": "\ud800"}, ["#/description"]),
        ({"description": "a\0b"}, ["#/description"]),
        ({"tenant": ""}, ["#/tenant"]),
        ({"tenant": "a\nb"}, ["#/tenant"]),
        ({"token": "a\r\nb"}, ["#/token"]),
        ({"token": "***"}, ["#/token"]),
        ({"scheme": "none"}, ["#/scheme"]),
        ({"secret": "whsec_short"}, ["#/secret"]),
        ({"headers": {"Host": "a"}}, ["#/headers"]),
        ({"headers": {"A": "a\nb"}}, ["#/headers"]),
        ({"headers": {"A": "a", "a": "b"}}, ["#/headers"]),
        ({"headers": {"A": "***"}}, ["#/headers/A"]),
        ({"headers": {f"A{n}": "a" for n in range(33)}}, ["#/headers"]),
        ({"max_in_flight": 0}, ["#/max_in_flight"]),
        ({"max_in_flight": True}, ["#/max_in_flight"]),
        ({"max_in_flight": 1.0}, ["#/max_in_flight"]),
        ({"max_in_flight": "1"}, ["#/max_in_flight"]),
        ({"timeout": 15}, ["#/timeout"]),
        ({"timeout": "0s"}, ["#/timeout"]),
        ({"timeout": "2h"}, ["#/timeout"]),
        ({"retry": ["5s", "never"]}, ["#/retry/1"]),
        ({"retry": ["1s"] * 101}, ["#/retry"]),
        ({"metadata": {"a/b": 1}}, ["#/metadata/a~1b"]),
        ({"metadata": {"": "a"}}, ["#/metadata/"]),
        ({"filter": {}, "colour": None}, ["#/filter", "#/colour"]),
        ({"filter": 5}, ["#/filter"]),
        ({"filter": {"headers": {"a": ["b"]}, "body": {"a/b": 5}}}, ["#/filter/headers", "#/filter/body/a~1b"]),
        ({"filter": {"body": {"a": [{"numeric": [">", "5"]}]}}}, ["#/filter/body/a/0/numeric"]),
        ({"filter": {"$or": [{"body": {"a": [1]}}, {"type": [1]}]}}, ["#/filter/$or/1/type/0"]),
        ({"filter": nested(20)}, ["#/filter"]),
        ({"filter": nested(500)}, ["#/filter"]),
        ({"ordered": "yes"}, ["#/ordered"]),
        ({"ordered": 1}, ["#/ordered"]),
        ({"rate_limit": 50}, ["#/rate_limit"]),
        ({"rate_limit": "50"}, ["#/rate_limit"]),
        ({"rate_limit": "0/s"}, ["#/rate_limit"]),
        ({"rate_limit": "50/day"}, ["#/rate_limit"]),
        ({"rate_limit": "50/s burst 0"}, ["#/rate_limit"]),
        ({"rate_limit": "99999999/s"}, ["#/rate_limit"]),
        ({"url": "x", "zzz": None}, ["#/url", "#/zzz"]),
        ({"format": "xml"}, ["#/format"]),
        ({"state": "paused"}, ["#/state"]),
        ({"url": "ftp://a", "timeout": "x", "colour": 1}, ["#/url", "#/timeout", "#/colour"]),
    ],
)
async def test_every_fault_of_a_new_endpoint_is_named(stand: Stand, fields: Any, pointers: list[str]) -> None:
    told = await stand.call("POST", PATH, {"url": "http://127.0.0.1:9/", **fields})
    assert (told.status, told.pointers) == (422, pointers), told.text
    assert (await stand.call("GET", PATH)).json["data"] == []


async def test_an_open_breaker_is_shown_and_closed_by_hand(stand: Stand) -> None:
    made = await stand.endpoint()
    path = f"{PATH}/{made['id']}"
    now = stand.clock[0]
    failing = Breaker(opened_at=now - 1000, openings=1, blocked_until=now + 2000)
    await stand.store.change_endpoint(made["id"], None, lambda before: replace(before, breaker=failing))
    shown: Any = {"state": "open", "since": "2026-01-02T03:04:04.000Z", "blocked_until": "2026-01-02T03:04:07.000Z"}
    assert (await stand.call("GET", path)).json["breaker"] == shown
    stand.clock[0] += 2000
    shown |= {"state": "half_open", "blocked_until": None}
    assert (await stand.call("GET", path)).json["breaker"] == shown
    assert (await stand.call("GET", PATH)).json["data"][0]["breaker"] == shown
    moved = await stand.call("PATCH", path, {"url": "http://127.0.0.1:10/"})
    assert moved.json["breaker"]["state"] == "closed"


async def test_a_secret_is_never_in_an_error(stand: Stand) -> None:
    body = {"url": 1, "secret": "whsec_oops", "token": "tok\0en", "headers": {"A": "hush\0"}}
    told = await stand.call("POST", PATH, body)
    assert told.status == 422
    assert not any(text in told.text for text in ("oops", "tok\\u", "hush"))


async def test_a_patch_is_merged_and_null_restores_the_default(stand: Stand) -> None:
    made = await stand.endpoint(
        description="old", timeout="2s", retry=["1s"], headers={"A": "1", "B": "2"}, metadata={"x": "1", "y": "2"}
    )
    stand.clock[0] += 1000
    patch = {
        "url": "http://127.0.0.1:10/",
        "description": None,
        "timeout": None,
        "headers": {"A": None, "C": "3"},
        "metadata": {"y": "3"},
    }
    changed = (await stand.call("PATCH", f"{PATH}/{made['id']}", patch)).json
    expected = {name: value for name, value in made.items() if name != "secret"} | {
        "url": "http://127.0.0.1:10/",
        "description": "",
        "timeout": None,
        "headers": {"B": "***", "C": "***"},
        "metadata": {"x": "1", "y": "3"},
        "updated_at": "2026-01-02T03:04:06.000Z",
    }
    assert changed == expected
    assert (await stand.call("GET", f"{PATH}/{made['id']}")).json == expected
    stored = await stand.store.endpoint(made["id"], None)
    assert (stored.headers, stored.retry) == ({"B": "2", "C": "3"}, (1000,))


@pytest.mark.parametrize(
    ("patch", "pointers"),
    [
        ({"url": None}, ["#/url"]),
        ({"url": "http://10.0.0.1/", "timeout": 1}, ["#/url", "#/timeout"]),
        ({"tenant": "other"}, ["#/tenant"]),
        ({"tenant": None}, ["#/tenant"]),
        ({"secret": "x"}, ["#/secret"]),
        ({"id": "ep_1"}, ["#/id"]),
        ({"state": "failing"}, ["#/state"]),
        ({"headers": "x"}, ["#/headers"]),
    ],
)
async def test_every_fault_of_a_patch_is_named(stand: Stand, patch: Any, pointers: list[str]) -> None:
    made = await stand.endpoint()
    told = await stand.call("PATCH", f"{PATH}/{made['id']}", patch)
    assert (told.status, told.pointers) == (422, pointers), told.text


async def test_a_patch_leaves_alone_a_url_that_could_not_be_registered_any_more(stand: Stand) -> None:
    made = await stand.endpoint()
    stand.use(guard=type(stand.box.site.guard)())
    assert (await stand.call("PATCH", f"{PATH}/{made['id']}", {"description": "new"})).status == 200
    assert (await stand.call("PATCH", f"{PATH}/{made['id']}", {"url": made["url"]})).status == 422


async def test_a_scheme_that_the_secret_does_not_suit_is_refused(stand: Stand) -> None:
    made = await stand.endpoint(scheme="github", secret="plain")
    told = await stand.call("PATCH", f"{PATH}/{made['id']}", {"scheme": "standard"})
    assert (told.status, told.pointers) == (422, ["#/scheme"])
    assert "plain" not in told.text


async def test_the_scheme_token_needs_a_token(stand: Stand) -> None:
    told = await stand.call("POST", PATH, {"url": "http://127.0.0.1:9/", "scheme": "token"})
    assert (told.status, told.pointers) == (422, ["#/token"])
    made = await stand.endpoint(scheme="token", token="t")
    told = await stand.call("PATCH", f"{PATH}/{made['id']}", {"token": None})
    assert (told.status, told.pointers) == (422, ["#/token"])


async def test_the_scheme_token_has_no_secret(stand: Stand) -> None:
    asked = {"url": "http://127.0.0.1:9/", "scheme": "token", "token": "t"}
    told = await stand.call("POST", PATH, {**asked, "secret": "s"})
    assert (told.status, told.pointers) == (422, ["#/secret"])
    made = await stand.endpoint(scheme="token", token="t")
    path = f"{PATH}/{made['id']}"
    nothing: dict[str, Any] = {"secret": None, "previous": []}
    assert made["secret"] is None
    assert (await stand.call("GET", path + "/secret")).json == nothing
    for body in ({}, {"secret": "two"}):
        told = await stand.call("POST", path + "/secret/rotate", body)
        assert (told.status, told.pointers) == (422, ["#/token"])
        assert "PATCH" in told.text
    refused = await stand.call("PATCH", path, {"scheme": "basic"})
    assert "rotate that, with this scheme in the same call" in refused.text
    assert (await stand.call("PATCH", path, {"scheme": None})).status == 200
    assert (await stand.call("GET", path + "/secret")).json["secret"].startswith("whsec_")
    assert (await stand.call("PATCH", path, {"scheme": "token"})).status == 200
    assert (await stand.call("GET", path + "/secret")).json == nothing


async def test_a_scheme_by_which_earlier_secrets_would_end_is_refused(stand: Stand) -> None:
    path = f"{PATH}/{(await stand.endpoint(scheme='stripe', secret='plain'))['id']}"
    asked = {"secret": "whsec_" + "A" * 32, "overlap": "1h"}
    until = (await stand.call("POST", path + "/secret/rotate", asked)).json["previous"][0]["expires_at"]
    for scheme in ("github", "token", "standard", None):  # one proof, none, and secrets of another kind
        told = await stand.call("PATCH", path, {"scheme": scheme, "token": "t"})
        assert (told.status, told.pointers) == (422, ["#/scheme"])
        assert until in told.text
    assert (await stand.call("PATCH", path, {"scheme": "paddle"})).status == 200
    stand.clock[0] += DAY
    assert (await stand.call("PATCH", path, {"scheme": "github"})).status == 200


async def test_an_address_that_twilio_can_not_sign_is_refused(stand: Stand) -> None:
    spoilt = "http://127.0.0.1:9/?a=b&bodySHA256=00"
    told = await stand.call("POST", PATH, {"url": spoilt, "scheme": "twilio"})
    assert (told.status, told.pointers) == (422, ["#/url"])
    path = f"{PATH}/{(await stand.endpoint(url=spoilt))['id']}"
    assert (await stand.call("PATCH", path, {"scheme": "twilio"})).pointers == ["#/url"]
    path = f"{PATH}/{(await stand.endpoint(scheme='twilio'))['id']}"
    assert (await stand.call("PATCH", path, {"url": spoilt})).pointers == ["#/url"]


async def test_the_state_follows_the_patch(stand: Stand) -> None:
    made = await stand.endpoint()
    stand.clock[0] += 1000
    path = f"{PATH}/{made['id']}"
    paused = (await stand.call("PATCH", path, {"state": "paused"})).json
    assert (paused["state"], paused["state_reason"]) == ("paused", "by hand")
    assert paused["state_since"] == "2026-01-02T03:04:06.000Z"
    active = (await stand.call("PATCH", path, {"state": None})).json
    assert (active["state"], active["state_reason"]) == ("active", None)
    stand.clock[0] += 1000
    again = (await stand.call("PATCH", path, {"state": "active"})).json
    assert again["state_since"] == active["state_since"]
    assert (await stand.call("PATCH", path, {"state": "disabled"})).json["state"] == "disabled"


async def test_a_deleted_endpoint_is_gone(stand: Stand) -> None:
    made = await stand.endpoint()
    gone = await stand.call("DELETE", f"{PATH}/{made['id']}")
    assert (gone.status, gone.text) == (204, "")
    for method, path in [("GET", ""), ("DELETE", ""), ("PATCH", ""), ("GET", "/secret"), ("POST", "/secret/rotate")]:
        told = await stand.call(method, f"{PATH}/{made['id']}{path}", {} if method in ("PATCH", "POST") else None)
        assert (told.status, told.headers["Content-Type"]) == (404, "application/problem+json")


async def test_secrets_rotate_and_overlap(stand: Stand) -> None:
    made = await stand.endpoint()
    path = f"{PATH}/{made['id']}/secret"
    assert (await stand.call("GET", path)).json == {"secret": made["secret"], "previous": []}
    second = (await stand.call("POST", path + "/rotate")).json
    assert second["secret"] not in ("", made["secret"])
    assert second["previous"] == [{"secret": made["secret"], "expires_at": "2026-01-03T03:04:05.000Z"}]
    stand.clock[0] += DAY // 2
    third = (await stand.call("POST", path + "/rotate", {"overlap": "1h"})).json
    assert [old["secret"] for old in third["previous"]] == [second["secret"], made["secret"]]
    stand.clock[0] += DAY // 4
    assert [old["secret"] for old in (await stand.call("GET", path)).json["previous"]] == [made["secret"]]
    fourth = (await stand.call("POST", path + "/rotate", {"overlap": "0s"})).json
    assert fourth["previous"] == []
    assert (await stand.call("GET", path)).json == fourth


@pytest.mark.parametrize(
    ("body", "pointers"),
    [
        ({"secret": "whsec_short"}, ["#/secret"]),
        ({"secret": 5, "overlap": 5, "other": 5}, ["#/secret", "#/overlap", "#/other"]),
        ({"overlap": "31d"}, ["#/overlap"]),
    ],
)
async def test_every_fault_of_a_rotation_is_named(stand: Stand, body: Any, pointers: list[str]) -> None:
    made = await stand.endpoint()
    told = await stand.call("POST", f"{PATH}/{made['id']}/secret/rotate", body)
    assert (told.status, told.pointers) == (422, pointers)


async def test_the_present_secret_can_not_follow_itself(stand: Stand) -> None:
    made = await stand.endpoint()
    told = await stand.call("POST", f"{PATH}/{made['id']}/secret/rotate", {"secret": made["secret"]})
    assert (told.status, told.pointers) == (422, ["#/secret"])
    assert made["secret"] not in told.text


@pytest.mark.parametrize("scheme", ["github", "slack", "square", "twilio", "gitlab"])
async def test_a_scheme_of_one_signature_changes_its_secret_at_once(stand: Stand, scheme: str) -> None:
    path = f"{PATH}/{(await stand.endpoint(scheme=scheme))['id']}/secret/rotate"
    told = await stand.call("POST", path, {"overlap": "1h"})
    assert (told.status, told.pointers) == (422, ["#/overlap"])
    assert (await stand.call("POST", path)).json["previous"] == []


@pytest.mark.parametrize("scheme", ["stripe", "paddle", "svix", "rfc9421"])
async def test_a_scheme_of_several_signatures_overlaps(stand: Stand, scheme: str) -> None:
    path = f"{PATH}/{(await stand.endpoint(scheme=scheme))['id']}/secret/rotate"
    assert len((await stand.call("POST", path)).json["previous"]) == 1


async def test_a_private_key_is_shown_with_its_public_one(stand: Stand) -> None:
    made = await stand.endpoint(secret=SEED)
    shown = (await stand.call("GET", f"{PATH}/{made['id']}/secret")).json
    assert shown == {"secret": SEED, "previous": [], "public_key": public_of(SEED)}


@pytest.mark.parametrize(
    ("fields", "pointer"),
    [
        ({"secret": "whpk_A6EHv/POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg="}, "#/secret"),
        ({"scheme": "discord"}, "#/secret"),
        ({"scheme": "basic"}, "#/secret"),
        ({"scheme": "basic", "secret": "no colon"}, "#/secret"),
        ({"scheme": "github", "headers": {"x-hub-signature-256": "mine"}}, "#/headers"),
        ({"scheme": "rfc9421", "headers": {"Content-Digest": "mine"}}, "#/headers"),
    ],
)
async def test_what_a_scheme_can_not_sign_with_is_refused(stand: Stand, fields: dict[str, Any], pointer: str) -> None:
    told = await stand.call("POST", PATH, {"url": "http://127.0.0.1:9/", **fields})
    assert (told.status, told.pointers) == (422, [pointer])


async def test_a_scheme_of_the_configuration(stand: Stand) -> None:
    own = replace(SCHEMES["github"], name="acme", header="X-Acme")
    stand.use(schemes={**SCHEMES, "acme": own})
    made = await stand.endpoint(scheme="acme")
    path = f"{PATH}/{made['id']}"
    stand.use(schemes=SCHEMES)
    assert (await stand.call("PATCH", path, {"scheme": "acme"})).pointers == ["#/scheme"]
    assert (await stand.call("POST", path + "/secret/rotate")).status == 409
    assert (await stand.call("PATCH", path, {"scheme": "standard"})).status == 200


async def test_an_endpoint_whose_scheme_is_gone_can_be_changed_and_given_another(stand: Stand) -> None:
    stand.use(schemes={**SCHEMES, "acme": replace(SCHEMES["github"], name="acme", header="X-Acme")})
    path = f"{PATH}/{(await stand.endpoint(scheme='acme', secret='endpoint-secret-1', headers={'X-A': 'b'}))['id']}"
    stand.use(schemes=SCHEMES)
    for patch in ({"state": "paused"}, {"description": "x"}, {"headers": {"X-Acme": "1"}}):
        assert (await stand.call("PATCH", path, patch)).status == 200
    assert '{"scheme": "standard"}' in (await stand.call("POST", path + "/secret/rotate")).json["detail"]
    told = await stand.call("PATCH", path, {"scheme": "standard"})
    assert told.pointers == ["#/scheme"]
    assert "rotate that, with this scheme in the same call" in told.text
    secrets = (await stand.call("POST", path + "/secret/rotate", {"scheme": "standard"})).json
    assert (secrets["secret"][:6], secrets["previous"]) == ("whsec_", [])
    assert (await stand.call("GET", path)).json["scheme"] == "standard"


async def test_what_a_reload_made_of_headers_and_scheme_is_judged_where_they_are_written(stand: Stand) -> None:
    stand.use(schemes={**SCHEMES, "acme": replace(SCHEMES["github"], name="acme", header="X-Acme")})
    path = f"{PATH}/{(await stand.endpoint(scheme='acme', headers={'X-Other': 'b'}))['id']}"
    stand.use(schemes={**SCHEMES, "acme": replace(SCHEMES["github"], name="acme", header="X-Other")})
    assert (await stand.call("PATCH", path, {"description": "x"})).status == 200
    assert (await stand.call("PATCH", path, {"headers": {"X-Third": "c"}})).pointers == ["#/headers"]
    assert (await stand.call("PATCH", path, {"scheme": "acme"})).pointers == ["#/headers"]


@pytest.mark.parametrize(
    ("body", "pointers"),
    [
        ({"scheme": "basic", "secret": "user:word"}, []),
        ({"scheme": "basic"}, ["#/secret"]),
        ({"scheme": "discord", "secret": "user:word"}, ["#/secret"]),
        ({"scheme": "acme"}, ["#/scheme"]),
        ({"scheme": "token"}, ["#/token"]),
        ({"scheme": "github"}, ["#/headers"]),
        ({"scheme": "svix", "overlap": "1h"}, ["#/overlap"]),
        ({"scheme": "standard", "overlap": "1h"}, []),
    ],
)
async def test_a_secret_and_a_scheme_change_together(stand: Stand, body: Any, pointers: list[str]) -> None:
    path = f"{PATH}/{(await stand.endpoint(secret=SEED, headers={'X-Hub-Signature-256': 'x'}))['id']}"
    told = await stand.call("POST", path + "/secret/rotate", body)
    assert told.pointers == pointers if pointers else told.status == 200
    assert (await stand.call("GET", path)).json["scheme"] == ("standard" if pointers else body["scheme"])
    assert ((await stand.call("GET", path + "/secret")).json["secret"] == SEED) is bool(pointers)


async def test_a_scheme_with_a_single_proof_allows_no_overlap(stand: Stand) -> None:
    path = f"{PATH}/{(await stand.endpoint(scheme='github', secret='one'))['id']}/secret/rotate"
    told = await stand.call("POST", path, {"secret": "two", "overlap": "1h"})
    assert (told.status, told.pointers) == (422, ["#/overlap"])
    assert (await stand.call("POST", path, {"secret": "two"})).json == {"secret": "two", "previous": []}


async def test_a_test_answers_with_the_attempt(stand: Stand) -> None:
    async def hook(request: web.Request) -> web.Response:
        assert request.headers["X-Webhook-Event"] == "hookd.test"
        return web.Response(status=202, body=b"seen \xff")

    receiver = web.Application()
    receiver.router.add_post("/", hook)
    async with serve(receiver) as url:
        made = await stand.endpoint(url=url, token="token-text")
        told = await stand.call("POST", f"{PATH}/{made['id']}/test")
    attempt = told.json
    assert told.status == 200
    assert (attempt["outcome"], attempt["status_code"], attempt["number"]) == ("success", 202, 1)
    assert attempt["id"].startswith("att_")
    assert attempt["started_at"] == NOW_TEXT
    assert attempt["response_body"] == "seen \ufffd"
    assert "token-text" not in told.text
    assert set(attempt) == {
        *("id", "number", "started_at", "duration_ms", "outcome", "status_code", "error"),
        *("request_headers", "response_headers", "response_body", "truncated"),
    }


async def test_a_bodyless_call_refuses_fields(stand: Stand) -> None:
    made = await stand.endpoint()
    for method, path in [("DELETE", ""), ("POST", "/test")]:
        told = await stand.call(method, f"{PATH}/{made['id']}{path}", {"force": True})
        assert (told.status, told.pointers) == (422, ["#/force"])


async def test_the_list_is_paged_forward_and_back(stand: Stand) -> None:
    made = [(await stand.endpoint())["id"] for _ in range(5)]
    first = (await stand.call("GET", PATH + "?limit=2")).json
    assert [each["id"] for each in first["data"]] == [made[4], made[3]]
    assert first["prev_cursor"] is None
    second = (await stand.call("GET", f"{PATH}?limit=2&cursor={first['next_cursor']}")).json
    assert [each["id"] for each in second["data"]] == [made[2], made[1]]
    newer = (await stand.endpoint())["id"]
    back = (await stand.call("GET", f"{PATH}?limit=2&cursor={second['prev_cursor']}")).json
    assert back["data"] == first["data"]
    newest = (await stand.call("GET", f"{PATH}?limit=2&cursor={back['prev_cursor']}")).json
    assert ([each["id"] for each in newest["data"]], newest["prev_cursor"]) == ([newer], None)
    last = (await stand.call("GET", f"{PATH}?limit=2&cursor={second['next_cursor']}")).json
    assert ([each["id"] for each in last["data"]], last["next_cursor"]) == ([made[0]], None)


@pytest.mark.parametrize(
    ("query", "pointers"),
    [
        ("limit=0", ["?limit"]),
        ("limit=251", ["?limit"]),
        ("limit=-1", ["?limit"]),
        ("limit=ten", ["?limit"]),
        ("limit=", ["?limit"]),
        ("limit=%EF%BC%95", ["?limit"]),
        ("limit=5&limit=5", ["?limit"]),
        ("cursor=before_9999999999999999999", ["?cursor"]),
        ("cursor=x", ["?cursor"]),
        ("cursor=%00", ["?cursor"]),
        ("limit=x&cursor=y", ["?limit", "?cursor"]),
        ("colour=red&size=1", ["?colour", "?size"]),
        ("%ED%A0%80=1", ["?" + 3 * "\ufffd"]),
    ],
)
async def test_every_fault_of_a_query_is_named(stand: Stand, query: str, pointers: list[str]) -> None:
    async with stand.session.get(URL(f"{stand.url}{PATH}?{query}", encoded=True)) as response:
        told = await response.json(content_type="application/problem+json")
    assert (response.status, [error["pointer"] for error in told["errors"]]) == (422, pointers)


async def test_a_route_without_parameters_refuses_them(stand: Stand) -> None:
    assert (await stand.call("POST", PATH + "?dry_run=1", {"url": "http://127.0.0.1:9/"})).status == 422
    assert (await stand.call("GET", PATH)).json["data"] == []


async def test_a_tenant_sees_its_own_endpoints_alone(stand: Stand) -> None:
    stand.use(tokens=(token("all", *Scope), token("acme", *Scope, tenant="acme")))
    body = {"url": "http://127.0.0.1:9/"}
    other = (await stand.call("POST", PATH, {**body, "tenant": "other"}, token="all")).json
    nobodys = (await stand.call("POST", PATH, body, token="all")).json
    own = (await stand.call("POST", PATH, body, token="acme")).json
    assert own["tenant"] == "acme"
    listed = (await stand.call("GET", PATH, token="acme")).json["data"]
    assert [each["id"] for each in listed] == [own["id"]]
    assert len((await stand.call("GET", PATH, token="all")).json["data"]) == 3
    for identity in (other["id"], nobodys["id"]):
        for method, path in [
            ("GET", ""),
            ("PATCH", ""),
            ("DELETE", ""),
            ("GET", "/secret"),
            ("POST", "/secret/rotate"),
            ("POST", "/test"),
        ]:
            told = await stand.call(method, f"{PATH}/{identity}{path}", data=b"{}", token="acme")
            assert told.status == 404
    refused = await stand.call("POST", PATH, {**body, "tenant": "other"}, token="acme")
    assert (refused.status, refused.json["detail"]) == (403, "the token 'acme' is bound to the tenant 'acme'")


@pytest.mark.parametrize("identity", ["ep_none", "%00", "%FF", "é", "a%2Fb", "handler:x"])
async def test_an_id_that_nothing_has_is_not_found(stand: Stand, identity: str) -> None:
    for path in (PATH, "/api/v1/events", "/api/v1/deliveries"):
        assert (await stand.call("GET", f"{path}/{identity}")).status == 404


def test_the_clock_of_the_stand_is_what_the_texts_say() -> None:
    assert format_time(NOW) == NOW_TEXT


async def test_a_format_is_changed_and_put_back(stand: Stand) -> None:
    path = f"{PATH}/{(await stand.endpoint(format='cloudevents'))['id']}"
    for asked, shown in (("cloudevents-binary", "cloudevents-binary"), (None, "plain"), ("standard", "standard")):
        assert (await stand.call("PATCH", path, {"format": asked})).json["format"] == shown
        assert (await stand.call("GET", path)).json["format"] == shown
    told = await stand.call("PATCH", path, {"format": "cloudevent"})
    assert (told.status, told.pointers) == (422, ["#/format"])
    assert "plain, standard, cloudevents, cloudevents-binary" in told.text


async def test_a_test_is_sent_in_the_format_of_its_endpoint(stand: Stand) -> None:
    async with Receiver() as receiver:
        made = await stand.endpoint(url=receiver.url(), format="cloudevents")
        attempt = (await stand.call("POST", f"{PATH}/{made['id']}/test")).json
        [request] = receiver.requests
    assert attempt["request_headers"]["content-type"] == "application/cloudevents+json"
    assert json.loads(request.body)["type"] == "hookd.test"
