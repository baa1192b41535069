"""Cached access tokens: served, refreshed early, served stale while Zoho is down."""

import os
import stat
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from support.harness import Harness
from support.records import NOW
from support.tokens import current_grant, seconds_left, token_failure

from wizard.fastpath import cipher
from wizard.model import AccessToken, GrantState
from wizard.paths import Paths
from wizard.tokens.cached_tokens import TokenCache
from wizard.vault import Vault


def test_a_valid_token_is_served_again_without_a_request(harness: Harness) -> None:
    harness.add_verified_connection()
    before = len(harness.refresh_requests())
    tokens = {harness.services.tokens.access_token("crm").value for _ in range(20)}
    assert len(tokens) == 1
    assert len(harness.refresh_requests()) == before


def test_a_token_is_refreshed_five_minutes_before_its_expiry_and_a_minute_at_most_later(
    harness: Harness,
) -> None:
    harness.add_verified_connection()
    first = harness.services.tokens.access_token("crm")
    harness.advance(seconds=seconds_left(harness, first) - 301)
    assert harness.services.tokens.access_token("crm").value == first.value
    tries_left = (
        os.getpid() % 61
    )  # each process has its own, so that they don't all refresh at once
    harness.advance(seconds=tries_left + 2)
    second = harness.services.tokens.access_token("crm")
    assert second.value != first.value
    assert seconds_left(harness, second) > 3500
    assert not second.stale


def test_a_caller_may_require_a_longer_lifetime(harness: Harness) -> None:
    harness.add_verified_connection()
    first = harness.services.tokens.access_token("crm")
    harness.advance(minutes=40)
    assert harness.services.tokens.access_token("crm").value == first.value
    assert harness.services.tokens.access_token("crm", min_ttl=1800).value != first.value


def test_a_fresh_token_is_requested_at_most_once_a_minute(harness: Harness) -> None:
    harness.add_verified_connection()
    first = harness.services.tokens.access_token("crm")
    harness.advance(seconds=61)
    second = harness.services.tokens.access_token("crm", force_refresh=True)
    assert second.value != first.value
    assert harness.services.tokens.access_token("crm", force_refresh=True).value == second.value


def test_while_zoho_is_down_a_token_is_served_stale_while_it_is_safe(harness: Harness) -> None:
    harness.add_verified_connection()
    first = harness.services.tokens.access_token("crm")
    harness.controls.inject_fault("data-center-down", endpoint="oauth/v2/token", times=100)
    harness.advance(seconds=seconds_left(harness, first) - 200)
    served = harness.services.tokens.access_token("crm")
    assert served.value == first.value
    assert served.stale
    harness.advance(seconds=81)
    down = token_failure(harness)
    assert down.code == "data-center-down"
    assert down.temporary
    harness.controls.clear_faults()
    assert not harness.services.tokens.access_token("crm").stale
    assert current_grant(harness).state is GrantState.VERIFIED


def test_a_permanent_refusal_is_raised_although_a_usable_token_is_left(harness: Harness) -> None:
    grant = harness.add_verified_connection()
    harness.advance(minutes=57)
    assert harness.services.tokens.cached_token(grant) is not None
    harness.controls.delete_client(grant.client_id)
    assert token_failure(harness).code == "invalid-client"


def test_no_token_is_served_with_less_than_two_minutes(harness: Harness) -> None:
    harness.add_verified_connection()
    first = harness.services.tokens.access_token("crm")
    harness.advance(seconds=seconds_left(harness, first) - 119)
    assert seconds_left(harness, harness.services.tokens.access_token("crm", min_ttl=0)) > 3500


def test_a_token_without_a_lifetime_from_zoho_is_refreshed_at_half_of_it(harness: Harness) -> None:
    harness.controls.change_settings(access_token_lifetime_seconds=300)
    harness.add_verified_connection()
    first = harness.services.tokens.access_token("crm")
    assert first.refresh_at is not None
    # Half, minus the response time: the lifetime counts from the request.
    assert 120 < (first.expires_at - first.refresh_at).total_seconds() <= 150
    assert harness.services.tokens.access_token("crm").value == first.value


def test_a_token_of_a_grant_replaced_meanwhile_is_not_cached(harness: Harness) -> None:
    late = harness.add_verified_connection()
    token = harness.services.tokens.refresh_grant(late)
    harness.verify("crm", harness.authorize("crm").generation or 0)
    harness.services.tokens.cache_access_token(late, token)
    cached = harness.services.token_cache.get("crm")
    assert cached is not None
    assert cached.generation == current_grant(harness).generation == 2
    assert cached.value != token.access_token


def test_a_token_of_a_grant_rejected_meanwhile_is_not_cached(harness: Harness) -> None:
    grant = harness.add_verified_connection()
    token = harness.services.tokens.refresh_grant(grant)
    harness.services.tokens.revoke(grant)
    harness.services.tokens.cache_access_token(grant, token)
    assert harness.services.token_cache.get("crm") is None


def test_the_cached_token_of_a_different_grant_is_not_served(harness: Harness) -> None:
    grant = harness.add_verified_connection()
    assert harness.services.tokens.cached_token(grant) is not None
    assert harness.services.tokens.cached_token(replace(grant, generation=2)) is None


def test_a_connection_without_a_verified_grant_has_no_token(harness: Harness) -> None:
    harness.add_connection()
    assert token_failure(harness).code == "no-grant"
    harness.authorize("crm")
    assert token_failure(harness).code == "not-verified"
    assert token_failure(harness, "crn").code == "unknown-connection"


def test_a_script_that_requests_a_fresh_token_a_hundred_times_a_minute_gets_one(
    harness: Harness,
) -> None:
    harness.add_verified_connection()
    harness.advance(minutes=11)
    harness.controls.clear_journal()
    tokens = set()
    for _ in range(100):
        tokens.add(harness.services.tokens.access_token("crm", force_refresh=True).value)
        harness.advance(seconds=0.5)
    assert len(tokens) == len(harness.refresh_requests()) == 1


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
