"""Hostile receivers: a table of behaviours, and what an attempt at each has to come to."""

import asyncio
import gzip
import re
import ssl
import warnings
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple

import trustme

from hookd.model import Outcome
from tests.receivers import OK, Behaviour, Connection, Request, Talk

HEAD = b"HTTP/1.1 200 OK\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
EMPTY = b"Content-Length: 0\r\n\r\n"

SOON = 200
"""The timeout (ms) of an attempt that nothing else would end."""
LATE = 60_000
"""The timeout of one that ends by itself: a test that has to wait for it fails."""

# What the record says, as a pattern. What the parser found is its own to say, in as many words as its version has.

NOT_HTTP = "protocol: {where} did not answer in HTTP: .+"
FLOOD = "protocol: {where} did not answer in HTTP: more than 64 KiB came before its answer"
SILENT = "timeout: no answer from {where} within {within:g} s"
CLOSED = "protocol: {where} closed the connection without an answer"
RESET = "protocol: {where} reset the connection"
DISTRUST = "tls: {host}: .+"


class Authorities(NamedTuple):
    """Those who sign certificates."""

    trusted: trustme.CA
    other: trustme.CA


class Manner(NamedTuple):
    """How a receiver behaves: at every request, or with a connection from its first byte on."""

    behave: Behaviour | None = None
    talk: Talk | None = None


class Tls(NamedTuple):
    """How a receiver shows who it is."""

    name: str = "localhost"
    trusted: bool = True
    valid: timedelta = timedelta(days=1)
    outdated: bool = False
    """Whether it speaks no version of TLS that is still in use."""

    def show(self, context: ssl.SSLContext, authorities: Authorities) -> None:
        """Have a context of a receiver's show this from now on."""
        authority = authorities.trusted if self.trusted else authorities.other
        authority.issue_cert(self.name, not_after=datetime.now(UTC) + self.valid).configure_cert(context)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            context.maximum_version = ssl.TLSVersion.TLSv1_1 if self.outdated else ssl.TLSVersion.MAXIMUM_SUPPORTED


@dataclass(frozen=True)
class Hostile:
    """A receiver's behaviour, and the attempt that it has to lead to."""

    name: str
    manner: Manner
    outcome: Outcome
    status: int | None = None
    error: str = ""
    """A pattern of the error's text; without one the status says it all."""
    body: bytes | None = None
    """The body that is recorded, where that matters."""
    headers: dict[str, str] = field(default_factory=dict)
    """Headers that are recorded among others."""
    truncated: bool | None = None
    timeout: int = LATE
    kept: bool = False
    """Whether the connection may be used again."""
    tls: Tls | None = None
    https: bool = False
    """Whether TLS is asked for, though the behaviour speaks plainly."""
    large: bool = False
    """Whether it takes a payload that no buffer holds."""

    @property
    def host(self) -> str:
        """What the receiver is called in the URL."""
        return "localhost" if self.tls else "127.0.0.1"

    def url(self, port: int) -> str:
        """Answer the URL that attempts are made at."""
        return f"{'https' if self.tls or self.https else 'http'}://{self.host}:{port}/hook?key=s3cret"

    def wanted(self, port: int, timeout: int) -> str:
        """Answer the pattern that an attempt's error has to match; it is empty for a success."""
        if self.outcome is Outcome.SUCCESS:
            return ""
        where, host = re.escape(f"{self.host}:{port}"), re.escape(self.host)
        return self.error.format(where=where, host=host, within=timeout / 1000) or f"answered {self.status}.*"


# How they behave.

End = Callable[[Connection], object]


def hold(connection: Connection) -> None:
    """Leave the connection as it is, until the other side ends it."""


def says(*parts: bytes, end: End = hold) -> Manner:
    """Say this to every request, each part in a segment of its own, and then end."""

    async def behave(connection: Connection, request: Request) -> None:
        await _speak(connection, parts)
        end(connection)

    return Manner(behave)


def pours(start: bytes, piece: bytes) -> Manner:
    """Say this to every request, and its second part for ever."""

    async def behave(connection: Connection, request: Request) -> None:
        await connection.send(start)
        while True:
            await connection.send(piece)

    return Manner(behave)


