"""What a source asks of a request beside its signature: where it comes from, its method, its filter."""

import logging
from collections import Counter
from dataclasses import replace
from typing import Any

import pytest

from hookd.model import Field
from hookd.policy.declare import declared
from hookd.policy.networks import all_networks
from tests.web.stand import SOURCE, Stand

TOKEN = {"X-Webhook-Token": "secret"}
WITHIN, ELSEWHERE = all_networks(["loopback"]), all_networks(["192.0.2.0/24"])


def use(stand: Stand, proxies: tuple[str, ...] = (), **changes: Any) -> None:
    stand.use(sources={SOURCE.path: replace(SOURCE, **changes)}, proxies=all_networks(proxies))


async def events(stand: Stand) -> list[str]:
    return [event["type"] for event in (await stand.call("GET", "/api/v1/events")).json["data"]]


async def test_only_who_is_allowed_may_call(stand: Stand, caplog: pytest.LogCaptureFixture) -> None:
    use(stand, allow=ELSEWHERE)
    with caplog.at_level(logging.WARNING):
        told = await stand.call("POST", SOURCE.path, {}, headers=TOKEN)
    assert (told.status, told.json["detail"]) == (403, "127.0.0.1 may not call here")
    (record,) = caplog.records
    fields = record.__dict__["fields"]
    assert (fields["fault"], fields["source"]) == ("127.0.0.1 may not call here", "automator")
    assert fields["hint"] == "allow of the source does not name it"
    use(stand, allow=WITHIN)
    assert (await stand.call("POST", SOURCE.path, {}, headers=TOKEN)).status == 200
    assert stand.metrics.inbound_requests == Counter({("automator", "forbidden"): 1, ("automator", "accepted"): 1})
    assert await events(stand) == ["automator.received"]


@pytest.mark.parametrize(
    ("proxies", "forwarded", "status"),
    [
        ((), "192.0.2.1", 403),
        (("10.0.0.0/8",), "192.0.2.1", 403),
        (("loopback",), "192.0.2.1", 200),
        (("loopback",), "192.0.2.1, 127.0.0.1", 200),
        (("loopback",), "192.0.2.1, 198.51.100.1", 403),
        (("loopback",), "198.51.100.1, ::ffff:192.0.2.1", 200),
        (("loopback",), "192.0.2.1, unknown", 403),
    ],
)
async def test_behind_a_proxy_the_last_hop_that_is_none_calls(
    stand: Stand, proxies: tuple[str, ...], forwarded: str, status: int
) -> None:
    use(stand, proxies, allow=ELSEWHERE)
    headers = {**TOKEN, "X-Forwarded-For": forwarded}
    assert (await stand.call("POST", SOURCE.path, {}, headers=headers)).status == status


async def test_a_proxy_that_does_not_say_for_whom_is_the_caller_itself(stand: Stand) -> None:
    use(stand, ("loopback",), allow=ELSEWHERE)
    assert (await stand.call("POST", SOURCE.path, {}, headers=TOKEN)).status == 403


@pytest.mark.parametrize(
    ("proxies", "headers", "hint"),
    [
        (
            (),
            {"X-Forwarded-For": "192.0.2.1"},
            "X-Forwarded-For is not believed, since [server] proxies does not name 127",
        ),
        (("loopback",), {}, "127.0.0.1 is one of [server] proxies, and sends no X-Forwarded-For"),
        (("loopback",), {"X-Forwarded-For": "198.51.100.1"}, "allow of the source does not name it"),
    ],
)
async def test_the_log_says_what_to_do_about_who_is_kept_out(
    stand: Stand, caplog: pytest.LogCaptureFixture, proxies: tuple[str, ...], headers: dict[str, str], hint: str
) -> None:
    use(stand, proxies, allow=ELSEWHERE)
    with caplog.at_level(logging.WARNING):
        told = await stand.call("POST", SOURCE.path, {}, headers={**TOKEN, **headers})
    (record,) = caplog.records
    assert hint in record.__dict__["fields"]["hint"]
    assert hint not in told.text


