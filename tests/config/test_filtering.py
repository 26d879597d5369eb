"""The examples of docs/filters.md are filters."""

import json
import re
from pathlib import Path

import hookd
from hookd.policy.declare import MOST_NAMES, MOST_VALUES, declared
from hookd.policy.filter import MOST_STEPS, Subject, passes
from hookd.signing import collect
from tests.config.documents import settings

TEXT = (Path(__file__).parents[2] / "docs" / "filters.md").read_text("utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", TEXT, re.DOTALL | re.MULTILINE)


def test_the_example_of_a_configuration(tmp_path: Path) -> None:
    (text,) = blocks("toml")
    found = settings(tmp_path, text, {"GITHUB_SECRET": "hush"})
    (source,), (handler,) = found.sources, found.handlers
    assert source.filter is not None
    assert handler.filter is not None
    body = {"ref": "refs/heads/main", "sender": {"type": "User"}}
    for sender, wanted in (("User", True), ("Bot", False)):
        payload = json.dumps({**body, "sender": {"type": sender}}).encode()
        signed = hookd.sign("github", "hush", payload, type="push")
        verified = hookd.verify(source.scheme, source.secrets, signed, payload)
        subject = Subject(f"{source.name}.{verified.type}", payload, collect(signed))
        assert (subject.type, passes(source.filter, subject)) == ("github.push", wanted)
    assert passes(handler.filter, Subject("shop.paid", b'{"status": "paid", "amount": 100}'))


def test_the_other_examples() -> None:
    for text in blocks("json"):
        assert declared(json.loads(text))
    entries = re.findall(r"^\| `(\{.*?\})` \|", TEXT, re.MULTILINE)
    assert len(entries) == 4
    for entry in entries:
        assert declared({"body": {"a": [json.loads(entry)]}})


def test_the_limits() -> None:
    words = " ".join(TEXT.split())
    assert f"at most {MOST_NAMES} names and matchers, {MOST_VALUES} values and 16 levels" in words
    assert f"{MOST_STEPS:,} steps for an event".replace(",", " ") in words
