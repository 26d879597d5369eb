"""HTTP Message Signatures, with another implementation as the judge."""

import base64
import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from http_message_signatures import HTTPMessageSigner, HTTPMessageVerifier, HTTPSignatureKeyResolver, algorithms
from multidict import CIMultiDict

from hookd.errors import SignatureError
from hookd.signing import Reason, scheme
from tests.signing.examples import BODY, NOW, SEED, SHARED, URL

RFC = scheme("rfc9421")
DIGEST = "sha-256=:" + base64.b64encode(hashlib.sha256(BODY).digest()).decode() + ":"
COVERED = ("@method", "@target-uri", "content-digest", "webhook-id")
ADDRESSES = [
    URL,
    "https://Example.com",
    "https://example.com:443/a?b=c",
    "http://example.com:81/?",
    URL + "?a=%C3%A9&b",
]


@dataclass
class Message:
    """A request as the judge takes it."""

    method: str
    url: str
    headers: Any


class Keys(HTTPSignatureKeyResolver):
    """The keys of the examples, whatever they are called."""

    def __init__(self, secret: str) -> None:
        self._secret = secret

    def resolve_private_key(self, key_id: str) -> Any:  # noqa: ARG002 - there is one key
        if self._secret == SHARED:
            return SHARED.encode()
        return Ed25519PrivateKey.from_private_bytes(bytes(range(32)))

    def resolve_public_key(self, key_id: str) -> Any:
        private = self.resolve_private_key(key_id)
        return private if isinstance(private, bytes) else private.public_key()


def algorithm(secret: str) -> Any:
    return algorithms.HMAC_SHA256 if secret == SHARED else algorithms.ED25519


def theirs(secret: str, url: str = URL, covered: tuple[str, ...] = COVERED, **more: Any) -> dict[str, str]:
    headers = CIMultiDict({"Content-Digest": DIGEST, "Webhook-Id": "evt_1", "X-Note": " a  b "})
    message = Message("POST", url, headers)
    signer = HTTPMessageSigner(signature_algorithm=algorithm(secret), key_resolver=Keys(secret))
    created = datetime.fromtimestamp(NOW, UTC)
    signer.sign(message, key_id="k", created=created, covered_component_ids=covered, use_existing_digest=True, **more)
    return dict(headers)


def reason(headers: dict[str, str], *, now: int = NOW, body: bytes = BODY, method: str = "POST") -> str:
    with pytest.raises(SignatureError) as caught:
        RFC.verify([SHARED], headers, body, now * 1000, url=URL, method=method)
    return caught.value.reason


@pytest.mark.parametrize("secret", [SHARED, SEED])
@pytest.mark.parametrize("url", ADDRESSES)
def test_they_accept_ours(secret: str, url: str) -> None:
    headers = CIMultiDict(RFC.sign([secret], BODY, "evt_1", NOW, url=url))
    judge = HTTPMessageVerifier(signature_algorithm=algorithm(secret), key_resolver=Keys(secret))
    [result] = judge.verify(Message("POST", url, headers), max_age=None)
    assert set(result.covered_components) == {f'"{name}"' for name in (*COVERED, "@signature-params")}
    assert headers["content-digest"] == DIGEST


@pytest.mark.parametrize("secret", [SHARED, SEED])
@pytest.mark.parametrize("url", ADDRESSES)
def test_we_accept_theirs(secret: str, url: str) -> None:
    covered = (*COVERED, "@authority", "@scheme", "@path", "@query", "@request-target", "x-note")
    verified = RFC.verify([secret], theirs(secret, url, covered), BODY, NOW * 1000, url=url)
    assert (verified.id, verified.timestamp, verified.type) == ("evt_1", NOW, "order.paid")


def test_an_id_is_the_same_with_the_spaces_around_it_that_a_signature_leaves_out() -> None:
    headers = CIMultiDict(theirs(SHARED))
    headers["Webhook-Id"] = " evt_1\t"
    assert RFC.verify([SHARED], headers, BODY, NOW * 1000, url=URL).id == "evt_1"


