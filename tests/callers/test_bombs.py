"""Requests that are small to write and meant to be costly to read."""

import tracemalloc
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import pytest

from hookd.members import MOST_MEMBERS
from hookd.model import Field
from hookd.parse import parse
from hookd.web.body import members
from hookd.web.call import MOST_PARAMETERS
from tests.callers.raw import ask
from tests.web.stand import SOURCE, Stand

pytestmark = pytest.mark.asyncio(loop_factories=["uvloop"])

MOST = 1_300_000
"""Bytes of the longest body."""

BRIEF = 8192
"""Bytes that suffice to say what is wrong, with whatever."""

COLLIDING = [number * (2**61 - 1) for number in range(40_000)]
"""Whole numbers of one and the same hash, in Python."""

EVENT = b'{"type":"a","payload":%b}'
ENDPOINT = b'{"url":"http://127.0.0.1:9/",%b}'


def listed(entry: bytes, count: int) -> bytes:
    return b"[" + b",".join([entry] * count) + b"]"


def keyed(names: Iterator[object] | range | list[int], value: bytes = b"1") -> bytes:
    return b"{" + b",".join(b'"%b":%b' % (str(name).encode(), value) for name in names) + b"}"


EVENTS = {
    "100 000 keys": (EVENT % keyed(range(100_000)), 202),
    "a million keys": (EVENT % keyed(range(1_000_000)), 413),
    "keys that would collide as numbers": (EVENT % keyed(COLLIDING), 202),
    "100 000 members": (keyed(range(100_000)), 422),
    "members that would collide as numbers": (keyed(COLLIDING), 422),
    "the same member 100 000 times": (b"{" + b",".join([b'"a":1'] * 100_000) + b"}", 422),
    "a name of a megabyte": (b'{"%b":1}' % (b"\xf0\x9f\x98\x80" * 250_000), 422),
    "arrays without end": (EVENT % (b"[" * 1_000_000), 400),
    "arrays in arrays": (EVENT % (b"[" * 500_000 + b"]" * 500_000), 400),
    "objects in objects": (EVENT % (b'{"a":' * 200_000 + b"}" * 200_000), 400),
    "empty objects": (EVENT % listed(b"{}", 300_000), 202),
    "a number of a million digits": (EVENT % (b"9" * 1_000_000), 202),
    "numbers as long as Python converts": (EVENT % listed(b"9" * 4300, 240), 202),
    "numbers a digit longer": (EVENT % listed(b"9" * 4301, 240), 202),
    "an exponent of a million digits": (EVENT % (b"1e" + b"9" * 1_000_000), 202),
    "a fraction of a million digits": (EVENT % (b"0." + b"9" * 1_000_000), 202),
    "a string of escapes": (EVENT % (rb'"' + rb"\u0041" * 170_000 + b'"'), 202),
    "a string without its end": (EVENT % (rb'"' + rb"\"" * 500_000), 400),
    "spaces": (EVENT % (b" " * 1_000_000 + b"1"), 202),
    "a type of a megabyte": (b'{"type":"%b","payload":1}' % (b"a." * 500_000), 422),
    "an id of a megabyte": (b'{"type":"a","payload":1,"id":"%b"}' % (b"a" * 1_000_000), 422),
    "250 000 endpoints": (b'{"type":"a","payload":1,"endpoints":%b}' % listed(b'"a"', 250_000), 422),
    "500 000 endpoints that are none": (b'{"type":"a","payload":1,"endpoints":%b}' % listed(b"1", 500_000), 422),
}

