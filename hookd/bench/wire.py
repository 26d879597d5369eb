"""HTTP/1.1 as cheaply as Python can read it: messages with a content-length, and nothing else."""

from typing import NamedTuple

from hookd.errors import HookdError

_END = b"\r\n\r\n"
_LENGTH = b"\r\ncontent-length:"
_ENCODING = b"\r\ntransfer-encoding:"


class BenchError(HookdError):
    """A measurement can't be made, or did not end."""


class Message(NamedTuple):
    """A request or an answer: everything before the empty line, and the body."""

    head: bytes
    body: bytes

    @property
    def status(self) -> int:
        """The status code of an answer (RFC 9112, section 4)."""
        code = self.head[9:12]
        if not code.isdigit():
            raise BenchError(f"expected an HTTP status line, got {self.head[:40]!r}")
        return int(code)

    @property
    def target(self) -> bytes:
        """The target of a request (RFC 9112, section 3.2), such as `/hook`."""
        start = self.head.find(b" ") + 1
        return self.head[start : self.head.find(b" ", start)]

    def header(self, name: bytes) -> bytes:
        """Answer the value of a header, its name given in lower case; empty where there is none."""
        return _value(self.head, b"\r\n" + name + b":")


class Reader:
    """Cuts a stream of bytes into messages, wherever the network has cut it before."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> list[Message]:
        """Answer the messages that these bytes complete; raise BenchError at a body of unknown length."""
        buffer = self._rest + data if self._rest else data
        messages = []
        start = 0
        while (end := buffer.find(_END, start)) >= 0:
            head = buffer[start:end]
            body = end + len(_END)
            following = body + _length(head)
            if following > len(buffer):
                break
            messages.append(Message(head, buffer[body:following]))
            start = following
        self._rest = buffer[start:]
        return messages

    @property
    def idle(self) -> bool:
        """Whether no message has begun that has not ended."""
        return not self._rest


def _length(head: bytes) -> int:
    value = _value(head, _LENGTH)
    if value:
        return int(value)
    if _ENCODING in head.lower():
        raise BenchError("expected a message with a content-length, got one with a transfer-encoding")
    return 0


def _value(head: bytes, key: bytes) -> bytes:
    """Find a header as most write it, in lower case, before the costlier way."""
    at = head.find(key)
    if at < 0:
        at = head.lower().find(key)
    if at < 0:
        return b""
    start = at + len(key)
    end = head.find(b"\r\n", start)
    return head[start : end if end >= 0 else len(head)].strip()
