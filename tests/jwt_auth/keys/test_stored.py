"""Copies of keys: what they hold, and which are refused."""

from __future__ import annotations

import json

import pytest

from tests.jwt_auth.tokens import private_key, public_jwk
from vault_jwt_plugin.jwt_auth.fetching.trust import Trust
from vault_jwt_plugin.jwt_auth.jose.jwks import UnusableKey, parse_key_set
from vault_jwt_plugin.jwt_auth.keys.documents import FetchedKeys
from vault_jwt_plugin.jwt_auth.keys.stored import (
    MAX_ENTRY_BYTES,
    Origin,
    StoredKeys,
    StoredKeysError,
)

ORIGIN = Origin(kind="jwks", url="https://issuer/keys", trust=Trust(ca_pem="CA"))
JWK = public_jwk(private_key("ES256"), kid="a")


def keys_of(*jwks, fetched_at=1_700_000_000.5, max_age_s=None):
    fetched = FetchedKeys(
        key_set=parse_key_set({"keys": list(jwks)}), digest=b"\1" * 32, max_age_s=max_age_s
    )
    return StoredKeys(fetched=fetched, fetched_at=fetched_at)


def changed(**members):
    """A good entry with members replaced; `...` leaves one out."""
    entry = json.loads(keys_of(JWK, {"kty": "oct"}).to_stored(ORIGIN)) | members
    return json.dumps({name: each for name, each in entry.items() if each is not ...}).encode()


def test_a_round_trip_keeps_all_that_is_used():
    before = keys_of(JWK | {"use": "sig"}, {"kty": "oct"}, max_age_s=60)
    raw = before.to_stored(ORIGIN)
    after = StoredKeys.from_stored(raw, ORIGIN)
    assert [(key.kid, key.kind) for key in after.fetched.key_set.keys] == [("a", "P-256")]
    assert after.fetched.key_set.unusable == (
        UnusableKey(position=2, reason="it is symmetric (oct): whoever reads the set could sign"),
    )
    assert (after.fetched.digest, after.fetched.max_age_s) == (b"\1" * 32, 60)
    # Whole seconds, and never younger than it is.
    assert after.fetched_at == 1_700_000_000
    assert after.content == before.content
    assert after.to_stored(ORIGIN) == raw


def test_what_is_stored():
    assert json.loads(keys_of(JWK | {"use": "sig"}).to_stored(ORIGIN)) == {
        "format": 1,
        "kind": "jwks",
        "url": "https://issuer/keys",
        "origin_sha256": ORIGIN.fingerprint,
        "fetched_at": 1_700_000_000,
        "max_age": None,
        "document_sha256": "01" * 32,
        "keys": [JWK],
        "unusable": [],
    }


def test_an_empty_set_is_a_set():
    after = StoredKeys.from_stored(keys_of().to_stored(ORIGIN), ORIGIN)
    assert after.fetched.key_set.keys == ()


def test_content_is_of_the_keys_not_of_the_document():
    assert keys_of(JWK).content == keys_of(JWK | {"alg": "ES256"}, fetched_at=1).content
    assert keys_of(JWK).content != keys_of(JWK | {"kid": "b"}).content
    assert keys_of(JWK).content != keys_of(JWK, {"kty": "oct"}).content


def test_the_storage_key():
    assert ORIGIN.storage_key == "key_source/" + ORIGIN.fingerprint
    # Pinned: another fingerprint would orphan what is stored.
    # printf '["jwks","https://issuer/keys","CA"]' | sha256sum
    assert ORIGIN.fingerprint == (
        "c4ead8bfee39e353de094e8d8288782092a1f47ce4732a60c15ecfe316737144"
    )


@pytest.mark.parametrize(
    "other",
    [
        Origin(kind="discovery", url=ORIGIN.url, trust=ORIGIN.trust),
        Origin(kind="jwks", url="https://issuer/other", trust=ORIGIN.trust),
        Origin(kind="jwks", url=ORIGIN.url),
        Origin(
            kind="jwks",
            url=ORIGIN.url,
            trust=Trust(ca_pem="CA", server_names=("a", "b")),
        ),
        Origin(
            kind="jwks",
            url=ORIGIN.url,
            trust=Trust(ca_pem="CA", critical_extensions=("1.2",)),
        ),
    ],
    ids=["kind", "url", "ca", "names", "extensions"],
)
def test_keys_of_another_origin(other):
    assert other.storage_key != ORIGIN.storage_key
    with pytest.raises(StoredKeysError, match="they are of another source"):
        StoredKeys.from_stored(keys_of(JWK).to_stored(ORIGIN), other)


@pytest.mark.parametrize(
    ("raw", "problem"),
    [
        (b"", "not JSON at character 0: Expecting value"),
        (b"[]", "they have another format"),
        (changed(format=2), "they have another format"),
        (changed(url="https://elsewhere/"), "they are of another source"),
        (changed(kind=["jwks"]), "they are of another source"),
        (changed(origin_sha256=...), "they are of another source"),
        (changed(fetched_at="1"), "a member is missing or of another kind"),
        (changed(fetched_at=True), "a member is missing or of another kind"),
        (changed(fetched_at=None), "a member is missing or of another kind"),
        (changed(fetched_at=...), "a member is missing or of another kind"),
        (changed(max_age="1"), "a member is missing or of another kind"),
        (changed(max_age=10**400), "a member is missing or of another kind"),
        (changed(fetched_at=10**400), "a member is missing or of another kind"),
        (changed(keys={}), "a member is missing or of another kind"),
        (changed(unusable=3), "a member is missing or of another kind"),
        (changed(unusable=[1]), "a member is missing or of another kind"),
        (changed(document_sha256="zz"), "a member is missing or of another kind"),
        (changed(document_sha256=1), "a member is missing or of another kind"),
        (b" " * (MAX_ENTRY_BYTES + 1), "they are larger than any that are written"),
    ],
    ids=[
        "not-json",
        "list",
        "format",
        "url",
        "kind",
        "origin",
        "fetched-at-text",
        "fetched-at-boolean",
        "fetched-at-null",
        "fetched-at-missing",
        "max-age-text",
        "max-age-huge",
        "fetched-at-huge",
        "keys",
        "unusable-number",
        "unusable-member",
        "sha256-not-hex",
        "sha256-number",
        "too-large",
    ],
)
def test_entries_that_are_refused(raw, problem):
    with pytest.raises(StoredKeysError) as refused:
        StoredKeys.from_stored(raw, ORIGIN)
    assert str(refused.value) == problem


def test_a_key_that_is_no_longer_usable_is_skipped():
    entry = changed(keys=[JWK, {"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA"}], unusable=[])
    key_set = StoredKeys.from_stored(entry, ORIGIN).fetched.key_set
    assert [key.kid for key in key_set.keys] == ["a"]
    assert [each.position for each in key_set.unusable] == [2]
