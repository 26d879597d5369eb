"""The reader finds every message wherever the stream was cut, and refuses what it can't measure."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hookd.bench.wire import BenchError, Message, Reader

heads = st.sampled_from([b"POST /hook HTTP/1.1\r\nHost: here", b"HTTP/1.1 200 OK\r\nwebhook-id: evt_1"])
names = st.sampled_from([b"content-length", b"Content-Length", b"CONTENT-LENGTH"])


@given(st.lists(st.tuples(heads, names, st.binary(max_size=50)), max_size=5), st.data())
def test_messages_survive_any_cut(parts: list[tuple[bytes, bytes, bytes]], data: st.DataObject) -> None:
    messages = [Message(b"%s\r\n%s: %d" % (head, name, len(body)), body) for head, name, body in parts]
    stream = b"".join(message.head + b"\r\n\r\n" + message.body for message in messages)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=8)))
    reader = Reader()
    read = []
    for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        read += reader.feed(stream[start:end])
    assert read == messages
    assert reader.idle


def test_a_message_in_pieces_is_under_way_until_its_end() -> None:
    reader = Reader()
    assert reader.feed(b"POST / HTTP/1.1\r\ncontent-length: 3\r\n\r\nab") == []
    assert not reader.idle
    assert [message.body for message in reader.feed(b"c")] == [b"abc"]
    assert reader.idle


def test_no_length_means_no_body() -> None:
    assert Reader().feed(b"HTTP/1.1 204 No Content\r\n\r\n") == [Message(b"HTTP/1.1 204 No Content", b"")]


def test_a_body_of_unknown_length_is_refused() -> None:
    with pytest.raises(BenchError, match="content-length"):
        Reader().feed(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n")


def test_status_and_headers() -> None:
    message = Message(b"HTTP/1.1 404 Not Found\r\nWebhook-Id:  evt_7 \r\nserver: x", b"")
    assert message.status == 404
    assert message.header(b"webhook-id") == b"evt_7"
    assert message.header(b"server") == b"x"
    assert message.header(b"absent") == b""


def test_what_is_no_answer_has_no_status() -> None:
    with pytest.raises(BenchError, match="status line"):
        _ = Message(b"nonsense that goes on", b"").status


def test_a_request_names_its_target() -> None:
    assert Message(b"POST /hook/7 HTTP/1.1\r\nhost: 127.1.0.1", b"").target == b"/hook/7"
