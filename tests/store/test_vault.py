"""The encryption itself: what was encrypted comes back, and nothing else does, whatever is done to it."""

import os
from base64 import b64decode, b64encode
from dataclasses import replace
from typing import Any

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given
from hypothesis import strategies as st

from hookd.errors import StartError, Unavailable
from hookd.model import Endpoint, PreviousSecret
from hookd.store.rows import SECRETS, endpoint, endpoint_row
from hookd.store.vault import PLAIN, Vault
from tests.nouns import ENDPOINT, NEW_KEY, OLD_KEY, OTHER_KEY

KEYS = (NEW_KEY, OLD_KEY, OTHER_KEY)
PLACE = "secret of the endpoint ep_1"
BASE64 = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/="

texts = st.text(st.characters(exclude_categories=["Cs"]))
orders = st.permutations(KEYS)


def vault(*keys: bytes) -> Vault:
    return Vault(keys, os.urandom)


@given(texts, orders, orders)
def test_what_one_key_encrypted_is_decrypted_whatever_the_order_of_the_keys(
    text: str, before: list[bytes], after: list[bytes]
) -> None:
    first = vault(*before).first
    assert vault(*after).cipher(first.id).decrypt(first.encrypt(text, PLACE), PLACE) == text


@given(orders)
def test_the_first_key_encrypts(order: list[bytes]) -> None:
    assert vault(*order).first.id == vault(order[0]).first.id
    assert len({vault(key).first.id for key in order} | {PLAIN.first.id}) == len(order) + 1


@given(texts, st.data())
def test_any_byte_that_is_changed_is_noticed(text: str, data: st.DataObject) -> None:
    cipher = vault(NEW_KEY).first
    sealed = bytearray(b64decode(cipher.encrypt(text, PLACE)))
    sealed[data.draw(st.integers(0, len(sealed) - 1))] ^= data.draw(st.integers(1, 255))
    with pytest.raises(Unavailable):
        cipher.decrypt(b64encode(sealed).decode(), PLACE)


@given(texts, st.data())
def test_any_character_that_is_changed_is_noticed(text: str, data: st.DataObject) -> None:
    cipher = vault(NEW_KEY).first
    stored = cipher.encrypt(text, PLACE)
    place = data.draw(st.integers(0, len(stored) - 1))
    other = data.draw(st.sampled_from(BASE64 + "-_\n é").filter(lambda letter: letter != stored[place]))
    with pytest.raises(Unavailable):
        cipher.decrypt(stored[:place] + other + stored[place + 1 :], PLACE)


@pytest.mark.parametrize("text", ["", "a", "ab"])
def test_a_ciphertext_has_one_form(text: str) -> None:
    """Base64 leaves bits unused at its end, and some decoders skip what they do not know."""
    cipher = vault(NEW_KEY).first
    stored = cipher.encrypt(text, PLACE)
    bare = stored.rstrip("=")
    padding = stored[len(bare) :]
    others = {bare[:-1] + last + padding for last in BASE64} | {
        stored + "\n",
        f" {stored}",
        bare + "====",
        stored + "A",
    }
    for other in others - {stored}:
        with pytest.raises(Unavailable):
            cipher.decrypt(other, PLACE)


@given(st.text())
def test_what_was_never_encrypted_is_not_decrypted(text: str) -> None:
    with pytest.raises(Unavailable):
        vault(NEW_KEY).first.decrypt(text, PLACE)


@given(texts, st.integers(0, 200))
def test_a_ciphertext_that_is_cut_short_is_not_decrypted(text: str, length: int) -> None:
    cipher = vault(NEW_KEY).first
    stored = cipher.encrypt(text, PLACE)
    with pytest.raises(Unavailable):
        cipher.decrypt(stored[: min(length, len(stored) - 1)], PLACE)


def test_it_is_aes_256_gcm_with_the_randomness_that_is_passed_in() -> None:
    nonces = iter([b"1" * 12, b"2" * 12])
    cipher = Vault((NEW_KEY,), lambda count: next(nonces)[:count]).first
    for nonce in (b"1" * 12, b"2" * 12):
        sealed = b64decode(cipher.encrypt("text", PLACE))
        assert sealed == nonce + AESGCM(NEW_KEY).encrypt(nonce, b"text", PLACE.encode())


def test_the_same_text_is_never_encrypted_to_the_same() -> None:
    cipher = vault(NEW_KEY).first
    assert len({cipher.encrypt("text", PLACE) for _ in range(100)}) == 100


# A row.

SECRETIVE = replace(
    ENDPOINT,
    token="find-me-1",
    secret="find-me-2",
    previous_secrets=(PreviousSecret("find-me-3", 5),),
    headers={"X-Own": "find-me-4"},
)

