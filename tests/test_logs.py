"""The log: one line for each thing, in both formats, whatever it carries."""

import json
import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, TextIO

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hookd import logs
from hookd.logs import Json, Text, wide

log = logging.getLogger("hookd.test")
AT = 1_767_323_045.678


@pytest.fixture(autouse=True)
def _former_logging() -> Iterator[None]:
    """Put the logging of the other tests back."""
    root, own = logging.getLogger(), logging.getLogger("hookd")
    handlers, levels = list(root.handlers), (root.level, own.level)
    yield
    root.handlers[:] = handlers
    root.setLevel(levels[0])
    own.setLevel(levels[1])


@pytest.fixture
def stream(tmp_path: Path) -> Iterator[TextIO]:
    with (tmp_path / "log").open("w+") as opened:
        yield opened


def written(stream: TextIO) -> str:
    stream.seek(0)
    return stream.read()


def record(message: str, **fields: object) -> logging.LogRecord:
    made = logging.LogRecord("hookd.test", logging.INFO, "", 0, message, (), None)
    made.created = AT
    made.fields = fields
    return made


def test_text() -> None:
    line = Text().format(record("attempt", endpoint="ep_1", status=200, error=None, cause='no "route"', empty=""))
    assert line == '2026-01-02T03:04:05.678Z INFO  attempt endpoint=ep_1 status=200 cause="no \\"route\\"" empty=""'


def test_json() -> None:
    line = json.loads(Json().format(record("attempt", endpoint="ep_1", status=200, error=None, time="forged")))
    assert line == {
        "time": "2026-01-02T03:04:05.678Z",
        "level": "info",
        "logger": "hookd.test",
        "message": "attempt",
        "endpoint": "ep_1",
        "status": 200,
        "error": None,
    }


@given(st.text(), st.text())
def test_a_record_is_one_printable_line_in_either_format(message: str, value: str) -> None:
    made = record(message, value=value)
    assert Text().format(made).isprintable()
    line = Json().format(made)
    assert line.isprintable()
    assert json.loads(line)["value"] == value
    assert json.loads(line)["message"] == message


@given(st.dictionaries(st.sampled_from(["a", "b"]), st.floats() | st.binary() | st.none() | st.lists(st.integers())))
def test_any_value_can_be_logged(fields: dict[str, object]) -> None:
    made = record("any", **fields)
    assert Text().format(made).isprintable()
    assert json.loads(Json().format(made)).keys() >= fields.keys()


def test_a_traceback_can_not_forge_a_line(stream: TextIO) -> None:
    logs.setup("info", "text", stream)
    log.error("it broke", exc_info=ValueError("first\n2026-01-02T03:04:05.678Z INFO  forged\x1b[2J"))
    first, *others = written(stream).splitlines()
    assert first.endswith(" ERROR it broke")
    assert all(line.startswith("    ") and line.isprintable() for line in others)
    assert any("forged" in line for line in others)


def test_a_traceback_in_json(stream: TextIO) -> None:
    logs.setup("info", "json", stream)
    log.error("it broke", exc_info=ValueError("first\nsecond"))
    assert "ValueError: first\nsecond" in json.loads(written(stream))["exception"]


def test_fields_come_from_extra_or_from_wide(stream: TextIO) -> None:
    logs.setup("info", "text", stream)
    log.warning("refused %s", "it", extra={"fields": {"source": "shop"}})
    wide(log, logging.INFO, "attempt 100%", source="shop")
    first, second = written(stream).splitlines()
    assert first.endswith("WARN  refused it source=shop")
    assert second.endswith("INFO  attempt 100% source=shop")


def test_the_level_is_that_of_hookd_and_libraries_only_warn(stream: TextIO) -> None:
    logs.setup("debug", "text", stream)
    log.debug("own")
    logging.getLogger("library").info("chatter")
    logging.getLogger("library").warning("trouble")
    assert [line.split()[1:] for line in written(stream).splitlines()] == [["DEBUG", "own"], ["WARN", "trouble"]]


def test_what_is_below_the_level_is_not_written(stream: TextIO) -> None:
    logs.setup("warning", "text", stream)
    wide(log, logging.INFO, "attempt", status=200)
    log.info("attempt")
    assert written(stream) == ""


def test_a_later_setup_takes_the_place_of_an_earlier_one(stream: TextIO) -> None:
    logs.setup("info", "text", stream)
    logs.setup("info", "json", stream)
    wide(log, logging.INFO, "once")
    assert json.loads(written(stream))["message"] == "once"


def read_all(reader: BinaryIO) -> bytes:
    """Read what is in a pipe."""
    os.set_blocking(reader.fileno(), False)
    return reader.read() or b""


def test_a_log_that_nobody_reads_holds_up_nothing_and_the_missing_lines_are_counted() -> None:
    reading, writing = os.pipe()
    with os.fdopen(writing, "w") as stream, os.fdopen(reading, "rb") as reader:
        logs.setup("info", "text", stream)
        for number in range(3000):
            log.info("before", extra={"fields": {"number": number, "padding": "a" * 100}})
        taken = read_all(reader)
        log.info("after")
        *lines, missing, after = (taken + read_all(reader)).decode().splitlines()
    assert after.endswith(" INFO  after")
    count = missing.rpartition(" WARN  lines are missing here: nobody took them count=")[2]
    assert [line.split("number=")[1].split()[0] for line in lines] == [str(each) for each in range(3000 - int(count))]


def test_a_log_whose_reader_has_gone_is_no_fault(capsys: pytest.CaptureFixture[str]) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w") as stream:
        logs.setup("info", "text", stream)
        log.info("nobody is there")
    assert capsys.readouterr() == ("", "")


def test_of_many_refusals_in_a_minute_some_are_written_and_the_others_counted(
    stream: TextIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [0.0]
    monkeypatch.setattr("hookd.logs.time.monotonic", lambda: now[0])
    logs.setup("info", "text", stream)
    for _ in range(logs.REFUSALS + 7):
        logs.refused(log, logging.INFO, status=401)
    log.info("other")
    now[0] = 60.0
    logs.refused(log, logging.INFO, status=401)
    *refused, other, later = written(stream).splitlines()
    assert len(refused) == logs.REFUSALS
    assert other.endswith(" other")
    assert later.endswith(" refused a request status=401 left_out_before=7")
