"""The window as a process of its own: found or not, private, and gone afterwards."""

import os
import re
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from core import ANNA, Core
from repairing import connect, states
from shell import Running, Shell

Screenless = Callable[..., Path]
ASSIST = ("reauthorize", "--all", "--assist", "--yes")


@pytest.fixture
def dead(shell: Shell, stored: Core) -> Core:
    """A connection that died with a password, and a wizard that knows."""
    connect(stored, "crm", stored.client())
    shell.sandbox.admin.change_password(ANNA)
    assert shell.run("check").code == 3
    return stored


def profiles(core: Core) -> list[Path]:
    directory = Path(core.house.home.browser_dir)
    return sorted(directory.iterdir()) if directory.exists() else []


def processes(shell: Shell) -> Iterator[Path]:
    """The wizard that was started last, and all that it has started."""
    waiting = [shell.under_way[-1].pid]
    while waiting:
        pid = waiting.pop()
        process = Path(f"/proc/{pid}")
        try:
            found = (process / "task" / str(pid) / "children").read_text()
        except OSError:  # it has ended meanwhile
            continue
        waiting += map(int, found.split())
        yield process


def browser_of(shell: Shell, core: Core) -> Path:
    """The browser's main process."""
    profile = f"--user-data-dir={core.house.home.profile_dir(ANNA)}"
    return next(
        each
        for each in processes(shell)
        if profile in (words := (each / "cmdline").read_text()) and "--type=" not in words
    )


def listening(shell: Shell) -> set[str]:
    """The addresses at which any of these processes listens, by their hexadecimal names."""
    own = set()
    for process in processes(shell):
        for descriptor in (process / "fd").glob("*"):
            try:
                own |= set(re.findall(r"socket:\[(\d+)\]", os.readlink(descriptor)))
            except OSError:
                continue
    rows = [
        line.split()
        for table in ("tcp", "tcp6")
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]
    ]
    return {row[1] for row in rows if row[3] == "0A" and row[9] in own}


def press_ctrl_c(shell: Shell) -> None:
    """Every process of the terminal's group hears it, Playwright's own among them."""
    group = os.getpgid(shell.under_way[-1].pid)
    for pid in [int(each.name) for each in processes(shell)]:
        if os.getpgid(pid) == group:
            os.kill(pid, signal.SIGINT)


def waiting(shell: Shell) -> Running:
    """A run that has opened its window and waits for the person."""
    running = shell.start(*ASSIST)
    running.see("Your turn, in the window: Sign in as anna")
    return running


def test_without_a_screen_or_a_browser_nothing_is_begun(shell: Shell, dead: Core) -> None:
    refused = shell.run(*ASSIST)
    assert refused.code == 1
    assert "There is no screen to open a window on" in refused.err
    assert "--no-browser" in refused.err
    assert states(dead) == {}
    refused = shell.run(*ASSIST, DISPLAY=":0", ZOHO_WIZARD_BROWSER="/nowhere/chromium")
    assert refused.code == 1
    assert "There is no program at /nowhere/chromium" in refused.err
    assert "apt install chromium" in refused.err
    refused = shell.run(*ASSIST, "--no-browser", DISPLAY=":0")
    assert refused.code == 2
    assert "--assist opens a window" in refused.err
    assert states(dead) == {}


@pytest.mark.slow
def test_a_browser_that_does_not_start_is_named(shell: Shell, dead: Core) -> None:
    refused = shell.run(*ASSIST, DISPLAY=":0", ZOHO_WIZARD_BROWSER="/bin/false")
    assert refused.code == 1
    assert "/bin/false said" in refused.err
    assert states(dead) == {"crm": "pending"}
    assert profiles(dead) == []


@pytest.mark.slow
def test_the_window_is_private_and_nothing_of_it_stays(
    shell: Shell, dead: Core, screenless: Screenless
) -> None:
    """Its profile is the owner's alone, nobody can talk to it, it inherits nothing of ours; and
    Ctrl-C, which every process of the terminal hears, ends it in order."""
    screenless()
    shell.environment |= {"DEBUG": "pw:*", "DEBUGP": "1", "ZOHO_CLIENT_SECRET": "not-for-children"}
    running = waiting(shell)
    (profile,) = profiles(dead)
    for directory in (profile, profile.parent):
        assert directory.stat().st_mode & 0o777 == 0o700
    assert listening(shell) == set()
    browser = browser_of(shell, dead)
    assert "--remote-debugging-pipe" in (browser / "cmdline").read_text()
    _, *children = processes(shell)
    assert browser in children
    assert not [each for each in children if "ZOHO_" in (each / "environ").read_text()]
    assert shell.run(*ASSIST).code == 4, "one window at a time"
    press_ctrl_c(shell)
    ended = running.end()
    assert ended.code == 1
    assert "zoho-wizard reauthorize --assist" in ended.err
    assert "fault" not in ended.err
    assert "SEND>" not in ended.out
    assert "pw:" not in ended.err, "what pages send, passwords too, is written down nowhere"
    assert profiles(dead) == []
    assert states(dead) == {"crm": "pending"}


@pytest.mark.slow
def test_a_browser_that_is_killed_ends_the_run_and_loses_nothing(
    shell: Shell, dead: Core, screenless: Screenless
) -> None:
    screenless()
    running = waiting(shell)
    os.kill(int(browser_of(shell, dead).name), signal.SIGKILL)
    ended = running.end()
    assert ended.code == 1
    assert "The assisted window was closed before the end" in ended.err
    assert profiles(dead) == []
    assert states(dead) == {"crm": "pending"}


@pytest.mark.slow
def test_what_a_killed_run_has_left_is_removed_by_the_next(
    shell: Shell, dead: Core, screenless: Screenless
) -> None:
    screenless()
    running = waiting(shell)
    running.end(signal.SIGKILL)
    assert profiles(dead) != []
    waiting(shell).end(signal.SIGTERM)
    assert profiles(dead) == []


@pytest.mark.slow
def test_what_a_killed_run_has_left_is_removed_by_whoever_serves_and_what_is_kept_stays(
    shell: Shell, dead: Core, screenless: Screenless
) -> None:
    """Somebody is signed in in it, and may never open an assisted window again."""

    def serve() -> None:
        serving = shell.start("serve")
        serving.see("The wizard serves")
        serving.end(signal.SIGTERM)

    screenless()
    waiting(shell).end(signal.SIGKILL)
    assert profiles(dead) != []
    serve()
    assert profiles(dead) == []
    running = shell.start(*ASSIST, "--keep-profile")
    running.see("Your turn")
    running.end(signal.SIGKILL)
    serve()
    assert profiles(dead) != []


@pytest.mark.slow
def test_a_profile_that_is_kept_stays_private(
    shell: Shell, dead: Core, screenless: Screenless
) -> None:
    screenless()
    running = shell.start(*ASSIST, "--keep-profile")
    running.see("Your turn")
    running.end(signal.SIGINT)
    (profile,) = profiles(dead)
    assert profile.stat().st_mode & 0o777 == 0o700
    assert f"{profile.parent}, where people are signed in" in shell.run("status").out
    waiting(shell).end(signal.SIGINT)
    assert profiles(dead) == [], "a run that does not keep them removes those that were kept"
    assert "signed in" not in shell.run("status").out
