"""Why a request does not verify: what usually goes wrong is undone, and what then verifies is told in plain words.

No answer repeats a secret, a signature, or the value of a header.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from hookd.errors import SignatureError
from hookd.signing.guesses import Found, Guess, guesses
from hookd.signing.headers import Collected, Headers, collect
from hookd.signing.reason import Reason
from hookd.signing.repairs import alike
from hookd.signing.scheme import Scheme, Verified
from hookd.signing.table import SCHEMES
from hookd.text import one_line
from hookd.units import format_duration

MOST_GUESSES: Final = 2_000

MOST_BYTES: Final = 64 * 1024 * 1024
"""Bytes that are hashed for one explanation."""

MILLISECONDS: Final = 100_000_000_000
"""A timestamp beyond this (the year 5138, in seconds) is one in milliseconds, and one below (1973) is none."""

VERIFIES = "With these secrets, and at that time, it verifies."


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
    rows = list(_rows(schemes))
    left = MOST_BYTES
    for count, guess in enumerate(guesses(request, others or {}, former, rows, now)):
        if count >= MOST_GUESSES or left < 0:
            break
        left -= guess.cost
        verdict = guess.judge(now)
        if isinstance(verdict, Verified):
            limit = guess.row.tolerance if tolerance is None else tolerance
            return _told(guess.found, _age(guess.row, verdict, now, limit))
    return _unexplained(request, rows, now)


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
