"""One attempt at an endpoint: form the body, sign, POST, read a little of the answer, and say how it ended."""

from hookd.attempt.format import FORMATS, SOURCE, check_format
from hookd.attempt.headers import check_header
from hookd.attempt.poster import Poster

__all__ = ["FORMATS", "SOURCE", "Poster", "check_format", "check_header"]