def breaks_in(*parts: bytes, after: int = 0, end: End = hold) -> Manner:
    """Say this after so many bytes of a request, and read no more than these."""

    async def talk(connection: Connection) -> None:
        await connection.reader.readexactly(after)
        await _speak(connection, parts)
        end(connection)
        if end is hold:
            await asyncio.Event().wait()

    return Manner(talk=talk)


def greets(reply: bytes, end: End = hold) -> Manner:
    """Say this to the first bytes of a TLS handshake."""
    return breaks_in(reply, after=5, end=end)


async def _speak(connection: Connection, parts: tuple[bytes, ...]) -> None:
    for part in parts:
        await connection.send(part)
        for _ in range(20):  # a test that shares this loop has now seen the part
            await asyncio.sleep(0)


def length(text: str, body: bytes = b"") -> bytes:
    return HEAD + b"Content-Length: " + text.encode() + b"\r\n\r\n" + body


ZEROS: Final = bytes(10_000_000)
BOMBS = {
    "gzip": gzip.compress(ZEROS, 9),
    "deflate": zlib.compress(ZEROS, 9),
    "br": b"\x5b\xff\xff\xff\x03" * 8000,
    "zstd": b"\x28\xb5\x2f\xfd" * 10_000,
}
HELLO = b"\x16\3\3\0\x7a\2"
"""The beginning of a record that would hold a ServerHello (RFC 8446, 4.1.3)."""

INSIDE = "http://169.254.169.254/latest/meta-data/"

close, reset, half_close = Connection.close, Connection.reset, Connection.half_close
CONNECT, HTTP_3XX, HTTP_4XX, HTTP_5XX = Outcome.CONNECT, Outcome.HTTP_3XX, Outcome.HTTP_4XX, Outcome.HTTP_5XX
PROTOCOL, SUCCESS, TIMEOUT, TLS = Outcome.PROTOCOL, Outcome.SUCCESS, Outcome.TIMEOUT, Outcome.TLS

BEFORE_THE_HEAD = [
    Hostile("nothing at all", says(), TIMEOUT, error=SILENT, timeout=SOON),
    Hostile("closes before the request is read", breaks_in(end=close), PROTOCOL, error=f"{CLOSED}|{RESET}"),
    Hostile("resets before the request is read", breaks_in(after=1, end=reset), PROTOCOL, error=f"{CLOSED}|{RESET}"),
    Hostile("resets amid the request's body", breaks_in(after=300_000, end=reset), PROTOCOL, error=RESET, large=True),
    Hostile("never reads the request", breaks_in(), TIMEOUT, error=SILENT, timeout=SOON, large=True),
    Hostile("closes without an answer", says(end=close), PROTOCOL, error=CLOSED),
    Hostile("half-closes without an answer", says(end=half_close), PROTOCOL, error=CLOSED),
    Hostile("resets without an answer", says(end=reset), PROTOCOL, error=RESET),
    Hostile("a banner of another protocol", breaks_in(b"SSH-2.0-OpenSSH_9.2\r\n"), PROTOCOL, error=NOT_HTTP),
    Hostile("one byte, then silence", says(b"H"), TIMEOUT, error=SILENT, timeout=SOON),
    Hostile("resets amid the status line", says(b"HTTP/1.1 20", end=reset), PROTOCOL, error=RESET),
    Hostile("closes amid the status line", says(b"HTTP/1.1 20", end=close), PROTOCOL, error=CLOSED),
    Hostile("resets amid the headers", says(HEAD + b"X-A: ", end=reset), PROTOCOL, error=RESET),
    Hostile("closes amid the headers", says(HEAD + b"X-A: ", end=close), PROTOCOL, error=CLOSED),
    Hostile("half-closes amid the headers", says(HEAD + b"X-A: ", end=half_close), PROTOCOL, error=CLOSED),
    Hostile("headers that stop", says(HEAD, b"X-A: b\r\n"), TIMEOUT, error=SILENT, timeout=SOON),
    Hostile("an answer byte by byte", says(*(bytes([each]) for each in OK)), SUCCESS, 200, body=b"ok", kept=True),
]

