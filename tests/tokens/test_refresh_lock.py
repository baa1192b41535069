"""New `token NAME` commands wait for the lock before they import slow modules."""

import os
import subprocess
import sys
import time
from dataclasses import replace
from datetime import timedelta

import pytest
from filelock import FileLock
from support.harness import Harness

from wizard.model import AccessToken

pytestmark = pytest.mark.local_store

PRINT_LOADED_MODULES = """
import atexit, sys
from wizard.__main__ import main
sys.argv = ["zoho-wizard", "token", "crm"]
atexit.register(lambda: print(*sys.modules, file=sys.stderr))
main()
"""
EXPENSIVE_MODULES = {
    "click",
    "sqlalchemy",
    "sqlite3",
    "json",
    "wizard.cli",
    "wizard.store",
    "wizard.model",
}
PROCESS_TIMEOUT_SECONDS = 120


def command(harness: Harness, *arguments: str, **session: str) -> subprocess.Popen[str]:
    """A process of its own with only this data and the session's variables."""
    environment = {
        "PATH": os.defpath,
        "ZOHO_WIZARD_HOME": str(harness.directory / "home"),
        "ZOHO_WIZARD_SIMULATOR_URL": harness.simulator.url,
        **session,
    }
    return subprocess.Popen(
        [sys.executable, *arguments],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.fixture
def crm(harness: Harness) -> Harness:
    """A verified connection in the data directory that the commands use."""
    harness.add_verified_connection()
    home = harness.directory / "home"
    for part in ("data", "config"):
        (home / part).mkdir(parents=True)
        (harness.directory / part).rename(home / part / "simulator")
        (harness.directory / part).symlink_to(home / part / "simulator")
    harness.controls.clear_journal()
    return harness


def cache_token(harness: Harness, seconds: float) -> AccessToken:
    """Cache a token that is due for a refresh and expires in `seconds`."""
    token = harness.services.tokens.access_token("crm")
    ends = harness.now() + timedelta(seconds=seconds)
    due = replace(token, expires_at=ends, refresh_at=harness.now() - timedelta(hours=1))
    harness.services.token_cache.put(due)
    return due


@pytest.mark.slow
def test_many_fresh_commands_at_the_moment_of_expiry_make_one_refresh(crm: Harness) -> None:
    cache_token(crm, 10)
    crm.controls.inject_fault("slow", endpoint="oauth/v2/token", seconds=0.5)
    started = [command(crm, "-m", "wizard", "token", "crm") for _ in range(8)]
    ended = [
        (process.communicate(timeout=PROCESS_TIMEOUT_SECONDS), process.returncode)
        for process in started
    ]
    assert {code for _, code in ended} == {0}, ended
    assert len({out for (out, _), _ in ended}) == 1
    assert len(crm.refresh_requests()) == 1


def test_processes_of_different_sessions_make_one_refresh(crm: Harness) -> None:
    cache_token(crm, 10)
    crm.controls.inject_fault("slow", endpoint="oauth/v2/token", seconds=2)
    own = {name: str(crm.directory / name) for name in ("XDG_RUNTIME_DIR", "XDG_CACHE_HOME")}
    sessions: list[dict[str, str]] = [own, {}]
    started = [command(crm, "-m", "wizard", "token", "crm", **each) for each in sessions]
    (one, _), (other, _) = (each.communicate(timeout=PROCESS_TIMEOUT_SECONDS) for each in started)
    assert one == other != ""
    assert len(crm.refresh_requests()) == 1


def test_waiting_for_the_refresh_of_another_process_imports_no_slow_module(crm: Harness) -> None:
    expired = cache_token(crm, 10)
    with FileLock(crm.services.paths.lock_file("crm")):
        waiting = command(crm, "-c", PRINT_LOADED_MODULES)
        with pytest.raises(subprocess.TimeoutExpired):
            waiting.communicate(timeout=1)
        brought = replace(expired, value="1000.brought", expires_at=crm.now() + timedelta(hours=1))
        crm.services.token_cache.put(replace(brought, refresh_at=brought.expires_at))
        out, modules = waiting.communicate(timeout=PROCESS_TIMEOUT_SECONDS)
    assert out == "1000.brought\n"
    assert not EXPENSIVE_MODULES & set(modules.split())


def test_a_token_that_is_still_safe_is_printed_at_once_while_another_refreshes(
    crm: Harness,
) -> None:
    due = cache_token(crm, 200)
    with FileLock(crm.services.paths.lock_file("crm")):
        begun = time.monotonic()
        out, modules = command(crm, "-c", PRINT_LOADED_MODULES).communicate(
            timeout=PROCESS_TIMEOUT_SECONDS
        )
        assert time.monotonic() - begun < 30
    assert out == f"{due.value}\n"
    assert not EXPENSIVE_MODULES & set(modules.split())


def test_the_process_with_the_lock_refreshes_and_then_releases_it(crm: Harness) -> None:
    due = cache_token(crm, 200)
    first, _ = command(crm, "-m", "wizard", "token", "crm").communicate(
        timeout=PROCESS_TIMEOUT_SECONDS
    )
    second, _ = command(crm, "-m", "wizard", "token", "crm").communicate(
        timeout=PROCESS_TIMEOUT_SECONDS
    )
    assert first == second != f"{due.value}\n"
    assert len(crm.refresh_requests()) == 1
