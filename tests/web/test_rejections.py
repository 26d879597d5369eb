import asyncio
import json
from dataclasses import replace
from typing import Any
from urllib.parse import quote

import pytest

from hookd import sign
from hookd.model import Field, Scope, Source
from hookd.rejections import kept_target
from hookd.signing import SCHEMES
from tests.nouns import SECRET
from tests.store.stand import in_a_file
from tests.web.stand import MOST_REJECTIONS, NOW, SOURCE, Answer, Stand, token

PATH = "/api/v1/rejections"
OTHER = "whsec_bm90IHRoZSByaWdodCBzZWNyZXQhISEh"
SPECIAL = "a/secret+with+escapes"
SHOP = replace(
    SOURCE, name="shop", path="/from/shop", scheme="standard", secrets=(OTHER,), id=Field("header", "webhook-id")
)
BODY = b'{"type":"sold","name":"\xc3\xa9"}'
SECONDS = NOW // 1000


def site(stand: Stand, *sources: Source, **more: Any) -> None:
    stand.use(sources={source.path: source for source in sources}, **more)


async def sent(stand: Stand, body: bytes = BODY, source: Source = SHOP, headers: Any = None) -> Answer:
    """Send a request to a source, signed by SECRET unless it has other headers."""
    shown = headers or sign("standard", [SECRET], body, id="evt_1", now=SECONDS)
    return await stand.call("POST", source.path, data=body, headers=shown)


async def rejections(stand: Stand, query: str = "") -> list[Any]:
    told = await stand.call("GET", PATH + query)
    assert told.status == 200, told.text
    data: list[Any] = told.json["data"]
    return data


async def rejected(stand: Stand, body: bytes = BODY, source: Source = SHOP, headers: Any = None) -> Any:
    """Let a request be refused, and answer its rejection as it is read."""
    assert (await sent(stand, body, source, headers)).status == 401
    await stand.store.flush()
    return await read(stand, (await rejections(stand))[0]["id"])


async def read(stand: Stand, identity: str) -> Any:
    told = await stand.call("GET", f"{PATH}/{identity}")
    assert told.status == 200, told.text
    return told.json


async def accept(stand: Stand, identity: str, **how: Any) -> Answer:
    return await stand.call("POST", f"{PATH}/{identity}/accept", **how)


@pytest.fixture(autouse=True)
def shop(stand: Stand) -> None:
    site(stand, SOURCE, SHOP)


async def test_a_refused_request_is_kept_with_the_cause_and_an_explanation(stand: Stand) -> None:
    kept = await rejected(stand)
    headers = dict(kept.pop("headers"))
    assert kept == {
        "id": kept["id"],
        "source": "shop",
        "tenant": None,
        "reason": "signature_mismatch",
        "cause": "webhook-signature fits none of the secrets (1): another secret, or other bytes",
        "size": len(BODY),
        "received_at": "2026-01-02T03:04:05.000Z",
        "event": None,
        "explanation": kept["explanation"],
        "method": "POST",
        "target": "/from/shop",
        "body": BODY.decode(),
        "body_encoding": "text",
        "truncated": False,
    }
    assert kept["id"].startswith("rej_")
    assert "signed with another secret" in kept["explanation"]
    assert (headers["webhook-id"], headers["webhook-timestamp"]) == ("evt_1", str(SECONDS))
    assert headers["webhook-signature"] == "***"
    of_list = ("id", "source", "tenant", "reason", "cause", "size", "received_at", "event")
    assert await rejections(stand) == [{name: kept[name] for name in of_list}]


async def test_whoever_sends_learns_nothing(stand: Stand) -> None:
    signed = sign("standard", [SECRET], BODY, id="evt_1", now=SECONDS)
    answers = [
        await sent(stand),
        await sent(stand, headers={"X-Nothing": "1"}),
        await sent(stand, headers={"webhook_signature": "1"}),
        await sent(stand, headers=signed | {"webhook-timestamp": "1"}),
        await sent(stand, b"x" * 1000),
    ]
    assert len({(answer.status, answer.text, tuple(answer.headers)) for answer in answers}) == 1


