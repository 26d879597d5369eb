"""The real commands `send`, `tail`, `show` and `retry`, against a real daemon and real receivers."""

import asyncio
import json
import os
import re
import signal
import sys
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from hookd import sign
from hookd.cli import main
from tests.daemons import LOOPBACK, Daemon, clean_environment
from tests.receivers import OK, Behaviour, Connection, Receiver, Request, answering

pytestmark = pytest.mark.asyncio(loop_scope="module")

TOKEN = "hookd_a-token-that-nobody-prints"
CONFIG = f"""\
{LOOPBACK}
[delivery]
breaker = "off"

[[sources]]
name = "shop"
path = "/shop"
scheme = "token"
secrets = ["sesame"]

[[sources]]
name = "chat"
path = "/chat"
scheme = "slack"
secrets = ["sesame"]
"""
FAILURE = b"HTTP/1.1 500 Oh\r\nX-Note: \xc2\x9b2J\r\nContent-Length: 24\r\n\r\nfirst \x1b]0;owned\x07\r\nsecond"
DELIVERY = re.compile(r"\S+Z  (?P<status>\w+) +(?P<id>dlv_\S+)  (?P<type>\S+)  (?P<endpoint>\S+)  (?P<rest>.*)")


@dataclass
class Done:
    """A command that has ended."""

    status: int
    out: str
    err: str

    @property
    def lines(self) -> list[str]:
        assert self.err == ""
        return self.out.splitlines()

    def complaint(self, status: int) -> str:
        """Answer the one line of an error."""
        assert (self.status, self.err.count("\n")) == (status, 1), self.err
        assert self.err.startswith("hookd: ")
        assert TOKEN not in self.out + self.err
        return self.err.removeprefix("hookd: ").rstrip("\n")


async def started(*arguments: str, url: str, **how: Any) -> asyncio.subprocess.Process:
    environment = clean_environment(HOOKD_URL=url, PYTHONWARNINGS="error", **how.pop("environment", {}))
    pipes = {"stdin": asyncio.subprocess.PIPE, "stdout": asyncio.subprocess.PIPE, "stderr": asyncio.subprocess.PIPE}
    command = [sys.executable, "-m", "hookd", *arguments]
    return await asyncio.create_subprocess_exec(*command, env=environment, **(pipes | how))


async def hookd(*arguments: str, url: str, stdin: bytes = b"", **environment: str) -> Done:
    process = await started(*arguments, url=url, environment=environment)
    out, err = await process.communicate(stdin)
    assert process.returncode is not None
    return Done(process.returncode, out.decode(), err.decode())


Here = Callable[..., Done]


