"""Coverage-guided fuzzing of every verifier: `make fuzz`.

A verifier answers or refuses, whatever bytes come; and what it accepts says nothing that was not signed.
"""

import sys
from typing import Any

import atheris

with atheris.instrument_imports(include=["hookd.signing"]):
    from hookd.signing import SCHEMES
    from tests.signing.mutations import asked, body, is_what_was_signed, signed

NAMES = sorted(SCHEMES)
ORIGINAL = body()
SIGNED = {name: signed(name, ORIGINAL) for name in NAMES}
STAMPS = {name: asked(name, SIGNED[name], ORIGINAL) for name in NAMES}


def changed(data: Any, text: str) -> str:
    """Replace a stretch of a text, or all of it."""
    at = data.ConsumeIntInRange(0, len(text))
    upto = data.ConsumeIntInRange(at, len(text))
    return f"{text[:at]}{data.ConsumeUnicode(16)}{text[upto:]}"


def one(raw: bytes) -> None:
    """Lay hands on a signed request as the bytes say, and have it verified."""
    data = atheris.FuzzedDataProvider(raw)
    name = NAMES[data.ConsumeIntInRange(0, len(NAMES) - 1)]
    headers = list(SIGNED[name])
    for _ in range(data.ConsumeIntInRange(0, 3)):
        place = data.ConsumeIntInRange(0, len(headers) - 1)
        header, value = headers[place]
        if data.ConsumeBool():
            headers[place] = (header, changed(data, value))
        else:
            headers.append((header, changed(data, value)))
    content = ORIGINAL if data.ConsumeBool() else data.ConsumeBytes(200)
    message, untouched = asked(name, headers, content), STAMPS[name]
    assert untouched is not None
    assert message is None or is_what_was_signed(name, message, content, ORIGINAL, untouched.timestamp)


if __name__ == "__main__":
    atheris.Setup(sys.argv, one)
    atheris.Fuzz()