async def test_lists_are_paged_and_filtered(stand: Stand) -> None:
    for name in ("X-One", "X-Two"):
        await sent(stand, headers={name: "1"})
        await sent(stand, source=SOURCE, headers={name: "1"})
    await stand.store.flush()
    listed = await rejections(stand)
    assert [each["source"] for each in listed] == ["automator", "shop", "automator", "shop"]
    assert await rejections(stand, "?source=shop") == [listed[1], listed[3]]
    assert await rejections(stand, "?source=none") == []
    first = (await stand.call("GET", PATH + "?limit=3")).json
    assert first["data"] == listed[:3]
    assert await rejections(stand, f"?limit=3&cursor={first['next_cursor']}") == listed[3:]
    assert (await stand.call("GET", PATH + "?source=&colour=red")).pointers == ["?source", "?colour"]


async def test_bodies_are_shown_within_json_whatever_they_are(stand: Stand) -> None:
    kept = await rejected(stand, b"\xff\x00<script>")
    assert (kept["body"], kept["body_encoding"]) == ("/wA8c2NyaXB0Pg==", "base64")
    told = await stand.call("GET", f"{PATH}/{kept['id']}")
    assert told.headers["Content-Type"].startswith("application/json")


async def test_what_is_not_there(stand: Stand) -> None:
    assert (await stand.call("GET", f"{PATH}/rej_none")).status == 404
    assert (await accept(stand, "rej_none")).status == 404


# Secrets.


@in_a_file
async def test_credentials_are_not_stored(stand: Stand) -> None:
    signed = sign("standard", [SECRET], BODY, id="evt_1", now=SECONDS)
    secret = {
        "Authorization": "Bearer hidden-1",
        "Cookie": "a=hidden-2",
        "X-Api-Key": "hidden-3",
        "X-Access-Token": "hidden-4",
        "X-Functions-Key": "hidden-5",
        "X-Other": f"say {OTHER}",
        "X-Bare": f"say {OTHER.removeprefix('whsec_')}",
    }
    kept = await rejected(stand, headers={**signed, **secret, "X-Shown": "shown", "Idempotency-Key": "1"})
    headers = dict(kept["headers"])
    assert (headers["x-shown"], headers["idempotency-key"]) == ("shown", "1")
    assert {headers[name.lower()] for name in secret} == {"***"}
    await stand.store.forget_deleted()
    raw = stand.path.read_bytes()
    assert b"x-shown" in raw
    assert b"hidden-" not in raw
    assert OTHER.encode() not in raw


@in_a_file
@pytest.mark.parametrize("header", ["X-Webhook-Token", "X_Webhook_Token"])
async def test_a_token_is_not_stored_and_so_not_accepted_by_hand(stand: Stand, header: str) -> None:
    kept = await rejected(stand, source=SOURCE, headers={header: "the-wrong-one"})
    assert dict(kept["headers"])[header.lower()] == "***"
    assert b"the-wrong-one" not in stand.path.read_bytes() + stand.path.with_name("hookd.db-wal").read_bytes()
    told = await accept(stand, kept["id"])
    assert told.status == 409
    if header == "X-Webhook-Token":
        assert "It can't be accepted by hand" in kept["explanation"]
        assert "not kept" in told.json["detail"]
    else:
        assert "It carries x_webhook_token, not X-Webhook-Token" in kept["explanation"]


# Explanations.


async def test_the_explanation_is_worked_out_with_the_present_secrets(stand: Stand) -> None:
    kept = await rejected(stand)
    site(stand, SHOP, replace(SHOP, name="crm", path="/crm", secrets=(SECRET,)))
    assert "with a secret of the source crm" in (await read(stand, kept["id"]))["explanation"]
    site(stand, SHOP, former={"shop": (SECRET,)})
    assert "a secret that this source no longer has" in (await read(stand, kept["id"]))["explanation"]
    site(stand, replace(SHOP, secrets=(SECRET,)))
    stand.clock[0] += 3_600_000
    assert (await read(stand, kept["id"]))["explanation"] == (
        f"With these secrets, and at that time, it verifies. To let it in: hookd retry {kept['id']}."
    )
    site(stand)
    assert "there is no source shop any more" in (await read(stand, kept["id"]))["explanation"]


