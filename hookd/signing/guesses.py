"""What a request may have been before something went wrong: what usually does is undone, one way at a time.

Nothing here depends on which scheme it is: a guess is a whole request, and the scheme itself judges it.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from hookd.errors import SignatureError
from hookd.signing.addresses import other_addresses
from hookd.signing.bodies import former_bodies
from hookd.signing.content import BODY, NOTHING
from hookd.signing.headers import Collected
from hookd.signing.keys import PRIVATE, PUBLIC
from hookd.signing.proof import Key, MakeKey, SharedKeys, shared_keys
from hookd.signing.readings import readings
from hookd.signing.reason import Reason
from hookd.signing.repairs import repairs, respelt
from hookd.signing.scheme import Scheme, Verified

WHENEVER: Final = 1 << 62
"""A tolerance in milliseconds that lets any timestamp pass."""

WEIGHT: Final = 64
"""Bytes that are hashed in the time in which a character of a header is read, where that is a structured field."""

WRONG_PATH = "the sender posts to the wrong path, or one of the two sources has the other's secret"
REWRITTEN = "something between the sender and hookd changes the body: let it pass the bytes on as they come"


@dataclass(frozen=True, slots=True)
class Found:
    """What fits, as an end of the sentence that begins with `It verifies`, and what to do about it."""

    what: str
    remedy: str


@dataclass(frozen=True, slots=True)
class Guess:
    """A request as it may have been meant, and how it differs from the one that came."""

    row: Scheme
    secrets: Sequence[str]
    headers: Collected
    body: bytes
    url: str | None
    method: str
    found: tuple[Found, ...] = ()

    @property
    def cost(self) -> int:
        """How long it takes to judge, in bytes that are hashed in that time."""
        return len(self.body) + WEIGHT * sum(
            len(value) for name in self.row.needed for value in self.headers.get(name.lower(), ())
        )

    def judge(self, now: int) -> Verified | SignatureError:
        """Verify it, whatever its timestamp; answer what it says, or why it is not authentic."""
        pairs = [(name, value) for name, values in self.headers.items() for value in values]
        try:
            return self.row.verify(self.secrets, pairs, self.body, now, WHENEVER, url=self.url, method=self.method)
        except SignatureError as error:
            return error
        except ValueError:
            return SignatureError(Reason.NO_SECRET, f"a secret is none of the scheme {self.row.name}, or an address")

    def is_readable(self, now: int) -> bool:
        """Say whether its headers are such that a signature can be compared at all."""
        verdict = self.judge(now)
        return isinstance(verdict, Verified) or verdict.reason == Reason.SIGNATURE_MISMATCH


def guesses(
    request: Guess, others: Mapping[str, Sequence[str]], former: Sequence[str], rows: Sequence[Scheme], now: int
) -> Iterator[Guess]:
    """Answer what the request may have been, the likeliest first; before what other sources have, which may be much."""
    yield request
    mended = list(_mended(request))
    yield from mended
    request = next((guess for guess in (request, *mended) if guess.is_readable(now)), request)
    own = list(_with_other_keys(request, former))
    yield from own
    yield from _with_other_addresses(request)
    bodies = list(_with_other_bodies(request))
    yield from bodies
    yield from _respelt(request)
    yield from _signed_alone(request)
    theirs = list(_with_keys_of_others(request, others))
    yield from theirs
    yield from _of_other_schemes(request, others, rows)
    for body in bodies:
        yield from _respelt(body)
        yield from (replace(key, body=body.body, found=(*key.found, body.found[-1])) for key in (*own, *theirs))


def _mended(request: Guess) -> Iterator[Guess]:
    remedy = "a proxy or a framework in between changes headers: let it pass them on as they come"
    for words, headers in repairs(request.row, request.headers):
        yield replace(request, headers=headers, found=(Found(words, remedy),))


def _respelt(request: Guess) -> Iterator[Guess]:
    remedy = "the signature itself is right, and the sender has to write it so"
    guess = request
    for words, headers in respelt(guess.row, guess.secrets, guess.headers, guess.body, guess.url or "", guess.method):
        yield replace(request, headers=headers, found=(*request.found, Found(words, remedy)))


def _with_other_bodies(request: Guess) -> Iterator[Guess]:
    for words, body in former_bodies(request.body):
        found = Found("with an empty body" if not body else f"with its body {words}", REWRITTEN)
        yield replace(request, body=body, found=(*request.found, found))


def _signed_alone(request: Guess) -> Iterator[Guess]:
    """Take it that the sender signed the body, and not what the scheme wants around it."""
    row = request.row
    if row.signed.text in (NOTHING.text, BODY.text):
        return
    remedy = f"the scheme {row.name} signs {row.signed.text}, and the sender has to sign all of that"
    found = (*request.found, Found("as a signature of the body alone", remedy))
    alone = replace(request, row=replace(row, signed=BODY), found=found)
    yield alone
    for secret in request.secrets:
        yield from _misread(alone, secret)


def _with_other_addresses(request: Guess) -> Iterator[Guess]:
    remedy = "url has to be the address exactly as the sender has it, and nothing in between may change that"
    if request.row.signs_url and request.url is not None:
        for words, url in other_addresses(request.url, request.headers):
            yield replace(request, url=url, found=(*request.found, Found(words, remedy)))


def _with_other_keys(request: Guess, former: Sequence[str]) -> Iterator[Guess]:
    remedy = "put it back beside the new one until the sender has changed over"
    for secret in former:
        yield _with(request, request.row, secret, Found("with a secret that this source no longer has", remedy))
    for secret in request.secrets:
        yield from _misread(request, secret)


def _with_keys_of_others(request: Guess, others: Mapping[str, Sequence[str]]) -> Iterator[Guess]:
    for name, secrets in others.items():
        for secret in secrets:
            yield _with(request, request.row, secret, Found(f"with a secret of the source {name}", WRONG_PATH))


def _misread(request: Guess, secret: str) -> Iterator[Guess]:
    row = request.row
    keys = shared_keys(row.key)
    if keys is None or secret.startswith((PRIVATE, PUBLIC)):
        return
    right = _bytes(keys, secret)
    wanted = [
        f"{row.name} wants it {words}; let the sender do so, or " for words, raw in readings(secret) if raw == right
    ]
    give = "give the source the one whose key is the sender's"
    remedy = f"sender and source read the secret in two ways: {''.join(wanted)}{give}"
    for words, raw in readings(secret):
        if raw != right:
            misreading = replace(row, key=_always(keys.make(raw)))
            yield _with(request, misreading, secret, Found(f"with the secret {words}", remedy))


def _always(key: Key) -> MakeKey:
    return lambda _: key


def _of_other_schemes(request: Guess, others: Mapping[str, Sequence[str]], rows: Sequence[Scheme]) -> Iterator[Guess]:
    for row in rows:
        if row.name == request.row.name or row.header.lower() not in request.headers:
            continue
        by = f"by the scheme {row.name}"
        other = replace(request, row=row, found=(Found(by, f'set scheme = "{row.name}"'),))
        for secret in request.secrets:
            yield replace(other, secrets=(secret,))
            yield from _misread(other, secret)
        yield from _with_keys_of_others(replace(other, found=(Found(by, WRONG_PATH),)), others)


def _with(request: Guess, row: Scheme, secret: str, found: Found) -> Guess:
    return replace(request, row=row, secrets=(secret,), found=(*request.found, found))


def _bytes(keys: SharedKeys, secret: str) -> bytes | None:
    try:
        return keys.decode(secret)
    except ValueError:
        return None