FLOODS = [
    Hostile("endless line breaks", pours(b"", b"\r\n" * 4000), PROTOCOL, error=FLOOD),
    Hostile("an endless status line", pours(b"HTTP/1.1 200 ", b"OK" * 4000), PROTOCOL, error=NOT_HTTP),
    Hostile("an endless status", pours(b"HTTP/1.1 2", b"0" * 4000), PROTOCOL, error=NOT_HTTP),
    Hostile("an endless header name", pours(HEAD + b"X", b"X" * 4000), PROTOCOL, error=NOT_HTTP),
    Hostile("an endless header", pours(HEAD + b"X: ", b"a" * 4000), PROTOCOL, error=NOT_HTTP),
    Hostile("endless headers", pours(HEAD, b"X-A: b\r\n" * 100), PROTOCOL, error=NOT_HTTP),
    Hostile("endless folds of a header", pours(HEAD + b"X: ", b"a\r\n " * 1000), PROTOCOL, error=NOT_HTTP),
    Hostile("a flood of 100", pours(b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 100), PROTOCOL, error=FLOOD),
    Hostile("a flood of 103", pours(b"", b"HTTP/1.1 103 Hints\r\nLink: x\r\n\r\n" * 100), PROTOCOL, error=FLOOD),
    Hostile(
        "a flood within a 103",
        pours(b"HTTP/1.1 103 Hints\r\nTransfer-Encoding: chunked\r\n\r\n", b"5\r\nhello\r\n" * 1000),
        PROTOCOL,
        error=NOT_HTTP,
    ),
    Hostile("a flood behind 101", pours(b"HTTP/1.1 101 Switching\r\n\r\n", b"x" * 8000), PROTOCOL, 101),
    Hostile("an endless body", pours(HEAD + b"\r\n", b"x" * 8000), SUCCESS, 200, truncated=True),
    Hostile("an endless body of a failure", pours(b"HTTP/1.1 500 Oh\r\n\r\n", b"x" * 8000), HTTP_5XX, 500),
    Hostile("an endless body of a length", pours(length("999999999999"), b"x" * 8000), SUCCESS, 200, truncated=True),
    Hostile("an endless body in chunks", pours(CHUNKED, b"1000\r\n" + b"x" * 4096 + b"\r\n"), SUCCESS, 200),
    Hostile("an endless body in chunks of a byte", pours(CHUNKED, b"1\r\nx\r\n" * 2000), SUCCESS, 200, truncated=True),
    Hostile("an endless chunk size", pours(CHUNKED, b"0" * 8000), SUCCESS, 200, truncated=True, timeout=SOON),
    Hostile(
        "an endless chunk extension", pours(CHUNKED + b"2;", b"x" * 8000), SUCCESS, 200, truncated=True, timeout=SOON
    ),
    Hostile("endless trailers", pours(CHUNKED + b"0\r\n", b"X-A: b\r\n" * 100), SUCCESS, 200, truncated=True),
    Hostile("an endless trailer", pours(CHUNKED + b"0\r\nX: ", b"x" * 8000), SUCCESS, 200, truncated=True),
    Hostile("answers without end", pours(b"", OK * 100), SUCCESS, 200, body=b"ok"),
    Hostile("an answer, then a flood", pours(OK, b"\r\n" * 4000), SUCCESS, 200, body=b"ok"),
]