@pytest.fixture
def here(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Here:
    """Run a command in this process, which is faster, where nobody has to answer it."""

    def run(*arguments: str, url: str, **environment: str) -> Done:
        for name, value in {"HOOKD_URL": url, **environment}.items():
            monkeypatch.setenv(name, value)
        with pytest.raises(SystemExit) as end:
            main(list(arguments))
        out, err = capsys.readouterr()
        assert isinstance(end.value.code, int)
        return Done(end.value.code, out, err)

    return run


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def daemon(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Daemon]:
    async with Daemon(tmp_path_factory.mktemp("daemon"), CONFIG) as daemon:
        yield daemon


@pytest_asyncio.fixture(loop_scope="module")
async def receiver() -> AsyncIterator[Receiver]:
    async with Receiver() as receiver:
        yield receiver


async def subscribe(daemon: Daemon, receiver: Receiver, event_type: str, **definition: object) -> str:
    return await daemon.register(receiver.url(), event_types=[event_type], **definition)


def parsed(line: str) -> dict[str, str]:
    match = DELIVERY.fullmatch(line)
    assert match is not None, line
    return match.groupdict()


async def test_show_tells_what_was_wrong_with_a_request_that_was_refused(daemon: Daemon) -> None:
    async with daemon._session.post("/shop", data=b'{"a": "\x1b[2J"}', headers={"X-Webhook-Token": "no"}) as answer:
        assert answer.status == 401
    await daemon.call("POST", "/api/v1/events", {"type": "other", "payload": 1})  # so that it is on disk
    [rejection] = (await daemon.call("GET", "/api/v1/rejections?limit=1"))["data"]
    lines = (await hookd("show", rejection["id"], url=daemon.url)).lines
    assert lines[0] == f"rejection {rejection['id']}"
    assert "  source    shop" in lines
    assert "  > x-webhook-token: ***" in lines
    assert '  {"a": "\\x1b[2J"}' in lines
    assert any("It can't be accepted by hand." in line for line in lines)
    missing = await hookd("show", "rej_none", url=daemon.url)
    assert missing.complaint(1) == "there is no event, delivery or rejection rej_none, or it is not kept any more"


async def test_retry_lets_in_a_request_that_was_refused(daemon: Daemon) -> None:
    headers = sign("slack", ["sesame"], b"{}", now=1_700_000_000)
    async with daemon._session.post("/chat", data=b"{}", headers=headers) as answer:
        assert answer.status == 401
    await daemon.call("POST", "/api/v1/events", {"type": "other", "payload": 1})  # so that it is on disk
    [rejection] = (await daemon.call("GET", "/api/v1/rejections?source=chat"))["data"]
    [line] = (await hookd("retry", rejection["id"], url=daemon.url)).lines
    event = (await daemon.call("GET", f"/api/v1/rejections/{rejection['id']}"))["event"]
    assert line == f"{event}  0 deliveries"
    again = await hookd("retry", rejection["id"], url=daemon.url)
    assert f"was accepted already, as {event}" in again.complaint(1)


@pytest.mark.parametrize("command", ["send", "tail", "show", "retry"])
async def test_help_shows_an_example(here: Here, command: str) -> None:
    done = here(command, "--help", url="nowhere")
    assert f"Example:\n    hookd {command} " in done.out
    assert (done.status, done.err) == (0, "")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["send"], "TYPE"),
        (["send", "a", "--data", "{"], "expected JSON"),
        (["send", "a", "--data", '1,"id":"x"'], "expected JSON"),
        (["send", "a", "--data", "NaN"], "NaN is no JSON value"),
        (["send", "a", "--data", ""], "expected JSON"),
        (["send", "a", "--data", "@/nowhere/payload"], "can't read /nowhere/payload: No such file"),
        (["send", "a", "--timeout", "5"], "5m"),
        (["show"], "ID"),
        (["show", "a", "b"], "b"),
        (["retry"], "either the ID"),
        (["retry", "dlv_1", "--endpoint", "ep_1"], "either the ID"),
        (["retry", "dlv_1", "--status", "failed"], "either the ID"),
        (["retry", "--status", "sending"], "failed"),
        (["retry", "--status", "delivered"], "add --endpoint EP"),
        (["retry", "--status", "pending"], "add --endpoint EP"),
        (["tail", "-n", "3"], "-n"),
        (["tail", "--limit", "0"], "--limit"),
        (["tail", "--status", "lost"], "delivered"),
    ],
)
async def test_a_misuse_is_one_line_and_exit_2(here: Here, arguments: list[str], told: str) -> None:
    assert told in here(*arguments, url="http://127.0.0.1:1").complaint(2)


async def test_a_payload_that_is_no_text_is_refused() -> None:
    done = await hookd("send", "a", "--data", "-", url="http://127.0.0.1:1", stdin=b'"\xff"')
    assert "UTF-8" in done.complaint(2)
    assert "expected JSON" in (await hookd("send", "a", "--data", "-", url="", stdin=b"[" * 100_000)).complaint(2)


@pytest.mark.parametrize(
    "url",
    [
        "127.0.0.1:8080",
        "file:///etc/passwd",
        "http://",
        "http://user:word@host",
        "http://host?a",
        "http://host:http",
        "http://host:0",
        "http://[::1",
        "http://ho st",
        "http://h\u00f6st",
    ],
)
async def test_an_address_that_is_none_is_one_line_and_exit_2(here: Here, url: str) -> None:
    complaint = here("tail", url=url).complaint(2)
    assert complaint.startswith("$HOOKD_URL: expected http://")
    assert url.removeprefix("http://") == "" or url not in complaint