tokens = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1)
endpoints = st.builds(
    lambda token, secret, previous, headers: replace(
        ENDPOINT,
        token=token,
        secret=secret,
        previous_secrets=tuple(PreviousSecret(old, at) for old, at in previous),
        headers=headers,
    ),
    st.none() | tokens,
    tokens,
    st.lists(st.tuples(tokens, st.integers(0, 1 << 50)), max_size=3),
    st.dictionaries(tokens, tokens, max_size=3),
)


COLUMNS = (
    *("id", "tenant", "url", "event_types", "description", "scheme", *SECRETS, "max_in_flight", "timeout", "retry"),
    *("metadata", "state", "state_reason", "state_since", "failing_since", "failing_attempts", "created_at"),
    *("updated_at", "key_id", "rate_limit", "ordered", "opened_at", "openings", "blocked_until", "told_failing"),
    *("filter", "format"),
)
"""The columns of `endpoints.read`."""


def read(stored: dict[str, Any], by: Vault) -> Endpoint:
    return endpoint([stored[column] for column in COLUMNS], by)


@given(endpoints, orders)
def test_an_endpoint_comes_back_whatever_its_secrets_are(made: Endpoint, order: list[bytes]) -> None:
    for writer in (vault(*order), PLAIN):
        assert read(endpoint_row(made, writer), vault(*KEYS)) == made


def test_a_row_shows_nothing_secret() -> None:
    assert repr(endpoint_row(SECRETIVE, PLAIN)).count("find-me") == 4
    assert "find-me" not in repr(endpoint_row(SECRETIVE, vault(NEW_KEY)))


def test_a_secret_that_looks_like_a_ciphertext_is_a_secret() -> None:
    imitation = endpoint_row(SECRETIVE, vault(NEW_KEY))["secret"]
    made = replace(SECRETIVE, secret=imitation, token=imitation)
    for writer in (PLAIN, vault(NEW_KEY)):
        assert read(endpoint_row(made, writer), vault(NEW_KEY)) == made


@pytest.mark.parametrize("column", SECRETS)
def test_a_ciphertext_of_another_row_is_refused(column: str) -> None:
    here, there = (endpoint_row(replace(SECRETIVE, id=name), vault(NEW_KEY)) for name in ("ep_1", "ep_2"))
    here[column] = there[column]
    with pytest.raises(Unavailable, match=f"{column} of the endpoint ep_1"):
        read(here, vault(NEW_KEY))


@pytest.mark.parametrize("column", SECRETS)
@pytest.mark.parametrize("other", SECRETS)
def test_a_ciphertext_of_another_column_is_refused(column: str, other: str) -> None:
    stored = endpoint_row(SECRETIVE, vault(NEW_KEY))
    moved = stored | {column: stored[other]}
    if column == other:
        assert read(moved, vault(NEW_KEY)) == SECRETIVE
    else:
        with pytest.raises(Unavailable):
            read(moved, vault(NEW_KEY))


def test_a_key_that_is_not_there_is_named_and_not_guessed() -> None:
    stored = endpoint_row(SECRETIVE, vault(OLD_KEY))
    for without in (vault(NEW_KEY, OTHER_KEY), PLAIN):
        with pytest.raises(Unavailable, match=rf"\[store\] keys: .* key {vault(OLD_KEY).first.id}, "):
            read(stored, without)


# At the start.


def test_every_key_that_is_in_use_has_to_be_there() -> None:
    used = ["", vault(NEW_KEY).first.id, vault(OLD_KEY).first.id]
    vault(OLD_KEY, NEW_KEY).expect(used)
    PLAIN.expect([""])
    for lacking in (vault(NEW_KEY), PLAIN):
        with pytest.raises(StartError, match=rf"^\[store\] keys: .*{used[2]}"):
            lacking.expect([used[2], ""])


def test_no_error_and_no_repr_tells_a_key_or_a_secret() -> None:
    said = [repr(vault(NEW_KEY)), repr(vars(vault(NEW_KEY))), repr(vault(NEW_KEY).first), repr(SECRETIVE)]
    stored = endpoint_row(SECRETIVE, vault(NEW_KEY))
    for faulty, by in ((stored, PLAIN), (stored | {"secret": stored["token"]}, vault(NEW_KEY))):
        with pytest.raises(Unavailable) as caught:
            read(faulty, by)
        said += [str(caught.value), repr(caught.value.__context__)]
    for text in said:
        assert "find-me" not in text
        for shape in (NEW_KEY.hex(), b64encode(NEW_KEY).decode(), repr(NEW_KEY)[2:-1], stored["token"]):
            assert shape not in text
