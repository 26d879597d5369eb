import asyncio
import json
import string
from collections.abc import AsyncIterator
from http import HTTPStatus

import pytest
from aiohttp import ClientSession, web
from hypothesis import given, settings
from hypothesis import strategies as st

from hookd.errors import InvalidInput
from hookd.web.body import Bodies, members, read_body
from hookd.web.problems import RequestError
from tests.web.serving import serve

scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
values = st.recursive(scalars, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=8)
spaces = st.text(" \t\n\r", max_size=3)


@settings(max_examples=50)
@given(st.dictionaries(st.text(max_size=5), values, max_size=5), spaces, st.booleans())
def test_each_member_keeps_its_bytes_and_has_its_value(document: dict[str, object], space: str, escaped: bool) -> None:
    written = {
        name: json.dumps(value, ensure_ascii=escaped, indent=len(space)).encode("utf-8", "surrogatepass")
        for name, value in document.items()
    }
    parts = [json.dumps(name).encode() + b" : " + raw for name, raw in written.items()]
    text = space.encode() + b"{" + (space + "," + space).encode().join(parts) + space.encode() + b"}\n"
    found = members(text)
    assert {name: member.raw for name, member in found.items()} == written
    assert {name: member.value for name, member in found.items()} == document


@given(st.binary(max_size=60) | st.text(string.printable + '{}[]":,é\ud800', max_size=60))
def test_agrees_with_the_standard_parser_on_what_an_object_is(text: str | bytes) -> None:
    raw = text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass")
    try:
        expected = json.loads(raw.decode("utf-8"), parse_constant=pytest.fail)
    except (ValueError, pytest.fail.Exception):
        expected = None
    try:
        found = {name: member.value for name, member in members(raw).items()}
    except (RequestError, InvalidInput):
        found = None
    assert found == (expected if isinstance(expected, dict) else None)


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b" ",
        b"{",
        b'{"a"',
        b'{"a":',
        b'{"a":1',
        b'{"a":1,',
        b'{"a":1,}',
        b'{"a":1}x',
        b'{"a" 1}',
        b"{'a':1}",
        b'{"a":01}',
        b'{"a":"\x01"}',
        b'{"a":NaN}',
        b'{"a":[-Infinity]}',
        b"[1] 2",
        b'{"a":"\xff"}',
        b'\xef\xbb\xbf{"a":1}',
        b'{"a":"\xed\xa0\x80"}',
        b'{"a":' + b"[" * 100_000,
    ],
)
def test_what_is_not_json_is_a_bad_request(raw: bytes) -> None:
    with pytest.raises(RequestError) as caught:
        members(raw)
    assert caught.value.status == HTTPStatus.BAD_REQUEST
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("raw", [b"[]", b"1", b"null", b'"{}"', b" true "])
def test_json_that_is_no_object_is_invalid(raw: bytes) -> None:
    with pytest.raises(InvalidInput, match="expected a JSON object"):
        members(raw)


def test_a_repeated_member_is_named() -> None:
    with pytest.raises(InvalidInput) as caught:
        members(b'{"payload":1,"type":"a","payload":2}')
    assert [fault.pointer for fault in caught.value.faults] == ["#/payload"]


def test_an_integer_that_python_does_not_convert_is_kept() -> None:
    digits = b"9" * 10_000
    assert members(b'{"n":' + digits + b',"m":1e999,"i":7}')["n"].raw == digits


def test_nesting_that_people_may_have_is_kept() -> None:
    nested = b"[" * 200 + b"]" * 200
    assert members(b'{"payload":' + nested + b"}")["payload"].raw == nested


def test_lone_surrogates_are_kept_as_they_were_written() -> None:
    assert members(rb'{"payload":"\ud800"}')["payload"].raw == rb'"\ud800"'


async def echo(request: web.Request) -> web.Response:
    return web.Response(body=await read_body(request, 10, Bodies()))


@pytest.fixture
async def echoing() -> AsyncIterator[str]:
    app = web.Application()
    app.router.add_route("*", "/", echo)
    async with serve(app) as url:
        yield url


async def pieces(*parts: bytes) -> AsyncIterator[bytes]:
    for part in parts:
        yield part


async def test_a_body_up_to_the_limit_is_read(echoing: str) -> None:
    async with ClientSession() as session, session.post(echoing, data=pieces(b"01234", b"56789")) as response:
        assert (response.status, await response.read()) == (200, b"0123456789")


@pytest.mark.parametrize("data", [b"x" * 11, [b"01234", b"567890"]])
async def test_a_longer_body_is_refused_whether_announced_or_not(echoing: str, data: bytes | list[bytes]) -> None:
    sent = data if isinstance(data, bytes) else pieces(*data)
    async with ClientSession() as session, session.post(echoing, data=sent) as response:
        assert response.status == 413
        assert (await response.json())["detail"] == "the body is larger than 10 bytes"


async def test_a_compressed_body_stays_as_it_was_sent(echoing: str) -> None:
    headers = {"Content-Encoding": "gzip"}
    async with (
        ClientSession() as session,
        session.post(echoing, data=b"no gzip", headers=headers) as response,
    ):
        assert await response.read() == b"no gzip"


async def exchange(url: str, request: bytes) -> bytes:
    address = url.removeprefix("http://").rstrip("/").split(":")
    reader, writer = await asyncio.open_connection(address[0], int(address[1]))
    writer.write(request)
    answer = await reader.readuntil(b"\r\n\r\n")
    writer.close()
    return answer.split(b"\r\n")[0]


async def test_broken_chunks_are_a_bad_request_without_a_traceback_in_the_log(
    echoing: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    head = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
    assert b" 400 " in await exchange(echoing, head + b"zz\r\n12")
    assert [(record.levelname, record.exc_info) for record in caplog.records] == [("INFO", None)]


async def test_a_client_that_goes_away_leaves_no_traceback(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    begun, ended = asyncio.Event(), asyncio.Event()

    async def read(request: web.Request) -> web.Response:
        begun.set()
        try:
            return web.Response(body=await read_body(request, 10, Bodies()))
        finally:
            ended.set()

    app = web.Application()
    app.router.add_post("/", read)
    async with serve(app) as url:
        host, port = url.removeprefix("http://").rstrip("/").split(":")
        _, writer = await asyncio.open_connection(host, int(port))
        writer.write(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n12")
        await begun.wait()
        writer.transport.abort()
        await ended.wait()
    assert caplog.records == []


async def test_a_length_beyond_the_limit_is_refused_before_the_body_comes(echoing: str) -> None:
    head = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 11\r\n\r\n"
    assert b" 413 " in await exchange(echoing, head)
