import logging
from collections.abc import AsyncIterator, Mapping
from http import HTTPStatus

import msgspec
import pytest
from aiohttp import ClientSession, web
from hypothesis import given
from hypothesis import strategies as st

from hookd.errors import Conflict, Fault, HookdError, InvalidInput, NotFound, StartError, Unavailable
from hookd.text import printable
from hookd.web import answers
from hookd.web.problems import PHRASES, RequestError, pointer, problem, wrong_method
from tests.web.serving import serve

Raising = tuple[str, list[Exception]]


@pytest.fixture
async def raising() -> AsyncIterator[Raising]:
    """Serve an application whose handlers raise what the test puts here."""
    errors: list[Exception] = []

    async def fail(request: web.Request) -> web.Response:
        raise errors[0]

    app = web.Application()
    app.router.add_get("/", fail)
    async with serve(app) as url:
        yield url, errors


async def answer(url: str, method: str = "GET") -> tuple[int, dict[str, object], Mapping[str, str]]:
    async with ClientSession() as session, session.request(method, url) as response:
        assert response.content_type == "application/problem+json"
        document = await response.json()
        assert document["status"] == response.status
        assert document["title"] == PHRASES.get(HTTPStatus(response.status), HTTPStatus(response.status).phrase)
        return response.status, document, response.headers


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (NotFound("there is no event evt_1"), 404),
        (Conflict("the endpoint is disabled"), 409),
        (Unavailable("the disk is full"), 503),
        (RequestError(HTTPStatus.FORBIDDEN, "not for you"), 403),
    ],
)
async def test_our_errors_say_what_is_wrong(raising: Raising, error: Exception, status: int) -> None:
    url, errors = raising
    errors.append(error)
    found, document, headers = await answer(url)
    assert (found, document["detail"]) == (status, str(error))
    assert ("Retry-After" in headers) == (status == 503)


async def test_every_fault_is_listed(raising: Raising) -> None:
    url, errors = raising
    errors.append(InvalidInput(Fault("#/url", "is required"), Fault("#/a\ud800", "is \0 unknown")))
    status, document, _ = await answer(url)
    assert status == 422
    assert document["errors"] == [
        {"pointer": "#/url", "detail": "is required"},
        {"pointer": "#/a\\ud800", "detail": "is \\x00 unknown"},
    ]


@pytest.mark.parametrize("error", [ZeroDivisionError("secret detail"), StartError("secret detail"), HookdError()])
async def test_what_nobody_expected_is_logged_and_not_told(
    raising: Raising, error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    url, errors = raising
    errors.append(error)
    status, document, _ = await answer(url)
    assert status == 500
    assert "secret" not in str(document)
    logged = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert [record.exc_info and record.exc_info[1] for record in logged] == [error]


async def test_every_answer_in_json_ends_its_line(raising: Raising) -> None:
    url, errors = raising
    errors.append(Conflict("no"))
    async with ClientSession() as session, session.get(url) as response:
        assert (await response.text()).endswith("}\n")
    assert answers.answer({}).body == b"{}\n"


async def test_what_aiohttp_refuses_is_a_problem_too(raising: Raising) -> None:
    url, _ = raising
    assert (await answer(url + "nowhere"))[0] == 404
    status, _, headers = await answer(url, "DELETE")
    assert (status, headers["Allow"]) == (405, "GET,HEAD")


async def test_a_wrong_method_names_the_right_ones(raising: Raising) -> None:
    url, errors = raising
    errors.append(wrong_method("BREW", ["POST", "GET"]))
    status, document, headers = await answer(url)
    assert (status, headers["Allow"]) == (405, "GET, POST")
    assert "BREW" in str(document["detail"])


def test_a_pointer_escapes_what_json_pointer_and_uri_need() -> None:
    assert pointer() == "#"
    assert pointer("headers", "a/b~c d", 0) == "#/headers/a~1b~0c%20d/0"


@given(st.text())
def test_any_text_can_be_told(text: str) -> None:
    assert printable(text).isprintable()
    body = problem(HTTPStatus.NOT_FOUND, text).body
    assert isinstance(body, bytes)
    assert msgspec.json.decode(body)["detail"] == printable(text)
    assert pointer(text).isascii()