async def test_the_log_warns_of_what_a_source_can_t_take(stand: Stand, caplog: pytest.LogCaptureFixture) -> None:
    use(stand, max_body=10)
    with caplog.at_level(logging.WARNING):
        assert (await stand.call("POST", SOURCE.path, data=b"x" * 11, headers=TOKEN)).status == 413
        assert (await stand.call("PUT", SOURCE.path, {}, headers=TOKEN)).status == 405
    logged = [record.__dict__["fields"] for record in caplog.records]
    assert [(each["source"], each["status"]) for each in logged] == [("automator", 413), ("automator", 405)]


async def test_only_the_methods_of_the_source_are_taken(stand: Stand) -> None:
    use(stand, methods=("PUT", "GET"))
    told = await stand.call("POST", SOURCE.path, {}, headers=TOKEN)
    assert (told.status, told.headers["Allow"]) == (405, "GET, PUT")
    for method in ("PUT", "GET"):
        assert (await stand.call(method, SOURCE.path, headers=TOKEN)).status == 200
    assert (await stand.call("PUT", SOURCE.path)).status == 401
    results = {"wrong_method": 1, "accepted": 2, "unauthorized": 1}
    assert stand.metrics.inbound_requests == Counter({("automator", name): count for name, count in results.items()})


async def test_who_may_not_call_learns_no_method(stand: Stand) -> None:
    use(stand, allow=ELSEWHERE)
    assert (await stand.call("DELETE", SOURCE.path, headers=TOKEN)).status == 403


async def test_what_does_not_pass_the_filter_is_answered_alike_and_not_kept(stand: Stand) -> None:
    pattern = {"headers": {"X-Event": ["push"]}, "body": {"branch": ["main"]}}
    use(stand, filter=declared(pattern, "automator"))
    passing = await stand.call("POST", SOURCE.path, {"branch": "main"}, headers={**TOKEN, "x-event": "push"})
    other = await stand.call("POST", SOURCE.path, {"branch": "x"}, headers={**TOKEN, "x-event": "push"})
    lacking = await stand.call("POST", SOURCE.path, {"branch": "main"}, headers=TOKEN)
    no_json = await stand.call("POST", SOURCE.path, data=b"a=b", headers={**TOKEN, "x-event": "push"})
    assert {(each.status, each.text) for each in (passing, other, lacking, no_json)} == {(200, passing.text)}
    assert await events(stand) == ["automator.received"]
    results = {"accepted": 1, "filtered": 3}
    assert stand.metrics.inbound_requests == Counter({("automator", name): count for name, count in results.items()})


async def test_what_is_not_authentic_is_refused_whatever_the_filter_says(stand: Stand) -> None:
    use(stand, filter=declared({"body": {"branch": ["main"]}}, "automator"))
    assert (await stand.call("POST", SOURCE.path, {"branch": "x"})).status == 401


async def test_what_is_filtered_is_not_remembered_as_seen(stand: Stand) -> None:
    by_id = Field("body", "id")
    use(stand, id=by_id, filter=declared({"body": {"done": [True]}}, "automator"))
    for done in (False, True, True):
        assert (await stand.call("POST", SOURCE.path, {"id": "1", "done": done}, headers=TOKEN)).status == 200
    assert await events(stand) == ["automator.received"]
    results = {"accepted": 1, "filtered": 1, "duplicate": 1}
    assert stand.metrics.inbound_requests == Counter({("automator", name): count for name, count in results.items()})


async def test_a_filter_over_the_type(stand: Stand) -> None:
    use(stand, type=Field("body", "type"), filter=declared({"type": [{"prefix": "automator.a"}]}, "automator"))
    for kind in ("a.b", "b.a"):
        await stand.call("POST", SOURCE.path, {"type": kind}, headers=TOKEN)
    assert await events(stand) == ["automator.a.b"]
