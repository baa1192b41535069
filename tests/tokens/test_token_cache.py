"""Cached access tokens: bound to their connection, or a miss."""

import os
import stat
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from support.records import NOW

from wizard.fastpath import cipher
from wizard.model import AccessToken
from wizard.paths import Paths
from wizard.tokens.token_cache import TokenCache
from wizard.vault import Vault

TOKEN = AccessToken("1000.access", NOW, "https://www.zohoapis.eu", "eu", "crm", 3, NOW, NOW)


@pytest.fixture
def cache(paths: Paths, vault: Vault) -> TokenCache:
    return TokenCache(paths, vault)


def test_a_token_is_read_as_it_was_stored(cache: TokenCache) -> None:
    cache.put(TOKEN)
    assert cache.get("crm") == TOKEN


def test_the_latest_token_replaces_the_previous_one(cache: TokenCache, paths: Paths) -> None:
    cache.put(TOKEN)
    later = replace(TOKEN, value="1000.later", expires_at=NOW + timedelta(hours=1))
    cache.put(later)
    assert cache.get("crm") == later
    assert len(os.listdir(paths.token_dir)) == 1


def test_a_removed_token_is_gone_and_removing_it_again_is_harmless(
    cache: TokenCache, paths: Paths
) -> None:
    cache.put(TOKEN)
    cache.remove("crm")
    cache.remove("crm")
    assert cache.get("crm") is None
    assert os.listdir(paths.token_dir) == []


def test_the_file_is_private_and_shows_no_token(cache: TokenCache, paths: Paths) -> None:
    before = os.umask(0)
    try:
        cache.put(TOKEN)
    finally:
        os.umask(before)
    path = Path(paths.token_file("crm"))
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert b"1000.access" not in path.read_bytes()


def test_a_changed_or_missing_byte_is_a_miss(cache: TokenCache, paths: Paths) -> None:
    cache.put(TOKEN)
    path = Path(paths.token_file("crm"))
    content = path.read_bytes()
    for at in range(len(content)):
        path.write_bytes(content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :])
        assert cache.get("crm") is None
        path.write_bytes(content[:at])
        assert cache.get("crm") is None


def test_a_file_of_another_connection_is_a_miss(cache: TokenCache, paths: Paths) -> None:
    cache.put(TOKEN)
    os.replace(paths.token_file("crm"), paths.token_file("desk"))
    assert cache.get("desk") is None


def test_a_file_of_another_key_is_a_miss(cache: TokenCache, paths: Paths, vault: Vault) -> None:
    cache.put(TOKEN)
    assert TokenCache(paths, Vault(cipher.new_key(), vault.key_storage)).get("crm") is None


def test_a_cache_that_cannot_be_written_does_not_prevent_serving_the_token(
    cache: TokenCache, paths: Paths
) -> None:
    os.rmdir(paths.token_dir)
    cache.put(TOKEN)
    assert cache.get("crm") is None
