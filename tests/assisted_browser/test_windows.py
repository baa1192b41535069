"""The window as a separate process: found or not, private, and removed afterward."""

import os
import re
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support.harness import ANNA, Harness
from support.reauthorization import add_verified_connection, item_states
from support.shell import RunningCommand, Shell

HeadlessBrowser = Callable[..., Path]
ASSIST = ("reauthorize", "--all", "--assist", "--yes")


@pytest.fixture
def rejected_connections(shell: Shell, shell_harness: Harness) -> Harness:
    """A connection that a wizard knows was rejected after a password change."""
    add_verified_connection(shell_harness, "crm", shell_harness.register_client())
    shell.simulator.controls.change_password(ANNA)
    assert shell.run("check").exit_code == 3
    return shell_harness


def profiles(harness: Harness) -> list[Path]:
    directory = Path(harness.services.paths.browser_dir)
    return sorted(directory.iterdir()) if directory.exists() else []


def processes(shell: Shell) -> Iterator[Path]:
    """The wizard that was started last, and all its child processes."""
    waiting = [shell.processes[-1].pid]
    while waiting:
        pid = waiting.pop()
        process = Path(f"/proc/{pid}")
        try:
            found = (process / "task" / str(pid) / "children").read_text()
        except OSError:  # it has ended meanwhile
            continue
        waiting += map(int, found.split())
        yield process


def browser_of(shell: Shell, harness: Harness) -> Path:
    """The browser's main process."""
    profile = f"--user-data-dir={harness.services.paths.profile_dir(ANNA)}"
    return next(
        each
        for each in processes(shell)
        if profile in (words := (each / "cmdline").read_text()) and "--type=" not in words
    )


def listening_addresses(shell: Shell) -> set[str]:
    """The addresses at which any of these processes listens, in hexadecimal."""
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
    """Send SIGINT to every process of the terminal's group, Playwright's included."""
    group = os.getpgid(shell.processes[-1].pid)
    for pid in [int(each.name) for each in processes(shell)]:
        if os.getpgid(pid) == group:
            os.kill(pid, signal.SIGINT)


def start_and_wait_for_window(shell: Shell) -> RunningCommand:
    """A run that has opened its window and waits for the user."""
    running = shell.start(*ASSIST)
    running.wait_for_stderr("Your turn, in the window: Sign in as anna")
    return running


def test_nothing_starts_without_a_display_or_a_browser(
    shell: Shell, rejected_connections: Harness
) -> None:
    refused = shell.run(*ASSIST)
    assert refused.exit_code == 1
    assert "There’s no display to open a window on" in refused.stderr
    assert "--no-browser" in refused.stderr
    assert item_states(rejected_connections) == {}
    refused = shell.run(*ASSIST, DISPLAY=":0", ZOHO_WIZARD_BROWSER="/nowhere/chromium")
    assert refused.exit_code == 1
    assert "There is no program at /nowhere/chromium" in refused.stderr
    assert "apt install chromium" in refused.stderr
    refused = shell.run(*ASSIST, "--no-browser", DISPLAY=":0")
    assert refused.exit_code == 2
    assert "--assist can’t be combined" in refused.stderr
    assert item_states(rejected_connections) == {}


@pytest.mark.slow
def test_a_browser_that_does_not_start_is_named(
    shell: Shell, rejected_connections: Harness
) -> None:
    refused = shell.run(*ASSIST, DISPLAY=":0", ZOHO_WIZARD_BROWSER="/bin/false")
    assert refused.exit_code == 1
    assert "/bin/false failed" in refused.stderr
    assert item_states(rejected_connections) == {"crm": "pending"}
    assert profiles(rejected_connections) == []