async def test_a_body_of_which_the_beginning_is_kept(stand: Stand) -> None:
    kept = await rejected(stand, b"x" * 950)
    assert (kept["size"], kept["body"], kept["truncated"]) == (950, "x" * 900, True)
    assert "of its 950 bytes the first 900 are kept" in kept["explanation"]
    assert "of its 950 bytes" in (await accept(stand, kept["id"])).json["detail"]


async def test_what_is_authentic_and_unreadable_is_kept_too(stand: Stand) -> None:
    source = replace(SHOP, secrets=(SECRET,), id=Field("body", "id"))
    site(stand, source)
    assert (await sent(stand, b"no json")).status == 400
    await stand.store.flush()
    [listed] = await rejections(stand)
    kept = await read(stand, listed["id"])
    assert kept["reason"] == "unreadable"
    assert kept["explanation"].startswith("It is authentic, but unreadable: expected a JSON body")
    assert (await accept(stand, kept["id"])).status == 409
    site(stand, replace(source, id=None))
    assert (await accept(stand, kept["id"])).status == 200


# Accepting by hand.


async def test_once_the_secret_is_mended_it_goes_the_usual_way(stand: Stand) -> None:
    await stand.endpoint(event_types=["shop.*"])
    kept = await rejected(stand)
    refused = await accept(stand, kept["id"])
    assert refused.status == 409
    assert "refused with the present settings too" in refused.json["detail"]
    stand.clock[0] += 86_400_000
    site(stand, replace(SHOP, secrets=(OTHER, SECRET)))
    accepted = await accept(stand, kept["id"])
    assert (accepted.status, accepted.json["deliveries"]) == (200, 1)
    event = (await stand.call("GET", f"/api/v1/events/{accepted.json['id']}")).json
    assert (event["type"], event["origin"], event["content_type"]) == ("shop.sold", "inbound", "application/json")
    assert event["payload"] == json.loads(BODY)
    told = await read(stand, kept["id"])
    assert (told["event"], told["explanation"]) == (event["id"], "With these secrets, and at that time, it verifies.")
    again = await accept(stand, kept["id"])
    assert again.status == 409
    assert f"accepted already, as {event['id']}" in again.json["detail"]


async def test_what_the_sender_has_sent_again_meanwhile_is_the_same_event(stand: Stand) -> None:
    kept = await rejected(stand)
    site(stand, replace(SHOP, secrets=(SECRET,)))
    assert (await sent(stand)).status == 200
    [event] = (await stand.call("GET", "/api/v1/events")).json["data"]
    accepted = (await accept(stand, kept["id"])).json
    assert (accepted["id"], "note" in accepted) == (event["id"], True)
    assert len((await stand.call("GET", "/api/v1/events")).json["data"]) == 1


FORM = b"MessageSid=SM1&To=%2B1"
URL = "https://hooks.example.com/from/them"


