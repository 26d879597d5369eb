"""The log: one line for each thing, in both formats, whatever it carries."""

import io
import json
import logging
from collections.abc import Iterator

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


def test_a_traceback_can_not_forge_a_line() -> None:
    stream = io.StringIO()
    logs.setup("info", "text", stream)
    log.error("it broke", exc_info=ValueError("first\n2026-01-02T03:04:05.678Z INFO  forged\x1b[2J"))
    first, *others = stream.getvalue().splitlines()
    assert first.endswith(" ERROR it broke")
    assert all(line.startswith("    ") and line.isprintable() for line in others)
    assert any("forged" in line for line in others)


def test_a_traceback_in_json() -> None:
    stream = io.StringIO()
    logs.setup("info", "json", stream)
    log.error("it broke", exc_info=ValueError("first\nsecond"))
    assert "ValueError: first\nsecond" in json.loads(stream.getvalue())["exception"]


def test_fields_come_from_extra_or_from_wide() -> None:
    stream = io.StringIO()
    logs.setup("info", "text", stream)
    log.warning("refused %s", "it", extra={"fields": {"source": "shop"}})
    wide(log, logging.INFO, "attempt 100%", source="shop")
    first, second = stream.getvalue().splitlines()
    assert first.endswith("WARN  refused it source=shop")
    assert second.endswith("INFO  attempt 100% source=shop")


def test_the_level_is_that_of_hookd_and_libraries_only_warn() -> None:
    stream = io.StringIO()
    logs.setup("debug", "text", stream)
    log.debug("own")
    logging.getLogger("library").info("chatter")
    logging.getLogger("library").warning("trouble")
    assert [line.split()[1:] for line in stream.getvalue().splitlines()] == [["DEBUG", "own"], ["WARN", "trouble"]]


def test_what_is_below_the_level_is_not_written() -> None:
    stream = io.StringIO()
    logs.setup("warning", "text", stream)
    wide(log, logging.INFO, "attempt", status=200)
    log.info("attempt")
    assert stream.getvalue() == ""


def test_a_later_setup_takes_the_place_of_an_earlier_one() -> None:
    former, stream = io.StringIO(), io.StringIO()
    logs.setup("info", "text", former)
    logs.setup("info", "json", stream)
    wide(log, logging.INFO, "once")
    assert former.getvalue() == ""
    assert json.loads(stream.getvalue())["message"] == "once"