ENDPOINTS = {
    "500 000 patterns that are none": ENDPOINT % (b'"event_types":' + listed(b"1", 500_000)),
    "waits that are none": ENDPOINT % (b'"retry":' + listed(b'"x"', 250_000)),
    "100 000 notes": ENDPOINT % (b'"metadata":' + keyed(range(100_000), b'"a"')),
    "100 000 notes that are none": ENDPOINT % (b'"metadata":' + keyed(range(100_000))),
    "100 000 headers that are none": ENDPOINT % (b'"headers":' + keyed(range(100_000))),
    "a header's name of a megabyte": ENDPOINT % (b'"headers":{"%b":"a"}' % (b"a" * 1_000_000)),
    "a URL of a megabyte": b'{"url":"http://%b"}' % (b"a." * 500_000),
    "a duration of a megabyte": ENDPOINT % (b'"timeout":"%bs"' % (b"9" * 1_000_000)),
    "a token of a megabyte": ENDPOINT % (b'"token":"a%b"' % (b" " * 1_000_000)),
}


@pytest.fixture
def roomy(stand: Stand) -> Stand:
    """A stand that takes long bodies, and reads an id out of what its source gets."""
    source = replace(SOURCE, max_body=MOST, id=Field("body", "a.b"), type=Field("body", "type"))
    stand.use(max_body=MOST, sources={source.path: source})
    return stand


@pytest.mark.parametrize(("body", "status"), EVENTS.values(), ids=EVENTS)
async def test_it_is_accepted_or_refused_in_brief_by_the_api_and_by_a_source(
    roomy: Stand, body: bytes, status: int
) -> None:
    told = await ask(roomy.url, "/api/v1/events", body)
    assert (told.status, len(told.body) < BRIEF) == (status, True)
    told = await ask(roomy.url, SOURCE.path, body, "X-Webhook-Token: secret")
    assert told.status in (200, 400, 413)
    assert len(told.body) < BRIEF


@pytest.mark.parametrize("body", ENDPOINTS.values(), ids=ENDPOINTS)
async def test_an_endpoint_is_refused_in_brief(roomy: Stand, body: bytes) -> None:
    told = await ask(roomy.url, "/api/v1/endpoints", body)
    assert (told.status, len(told.body) < BRIEF) == (422, True)


async def test_as_many_members_as_may_be_are_each_told_what_is_wrong(roomy: Stand) -> None:
    told = await ask(roomy.url, "/api/v1/events", keyed(range(MOST_MEMBERS)))
    assert len(told.pointers) == MOST_MEMBERS + 2
    told = await ask(roomy.url, "/api/v1/events", keyed(range(MOST_MEMBERS + 1)))
    assert told.pointers == ["#"]


@pytest.mark.parametrize("name", ["a%d", "limit"])
async def test_thousands_of_parameters_are_one_fault(stand: Stand, name: str) -> None:
    query = "&".join((name % number if "%" in name else name) for number in range(1300))
    told = await stand.call("GET", f"/api/v1/events?{query}")
    assert (told.status, told.pointers) == (422, ["?"])


async def test_as_many_parameters_as_may_be_are_each_told_what_is_wrong(stand: Stand) -> None:
    query = "&".join(f"a{number}" for number in range(MOST_PARAMETERS))
    told = await stand.call("GET", f"/api/v1/events?{query}")
    assert len(told.pointers) == MOST_PARAMETERS


LARGE = 50
"""How many times as large as a body what it means may become: an empty object has 64 bytes, and is written in 3."""


@pytest.mark.parametrize("name", ["100 000 keys", "empty objects", "a string of escapes"])
async def test_what_a_body_means_takes_memory_by_its_size(name: str) -> None:
    body, _ = EVENTS[name]
    for read in (members, parse):
        tracemalloc.start()
        try:
            read(body)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert peak < LARGE * len(body)


def names_of(value: Any) -> Iterator[object]:
    """Answer the keys of all dicts in a value."""
    if isinstance(value, Mapping):
        yield from value
        for inner in value.values():
            yield from names_of(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from names_of(inner)


async def test_no_key_becomes_a_number() -> None:
    """The hash of a text is secret, and other in every process; that of a number is known to everybody."""
    body = b'{"1":{"2":[{"3":0,"4.5":0,"null":0,"true":0}]}}'
    found = {name: member.value for name, member in members(body).items()}
    for value in (found, parse(body)):
        assert set(names_of(value)) == {"1", "2", "3", "4.5", "null", "true"}