@pytest.mark.parametrize(
    ("scheme", "body", "target", "key"),
    [
        ("github", BODY, "/from/them", "evt_1"),
        ("stripe", b'{"id":"evt_1","type":"sold"}', "/from/them", "evt_1"),
        ("square", b'{"event_id":"evt_1","type":"sold"}', "/from/them?shop=1", "evt_1"),
        ("twilio", FORM, "/from/them?a=b%20c&token=shown", "evt_1"),
        ("rfc9421", BODY, "/from/them?a=b", "evt_1"),
    ],
)
async def test_once_the_secret_is_mended_it_verifies_by_any_scheme(
    stand: Stand, scheme: str, body: bytes, target: str, key: str
) -> None:
    address = URL + target.removeprefix("/from/them")
    headers = sign(scheme, [SECRET], body, id="evt_1", now=SECONDS, url=address, method="PUT", type="sold")
    source = replace(
        SOURCE, name="them", path="/from/them", scheme=scheme, secrets=(OTHER,), methods=("POST", "PUT"), tolerance=None
    )
    source = replace(source, url=URL if SCHEMES[scheme].signs_url else None)
    site(stand, source)
    written = {"Content-Type": "application/x-www-form-urlencoded" if body is FORM else "application/json"}
    assert (await stand.call("PUT", target, data=body, headers=headers | written)).status == 401
    await stand.store.flush()
    [listed] = await rejections(stand)
    kept = await read(stand, listed["id"])
    assert (kept["method"], kept["target"]) == ("PUT", target)
    assert headers[SCHEMES[scheme].header] not in json.dumps(kept)
    assert (await accept(stand, kept["id"])).status == 409
    stand.clock[0] += 86_400_000
    site(stand, source, replace(source, name="crm", path="/crm", secrets=(SECRET,)))
    assert "with a secret of the source crm" in (await read(stand, kept["id"]))["explanation"]
    site(stand, replace(source, secrets=(SECRET,)))
    accepted = await accept(stand, kept["id"])
    assert accepted.status == 200, accepted.text
    [event] = (await stand.call("GET", "/api/v1/events")).json["data"]
    assert event["id"] == accepted.json["id"]
    stand.clock[0] -= 86_400_000
    assert (await stand.call("PUT", target, data=body, headers=headers | written)).status in (200, 204)
    assert len((await stand.call("GET", "/api/v1/events")).json["data"]) == 1, "its id was taken in"


@in_a_file
async def test_a_secret_in_the_address_is_not_stored(stand: Stand) -> None:
    headers = {"X-Nothing": "1"}
    assert (await stand.call("POST", "/from/shop?a=1&api_key=hidden-1&b=2", headers=headers)).status == 401
    assert (await stand.call("POST", f"/from/shop?a={OTHER}", headers=headers)).status == 401
    await stand.store.flush()
    targets = [(await read(stand, each["id"]))["target"] for each in await rejections(stand)]
    assert targets == ["***", "/from/shop?a=1&api_key=***&b=2"]
    raw = stand.path.read_bytes() + stand.path.with_name("hookd.db-wal").read_bytes()
    assert b"hidden-1" not in raw
    assert OTHER.encode() not in raw
    site(stand, replace(SHOP, scheme="square", url=URL))
    kept = (await rejections(stand))[0]
    assert "its address shows a secret" in (await accept(stand, kept["id"])).json["detail"]


@pytest.mark.parametrize("shown", [OTHER, OTHER[6:], quote(SPECIAL), quote(SPECIAL, safe="+"), quote(SPECIAL, safe="")])
def test_a_secret_is_known_in_an_address_with_or_without_its_prefix_and_escaped(shown: str) -> None:
    source = replace(SHOP, secrets=(OTHER, SPECIAL))
    assert kept_target(source, SCHEMES["standard"], f"/from/shop?a={shown}") == "***"
    assert kept_target(SHOP, SCHEMES["standard"], "/from/shop?a=whsec_") == "/from/shop?a=whsec_"


async def test_a_secret_that_was_sent_to_the_path_of_another_source_is_not_shown(stand: Stand) -> None:
    crm = replace(SOURCE, name="crm", path="/crm", header="X-Crm", secrets=("the-secret-of-crm",), tenant="other")
    site(stand, SHOP, crm, former={"crm": ("what-crm-had-before",)})
    headers = {"X-Crm": "the-secret-of-crm", "X-Old": "what-crm-had-before", "X-Shown": "shown"}
    assert (await stand.call("POST", "/from/shop?a=the-secret-of-crm", headers=headers)).status == 401
    await stand.store.flush()
    kept = await read(stand, (await rejections(stand))[0]["id"])
    shown = dict(kept["headers"])
    assert (kept["target"], shown["x-crm"], shown["x-old"], shown["x-shown"]) == ("***", "***", "***", "shown")