@pytest.mark.slow
def test_the_window_is_private_and_leaves_nothing_behind(
    shell: Shell, rejected_connections: Harness, headless_browser: HeadlessBrowser
) -> None:
    """Its profile is private, no other process can control it, it inherits no settings of ours,
    and Ctrl-C ends it in order."""
    headless_browser()
    shell.environment |= {"DEBUG": "pw:*", "DEBUGP": "1", "ZOHO_CLIENT_SECRET": "not-for-children"}
    running = start_and_wait_for_window(shell)
    (profile,) = profiles(rejected_connections)
    for directory in (profile, profile.parent):
        assert directory.stat().st_mode & 0o777 == 0o700
    assert listening_addresses(shell) == set()
    browser = browser_of(shell, rejected_connections)
    assert "--remote-debugging-pipe" in (browser / "cmdline").read_text()
    _, *children = processes(shell)
    assert browser in children
    assert not [each for each in children if "ZOHO_" in (each / "environ").read_text()]
    assert shell.run(*ASSIST).exit_code == 4, "one window at a time"
    press_ctrl_c(shell)
    ended = running.finish()
    assert ended.exit_code == 1
    assert "zoho-wizard reauthorize --assist" in ended.stderr
    assert "fault" not in ended.stderr
    assert "SEND>" not in ended.stdout
    assert "pw:" not in ended.stderr, "what pages send, including passwords, is not recorded"
    assert profiles(rejected_connections) == []
    assert item_states(rejected_connections) == {"crm": "pending"}


@pytest.mark.slow
def test_a_browser_that_is_killed_ends_the_run_and_loses_nothing(
    shell: Shell, rejected_connections: Harness, headless_browser: HeadlessBrowser
) -> None:
    headless_browser()
    running = start_and_wait_for_window(shell)
    os.kill(int(browser_of(shell, rejected_connections).name), signal.SIGKILL)
    ended = running.finish()
    assert ended.exit_code == 1
    assert "The assisted window was closed" in ended.stderr
    assert profiles(rejected_connections) == []
    assert item_states(rejected_connections) == {"crm": "pending"}


@pytest.mark.slow
def test_the_next_run_removes_what_a_killed_run_left(
    shell: Shell, rejected_connections: Harness, headless_browser: HeadlessBrowser
) -> None:
    headless_browser()
    running = start_and_wait_for_window(shell)
    running.finish(signal.SIGKILL)
    assert profiles(rejected_connections) != []
    start_and_wait_for_window(shell).finish(signal.SIGTERM)
    assert profiles(rejected_connections) == []


@pytest.mark.slow
def test_the_server_removes_what_a_killed_run_left_but_not_a_kept_profile(
    shell: Shell, rejected_connections: Harness, headless_browser: HeadlessBrowser
) -> None:
    """A user is signed in in a kept profile, and may never open an assisted window again."""

    def serve() -> None:
        serving = shell.start("serve")
        serving.wait_for_stderr("The wizard is running")
        serving.finish(signal.SIGTERM)

    headless_browser()
    start_and_wait_for_window(shell).finish(signal.SIGKILL)
    assert profiles(rejected_connections) != []
    serve()
    assert profiles(rejected_connections) == []
    running = shell.start(*ASSIST, "--keep-profile")
    running.wait_for_stderr("Your turn")
    running.finish(signal.SIGKILL)
    serve()
    assert profiles(rejected_connections) != []


@pytest.mark.slow
def test_a_kept_profile_stays_private(
    shell: Shell, rejected_connections: Harness, headless_browser: HeadlessBrowser
) -> None:
    headless_browser()
    running = shell.start(*ASSIST, "--keep-profile")
    running.wait_for_stderr("Your turn")
    running.finish(signal.SIGINT)
    (profile,) = profiles(rejected_connections)
    assert profile.stat().st_mode & 0o777 == 0o700
    assert f"{profile.parent}, signed in to Zoho" in shell.run("status").stdout
    start_and_wait_for_window(shell).finish(signal.SIGINT)
    assert profiles(rejected_connections) == [], (
        "a run that doesn't keep profiles removes kept ones"
    )
    assert "signed in" not in shell.run("status").stdout