LENGTHS = [
    Hostile("a negative length", says(length("-1", b"x")), PROTOCOL, error=NOT_HTTP),
    Hostile("a length with a sign", says(length("+1", b"x")), PROTOCOL, error=NOT_HTTP),
    Hostile("a length that is no number", says(length("ten", b"x")), PROTOCOL, error=NOT_HTTP),
    Hostile("a length in hexadecimal", says(length("0x1", b"x")), PROTOCOL, error=NOT_HTTP),
    Hostile("an empty length", says(length("", b"x")), PROTOCOL, error=NOT_HTTP),
    Hostile("a list of lengths", says(length("1, 1", b"x")), PROTOCOL, error=NOT_HTTP),
    Hostile("two different lengths", says(length("1\r\nContent-Length: 2", b"x")), PROTOCOL, error=NOT_HTTP),
    Hostile("a length of 2^64", says(length(str(1 << 64), b"x")), PROTOCOL, error=NOT_HTTP),
    Hostile("a length of 2^64 - 1", says(length(str((1 << 64) - 1), b"x")), SUCCESS, 200),
    Hostile("a huge length, and silence", says(length(str(1 << 60), b"x")), SUCCESS, 200, truncated=True, timeout=SOON),
    Hostile("a length that is too short", says(length("1", b"xyz")), SUCCESS, 200, body=b"x"),
    Hostile("a length that is too long, then closes", says(length("9", b"xyz"), end=close), SUCCESS, 200, body=b"xyz"),
    Hostile(
        "a length that is too long", says(length("9", b"xyz")), SUCCESS, 200, body=b"xyz", truncated=True, timeout=SOON
    ),
    Hostile("resets amid the body", says(length("9", b"xyz"), end=reset), SUCCESS, 200, body=b"xyz", truncated=True),
    Hostile(
        "half-closes amid the body",
        says(length("9", b"xyz"), end=half_close),
        SUCCESS,
        200,
        body=b"xyz",
        truncated=True,
    ),
    Hostile(
        "a length and chunks",
        says(HEAD + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"),
        PROTOCOL,
        error=NOT_HTTP,
    ),
    Hostile(
        "chunks and a length",
        says(HEAD + b"Transfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\nok"),
        PROTOCOL,
        error=NOT_HTTP,
    ),
    Hostile("204 with a body", says(b"HTTP/1.1 204 No\r\nContent-Length: 4\r\n\r\nbody"), SUCCESS, 204, body=b""),
]

CHUNKS = [
    Hostile("a chunk size that is no number", says(CHUNKED + b"zz\r\n"), SUCCESS, 200, truncated=True),
    Hostile("a negative chunk size", says(CHUNKED + b"-2\r\nok\r\n"), SUCCESS, 200, truncated=True),
    Hostile("an empty chunk size", says(CHUNKED + b"\r\nok\r\n"), SUCCESS, 200, truncated=True),
    Hostile("a chunk size of 2^68", says(CHUNKED + b"f" * 17 + b"\r\nok"), SUCCESS, 200, truncated=True),
    Hostile("a chunk longer than its size", says(CHUNKED + b"2\r\nokay\r\n"), SUCCESS, 200, body=b"ok", truncated=True),
    Hostile("a broken chunk of a failure", says(CHUNKED.replace(b"200", b"503") + b"zz\r\n"), HTTP_5XX, 503),
    Hostile("a broken chunk, later", says(CHUNKED + b"2\r\nok\r\n", b"zz\r\n"), SUCCESS, 200, body=b"ok"),
    Hostile("resets amid a chunk", says(CHUNKED + b"9\r\nok", end=reset), SUCCESS, 200, body=b"ok", truncated=True),
    Hostile("closes amid a chunk", says(CHUNKED + b"9\r\nok", end=close), SUCCESS, 200, body=b"ok", truncated=True),
    Hostile(
        "closes before the last chunk",
        says(CHUNKED + b"2\r\nok\r\n", end=close),
        SUCCESS,
        200,
        body=b"ok",
        truncated=True,
    ),
    Hostile("chunks that stop", says(CHUNKED + b"2\r\nok\r\n"), SUCCESS, 200, body=b"ok", truncated=True, timeout=SOON),
    Hostile("a transfer coding nobody knows", says(HEAD + b"Transfer-Encoding: x\r\n\r\nok", end=close), SUCCESS, 200),
]

HEADS = [
    Hostile("a header of 8 KiB", says(HEAD + b"X: " + b"a" * 9000 + b"\r\n" + EMPTY), PROTOCOL, error=NOT_HTTP),
    Hostile("thousands of headers", says(HEAD + b"X: 1\r\n" * 5000 + EMPTY), PROTOCOL, error=NOT_HTTP),
    Hostile(
        "headers that are not UTF-8",
        says(HEAD + b"X-A: \xff\xfe\xe2\x80\xae\r\n" + EMPTY),
        SUCCESS,
        200,
        headers={"x-a": r"\udcff\udcfe\u202e"},
        kept=True,
    ),
    Hostile(
        "an escape sequence in a header",
        says(HEAD + b"X-A: \x1b[2J\x07\r\n" + EMPTY),
        SUCCESS,
        200,
        headers={"x-a": r"\x1b[2J\x07"},
        kept=True,
    ),
    Hostile("a header's name that is not ASCII", says(HEAD + b"X-\xff: a\r\n" + EMPTY), PROTOCOL, error=NOT_HTTP),
    Hostile("a NUL in a header", says(HEAD + b"X-A: a\0b\r\n" + EMPTY), PROTOCOL, error=NOT_HTTP),
    Hostile("a NUL in a header's name", says(HEAD + b"X-\0: a\r\n" + EMPTY), PROTOCOL, error=NOT_HTTP),
    Hostile("a header without a colon", says(HEAD + b"X-A\r\n" + EMPTY), PROTOCOL, error=NOT_HTTP),
    Hostile("a header without a name", says(HEAD + b": a\r\n" + EMPTY), PROTOCOL, error=NOT_HTTP),
    Hostile("a bare CR in a header", says(HEAD + b"X-A: a\rX-B: b\r\n" + EMPTY), PROTOCOL, error=NOT_HTTP),
    Hostile(
        "a folded header", says(HEAD + b"X-A: a\r\n b\r\n" + EMPTY), SUCCESS, 200, headers={"x-a": "a b"}, kept=True
    ),
    Hostile("bare line feeds", says(OK.replace(b"\r", b"")), SUCCESS, 200, body=b"ok", kept=True),
    Hostile("NULs", says(bytes(1000)), PROTOCOL, error=NOT_HTTP),
    Hostile("a status of four digits", says(b"HTTP/1.1 2000 OK\r\n" + EMPTY), PROTOCOL, error=NOT_HTTP),
    Hostile("a status of one digit", says(b"HTTP/1.1 2 OK\r\n" + EMPTY), PROTOCOL, error=NOT_HTTP),
    Hostile("a status of no meaning", says(b"HTTP/1.1 000 OK\r\n" + EMPTY), HTTP_5XX, 0, kept=True),
    Hostile("a status beyond all", says(b"HTTP/1.1 999 OK\r\n" + EMPTY), HTTP_5XX, 999, kept=True),
    Hostile("HTTP/0.9", says(b"<html>ok</html>", end=close), PROTOCOL, error=NOT_HTTP),
    Hostile("HTTP/1.0", says(b"HTTP/1.0 200 OK\r\n\r\nok", end=close), SUCCESS, 200, body=b"ok"),
    Hostile(
        "HTTP/1.0 that is kept alive", says(b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n" + EMPTY), SUCCESS, 200,
        kept=True,
    ),
    Hostile("HTTP/1.2", says(b"HTTP/1.2 200 OK\r\n" + EMPTY), PROTOCOL, error=NOT_HTTP),
    Hostile("the preface of HTTP/2", says(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), PROTOCOL, error=NOT_HTTP),
    Hostile("a frame of HTTP/2", says(b"\0\0\x06\x04\0\0\0\0\0\0\x03\0\0\0\x64"), PROTOCOL, error=NOT_HTTP),
    Hostile("a TLS alert", says(b"\x15\x03\x03\x00\x02\x02\x28"), PROTOCOL, error=NOT_HTTP),
]  # fmt: skip

ANSWERS = [
    Hostile("100 that nobody asked for", says(b"HTTP/1.1 100 Continue\r\n\r\n" + OK), SUCCESS, 200, kept=True),
    Hostile("100 and no more", says(b"HTTP/1.1 100 Continue\r\n\r\n"), TIMEOUT, error=SILENT, timeout=SOON),
    Hostile("100 and the end", says(b"HTTP/1.1 100 Continue\r\n\r\n", end=close), PROTOCOL, error=CLOSED),
    Hostile("101", says(b"HTTP/1.1 101 Go\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n" + OK), PROTOCOL, 101),
    Hostile("101 to nothing", says(b"HTTP/1.1 101 Go\r\n\r\n"), PROTOCOL, 101),
    Hostile("two answers", says(OK + OK.replace(b"200", b"500")), SUCCESS, 200, body=b"ok"),
    Hostile("two answers, one after the other", says(OK, OK.replace(b"200", b"500")), SUCCESS, 200, body=b"ok"),
    Hostile("an answer and a part of another", says(OK + b"HTTP/1.1 50"), SUCCESS, 200, body=b"ok"),
    Hostile("an answer and garbage", says(OK + b"garbage"), SUCCESS, 200, body=b"ok"),
    Hostile(
        "an answer that says close, and more", says(HEAD + b"Connection: close\r\n" + OK[17:] + b"x"), SUCCESS, 200
    ),
    *(
        Hostile(
            f"{status} to an inside address",
            says(f"HTTP/1.1 {status} Go\r\nLocation: {INSIDE}\r\n".encode() + EMPTY),
            HTTP_3XX,
            status,
            headers={"location": INSIDE},
            kept=True,
        )
        for status in (301, 302, 303, 307, 308)
    ),
    Hostile(
        "a redirect with an escape sequence",
        says(b"HTTP/1.1 302 Go\r\nLocation: http://\x1b[2J\xff/\r\n" + EMPTY),
        HTTP_3XX,
        302,
        headers={"location": r"http://\x1b[2J\udcff/"},
        kept=True,
    ),
    *(
        Hostile(
            f"a bomb in {coding}",
            says(HEAD + f"Content-Encoding: {coding}\r\nContent-Length: {len(bomb)}\r\n\r\n".encode() + bomb),
            SUCCESS,
            200,
            body=bomb[:4096],
            truncated=True,
            kept=True,
        )
        for coding, bomb in BOMBS.items()
    ),
    Hostile(
        "a bomb in a transfer coding",
        says(HEAD + b"Transfer-Encoding: gzip\r\n\r\n" + BOMBS["gzip"], end=close),
        SUCCESS,
        200,
        body=BOMBS["gzip"][:4096],
        truncated=True,
    ),
    Hostile(
        "413 before the body is read", breaks_in(b"HTTP/1.1 413 No\r\n" + EMPTY, after=300), HTTP_4XX, 413, large=True
    ),
]

HANDSHAKES = [
    Hostile("a certificate of another authority", says(OK), TLS, error=DISTRUST, tls=Tls(trusted=False)),
    Hostile("a certificate of another name", says(OK), TLS, error=DISTRUST, tls=Tls("other.example")),
    Hostile("an expired certificate", says(OK), TLS, error=DISTRUST, tls=Tls(valid=timedelta(days=-1))),
    Hostile("TLS 1.1", says(OK), TLS, error=DISTRUST, tls=Tls(outdated=True)),
    Hostile("plain HTTP in place of TLS", greets(OK), TLS, error=DISTRUST, https=True),
    Hostile("a TLS alert amid the handshake", greets(b"\x15\3\3\0\2\2\x28"), TLS, error=DISTRUST, https=True),
    Hostile("an endless handshake", greets(b"\x16\3\3\x40\0\2" + b"\xff" * 16383), TLS, error=DISTRUST, https=True),
    Hostile("closes before the handshake", breaks_in(end=close), TLS, error=DISTRUST, https=True),
    Hostile("closes amid the handshake", greets(HELLO, close), TLS, error=DISTRUST, https=True),
    Hostile("resets amid the handshake", greets(HELLO, reset), TLS, error=DISTRUST, https=True),
    Hostile("a handshake that stalls", greets(HELLO), TIMEOUT, error=SILENT, timeout=SOON, https=True),
    Hostile("silence within TLS", says(), TIMEOUT, error=SILENT, timeout=SOON, tls=Tls()),
    Hostile("closes within TLS without an answer", says(end=close), PROTOCOL, error=CLOSED, tls=Tls()),
    Hostile("resets within TLS amid the body", says(length("9", b"x"), end=reset), SUCCESS, 200, tls=Tls()),
    Hostile("an endless body within TLS", pours(HEAD + b"\r\n", b"x" * 8000), SUCCESS, 200, truncated=True, tls=Tls()),
    Hostile("two answers within TLS", says(OK + OK), SUCCESS, 200, body=b"ok", tls=Tls()),
]  # fmt: skip

HOSTILE = [*BEFORE_THE_HEAD, *FLOODS, *LENGTHS, *CHUNKS, *HEADS, *ANSWERS, *HANDSHAKES]
