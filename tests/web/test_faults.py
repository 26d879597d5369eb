"""A store that can't commit, as callers meet it: told to come again later, whatever they bring."""

from pathlib import Path
from typing import Any

import pytest

from tests.store.faults import refusing
from tests.store.stand import in_a_file
from tests.web.stand import TRIGGER, Answer, Stand

PURCHASE = {"name": "Ada", "email": "ada@example.com", "course": "Engines"}
ENDPOINT = {"url": "http://127.0.0.1:9/", "event": "purchase", "token": "t"}
SOURCES = "/webhook"


async def told(stand: Stand, path: str, body: Any) -> Answer:
    return await stand.call("POST", path, body, headers={"X-Webhook-Token": "secret"})


def lose(folder: Path) -> Path:
    """Take the database file away while it is open."""
    return (folder / "hookd.db").rename(folder / "moved.db")


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/api/v1/events", {"type": "a", "payload": {}}),
        (TRIGGER.path, PURCHASE),
        (SOURCES, PURCHASE),
        ("/api/register-webhook", ENDPOINT),
        ("/api/v1/endpoints", {"url": "http://127.0.0.1:9/"}),
    ],
)
async def test_whoever_comes_is_told_to_come_again(stand: Stand, path: str, body: Any) -> None:
    async with refusing(stand.store):
        for _ in range(2):
            answer = await told(stand, path, body)
            assert answer.status == 503
            assert int(answer.headers["Retry-After"]) > 0
            assert (str(stand.store.fault) in answer.json["detail"]) == (path != SOURCES), "anyone may ask there"


@in_a_file
@pytest.mark.parametrize(("path", "body"), [("/api/v1/events", {"type": "a", "payload": {}}), (SOURCES, PURCHASE)])
async def test_whose_file_is_gone_is_said_to_those_who_may_know(
    stand: Stand, tmp_path: Path, path: str, body: Any
) -> None:
    lose(tmp_path)
    for _ in range(2):
        answer = await told(stand, path, body)
        assert answer.status == 503
        assert int(answer.headers["Retry-After"]) > 0
        assert ("was removed or replaced" in answer.json["detail"]) == (path != SOURCES)
        assert (str(tmp_path) in answer.text) == (path != SOURCES), "anyone may ask there"
