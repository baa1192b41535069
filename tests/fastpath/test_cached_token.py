"""Which cached access tokens the fast path serves."""

import os
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from wizard.fastpath import commands, token_file
from wizard.model import AccessToken
from wizard.paths import Paths
from wizard.tokens.cached_tokens import TokenCache
from wizard.vault import Vault


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    return {"ZOHO_WIZARD_HOME": str(tmp_path / "home")}


def cache_token(
    paths: Paths, vault: Vault, seconds: float, name: str = "crm", issued: float = 0
) -> float:
    """Cache a token for ``name`` that expires in ``seconds`` and is refreshed five minutes earlier.

    It was ``issued`` that many seconds from now. Returns the current time.
    """
    now = float(int(time.time()))
    expires_at, issued_at = (datetime.fromtimestamp(now + each, UTC) for each in (seconds, issued))
    renew_at = expires_at - timedelta(minutes=5)
    token = AccessToken("1000.access", expires_at, "https://x", "eu", name, 1, renew_at, issued_at)
    TokenCache(paths, vault).put(token)
    return now


def served_token(
    name: str, environ: dict[str, str], now: float, min_ttl_seconds: int | None = None
) -> str | None:
    """What the fast path prints at ``now``; None if it takes the slow path."""
    found = commands.cached_token(name, environ, now, min_ttl_seconds)
    return found.access_token if found else None


def test_a_token_good_for_five_minutes_is_served(
    paths: Paths, vault: Vault, environ: dict[str, str]
) -> None:
    now = cache_token(paths, vault, 301)
    assert served_token("crm", environ, now) == "1000.access"


def test_a_token_must_live_as_long_as_requested(
    paths: Paths, vault: Vault, environ: dict[str, str]
) -> None:
    now = cache_token(paths, vault, 239)
    assert served_token("crm", environ, now, min_ttl_seconds=239) == "1000.access"
    assert served_token("crm", environ, now, min_ttl_seconds=240) is None
    assert served_token("crm", environ, now + 120, min_ttl_seconds=0) is None, "never below 120 s"
    assert served_token("crm", environ, now + 119, min_ttl_seconds=0) == "1000.access"


def test_a_token_good_for_less_than_four_minutes_takes_the_slow_path(
    paths: Paths, vault: Vault, environ: dict[str, str]
) -> None:
    now = cache_token(paths, vault, 239)
    assert served_token("crm", environ, now) is None


def test_a_token_issued_in_the_future_takes_the_slow_path_because_the_clock_was_set_back(
    paths: Paths, vault: Vault, environ: dict[str, str]
) -> None:
    now = cache_token(paths, vault, 3600, issued=61)
    assert served_token("crm", environ, now) is None
    assert commands.cached_token("crm", environ, now, accept_due=True) is None
    assert served_token("crm", environ, now + 1) == "1000.access"


def test_a_cached_token_whose_file_was_emptied_takes_the_slow_path(
    paths: Paths, vault: Vault, environ: dict[str, str]
) -> None:
    now = cache_token(paths, vault, 3600)
    os.truncate(paths.token_file("crm"), 0)
    assert served_token("crm", environ, now) is None


def test_a_forged_later_expiry_takes_the_slow_path(
    paths: Paths, vault: Vault, environ: dict[str, str]
) -> None:
    now = cache_token(paths, vault, 10)
    path = Path(paths.token_file("crm"))
    expiry, refresh, rest = path.read_bytes().split(b" ", 2)
    path.write_bytes(b"%d %d %b" % (int(expiry) + 3600, int(refresh) + 3600, rest))
    assert served_token("crm", environ, now) is None


def test_a_copy_of_a_shared_token_is_served_for_a_minute(
    paths: Paths, vault: Vault, environ: dict[str, str]
) -> None:
    now = cache_token(paths, vault, 3600)
    path, owner = Path(paths.token_file("crm")), paths.token_owner("crm")
    cached = token_file.unpack(vault.key, owner, path.read_bytes())
    copy = token_file.pack(vault.key, owner, cached, int(now))
    path.write_bytes(copy)
    assert served_token("crm", environ, now + 60) == "1000.access"
    for later in (61, -61):  # the clock may have been set back
        assert served_token("crm", environ, now + later) is None
        assert served_token("crm", environ, now + later, min_ttl_seconds=120) is None
        assert commands.cached_token("crm", environ, now + later, accept_due=True) is None
    path.write_bytes(copy.replace(b" %d\n" % now, b" %d\n" % (now + 60)))
    assert served_token("crm", environ, now + 61) is None, "the time is authenticated"


@pytest.mark.parametrize("name", ["desk", "", "../config/key", "a\x00b", "crm\n", "é" * 200])
def test_a_name_without_a_cached_token_takes_the_slow_path(
    paths: Paths, vault: Vault, environ: dict[str, str], name: str
) -> None:
    now = cache_token(paths, vault, 3600)
    assert served_token(name, environ, now) is None


def test_no_live_token_is_printed_for_a_program_that_trusts_a_simulator(
    paths: Paths, vault: Vault, environ: dict[str, str], capfd: pytest.CaptureFixture[str]
) -> None:
    cache_token(paths, vault, 3600)
    assert commands.execute(["token", "crm"], environ) == 0
    assert capfd.readouterr().out == "1000.access\n"
    under = {**environ, "SSL_CERT_FILE": "/tmp/x/zoho-simulator-authority.pem"}
    assert commands.execute(["token", "crm"], under) is None
    assert capfd.readouterr().out == ""


def test_without_a_key_file_the_slow_path_is_taken(
    paths: Paths, vault: Vault, environ: dict[str, str]
) -> None:
    now = cache_token(paths, vault, 3600)
    os.unlink(paths.key_file)
    assert served_token("crm", environ, now) is None


def test_a_simulator_never_serves_a_live_token(
    paths: Paths, vault: Vault, environ: dict[str, str]
) -> None:
    now = cache_token(paths, vault, 3600)
    pointed = {**environ, "ZOHO_WIZARD_SIMULATOR_URL": "http://127.0.0.1:8730"}
    assert served_token("crm", pointed, now) is None
