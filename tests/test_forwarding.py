"""A gateway: what a source lets in goes on to endpoints, byte for byte, signed anew; through real sockets."""

import asyncio
import http.client
import json
import re
import urllib.request
from pathlib import Path
from urllib.parse import urlencode

import pytest
from standardwebhooks import Webhook, WebhookVerificationError

import hookd
from tests.daemons import LOOPBACK, Daemon
from tests.nouns import SECRET
from tests.receivers import Receiver
from tests.test_readme import curl

GATEWAY = (
    LOOPBACK
    + """
[[sources]]
name = "shop"
path = "/from/shop"
scheme = "token"
secrets = ["secret"]
"""
)
BOUNDARY = b'--x\r\nContent-Disposition: form-data; name="f"; filename="\xe9"\r\n\r\n\x00\xff\r\n--x--\r\n'
BODIES = {
    "JSON as it was written": (b'{"b" : 1,\r\n "a":2, "a": 3.10}', "application/json; charset=utf-8"),
    "a form": (
        urlencode({"name": "Åda & co", "x": ["1", "2"]}, doseq=True).encode(),
        "application/x-www-form-urlencoded",
    ),
    "a form in parts": (BOUNDARY, "multipart/form-data; boundary=x"),
    "text in another encoding": ("Åda".encode("latin-1"), "text/plain; charset=latin-1"),
    "every byte": (bytes(range(256)) * 100, "application/octet-stream"),
    "half a character": (b'{"name": "\xed\xa0\x80"}', "application/json"),
    "nothing": (b"", "text/plain"),
    "no content type": (b"\0\xff\xfe", None),
    "a content type that nobody may repeat": (b"<a/>", "text/\xe9"),
}


def post(port: int, body: bytes, content_type: str | None) -> int:
    """Post to the source, with no header but those that are asked for, and answer the status."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    connection.putrequest("POST", "/from/shop", skip_accept_encoding=True)
    headers = {"X-Webhook-Token": "secret", "Content-Length": str(len(body))}
    for name, value in (headers | ({} if content_type is None else {"Content-Type": content_type})).items():
        connection.putheader(name, value)
    connection.endheaders(body)
    try:
        return connection.getresponse().status
    finally:
        connection.close()


async def test_whatever_comes_in_goes_on_byte_for_byte(tmp_path: Path) -> None:
    async with Receiver() as receiver, Daemon(tmp_path, GATEWAY) as daemon:
        await daemon.register(receiver.url(), event_types=["shop.*"], secret=SECRET)
        for name, (body, content_type) in BODIES.items():
            assert await asyncio.to_thread(post, daemon.port, body, content_type) == 200, name
        await daemon.quiet()
        sent = {request.body: request.headers for request in receiver.requests}
        for name, (body, content_type) in BODIES.items():
            expected = content_type if content_type and content_type.isascii() else "application/octet-stream"
            assert sent[body]["content-type"] == expected, name
            assert "x-webhook-token" not in sent[body], name
            assert sent[body]["x-webhook-event"] == "shop.received", name
        assert len(receiver.requests) == len(BODIES)


async def test_what_goes_on_is_signed_with_the_endpoints_secret(tmp_path: Path) -> None:
    async with Receiver() as receiver, Daemon(tmp_path, GATEWAY) as daemon:
        await daemon.register(receiver.url(), event_types=["shop.*"], secret=SECRET)
        body = b'{"b" : 1, "a": "\xc3\xa5"}'
        await asyncio.to_thread(post, daemon.port, body, "application/json")
        await daemon.quiet()
        (request,) = receiver.requests
        assert request.body == body
        assert Webhook(SECRET).verify(request.body, request.headers) == json.loads(body)


@pytest.mark.parametrize("patterns", [["shop.received"], ["shop.*"]])
async def test_only_who_names_the_source_gets_its_events(tmp_path: Path, patterns: list[str]) -> None:
    async with Receiver() as receiver, Receiver() as other, Daemon(tmp_path, GATEWAY) as daemon:
        await daemon.register(receiver.url(), event_types=patterns)
        await daemon.register(other.url(), event_types=["*"])
        await asyncio.to_thread(post, daemon.port, b"x", "text/plain")
        await daemon.quiet()
        assert [request.body for request in receiver.requests] == [b"x"]
        assert other.requests == []


async def test_what_is_forwarded_can_be_looked_at(tmp_path: Path) -> None:
    """Even where it is no text."""
    async with Receiver() as receiver, Daemon(tmp_path, GATEWAY) as daemon:
        await daemon.register(receiver.url(), event_types=["shop.*"])
        await asyncio.to_thread(post, daemon.port, b"\xff\0", "application/octet-stream")
        await daemon.quiet()
        (event,) = (await daemon.call("GET", "/api/v1/events"))["data"]
        story = await daemon.call("GET", f"/api/v1/events/{event['id']}")
        assert [delivery["status"] for delivery in story["deliveries"]] == ["delivered"]
        assert story["payload"] == "\N{REPLACEMENT CHARACTER}\0"


async def test_the_gateway_of_the_docs(tmp_path: Path) -> None:
    page = (Path(__file__).parent.parent / "docs" / "handlers.md").read_text("utf-8")
    [source] = re.findall(r"```toml\n(sources = .*?)```", page, flags=re.DOTALL)
    [command] = re.findall(r"```console\n\$ (curl .*?)\n```", page, flags=re.DOTALL)
    async with Receiver() as receiver, Daemon(tmp_path, source + LOOPBACK, SHOP_SECRET=SECRET) as daemon:
        ours = command.replace("https://inside.example/hook", receiver.url())
        endpoint = json.loads(await daemon.in_thread(curl, ours, daemon.url))
        body = b'{"type": "order.paid", "name": "\xc3\x85da"}'
        headers = hookd.sign("standard", [SECRET], body, id="theirs")
        request = urllib.request.Request(f"{daemon.url}/from/shop", body, headers)
        await daemon.in_thread(urllib.request.build_opener(urllib.request.ProxyHandler({})).open, request)
        await daemon.quiet()
        (forwarded,) = receiver.requests
        assert (forwarded.body, forwarded.headers["x-webhook-event"]) == (body, "shop.order.paid")
        assert Webhook(endpoint["secret"]).verify(forwarded.body, forwarded.headers) == json.loads(body)
        with pytest.raises(WebhookVerificationError):
            Webhook(SECRET).verify(forwarded.body, forwarded.headers)
