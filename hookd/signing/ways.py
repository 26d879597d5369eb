"""The ways to make keys by their names, for schemes that are described in words."""

from collections.abc import Mapping
from typing import Final

from hookd.signing.ed25519 import ed25519_keys
from hookd.signing.keys import base64_bytes, hex_bytes, standard_bytes, text_bytes, token_bytes
from hookd.signing.proof import WRITTEN, Decode, MakeKey, hmac_keys, shown_keys

ALGORITHMS: Final = ("hmac-sha256", "hmac-sha512", "hmac-sha1", "ed25519", "token")

SECRETS: Final[Mapping[str, Decode]] = {
    "text": text_bytes,
    "base64": base64_bytes,
    "hex": hex_bytes,
    "standard": standard_bytes,
}
"""How a secret is turned into the bytes of an HMAC's key."""


def keys(algorithm: str, secret: str, encoding: str, prefix: bytes) -> MakeKey:
    """Make keys for an algorithm, from such secrets, whose proofs are written in an encoding behind a prefix."""
    if algorithm == "token":
        return shown_keys(token_bytes, prefix)
    if algorithm == "ed25519":
        return ed25519_keys(encoding, prefix)
    return hmac_keys(SECRETS[secret], algorithm.removeprefix("hmac-"), WRITTEN[encoding], prefix)
