"""Why a request does not verify: what usually goes wrong is undone, and what then verifies is told in plain words.

Nothing here depends on which scheme it is: a guess is a whole request, and the scheme itself judges it. No answer
repeats a secret, a signature, or the value of a header.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from hookd.errors import SignatureError
from hookd.signing.addresses import other_addresses
from hookd.signing.bodies import former_bodies
from hookd.signing.headers import Collected, Headers, collect
from hookd.signing.keys import PRIVATE, PUBLIC
from hookd.signing.proof import Key, MakeKey, SharedKeys, shared_keys
from hookd.signing.readings import readings
from hookd.signing.reason import Reason
from hookd.signing.repairs import alike, repairs, respelt
from hookd.signing.scheme import BODY, Scheme, Verified, in_braces
from hookd.signing.table import SCHEMES
from hookd.text import one_line
from hookd.units import format_duration

MOST_GUESSES: Final = 2_000

MOST_BYTES: Final = 64 * 1024 * 1024
"""Bytes that are hashed for one explanation."""

WHENEVER: Final = 1 << 62
"""A tolerance in milliseconds that lets any timestamp pass."""

MILLISECONDS: Final = 100_000_000_000
"""A timestamp beyond this (the year 5138, in seconds) is one in milliseconds, and one below (1973) is none."""

WEIGHT: Final = 64
"""Bytes that are hashed in the time in which a character of a header is read, where that is a structured field."""

WRONG_PATH = "the sender posts to the wrong path, or one of the two sources has the other's secret"
VERIFIES = "With these secrets, and at that time, it verifies."
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


def explain(  # what a request and a source consist of, each with its name
    row: Scheme,
    secrets: Sequence[str],
    headers: Headers,
    body: bytes,
    now: int,
    tolerance: int | None = None,
    *,
    url: str | None = None,
    method: str = "POST",
    others: Mapping[str, Sequence[str]] | None = None,
    former: Sequence[str] = (),
    schemes: Mapping[str, Scheme] = SCHEMES,
) -> str:
    """Answer in a sentence or two why a request does not verify at `now`, and what to do.

    `now` is in milliseconds since 1970, `tolerance` in milliseconds, None meaning the scheme's own. `url` is the whole
    address as the sender knows it. `others` are the secrets of other sources under their names, `former` those that
    this source no longer has; `schemes` those that it may be signed by. The work is bounded, whatever the request.
    """
    if not secrets:
        return "There is no secret to verify with: give the source the secret that the sender shows for this webhook."
    if row.signs_url and url is None:
        return f"The scheme {row.name} signs the address: say which one the sender has been given, as url."
    collected = collect(headers)
    request = Guess(row.form(collected), secrets, collected, body, url, method)
    left = MOST_BYTES
    for count, guess in enumerate(_guesses(request, others or {}, former, list(_rows(schemes)), now)):
        if count >= MOST_GUESSES or left < 0:
            break
        left -= guess.cost
        verdict = guess.judge(now)
        if isinstance(verdict, Verified):
            limit = guess.row.tolerance if tolerance is None else tolerance
            return _told(guess.found, _age(guess.row, verdict, now, limit))
    return _unexplained(request, list(_rows(schemes)), now)


def _rows(schemes: Mapping[str, Scheme]) -> Iterator[Scheme]:
    """Answer the schemes, each of its forms by itself."""
    for row in schemes.values():
        yield row
        if row.otherwise is not None:
            yield row.otherwise


def _told(found: Sequence[Found], age: str) -> str:
    if not found:
        return f"Its signature is right, but its {age}" if age else VERIFIES
    whats = ", and ".join(each.what for each in found)
    remedies = "; ".join(dict.fromkeys(each.remedy for each in found))
    return f"It verifies {whats}: {remedies}." + (f" Moreover, its {age}" if age else "")


def _age(row: Scheme, verified: Verified, now: int, tolerance: int) -> str:
    """Say how far the timestamp of an authentic request is off; nothing where that is within the tolerance."""
    if verified.timestamp is None or abs(now - verified.timestamp * 1000) <= tolerance:
        return ""
    name = row.dated
    unit = "s" if row.timestamp is None else row.timestamp.unit
    if verified.timestamp > MILLISECONDS and unit == "s":
        return f"{name} is in milliseconds, and {row.name} wants seconds: the sender has to divide it by 1000."
    if verified.timestamp < MILLISECONDS // 1000 and unit == "ms":
        return f"{name} is in seconds, and {row.name} wants milliseconds: the sender has to multiply it by 1000."
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
            return f"{duration / unit:.0f} {name}"
    return f"{duration / 1000:.0f} s"


def _guesses(
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
    if row.signed in (b"", BODY):
        return
    remedy = f"the scheme {row.name} signs {in_braces(row.signed)}, and the sender has to sign all of that"
    alone = replace(request, row=replace(row, signed=BODY), found=(Found("as a signature of the body alone", remedy),))
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


def _unexplained(request: Guess, rows: Sequence[Scheme], now: int) -> str:
    """Say what can be said where nothing fits."""
    row = request.row
    missing = _of_missing(row, rows, request.headers)
    if missing:
        return missing
    verdict = request.judge(now)
    if isinstance(verdict, SignatureError) and verdict.reason == Reason.TIMESTAMP_TOO_OLD:
        return f"Its signature is right, but {one_line(str(verdict))}: a replay, a queue in between, or a wrong clock."
    if isinstance(verdict, SignatureError) and verdict.reason != Reason.SIGNATURE_MISMATCH:
        return f"{one_line(str(verdict))}: a proxy in between changes headers, or it is signed by another scheme."
    if not row.signed:
        return f"What it shows in {row.header} is none of the secrets: compare it with what the sender is set up with."
    if not request.body and request.method == "POST":
        return (
            "Nothing that usually goes wrong fits it, but it came without a body: most likely something in between "
            "drops that, as a redirect does, or a gateway that reads it; or it is signed with another secret."
        )
    address, compared = (" or for another address than url", "secret and url") if row.signs_url else ("", "secret")
    return (
        f"Nothing that usually goes wrong fits it: most likely it is signed with another secret{address}, or its body "
        f"was changed. Compare the source's {compared} with the sender's, letter by letter, and let the sender send it "
        "again."
    )


def _of_missing(row: Scheme, rows: Sequence[Scheme], headers: Collected) -> str | None:
    """Say which headers are not there, and what is in their place; None where all are."""
    missing = [name for name in row.needed if not any(headers.get(name.lower(), []))]
    for name in missing:
        for other in alike(name, headers):
            return f"It carries {one_line(other, 80)}, not {name}: a proxy or a framework in between renames headers."
    others = _signed_otherwise(row, rows, headers)
    if row.header in missing and others:
        return f"It carries {others[0]}, not {missing[0]}: {others[1]}."
    if not missing:
        return None
    are, them = ("is", "it") if len(missing) == 1 else ("are", "them")
    return (
        f"{' and '.join(missing)} {are} missing: the sender has been given no secret or has another scheme than "
        f"{row.name}, or a proxy in between drops {them}."
    )


def _signed_otherwise(row: Scheme, rows: Sequence[Scheme], headers: Collected) -> tuple[str, str] | None:
    """Name the header of another scheme, and say what to do."""
    for other in rows:
        header = other.header.lower()
        if header in headers and not alike(row.header, {header: headers[header]}):
            return header, f"if it is meant for this source, set {_setting(other, row)} and the secret for it"
    return None


def _setting(other: Scheme, row: Scheme) -> str:
    """Write what makes a source of one scheme one of another, or of the same by another header."""
    if other.name == row.name:
        return f'header = "{other.header}"'
    address = ", its url" if other.signs_url and not row.signs_url else ""
    bearer = " (for a Bearer token, a scheme of your own)" if other.header == "Authorization" else ""
    return f'scheme = "{other.name}"{bearer}{address}'
