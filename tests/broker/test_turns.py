"""Fresh `token NAME` commands take turns before they import anything dear."""

import os
import subprocess
import sys
import time
from dataclasses import replace
from datetime import timedelta

import pytest
from core import Core
from filelock import FileLock

from wizard.model import AccessToken

LISTENING = """
import sys
from wizard.__main__ import main
sys.argv = ["zoho-wizard", "token", "crm"]
code = main()
sys.stderr.write(" ".join(sys.modules))
sys.exit(code)
"""
DEAR = {"click", "sqlalchemy", "sqlite3", "json", "wizard.cli", "wizard.store", "wizard.model"}
PATIENCE = 120


def command(core: Core, *arguments: str) -> subprocess.Popen[str]:
    """A process of its own that knows only this home."""
    environment = {
        "PATH": os.defpath,
        "ZOHO_WIZARD_HOME": str(core.directory / "home"),
        "ZOHO_WIZARD_ZOHO": core.sandbox.url,
    }
    return subprocess.Popen(
        [sys.executable, *arguments],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.fixture
def crm(core: Core) -> Core:
    """A proved connection whose home is where commands look for it."""
    core.proved()
    home = core.directory / "home"
    for part in ("data", "config"):
        (home / part).mkdir(parents=True)
        (core.directory / part).rename(home / part / "sandbox")
        (core.directory / part).symlink_to(home / part / "sandbox")
    core.admin.clear_journal()
    return core


def cache(core: Core, seconds: float) -> AccessToken:
    """Cache a token that is due for renewal and ends in `seconds`."""
    token = core.house.broker.access_token("crm")
    ends = core.now() + timedelta(seconds=seconds)
    due = replace(token, expires_at=ends, renew_at=core.now() - timedelta(hours=1))
    core.house.cache.put(due)
    return due


def test_many_fresh_commands_at_the_moment_of_expiry_make_one_refresh(crm: Core) -> None:
    cache(crm, 10)
    crm.admin.fault("slow", endpoint="oauth/v2/token", seconds=0.5)
    started = [command(crm, "-m", "wizard", "token", "crm") for _ in range(8)]
    ended = [(process.communicate(timeout=PATIENCE), process.returncode) for process in started]
    assert {code for _, code in ended} == {0}, ended
    assert len({out for (out, _), _ in ended}) == 1
    assert len(crm.refreshes()) == 1


def test_who_waits_for_anothers_refresh_imports_nothing_dear(crm: Core) -> None:
    expired = cache(crm, 10)
    with FileLock(crm.house.home.lock_file("crm")):
        waiting = command(crm, "-c", LISTENING)
        with pytest.raises(subprocess.TimeoutExpired):
            waiting.communicate(timeout=1)
        brought = replace(expired, value="1000.brought", expires_at=crm.now() + timedelta(hours=1))
        crm.house.cache.put(replace(brought, renew_at=brought.expires_at))
        out, modules = waiting.communicate(timeout=PATIENCE)
    assert out == "1000.brought\n"
    assert not DEAR & set(modules.split())


def test_while_another_refreshes_a_token_that_is_still_safe_is_printed_at_once(crm: Core) -> None:
    due = cache(crm, 200)
    with FileLock(crm.house.home.lock_file("crm")):
        begun = time.monotonic()
        out, modules = command(crm, "-c", LISTENING).communicate(timeout=PATIENCE)
        assert time.monotonic() - begun < 30
    assert out == f"{due.value}\n"
    assert not DEAR & set(modules.split())


def test_whose_turn_it_is_refreshes_and_lets_the_next_one_go_on(crm: Core) -> None:
    due = cache(crm, 200)
    first, _ = command(crm, "-m", "wizard", "token", "crm").communicate(timeout=PATIENCE)
    second, _ = command(crm, "-m", "wizard", "token", "crm").communicate(timeout=PATIENCE)
    assert first == second != f"{due.value}\n"
    assert len(crm.refreshes()) == 1
