"""`[schemes.NAME]`: a scheme that the table lacks, described in TOML."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Final

from pydantic import ConfigDict

from hookd.attempt.headers import CREDENTIAL, RESERVED
from hookd.config import words
from hookd.config.kinds import Kind, choice, duration, kind, quoted, text
from hookd.model import Field as Place
from hookd.signing import SCHEMES, TOLERANCE, Scheme, Stamp, ways
from hookd.signing.content import NOTHING, Content

STRICT = ConfigDict(extra="forbid")

NAME: Final = re.compile(r"[a-z0-9]([a-z0-9-]{0,62}[a-z0-9])?")
BODY: Final = "{body}"
EXAMPLE: Final = '"{timestamp}.{body}"'

OF_SIGNATURES: Final = ("encoding", "signed", "secret", "timestamp", "unit", "tolerance")
"""What a scheme has no use for that shows the secret itself."""

_SET: Final[Mapping[str, str | None]] = {
    **dict.fromkeys((*RESERVED, CREDENTIAL.lower(), "x-webhook-attempt")),
    "webhook-id": "id",
    "x-webhook-event": "type",
}
"""The headers that HTTP or hookd sets in every attempt, and the key that may name one nonetheless."""
_FIELD: Final = re.compile(r"\{(id|timestamp|url|body)\}")
_RUN_ON: Final = re.compile(r"\{(?:body|url)\}[0-9]*\{timestamp\}")
_STAMP: Final = re.compile(r"(header|signature|body):([!-~]+)")
_PRINTABLE: Final = re.compile(r"[ -~]+")
_IN_PROOFS: Final = re.compile(r"[0-9A-Za-z+/=]")

Problem = tuple[str, str]
"""A key, and what is wrong with it."""


def _stamp(value: Any) -> Stamp | None:
    match = _STAMP.fullmatch(value) if isinstance(value, str) else None
    if match is None or (match[1] != "signature" and words.place(value) is None):
        return None
    return Stamp("entry" if match[1] == "signature" else match[1], match[2])


def _shown(stamp: Stamp) -> str:
    return quoted(f"{'signature' if stamp.place == 'entry' else stamp.place}:{stamp.name}")


STAMP: Final = kind('"header:NAME", "signature:t=" or "body:PATH"', _stamp, _shown)
HEADER_NAME: Final = text('the name of a header such as "X-Acme-Signature"', words.HEADER_NAME.fullmatch)
PRINTABLE: Final = text("printable ASCII characters", _PRINTABLE.fullmatch)
SIGNED: Final = text("a text over {id}, {timestamp}, {url} and {body} such as " + EXAMPLE)
ALGORITHM: Final[Kind] = choice(*ways.ALGORITHMS)


@dataclass(frozen=True, slots=True, kw_only=True)
class SchemeTable:
    """`[schemes.NAME]`: a scheme of your own, for sources and endpoints; see docs/signatures.md."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    header: Annotated[str, HEADER_NAME]
    """The header that carries the signature."""
    algorithm: Annotated[str, ALGORITHM] = "hmac-sha256"
    """How it is made; `token` shows the secret itself."""
    encoding: Annotated[str | None, choice("hex", "base64")] = None
    """How it is written; without it in lower-case hexadecimal."""
    prefix: Annotated[str, PRINTABLE] = ""
    """What stands before it in the header, such as "sha256=" or "v1="."""
    separator: Annotated[str | None, PRINTABLE] = None
    """What stands between several entries in the header, such as "," or " "; without it there is one alone."""
    signed: Annotated[str | None, SIGNED] = None
    """What is signed, over `{id}`, `{timestamp}`, `{url}` and `{body}`; without it the body alone."""
    secret: Annotated[str | None, choice(*ways.SECRETS)] = None
    """How the secret is turned into a key: its UTF-8 text, which is usual, or decoded; `standard` is `whsec_`."""
    timestamp: Annotated[Stamp | None, STAMP] = None
    """Where it says when it was sent: in a header, behind such a beginning beside the signature, or in the body."""
    unit: Annotated[str | None, choice("s", "ms")] = None
    """What the timestamp counts since 1970: seconds, without it, or milliseconds."""
    tolerance: Annotated[int | None, duration("1s", "3650d", "5m")] = None
    """How far the timestamp may be from now; without it 5 minutes."""
    id: Annotated[Place | None, words.PLACE] = None
    """Where the id stands that tells a repetition."""
    type: Annotated[Place | None, words.PLACE] = None
    """Where the event's type stands."""

    def problems(self) -> Iterator[Problem]:
        """Name everything for which this can't work, or would protect nothing."""
        if self.algorithm == "token":
            given = (name for name in OF_SIGNATURES if getattr(self, name) is not None)
            yield from ((name, "a token signs nothing and is shown as it is; take this out") for name in given)
        elif _is_template(self._signed):
            yield from self._of_content()
            yield from self._of_timestamp()
        else:
            yield "signed", f"expected {SIGNED.expected}, each of them once"
        yield from self._of_header()
        yield from self._of_names()

    def noun(self, name: str) -> Scheme:
        """Answer the scheme."""
        stamp = self.timestamp
        return Scheme(
            name=name,
            header=self.header,
            separator=self.separator,
            key=ways.keys(self.algorithm, self.secret or "text", self.encoding or "hex", self.prefix.encode("ascii")),
            signed=NOTHING if self.algorithm == "token" else Content(self._signed),
            id=self.id,
            type=self.type,
            timestamp=None if stamp is None else Stamp(stamp.place, stamp.name, self.unit or "s"),
            tolerance=TOLERANCE if self.tolerance is None else self.tolerance,
            handshake="cloudevents",
        )

    @property
    def _signed(self) -> str:
        return BODY if self.signed is None else self.signed

    def _of_content(self) -> Iterator[Problem]:
        signed = self._signed
        if BODY not in signed:
            yield "signed", f"expected {BODY} in it: without that anybody may change the body"
        if "{id}" in signed and (self.id is None or self.id.place != "header"):
            yield "id", 'expected "header:NAME", since {id} is signed'
        if "{id}{" in signed or "}{id}" in signed:
            yield "signed", "expected a character beside {id}: without one, bytes could move out of it or in"
        if "{url}" in signed.partition(BODY)[0]:
            yield "signed", f"expected {BODY} before {{url}}: behind it, the end of a query could move into the body"
        if _RUN_ON.search(signed):
            yield (
                "signed",
                "expected a character that is no digit before {timestamp}: digits could move out of it or in",
            )
        if "{timestamp}" in signed and self.timestamp is None:
            yield "timestamp", f"missing: expected {STAMP.expected}, since {{timestamp}} is signed"
        if self.algorithm == "ed25519" and self.secret is not None:
            yield "secret", "the keys of ed25519 say themselves how they are written; take this out"

    def _of_timestamp(self) -> Iterator[Problem]:
        stamp, is_signed = self.timestamp, "{timestamp}" in self._signed
        if stamp is None:
            given = (name for name in ("unit", "tolerance") if getattr(self, name) is not None)
            yield from ((name, "there is no timestamp; take this out, or say where it is") for name in given)
        elif stamp.place == "body" and is_signed:
            yield "signed", "a timestamp in the body is signed with it; take {timestamp} out"
        elif stamp.place != "body" and not is_signed:
            yield "signed", "expected {timestamp} in it: without that anybody may change the timestamp"
        if stamp is not None and stamp.place == "entry" and self.separator is None:
            yield "separator", "missing: expected what stands between the timestamp and the signature"

    def _of_header(self) -> Iterator[Problem]:
        stamp = self.timestamp
        if self.separator is not None and _IN_PROOFS.search(self.separator):
            yield "separator", "expected a text without letters, digits, +, / and =: a signature may hold those"
        if self.prefix.startswith(" "):
            yield "prefix", "expected one without a space before it: HTTP takes that off"
        if self.separator is not None and stamp is not None and self.separator in stamp.name and stamp.place == "entry":
            yield "timestamp", "expected a beginning without the separator"
        if self.separator is not None and self.separator in self.prefix:
            yield "prefix", "expected one without the separator"
        if stamp is not None and stamp.place == "entry" and self.prefix.startswith(stamp.name):
            yield "prefix", f"expected another one than that of the timestamp, {quoted(stamp.name)}"

    def _of_names(self) -> Iterator[Problem]:
        first: dict[str, str] = {}
        named = [("header", self.header)]
        for key, place in (("timestamp", self.timestamp), ("id", self.id), ("type", self.type)):
            if place is not None and place.place == "header":
                named.append((key, place.name))
        for key, name in named:
            if _SET.get(name.lower(), key) != key or name.lower().startswith("ce-"):
                yield key, f"expected another header than {name}: HTTP or hookd sets this one"
            elif first.setdefault(name.lower(), key) != key:
                yield key, f"expected another header than {name}, which is that of {first[name.lower()]}"


def _is_template(signed: str) -> bool:
    found = _FIELD.findall(signed)
    return len(set(found)) == len(found) and "{" not in _FIELD.sub("", signed) and "}" not in _FIELD.sub("", signed)


def check_name(name: str) -> None:
    """Return where a scheme may have that name; else ValueError."""
    if NAME.fullmatch(name) is None:
        raise ValueError("expected a name of at most 64 lower-case letters, digits and dashes")
    if name in SCHEMES:
        raise ValueError("expected another name: hookd has a scheme of this one")


def with_described(tables: Mapping[str, SchemeTable]) -> dict[str, Scheme]:
    """Answer the schemes that hookd has, and those that are described, by name."""
    return {**SCHEMES, **{name: table.noun(name) for name, table in tables.items()}}
