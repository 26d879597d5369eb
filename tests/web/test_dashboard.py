from base64 import b64encode
from dataclasses import replace
from hashlib import sha256
from html.parser import HTMLParser

from aiohttp import web

from hookd.model import Breaker, Scope
from tests.web.serving import serve
from tests.web.stand import Stand, token


class Page(HTMLParser):
    """Collects the elements of a page, and the text of its style."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[str] = []
        self.style = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append(tag)
        assert not any(name.startswith("on") or name == "style" for name, _ in attrs)

    def handle_data(self, data: str) -> None:
        if self.elements and self.elements[-1] == "style" and not self.style:
            self.style = data


async def test_the_page_shows_what_sources_refused_to_those_who_may_see_it(stand: Stand) -> None:
    assert "sources refused" not in (await stand.call("GET", "/")).text
    await stand.call("POST", "/webhook", {}, headers={"X-Webhook-Token": "<wrong>"})
    await stand.store.flush()
    [rejection] = (await stand.call("GET", "/api/v1/rejections")).json["data"]
    text = (await stand.call("GET", "/")).text
    for shown in (rejection["id"], "automator", rejection["cause"]):
        assert shown in text
    assert "wrong" not in text
    stand.use(tokens=(token("acme", *Scope, tenant="acme"),))
    assert rejection["id"] not in (await stand.call("GET", "/", token="acme")).text


async def test_an_empty_page_says_so(stand: Stand) -> None:
    told = await stand.call("GET", "/")
    assert told.headers["Content-Type"] == "text/html; charset=utf-8"
    assert "No endpoint is registered yet." in told.text
    assert "Nothing has been sent yet." in told.text


async def test_the_page_shows_endpoints_deliveries_and_attempts_escaped(stand: Stand) -> None:
    async def hook(request: web.Request) -> web.Response:
        return web.Response(status=500, body=b"<script>alert('body')</script>\xff")

    receiver = web.Application()
    receiver.router.add_post("/{path:.*}", hook)
    async with serve(receiver) as url:
        endpoint = await stand.endpoint(
            url=url + "?q='\"",
            description="<script>alert(1)</script>",
            tenant="<b>",
            token="token-text",
            filter={"$not": {"body": {"a": ["<i>"]}}},
        )
        await stand.call("POST", f"/api/v1/endpoints/{endpoint['id']}/test")
    await stand.endpoint()
    await stand.publish(type="order.created")
    stand.unready.append("the <disk> is full")
    text = (await stand.call("GET", "/")).text
    for shown in (
        endpoint["id"],
        "order.created",
        "hookd.test",
        "http_5xx",
        "&lt;script&gt;alert(1)",
        "the &lt;disk&gt;",
        "[&#34;&lt;i&gt;&#34;]",
    ):
        assert shown in text
    assert "script" not in Page(text).elements
    assert "<b>" not in text
    assert not any(secret in text for secret in ("token-text", endpoint["secret"]))


async def test_the_page_is_no_longer_than_can_be_looked_through(stand: Stand) -> None:
    async def hook(request: web.Request) -> web.Response:
        return web.Response(status=500, body=b"<" * 4096)

    receiver = web.Application()
    receiver.router.add_post("/", hook)
    async with serve(receiver) as url:
        endpoint = await stand.endpoint(url=url)
        tested = (await stand.call("POST", f"/api/v1/endpoints/{endpoint['id']}/test")).json
    await stand.publish()  # committed after the attempt, so that this is on record
    [failed] = (await stand.call("GET", "/api/v1/deliveries?status=failed")).json["data"]
    assert tested["response_body"] == "<" * 4096
    await stand.repeat_attempts(failed["id"], 100)
    text = (await stand.call("GET", "/")).text
    assert text.count("<pre>" + "&lt;" * 1000 + "…</pre>") == 5
    assert "attempt 100," in text
    assert f"earlier ones are at <code>/api/v1/deliveries/{failed['id']}</code>" in text


async def test_the_policy_allows_the_style_of_the_page_and_nothing_else(stand: Stand) -> None:
    told = await stand.call("GET", "/")
    page = Page(told.text)
    digest = b64encode(sha256(page.style.encode()).digest()).decode()
    policy = dict(part.strip().split(" ", 1) for part in told.headers["Content-Security-Policy"].split(";"))
    assert policy["default-src"] == "'none'"
    assert policy["style-src"] == f"'sha256-{digest}'"
    assert "script-src" not in policy


async def test_a_tenant_sees_its_own_alone(stand: Stand) -> None:
    for tenant in ("acme", "other"):
        await stand.endpoint(tenant=tenant)
        await stand.publish(tenant=tenant, type=f"order.{tenant}")
    stand.use(tokens=(token("acme", Scope.READ, tenant="acme"),))
    assert (await stand.call("GET", "/")).status == 401
    text = (await stand.call("GET", "/", token="acme")).text
    assert "order.acme" in text
    assert "other" not in text


async def test_an_endpoint_that_is_left_alone_says_since_when_and_until_when(stand: Stand) -> None:
    made = await stand.endpoint()
    now = stand.clock[0]
    failing = Breaker(opened_at=now - 1000, openings=1, blocked_until=now + 2000)
    await stand.store.change_endpoint(made["id"], None, lambda before: replace(before, breaker=failing))
    page = (await stand.call("GET", "/")).text
    assert "keeps failing since" in page
    assert "nothing is sent until" in page
    assert '<span class="mark failing">failing</span>' in page
    stand.clock[0] += 2000
    page = (await stand.call("GET", "/")).text
    assert "nothing is sent until" not in page
    assert '<span class="mark half-open">half-open</span>' in page
    assert 'class="mark active"' not in page