def test_the_id_counts_where_it_is_signed() -> None:
    assert RFC.verify([SHARED], theirs(SHARED, covered=("content-digest",)), BODY, NOW * 1000, url=URL).id is None


def test_the_body_has_to_be_covered_and_the_digest_its_own() -> None:
    assert reason(theirs(SHARED, covered=("@method", "webhook-id"))) == Reason.MALFORMED_HEADER
    assert reason(theirs(SHARED), body=BODY + b" ") == Reason.SIGNATURE_MISMATCH
    assert reason(theirs(SHARED) | {"Content-Digest": "md5=:AA==:"}) == Reason.SIGNATURE_MISMATCH


def test_what_is_covered_can_not_be_changed() -> None:
    assert reason(theirs(SHARED), method="PUT") == Reason.SIGNATURE_MISMATCH
    assert reason(theirs(SHARED) | {"Webhook-Id": "evt_2"}) == Reason.SIGNATURE_MISMATCH
    headers = theirs(SHARED)
    del headers["Webhook-Id"]
    assert reason(headers) == Reason.MISSING_HEADER


def test_created_and_expires() -> None:
    assert reason(theirs(SHARED), now=NOW + 301) == Reason.TIMESTAMP_TOO_OLD
    assert reason(theirs(SHARED), now=NOW - 301) == Reason.TIMESTAMP_TOO_NEW
    short = theirs(SHARED, expires=datetime.fromtimestamp(NOW + 10, UTC))
    assert RFC.verify([SHARED], short, BODY, (NOW + 10) * 1000, url=URL).id == "evt_1"
    assert reason(short, now=NOW + 11) == Reason.TIMESTAMP_TOO_OLD
    for removed in (f";created={NOW}", f"created={NOW}"):
        headers = theirs(SHARED)
        headers["Signature-Input"] = headers["Signature-Input"].replace(removed, ";x=1")
        assert reason(headers) in (Reason.MISSING_TIMESTAMP, Reason.MALFORMED_HEADER)


def test_an_algorithm_is_bound_to_its_key(monkeypatch: pytest.MonkeyPatch) -> None:
    assert RFC.verify([SHARED], theirs(SHARED, include_alg=False), BODY, NOW * 1000, url=URL).id == "evt_1"
    monkeypatch.setattr(algorithms.HMAC_SHA256, "algorithm_id", "ed25519")
    assert reason(theirs(SHARED)) == Reason.SIGNATURE_MISMATCH


@pytest.mark.parametrize(
    "components",
    [
        '"@query-param";name="a"',
        '"content-digest";sf',
        '"@status"',
        '"content-digest" "content-digest"',
        "content-digest",
    ],
)
def test_components_that_are_not_known_are_refused(components: str) -> None:
    given = f'sig1=("content-digest" {components});created={NOW}'
    headers = {"Content-Digest": DIGEST, "Signature-Input": given, "Signature": "sig1=:AAAA:"}
    assert reason(headers) == Reason.MALFORMED_HEADER


def test_a_name_that_is_long_is_not_repeated_as_a_whole() -> None:
    headers = theirs(SHARED)
    headers["Signature-Input"] = f'pyhms=("{"a" * 8000}" "content-digest");created={NOW}'
    with pytest.raises(SignatureError, match=r"^aaa.* is signed, but missing$") as refused:
        RFC.verify([SHARED], headers, BODY, NOW * 1000, url=URL)
    assert len(str(refused.value)) < 200


def test_a_good_signature_beside_another_senders() -> None:
    headers, other = theirs(SHARED), theirs(SEED, label="other")
    both = headers | {name: f"{other[name]}, {headers[name]}" for name in ("Signature", "Signature-Input")}
    assert RFC.verify([SHARED], both, BODY, NOW * 1000, url=URL).id == "evt_1"