@pytest.mark.parametrize(
    ("query", "kept"),
    [
        ("a=1&user_token=hidden", "a=1&user_token=***"),
        ("a=1;PASSWORD=hidden=hidden", "a=1;PASSWORD=***"),
        ("a=1?session=hidden?b=2", "a=1?session=***?b=2"),
        ("pass%77ord=hidden", "pass%77ord=***"),
        ("token", "token"),
        ("?token" * 20_000, "?token" * 20_000),
    ],
    ids=["at the end", "in capitals", "behind another ?", "escaped", "without a value", "very long"],
)
def test_a_credential_in_a_query_is_masked_in_one_pass_over_it(query: str, kept: str) -> None:
    assert kept_target(SHOP, SCHEMES["standard"], f"/from/shop?{query}") == f"/from/shop?{kept}"


async def test_a_credential_that_is_signed_is_not_stored(stand: Stand) -> None:
    row, source = SCHEMES["rfc9421"], replace(SHOP, scheme="rfc9421", id=None, url=URL)
    site(stand, source)
    headers = {
        **row.sign([SECRET], BODY, "evt_1", SECONDS, url=URL),
        "X-Api-Key": "hidden-1",
        "Signature-Input": f'sig1=("content-digest" "x-api-key");created={SECONDS}',
    }
    collected = {name.lower(): [value] for name, value in headers.items()}
    headers["Signature"] = row.proof(SECRET, collected, BODY, URL, "POST")
    kept = await rejected(stand, source=source, headers=headers)
    assert dict(kept["headers"])["x-api-key"] == "***"
    site(stand, replace(source, secrets=(SECRET,)))
    assert "x-api-key shows a secret" in (await accept(stand, kept["id"])).json["detail"]
    assert (await sent(stand, source=source, headers=headers)).status == 200


async def test_a_scheme_of_ones_own(stand: Stand) -> None:
    own = replace(SCHEMES["slack"], name="acme", header="X-Acme-Proof", handshake=None)
    source = replace(SHOP, scheme="acme", id=None)
    site(stand, source, schemes={**SCHEMES, "acme": own})
    headers = own.sign([SECRET], BODY, "evt_1", SECONDS)
    kept = await rejected(stand, source=source, headers=headers)
    assert dict(kept["headers"])["x-acme-proof"] == "***"
    site(stand, replace(source, secrets=(SECRET,)))
    assert (await accept(stand, kept["id"])).status == 200


async def test_what_is_no_event_or_is_not_wanted_is_not_accepted(stand: Stand) -> None:
    source = replace(SHOP, scheme="slack", id=None, tolerance=None)
    site(stand, source)
    asked = b'{"type":"url_verification","challenge":"a"}'
    kept = [await rejected(stand, body, source, sign("slack", [SECRET], body, now=SECONDS)) for body in (asked, BODY)]
    site(stand, replace(source, secrets=(SECRET,), filter='{"body":{"name":["other"]}}'))
    told = [await accept(stand, each["id"]) for each in kept]
    assert [each.status for each in told] == [409, 409]
    assert "is a handshake" in told[0].json["detail"]
    assert "does not pass the filter of the source shop" in told[1].json["detail"]


async def test_a_cloudevent(stand: Stand) -> None:
    source = replace(SHOP, format="cloudevents", id=None)
    site(stand, source)
    body = b'{"specversion":"1.0","id":"7","source":"/a","type":"sold","data":1}'
    signed = sign("standard", [SECRET], body, id="evt_1", now=SECONDS)
    kept = await rejected(stand, body, source, signed | {"Content-Type": "application/cloudevents+json"})
    site(stand, replace(source, secrets=(SECRET,)))
    assert (await accept(stand, kept["id"])).status == 200
    [event] = (await stand.call("GET", "/api/v1/events")).json["data"]
    assert event["type"] == "shop.sold"
    again = await sent(stand, body, source, signed | {"Content-Type": "application/cloudevents+json"})
    assert again.status == 200
    assert len((await stand.call("GET", "/api/v1/events")).json["data"]) == 1