async def test_a_token_that_is_none_is_one_line_and_exit_2(here: Here) -> None:
    done = here("tail", url="http://127.0.0.1:1", HOOKD_TOKEN=f"{TOKEN}\nX-Other: 1")
    assert done.complaint(2) == "$HOOKD_TOKEN: expected visible ASCII characters"


@pytest.mark.parametrize("arguments", [["send", "a"], ["tail"], ["tail", "-f"], ["show", "a"], ["retry", "a"]])
async def test_without_a_daemon_the_line_says_what_to_do(here: Here, arguments: list[str]) -> None:
    async with Receiver() as gone:
        url = f"http://127.0.0.1:{gone.port}"
    assert here(*arguments, url=url).complaint(1) == (
        f"no answer from {url} (Connection refused); start a daemon with `hookd run`, or set $HOOKD_URL"
    )


def plain(status: str, body: bytes, *headers: str) -> Behaviour:
    head = "\r\n".join([f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers])
    return answering(head.encode() + b"\r\n\r\n" + body)


PROBLEM = json.dumps({"title": "Teapot", "detail": "short\x1b[2Jand\nstout"}).encode()


@pytest.mark.parametrize(
    ("behave", "told"),
    [
        (plain("200 OK", b"<html>"), "does not answer as hookd does; check $HOOKD_URL"),
        (plain("200 OK", b"[]"), "does not answer as hookd does; check $HOOKD_URL"),
        (plain("200 OK", b'{"id": 1}'), "does not answer as hookd does; check $HOOKD_URL"),
        (plain("502 Bad\x1b[2J", b"<html>"), "Bad\\x1b[2J (HTTP 502): "),
        (plain("418 Oh", PROBLEM), "Teapot (HTTP 418): short\\x1b[2Jand stout"),
        (answering(b"SSH-2.0\r\n\r\n", close=True), "no answer from "),
        (answering(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{", close=True), "no answer from "),
    ],
)
async def test_what_is_no_hookd_is_one_line(behave: Behaviour, told: str) -> None:
    async with Receiver(behave) as other:
        done = await hookd("show", "evt_1", url=f"http://127.0.0.1:{other.port}", HOOKD_TOKEN=TOKEN)
    assert told in done.complaint(1)


async def test_a_redirect_gets_no_token(receiver: Receiver) -> None:
    async with Receiver(plain("307 Moved", b"", f"Location: {receiver.url()}")) as other:
        done = await hookd("retry", "dlv_1", url=f"http://127.0.0.1:{other.port}", HOOKD_TOKEN=TOKEN)
        assert other.requests[0].headers["authorization"] == f"Bearer {TOKEN}"
    assert f"Moved (HTTP 307): it points to {receiver.url()}" in done.complaint(1)
    assert receiver.connections == 0


async def test_a_proxy_is_for_other_machines_alone(daemon: Daemon, receiver: Receiver) -> None:
    proxy = f"http://127.0.0.1:{receiver.port}"
    assert (await hookd("tail", url=daemon.url, http_proxy=proxy, HTTP_PROXY=proxy)).status == 0
    assert receiver.connections == 0
    await hookd("show", "evt_1", url="http://hookd.example", http_proxy=proxy)
    assert receiver.requests[0].line == "GET http://hookd.example/api/v1/events/evt_1 HTTP/1.1"


async def test_ids_stay_one_segment_of_the_path(receiver: Receiver) -> None:
    url = f"http://127.0.0.1:{receiver.port}/below/"
    await hookd("show", "a/../b?c#d%\u00e9", url=url)
    await hookd("retry", "dlv_1/cancel?", url=url)
    assert [request.line for request in receiver.requests] == [
        "GET /below/api/v1/events/a%2F..%2Fb%3Fc%23d%25%C3%A9 HTTP/1.1",
        "POST /below/api/v1/deliveries/dlv_1%2Fcancel%3F/retry HTTP/1.1",
    ]


async def test_send_says_id_deliveries_and_note(daemon: Daemon, receiver: Receiver) -> None:
    await subscribe(daemon, receiver, "send.plain")
    first = await hookd("send", "send.plain", "--id", "order-7", url=daemon.url)
    assert (first.status, first.lines) == (0, ["order-7  1 delivery"])
    assert (await hookd("send", "send.plain", "--id", "order-7", url=daemon.url)).lines == first.lines
    await daemon.settled("order-7", "delivered")
    assert [request.body for request in receiver.requests] == [b"{}"]
    alone = await hookd("send", "send.nobody", "--wait", url=daemon.url)
    assert re.fullmatch(r"evt_\w+  0 deliveries", alone.lines[0])
    assert "no endpoint or handler subscribes to send.nobody" in alone.lines[1]
    assert alone.status == 0


@pytest.mark.parametrize("way", ["argument", "file", "stdin"])
async def test_send_sends_the_bytes_as_they_are(daemon: Daemon, tmp_path: Path, way: str) -> None:
    payload = '{"z": 1.10, "a":  "\u00e9\\ud800", "long": ' + "9" * 5000 + "}"
    file = tmp_path / "payload.json"
    file.write_text(payload, "utf-8")
    data = {"argument": payload, "file": f"@{file}", "stdin": "-"}[way]
    async with Receiver() as receiver:
        await subscribe(daemon, receiver, f"bytes.{way}")
        done = await hookd("send", f"bytes.{way}", "--data", data, "--wait", url=daemon.url, stdin=payload.encode())
    assert done.status == 0
    assert [request.body for request in receiver.requests] == [payload.encode()]


async def test_what_the_daemon_refuses_is_one_line_with_every_fault(daemon: Daemon) -> None:
    complaint = (await hookd("send", "a b", "--id", "a.b", url=daemon.url)).complaint(1)
    assert complaint.startswith("Unprocessable Content (HTTP 422): #/type: expected")
    assert "#/id: expected" in complaint
    large = await hookd("send", "a", "--data", "-", url=daemon.url, stdin=b'"' + b"x" * 3_000_000 + b'"')
    assert "(HTTP 413)" in large.complaint(1)


async def test_send_says_whose_event_it_is_its_order_and_for_whom(daemon: Daemon, receiver: Receiver) -> None:
    first, second, _ = [await subscribe(daemon, receiver, "send.named", tenant="acme") for _ in range(3)]
    named = ("--tenant", "acme", "--ordering-key", "k", "--endpoint", first, "--endpoint", second)
    sent = await hookd("send", "send.named", "--id", "named", *named, url=daemon.url)
    assert sent.lines == ["named  2 deliveries"]
    event = await daemon.call("GET", "/api/v1/events/named")
    assert (event["tenant"], event["ordering_key"]) == ("acme", "k")
    assert {each["endpoint"] for each in event["deliveries"]} == {first, second}
    refused = await hookd("send", "send.named", "--endpoint", first, url=daemon.url)
    assert f"there is no endpoint {first} for this tenant" in refused.complaint(1)


async def test_send_waits_for_the_first_outcome(daemon: Daemon, receiver: Receiver) -> None:
    good = await subscribe(daemon, receiver, "wait.both")
    done = await hookd("send", "wait.both", "--wait", url=daemon.url)
    assert done.status == 0
    assert [parsed(line)["status"] for line in done.lines[1:]] == ["delivered"]
    async with Receiver(answering(b"HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n")) as broken:
        bad = await subscribe(daemon, broken, "wait.both", retry=["24h"])
        done = await hookd("send", "wait.both", "--wait", url=daemon.url)
    assert done.status == 1
    shown = {each["endpoint"]: each for each in map(parsed, done.lines[1:])}
    assert {name: each["status"] for name, each in shown.items()} == {good: "delivered", bad: "pending"}
    assert re.fullmatch(r"1 attempt  next \S+Z  .*503.*", shown[bad]["rest"])


async def test_send_waits_no_longer_than_told(daemon: Daemon, receiver: Receiver) -> None:
    paused = await subscribe(daemon, receiver, "wait.paused")
    await daemon.call("PATCH", f"/api/v1/endpoints/{paused}", {"state": "paused"})
    done = await hookd("send", "wait.paused", "--id", "late", "--wait", "--timeout", "100ms", url=daemon.url)
    assert done.out == "late  1 delivery\n"
    assert done.complaint(1) == "after 100ms 1 delivery has no outcome yet; see `hookd show late`"


async def test_send_tells_of_what_was_cancelled(daemon: Daemon, receiver: Receiver) -> None:
    endpoint = await subscribe(daemon, receiver, "wait.disabled")
    await daemon.call("PATCH", f"/api/v1/endpoints/{endpoint}", {"state": "disabled"})
    done = await hookd("send", "wait.disabled", "--id", "off", "--wait", url=daemon.url)
    delivery = parsed(done.lines[1])
    assert (done.status, delivery["status"]) == (1, "cancelled")
    assert "disabled" in delivery["rest"]
    refused = await hookd("retry", delivery["id"], url=daemon.url)
    assert f"Conflict (HTTP 409): {endpoint} is disabled" in refused.complaint(1)
    await daemon.call("POST", "/api/v1/events", {"type": "wait.disabled", "payload": 1})
    several = await hookd("retry", "--endpoint", endpoint, url=daemon.url)
    assert f"Conflict (HTTP 409): {endpoint} is disabled" in several.complaint(1)
    assert several.out == "0 deliveries retried, 2 refused\n"


async def test_tail_ends_with_the_newest(daemon: Daemon, receiver: Receiver) -> None:
    endpoint = await subscribe(daemon, receiver, "tail.plain")
    for name in ("tail-1", "tail-2"):
        await daemon.call("POST", "/api/v1/events", {"type": "tail.plain", "payload": 1, "id": name})
        await daemon.settled(name, "delivered")
    done = await hookd("tail", url=daemon.url)
    latest = [parsed(line) for line in done.lines[-2:]]
    expected = [(await daemon.settled(name, "delivered"))[0]["id"] for name in ("tail-1", "tail-2")]
    assert [each["id"] for each in latest] == expected
    assert [(each["status"], each["type"], each["endpoint"], each["rest"]) for each in latest] == [
        ("delivered", "tail.plain", endpoint, "1 attempt")
    ] * 2


async def test_tail_follows_every_change_until_interrupted(tmp_path: Path, receiver: Receiver) -> None:
    answers = [b"HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n", OK]

    async def recover(connection: Connection, request: Request) -> None:
        await connection.send(answers.pop(0))

    receiver.behave = recover
    async with Daemon(tmp_path) as daemon:
        empty = await hookd("tail", url=daemon.url)
        assert (empty.status, empty.out, empty.err) == (0, "", "hookd: there are no such deliveries yet\n")
        await subscribe(daemon, receiver, "a", retry=["24h"])
        await daemon.call("POST", "/api/v1/events", {"type": "a", "payload": 1, "id": "one"})
        (waiting,) = await daemon.settled("one", "pending")
        while waiting["attempt_count"] == 0:
            (waiting,) = await daemon.settled("one", "pending")
        tail = await started("tail", "--follow", url=daemon.url)
        assert tail.stdout is not None
        seen = [parsed((await tail.stdout.readline()).decode().rstrip("\n"))]
        await daemon.call("POST", f"/api/v1/deliveries/{waiting['id']}/retry")
        answers.append(OK)
        while seen[-1]["status"] != "delivered":
            seen.append(parsed((await tail.stdout.readline()).decode().rstrip("\n")))
        await daemon.call("POST", "/api/v1/events", {"type": "a", "payload": 2, "id": "two"})
        (second,) = await daemon.settled("two", "delivered")
        while (seen[-1]["id"], seen[-1]["status"]) != (second["id"], "delivered"):
            seen.append(parsed((await tail.stdout.readline()).decode().rstrip("\n")))
        tail.send_signal(signal.SIGINT)
        assert await tail.communicate() == (b"", b"")
        assert tail.returncode == 0
    assert (seen[0]["id"], seen[0]["status"]) == (waiting["id"], "pending")
    assert len({tuple(each.values()) for each in seen}) == len(seen)


async def test_tail_shows_what_is_asked_for_and_says_when_there_is_more(daemon: Daemon, receiver: Receiver) -> None:
    endpoint = await subscribe(daemon, receiver, "tail.some")
    other = await subscribe(daemon, receiver, "tail.some")
    await daemon.call("PATCH", f"/api/v1/endpoints/{other}", {"state": "paused"})
    for name in ("some-1", "some-2"):
        await daemon.call("POST", "/api/v1/events", {"type": "tail.some", "payload": 1, "id": name})
    ids = {}
    for name in ("some-1", "some-2"):
        for each in (await daemon.call("GET", f"/api/v1/events/{name}"))["deliveries"]:
            ids[name, each["endpoint"]] = each["id"]
    both = await hookd("tail", "--endpoint", endpoint, "--limit", "2", url=daemon.url)
    assert [parsed(line)["id"] for line in both.lines] == [ids["some-1", endpoint], ids["some-2", endpoint]]
    one = await hookd("tail", "--endpoint", other, "--status", "pending", "--limit", "1", url=daemon.url)
    assert parsed(one.out.rstrip("\n"))["id"] == ids["some-2", other]
    assert one.err == "hookd: the latest 1 are shown; --limit N shows more\n"
    none = await hookd("tail", "--endpoint", endpoint, "--status", "failed", url=daemon.url)
    assert (none.status, none.out, none.err) == (0, "", "hookd: there are no such deliveries yet\n")


async def test_tail_follows_a_daemon_that_comes_back(tmp_path: Path, receiver: Receiver) -> None:
    async with Daemon(tmp_path) as daemon:
        await subscribe(daemon, receiver, "a")
        await daemon.call("POST", "/api/v1/events", {"type": "a", "payload": 1, "id": "one"})
        await daemon.settled("one", "delivered")
        tail = await started("tail", "-f", url=daemon.url)
        assert tail.stdout is not None
        assert tail.stderr is not None
        await tail.stdout.readline()
        await daemon.kill()
        assert await tail.stderr.readline() == b"hookd: the daemon does not answer; waiting until it does\n"
        await daemon.start()
        await daemon.call("POST", "/api/v1/events", {"type": "a", "payload": 1, "id": "two"})
        (second,) = await daemon.settled("two", "delivered")
        assert parsed((await tail.stdout.readline()).decode().rstrip("\n"))["id"] == second["id"]
        tail.send_signal(signal.SIGINT)
        assert (await tail.communicate())[1] == b""
        assert tail.returncode == 0


async def test_show_tells_the_whole_story_and_escapes_it(daemon: Daemon) -> None:
    payload = '{"name": "Ada", "price": 10.00, "odd": "\u009b2J\u202e", "none": []}'
    async with Receiver(answering(FAILURE)) as receiver:
        endpoint = await subscribe(
            daemon, receiver, "show.all", retry=[], token=TOKEN, headers={"X-Own": "confidential"}
        )
        sent = await hookd("send", "show.all", "--id", "shown", "--data", payload, "--wait", url=daemon.url)
    delivery = parsed(sent.lines[1])
    story = await hookd("show", "shown", url=daemon.url)
    assert (story.status, story.err) == (0, "")
    assert all(letter.isprintable() or letter == "\n" for letter in story.out)
    assert TOKEN not in story.out
    assert "confidential" not in story.out
    lines = story.lines
    assert lines[0] == "event shown"
    assert "  type      show.all" in lines
    assert lines[lines.index("    {") :][:6] == [
        "    {",
        '      "name": "Ada",',
        '      "price": 10.00,',
        '      "odd": "\\x9b2J\\u202e",',
        '      "none": []',
        "    }",
    ]
    assert lines[lines.index("    }") + 1 :][:3] == [
        "",
        f"delivery {delivery['id']}  failed",
        f"  endpoint  {endpoint}",
    ]
    assert re.search(r"\n  attempt 1  \S+Z  http_5xx  [\d.]+ ms  HTTP 500", story.out)
    assert "  > webhook-id: shown" in lines
    assert any(line.startswith("  < x-note: ") for line in map(str.lower, lines))
    assert lines[-2:] == ["    first \\x1b]0;owned\\x07", "    second"]
    assert (await hookd("show", delivery["id"], url=daemon.url)).lines == lines


async def test_show_and_tail_escape_every_field() -> None:
    evil = "\x1b[2J\u009b\u2028\r"
    attempt: dict[str, Any] = dict.fromkeys(["id", "started_at", "error", "response_body"], evil)
    attempt |= {"number": 1, "duration_ms": 1.5, "outcome": "tls", "status_code": None, "truncated": True}
    attempt |= {"request_headers": {evil: evil}, "response_headers": {evil: evil}}
    fields = ["id", "event", "type", "tenant", "endpoint", "reason", "next_attempt_at", "last_error", "created_at"]
    delivery: dict[str, Any] = dict.fromkeys(fields, evil) | {"status": "pending", "attempt_count": 8}
    delivery |= {"attempts": [attempt]}
    event: dict[str, Any] = dict.fromkeys(["id", "type", "tenant", "origin", "content_type", "created_at"], evil)
    event |= {"payload": {evil: evil}, "deliveries": [delivery]}

    async def behave(connection: Connection, request: Request) -> None:
        path = request.line.split()[1].removeprefix("/api/v1/")
        page = {"data": [delivery], "next_cursor": None}
        document = page if "?" in path else event if path.startswith("events") else delivery
        await plain("200 OK", json.dumps(document).encode())(connection, request)

    async with Receiver(behave) as other:
        url = f"http://127.0.0.1:{other.port}"
        for arguments in (["show", "evt_1"], ["show", "dlv_1"], ["tail"], ["retry", "dlv_1"]):
            done = await hookd(*arguments, url=url)
            assert "\\x1b[2J\\x9b\\u2028" in done.out
            assert ("\n  (7 earlier attempts are not shown)\n" in done.out) == (arguments[0] == "show")
            assert all(line.isprintable() for line in done.out.split("\n"))
            assert (done.status, done.err) == (0, "")


async def test_show_of_an_event_with_a_delivery_s_prefix(daemon: Daemon) -> None:
    await daemon.call("POST", "/api/v1/events", {"type": "show.prefix", "payload": "\ud800", "id": "dlv_mine"})
    lines = (await hookd("show", "dlv_mine", url=daemon.url)).lines
    assert lines[0] == "event dlv_mine"
    assert lines[-1] == '    "?"'
    complaint = (await hookd("show", "dlv_other", url=daemon.url)).complaint(1)
    assert complaint == "there is no event, delivery or rejection dlv_other, or it is not kept any more"


async def test_show_of_a_payload_that_is_no_json(daemon: Daemon, receiver: Receiver) -> None:
    await subscribe(daemon, receiver, "shop.*")
    reader, writer = await asyncio.open_connection("127.0.0.1", daemon.port)
    writer.write(
        b"POST /shop HTTP/1.1\r\nHost: localhost\r\nX-Webhook-Token: sesame\r\nContent-Type: text/plain\r\n"
        b"Connection: close\r\nContent-Length: 12\r\n\r\none\ntwo\x1bc\xff\r\n"
    )
    assert b" 200 " in await reader.readline()
    writer.close()
    await writer.wait_closed()
    listed = await daemon.call("GET", "/api/v1/events")
    event = next(each["id"] for each in listed["data"] if each["type"].startswith("shop."))
    await daemon.settled(event, "delivered")
    lines = (await hookd("show", event, url=daemon.url)).lines
    at = lines.index("  payload   text/plain")
    assert lines[at + 1 : at + 4] == ["    one", "    two\\x1bc\ufffd", ""]


async def test_lines_fit_any_encoding(daemon: Daemon) -> None:
    await hookd("send", "show.latin", "--id", "euro", "--data", '"\u00e9\u20ac"', url=daemon.url)
    process = await started("show", "euro", url=daemon.url, environment={"PYTHONIOENCODING": "latin-1"})
    out, err = await process.communicate()
    assert out.endswith(b'    "\xe9\\u20ac"\n')
    assert err == b""


async def test_a_broken_pipe_is_quiet(daemon: Daemon) -> None:
    await daemon.call("POST", "/api/v1/events", {"type": "show.pipe", "payload": "x" * 500_000, "id": "pipe"})
    reading, writing = os.pipe()
    os.close(reading)
    process = await started("show", "pipe", url=daemon.url, stdout=writing)
    os.close(writing)
    assert (await process.communicate())[1] == b""


async def test_retry_of_one(daemon: Daemon) -> None:
    async with Receiver(answering(FAILURE)) as receiver:
        await subscribe(daemon, receiver, "retry.one", retry=[])
        sent = await hookd("send", "retry.one", "--id", "again", "--wait", url=daemon.url)
        delivery = parsed(sent.lines[1])["id"]
        receiver.behave = answering(OK)
        done = await hookd("retry", delivery, url=daemon.url)
        assert (done.status, parsed(done.lines[0])["id"]) == (0, delivery)
        (after,) = await daemon.settled("again", "delivered")
    assert after["attempt_count"] == 2
    assert "there is no delivery dlv_x" in (await hookd("retry", "dlv_x", url=daemon.url)).complaint(1)


async def test_retry_of_many_goes_through_every_page(daemon: Daemon) -> None:
    names = [f"many-{number}" for number in range(260)]
    async with Receiver(answering(FAILURE)) as receiver, Receiver(answering(FAILURE)) as other:
        endpoint = await subscribe(daemon, receiver, "retry.many", retry=[])
        await subscribe(daemon, other, "retry.many", retry=[])
        event = {"type": "retry.many", "payload": None, "endpoints": [endpoint]}
        await asyncio.gather(*(daemon.call("POST", "/api/v1/events", event | {"id": name}) for name in names))
        await daemon.call("POST", "/api/v1/events", {"type": "retry.many", "payload": None, "id": "many-other"})
        for name in [*names, "many-other"]:
            await daemon.settled(name, "failed")
        receiver.behave = other.behave = answering(OK)
        none = await hookd("retry", "--endpoint", endpoint, "--status", "cancelled", url=daemon.url)
        assert (none.status, none.lines) == (0, ["0 deliveries retried"])
        done = await hookd("retry", "--endpoint", endpoint, url=daemon.url)
        assert (done.status, done.lines) == (0, [f"{len(names) + 1} deliveries retried"])
        for name in names:
            await daemon.settled(name, "delivered")
        assert len(other.requests) == 1
        assert (await hookd("retry", "--status", "failed", url=daemon.url)).status == 0
        await daemon.settled("many-other", "delivered")
    assert len(receiver.requests) == 2 * (len(names) + 1)
    assert len(other.requests) == 2


async def test_retry_of_many_keeps_the_order_of_an_ordered_endpoint(daemon: Daemon) -> None:
    names = [f"in-order-{number}" for number in range(6)]
    async with Receiver(answering(FAILURE)) as receiver:
        endpoint = await subscribe(daemon, receiver, "retry.ordered", retry=[], ordered=True)
        for name in names:
            await daemon.call("POST", "/api/v1/events", {"type": "retry.ordered", "payload": None, "id": name})
            await daemon.settled(name, "failed")
        receiver.behave = answering(OK)
        done = await hookd("retry", "--endpoint", endpoint, "--status", "failed", url=daemon.url)
        assert done.lines == [f"{len(names)} deliveries retried"]
        for name in names:
            await daemon.settled(name, "delivered")
    assert [request.headers["webhook-id"] for request in receiver.requests] == names * 2


async def test_tokens(tmp_path: Path) -> None:
    config = LOOPBACK + f'[[auth.tokens]]\nname = "shop"\ntoken = "{TOKEN}-publish"\nscopes = ["publish"]\n'
    async with Daemon(tmp_path, config, token=TOKEN) as daemon, Receiver() as receiver:
        await subscribe(daemon, receiver, "a")
        done = await hookd("send", "a", "--wait", url=daemon.url, HOOKD_TOKEN=TOKEN)
        assert (done.status, len(done.lines)) == (0, 2)
        missing = (await hookd("tail", url=daemon.url)).complaint(1)
        assert missing.startswith("Unauthorized (HTTP 401): expected the header Authorization: Bearer TOKEN")
        assert missing.endswith("; check $HOOKD_TOKEN")
        wrong = await hookd("retry", "--status", "failed", url=daemon.url, HOOKD_TOKEN=TOKEN + "x")
        assert "not known here; check $HOOKD_TOKEN" in wrong.complaint(1)
        narrow = await hookd("send", "a", "--id", "narrow", "--wait", url=daemon.url, HOOKD_TOKEN=f"{TOKEN}-publish")
        assert narrow.out == "narrow  1 delivery\n"
        assert "Forbidden (HTTP 403): the token 'shop' lacks the scope 'read'" in narrow.complaint(1)
