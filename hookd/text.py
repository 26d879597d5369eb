"""Other people's text, made fit for a log line, an error or a record."""


def printable(text: str) -> str:
    """Answer a text with every character that is not printable escaped, as Python writes it.

    That covers control characters, line and paragraph separators, marks that change the writing direction, and
    lone surrogates.
    """
    if text.isprintable():
        return text
    return "".join(
        letter if letter.isprintable() else letter.encode("unicode_escape").decode("ascii") for letter in text
    )


def one_line(text: str, longest: int = 500) -> str:
    """Answer a text as one printable line of at most `longest` characters."""
    line = printable(" ".join(text[: 4 * longest].split()))
    return line if len(line) <= longest else line[: longest - 1] + "…"
