"""Signatures: a table of schemes, each of which proves with a secret where a body comes from.

Only raw bytes are hashed, every comparison is in constant time, and a refusal tells the operator why.
"""

from hookd.signing.addresses import is_address
from hookd.signing.ed25519 import public_of
from hookd.signing.explain import VERIFIES, explain
from hookd.signing.fields import find
from hookd.signing.guesses import WHENEVER
from hookd.signing.headers import Headers, collect
from hookd.signing.keys import generate_secret
from hookd.signing.proof import shared_keys
from hookd.signing.reason import Reason
from hookd.signing.scheme import TOLERANCE, Scheme, Stamp, Verified
from hookd.signing.table import SCHEMES, TOKEN, check_secret, scheme

__all__ = [
    "SCHEMES",
    "TOKEN",
    "TOLERANCE",
    "VERIFIES",
    "WHENEVER",
    "Headers",
    "Reason",
    "Scheme",
    "Stamp",
    "Verified",
    "check_secret",
    "collect",
    "explain",
    "find",
    "generate_secret",
    "is_address",
    "public_of",
    "scheme",
    "shared_keys",
]
