"""Why a request does not verify: what usually goes wrong is undone, and what then verifies is told in plain words.

Nothing here depends on which scheme it is: a guess is a whole request, and the scheme itself judges it. No answer
repeats a secret, a signature, or the value of a header.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from hookd.errors import SignatureError
from hookd.signing.bodies import former_bodies
from hookd.signing.headers import Collected, Headers, collect
from hookd.signing.readings import readings
from hookd.signing.reason import Reason
from hookd.signing.repairs import alike, needed, repairs, respelt
from hookd.signing.scheme import Scheme, Verified
from hookd.signing.table import SCHEMES
from hookd.text import one_line
from hookd.units import format_duration

MOST_GUESSES: Final = 2_000

MOST_BYTES: Final = 64 * 1024 * 1024
"""Bytes that are hashed for one explanation."""

WHENEVER: Final = 1 << 62
"""A tolerance in milliseconds that lets any timestamp pass."""

MILLISECONDS: Final = 100_000_000_000
"""A timestamp beyond this (the year 5138, in seconds) is one in milliseconds."""

SENDERS: Final[Mapping[str, str]] = {
    "stripe-signature": "stripe",
    "svix-signature": "svix",
    "webhook-signature": "standard",
    "x-hub-signature-256": "github",
    "x-hub-signature": "github",
    "x-shopify-hmac-sha256": "shopify",
    "x-slack-signature": "slack",
    "x-zm-signature": "zoom",
    "x-razorpay-signature": "razorpay",
    "paddle-signature": "paddle",
    "linear-signature": "linear",
    "x-square-hmacsha256-signature": "square",
    "x-twilio-signature": "twilio",
    "x-gitlab-token": "gitlab",
    "x-signature-ed25519": "discord",
    "signature-input": "rfc9421",
}
"""The headers of well-known senders, and the schemes by which they sign."""

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
    found: tuple[Found, ...] = ()

    def judge(self, now: int) -> Verified | SignatureError:
        """Verify it, whatever its timestamp; answer what it says, or why it is not authentic."""
        pairs = [(name, value) for name, values in self.headers.items() for value in values]
        try:
            return self.row.verify(self.secrets, pairs, self.body, now, WHENEVER)
        except SignatureError as error:
            return error
        except ValueError:
            return SignatureError(Reason.NO_SECRET, f"a secret is none of the scheme {self.row.name}")

    def is_readable(self, now: int) -> bool:
        """Say whether its headers are such that a signature can be compared at all."""
        verdict = self.judge(now)
        return isinstance(verdict, Verified) or verdict.reason == Reason.SIGNATURE_MISMATCH


def explain(  # what a request and a source consist of, each with its name
    row: Scheme,
    secrets: Sequence[str],
    headers: Headers,
    body: bytes,
    now: int,
    tolerance: int | None = None,
    *,
    others: Mapping[str, Sequence[str]] | None = None,
    former: Sequence[str] = (),
) -> str:
    """Answer in a sentence or two why a request does not verify at `now`, and what to do.

    `now` is in milliseconds since 1970, `tolerance` in milliseconds, None meaning the scheme's own. `others` are the
    secrets of other sources under their names, `former` those that this source no longer has. The work is bounded,
    whatever the request.
    """
    if not secrets:
        return "There is no secret to verify with: give the source the secret that the sender shows for this webhook."
    request = Guess(row, secrets, collect(headers), body)
    tolerance = row.tolerance if tolerance is None else tolerance
    left = MOST_BYTES
    for count, guess in enumerate(_guesses(request, others or {}, former, now)):
        if count >= MOST_GUESSES or left < 0:
            break
        left -= len(guess.body)
        verdict = guess.judge(now)
        if isinstance(verdict, Verified):
            return _told(guess.found, _age(row, verdict, now, tolerance))
    return _unexplained(request, now)


def _told(found: Sequence[Found], age: str) -> str:
    if not found:
        return f"Its signature is right, but its {age}" if age else "With these secrets, and at that time, it verifies."
    whats = ", and ".join(each.what for each in found)
    remedies = "; ".join(dict.fromkeys(each.remedy for each in found))
    return f"It verifies {whats}: {remedies}." + (f" Moreover, its {age}" if age else "")


def _age(row: Scheme, verified: Verified, now: int, tolerance: int) -> str:
    """Say how far the timestamp of an authentic request is off; nothing where that is within the tolerance."""
    if verified.timestamp is None or abs(now - verified.timestamp * 1000) <= tolerance:
        return ""
    name = row.timestamp_header or "timestamp"
    if verified.timestamp > MILLISECONDS:
        return f"{name} is in milliseconds, and {row.name} wants seconds: the sender has to divide it by 1000."
    age = now - verified.timestamp * 1000
    cause = "a replay, a queue in between, or a clock that is wrong" if age > 0 else "a clock that is wrong"
    return (
        f"{name} is {_rounded(abs(age))} in the {'past' if age > 0 else 'future'}, more than the tolerance of "
        f"{format_duration(tolerance)}: {cause}; compare the sender's clock with this machine's, or raise tolerance."
    )


def _rounded(duration: int) -> str:
    """Write a duration in the largest unit of which there are two."""
    for name, unit in (("days", 86_400_000), ("h", 3_600_000), ("min", 60_000)):
        if duration >= 2 * unit:
            return f"{duration // unit} {name}"
    return f"{duration / 1000:.0f} s"


def _guesses(request: Guess, others: Mapping[str, Sequence[str]], former: Sequence[str], now: int) -> Iterator[Guess]:
    """Answer what the request may have been, the likeliest first."""
    yield request
    mended = list(_mended(request))
    yield from mended
    request = next((guess for guess in (request, *mended) if guess.is_readable(now)), request)
    keys = list(_with_other_keys(request, others, former))
    yield from keys
    bodies = list(_with_other_bodies(request))
    yield from bodies
    yield from _respelt(request)
    yield from _of_other_schemes(request, others)
    for body in bodies:
        yield from _respelt(body)
        yield from (replace(key, body=body.body, found=(*key.found, body.found[-1])) for key in keys)


def _mended(request: Guess) -> Iterator[Guess]:
    remedy = "a proxy or a framework in between changes headers: let it pass them on as they come"
    for words, headers in repairs(request.row, request.headers):
        yield replace(request, headers=headers, found=(Found(words, remedy),))


def _respelt(request: Guess) -> Iterator[Guess]:
    remedy = "the signature itself is right, and the sender has to write it so"
    for words, headers in respelt(request.row, request.secrets, request.headers, request.body):
        yield replace(request, headers=headers, found=(*request.found, Found(words, remedy)))


def _with_other_bodies(request: Guess) -> Iterator[Guess]:
    for words, body in former_bodies(request.body):
        found = Found("with an empty body" if not body else f"with its body {words}", REWRITTEN)
        yield replace(request, body=body, found=(*request.found, found))


def _with_other_keys(request: Guess, others: Mapping[str, Sequence[str]], former: Sequence[str]) -> Iterator[Guess]:
    remedy = "put it back beside the new one until the sender has changed over"
    for secret in former:
        yield _with(request, request.row, secret, Found("with a secret that this source no longer has", remedy))
    for name, secrets in others.items():
        remedy = "the sender posts to the wrong path, or one of the two sources has the other's secret"
        for secret in secrets:
            yield _with(request, request.row, secret, Found(f"with a secret of the source {name}", remedy))
    for secret in request.secrets:
        yield from _misread(request, secret)


def _misread(request: Guess, secret: str) -> Iterator[Guess]:
    remedy = "sender and source read the secret in two ways: give the source the one whose key is the sender's"
    row = request.row
    for words, key in readings(secret):
        if key != _key(row, secret):
            misreading = replace(row, key=lambda _, key=key: key)  # type: ignore[misc]
            yield _with(request, misreading, secret, Found(f"with the secret {words}", remedy))


def _of_other_schemes(request: Guess, others: Mapping[str, Sequence[str]]) -> Iterator[Guess]:
    for row in SCHEMES.values():
        if row.name == request.row.name or row.header.lower() not in request.headers:
            continue
        other = replace(request, row=row, found=(Found(f"by the scheme {row.name}", f'set scheme = "{row.name}"'),))
        for secret in request.secrets:
            yield replace(other, secrets=(secret,))
            yield from _misread(other, secret)
        yield from _with_other_keys(replace(other, secrets=()), others, ())


def _with(request: Guess, row: Scheme, secret: str, found: Found) -> Guess:
    return replace(request, row=row, secrets=(secret,), found=(*request.found, found))


def _key(row: Scheme, secret: str) -> bytes | None:
    try:
        return row.key(secret)
    except ValueError:
        return None


def _unexplained(request: Guess, now: int) -> str:
    """Say what can be said where nothing fits."""
    row, headers = request.row, request.headers
    missing = [name for name in needed(row) if not any(headers.get(name.lower(), []))]
    for name in missing:
        for other in alike(name, headers):
            return f"It carries {one_line(other, 80)}, not {name}: a proxy or a framework in between renames headers."
    others = _signed_otherwise(row, headers)
    if missing and others:
        return f"It carries {others[0]}, not {missing[0]}: {others[1]}."
    if missing:
        are, them = ("is", "it") if len(missing) == 1 else ("are", "them")
        return (
            f"{' and '.join(missing)} {are} missing: the sender does not sign by the scheme {row.name}, or a proxy in "
            f"between drops {them}."
        )
    verdict = request.judge(now)
    if isinstance(verdict, SignatureError) and verdict.reason != Reason.SIGNATURE_MISMATCH:
        return f"{one_line(str(verdict))}: a proxy in between changes headers, or it is signed by another scheme."
    if not row.signed:
        return f"What it shows in {row.header} is none of the secrets: compare it with what the sender is set up with."
    return (
        "Nothing that usually goes wrong fits it: most likely it is signed with another secret, or its body was "
        "changed. Compare the source's secret with the sender's, letter by letter, and let the sender send it again."
    )


def _signed_otherwise(row: Scheme, headers: Collected) -> tuple[str, str] | None:
    """Name the header of another scheme, and say what to do."""
    known = {other.header.lower(): other.name for other in SCHEMES.values()} | dict(SENDERS)
    for header, name in known.items():
        if header in headers and name != row.name and not alike(row.header, {header: headers[header]}):
            if name in SCHEMES:
                return header, f'if it is meant for this source, set scheme = "{name}" and the secret for it'
            return header, f"it is signed by the scheme {name}, and this source expects {row.name}"
    return None
