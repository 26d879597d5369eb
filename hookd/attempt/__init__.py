"""One attempt at an endpoint: sign, POST, read a little of the answer, and say how it ended."""

from hookd.attempt.headers import check_header
from hookd.attempt.poster import Poster

__all__ = ["Poster", "check_header"]
