"""What is no HTTP/1.1: refused as a problem, in a line of the log, and nothing behind it is a request."""

from itertools import product

import pytest

from hookd.model import Scope
from tests.callers.echo import NEXT, Echo, chunked, get, post
from tests.callers.raw import Answer, caller
from tests.web.stand import Stand, token


def expect_refusal(answers: list[Answer], status: int, caplog: pytest.LogCaptureFixture) -> None:
    """Expect one problem that ends the connection, and one line in the log."""
    (answer,) = answers
    assert answer.status == answer.json["status"] == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["connection"] == "close"
    assert [(record.levelname, record.exc_info) for record in caplog.records] == [("INFO", None)]


NOT_HTTP = {
    "a length that is no number": (post(b"Content-Length: five", body=b"12345"), 400),
    "a bad chunk": (chunked(b"zz\r\n12\r\n0\r\n\r\n"), 400),
    "two hosts": (get(b"Host: b"), 400),
    "no host": (b"GET / HTTP/1.1\r\n\r\n", 400),
    "a path of more than 8 KiB": (get(target=b"/" + b"a" * 8200), 414),
    "a query of more than 8 KiB": (get(target=b"/?" + b"a" * 8200), 414),
    "a target of a megabyte": (get(target=b"/" + b"a" * 1_000_000), 414),
    "a header of more than 8 KiB": (get(b"X-A: " + b"a" * 8200), 431),
    "a header's name of more than 8 KiB": (get(b"X" * 8200 + b": a"), 431),
    "200 headers": (get(*[b"X-%d: 1" % number for number in range(200)]), 400),
    "100 000 headers": (get(*[b"X-%d: 1" % number for number in range(100_000)]), 400),
    "an expectation that nobody knows": (post(b"Expect: a-miracle", b"Content-Length: 2", body=b"12"), 417),
    "an expectation that is no text": (get(b"Expect: \xe9"), 417),
    "garbage": (bytes(range(256)) * 4, 400),
    "TLS": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"a" * 500, 400),
}


@pytest.mark.parametrize(("request_", "status"), NOT_HTTP.values(), ids=NOT_HTTP)
async def test_what_is_no_http_is_a_problem_that_ends_its_connection(
    echo: Echo, caplog: pytest.LogCaptureFixture, request_: bytes, status: int
) -> None:
    caplog.set_level("INFO")
    async with caller(echo.url) as connection:
        await connection.send(request_ + NEXT)
        expect_refusal(await connection.answers(), status, caplog)
    assert echo.seen == []


HEADERS = (
    *(b"Host", b"Cookie", b"Connection", b"Upgrade", b"Expect", b"Transfer-Encoding", b"Content-Length"),
    *(b"Content-Type", b"Content-Encoding", b"Accept-Encoding", b"Authorization", b"Origin", b"Idempotency-Key"),
    *(b"Range", b"If-Range", b"If-Match", b"If-None-Match", b"If-Modified-Since", b"If-Unmodified-Since", b"Date"),
    *(b"Forwarded", b"X-Forwarded-For", b"Via", b"TE", b"Trailer", b"Sec-WebSocket-Key", b"X-Webhook-Token"),
)
NO_TEXT = (
    *(b"\xe9", b"\xff\xfe", b"\xc3\xa9", b"", b'"', b"100-continue\xe9", b"chunked\xe9", b"1\xb2", b"a=b; \xff=c"),
    *(b"close, \xff", b"bytes=\xe9-", b"application/json; charset=\xff", b"Wed, 99 Foo 99999 99:99:99 GMT"),
)


@pytest.mark.parametrize("path", [b"/healthz", b"/api/v1/events", b"/webhook", b"/nowhere"])
async def test_no_value_of_a_header_is_more_than_a_refusal(
    stand: Stand, caplog: pytest.LogCaptureFixture, path: bytes
) -> None:
    caplog.set_level("INFO")
    stand.use(tokens=(token("t0ken", *Scope),))
    usual = {b"Host": b"a", b"Authorization": b"Bearer t0ken", b"Content-Length": b"2", b"Connection": b"close"}
    for name, value in product(HEADERS, NO_TEXT):
        fields = b"".join(b"%b: %b\r\n" % field for field in (usual | {name: value}).items())
        async with caller(stand.url) as connection:
            await connection.send(b"POST %b HTTP/1.1\r\n%b\r\n{}" % (path, fields))
            answer = await connection.answer()
            assert answer.status < 500, (name, value)
    assert {record.getMessage() for record in caplog.records} == {"refused a request"}


BROKEN_BODIES = {
    "a bad chunk": b"zz\r\n12\r\n0\r\n\r\n",
    "a chunk without its end": b"2\r\n1234\r\n0\r\n\r\n",
    "a line that ends in LF alone": b"2\n12\n0\n\n",
    "too many trailers": b"0\r\n" + b"X-A: b\r\n" * 500 + b"\r\n",
    "a trailer that is a length": b"0\r\nContent-Length: 5\r\n\r\n",
}


@pytest.mark.parametrize("rest", BROKEN_BODIES.values(), ids=BROKEN_BODIES)
async def test_a_body_that_breaks_while_it_is_read_is_refused_at_once(
    echo: Echo, caplog: pytest.LogCaptureFixture, rest: bytes
) -> None:
    caplog.set_level("INFO")
    async with caller(echo.url) as connection:
        await connection.send(chunked(b"1\r\n1\r\n"))
        await echo.begun.wait()
        await connection.send(rest + NEXT)
        expect_refusal(await connection.answers(), 400, caplog)
    assert echo.seen == []


async def test_a_secret_in_what_is_no_http_is_not_repeated(echo: Echo, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    for request in (get(b"X-Webhook-Token : s3cret"), get(target=b"http://u:s3cret@"), get(b"X-A: s3cret\0")):
        async with caller(echo.url) as connection:
            await connection.send(request)
            (answer,) = await connection.answers()
            assert answer.status == 400
            assert b"s3cret" not in answer.body
    assert not [record for record in caplog.records if "s3cret" in str(vars(record))]