async def test_a_cloudevent_in_headers_is_accepted_with_all_its_attributes(stand: Stand) -> None:
    source = replace(SHOP, format="cloudevents-binary", id=None)
    site(stand, source)
    event = {"ce-specversion": "1.0", "ce-id": "7", "ce-source": "/a", "ce-type": "sold", "ce-authtype": "user"}
    much = {f"X-{number}": "a" * 6000 for number in range(4)}
    signed = sign("standard", [SECRET], BODY, id="evt_1", now=SECONDS)
    kept = await rejected(stand, BODY, source, much | signed | event | {"Content-Type": "application/json"})
    site(stand, replace(source, secrets=(SECRET,)))
    told = await accept(stand, kept["id"])
    assert told.status == 200, told.text
    payload = (await stand.call("GET", f"/api/v1/events/{told.json['id']}")).json["payload"]
    assert (payload["authtype"], payload["datacontenttype"]) == ("user", "application/json")


async def test_accepted_by_several_at_once_it_is_one_event(stand: Stand) -> None:
    kept = await rejected(stand)
    site(stand, replace(SHOP, secrets=(SECRET,), id=Field("header", "X-None")))
    answers = await asyncio.gather(*(accept(stand, kept["id"]) for _ in range(8)))
    assert {answer.status for answer in answers} <= {200, 409}
    assert len({answer.json["id"] for answer in answers if answer.status == 200}) == 1
    assert len((await stand.call("GET", "/api/v1/events")).json["data"]) == 1


async def test_a_body_says_nothing_here(stand: Stand) -> None:
    kept = await rejected(stand)
    assert (await accept(stand, kept["id"], body={"force": True})).pointers == ["#/force"]


# Who may.


async def test_scopes(stand: Stand) -> None:
    kept = await rejected(stand)
    stand.use(tokens=(token("reader", Scope.READ), token("writer", Scope.WRITE)))
    for path in (PATH, f"{PATH}/{kept['id']}"):
        assert (await stand.call("GET", path, token="reader")).status == 200
        assert (await stand.call("GET", path, token="writer")).status == 403
    assert (await accept(stand, kept["id"], token="reader")).status == 403
    assert (await accept(stand, kept["id"], token="writer")).status == 409


async def test_a_tenant_sees_what_came_to_its_own_sources_alone(stand: Stand) -> None:
    theirs = replace(SHOP, name="theirs", path="/theirs", tenant="other", secrets=(SECRET,))
    own = replace(SHOP, tenant="acme")
    site(stand, own, theirs, tokens=(token("acme", *Scope, tenant="acme"), token("all", *Scope)))
    await sent(stand)
    await sent(stand, source=theirs, headers={"X-Nothing": "1"})
    await stand.store.flush()
    everything = (await stand.call("GET", PATH, token="all")).json["data"]
    assert [each["tenant"] for each in everything] == ["other", "acme"]
    assert (await stand.call("GET", PATH, token="acme")).json["data"] == everything[1:]
    assert (await stand.call("GET", PATH + "?source=theirs", token="acme")).json["data"] == []
    assert (await stand.call("GET", f"{PATH}/{everything[0]['id']}", token="acme")).status == 404
    assert (await accept(stand, everything[0]["id"], token="acme")).status == 404
    path = f"{PATH}/{everything[1]['id']}"
    assert "of the source theirs" in (await stand.call("GET", path, token="all")).json["explanation"]
    assert "theirs" not in (await stand.call("GET", path, token="acme")).text
    site(stand, replace(own, tenant="other"))
    assert (await stand.call("GET", path, token="acme")).status == 404
    assert (await accept(stand, everything[1]["id"], token="acme")).status == 404


# Floods.


async def test_a_flood_leaves_a_sample_and_everything_else_goes_on(stand: Stand) -> None:
    async def flood() -> None:
        for _ in range(30):
            assert (await sent(stand, headers={"X-Nothing": "1"})).status == 401

    async def publish() -> None:
        for _ in range(20):
            await stand.publish()

    await asyncio.gather(*(flood() for _ in range(20)), publish())
    await sent(stand, source=SOURCE, headers={"X-Nothing": "1"})
    await stand.store.flush()
    kept = await rejections(stand, "?limit=250")
    assert [each["source"] for each in kept].count("shop") == MOST_REJECTIONS
    assert [each["source"] for each in kept].count("automator") == 1
    assert stand.metrics.inbound_requests["shop", "unauthorized"] == 600
