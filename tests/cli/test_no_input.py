"""Commands that need a person, where nobody can be asked: they end at once and store nothing."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence

import pytest
from support.harness import ANNA, Harness
from support.reauthorization import add_verified_connection, item_states
from support.shell import PROCESS_TIMEOUT_SECONDS, Shell

from wizard.cli.flows.serving import stop_signals
from wizard.cli.terminal import interruptible

PRESET = ("--preset", "crm-read-leads")


def error_code(shell: Shell, words: Sequence[str]) -> tuple[int, str]:
    """Exit code and error code of a command whose stdin is empty."""
    done = shell.run(*words, "--json")
    assert done.stdout == ""
    return done.exit_code, json.loads(done.stderr.splitlines()[-1])["error"]["code"]


@pytest.mark.parametrize(
    "words",
    [
        ("connect", "crm", "--no-input"),
        ("connect", "crm", *PRESET, "--no-browser"),
        ("connect", "crm", *PRESET, "--self-client"),
        ("connect", "crm", *PRESET, "--assist", "--no-input"),
    ],
)
def test_a_new_connection_needs_a_person_and_stores_nothing(
    shell: Shell, words: tuple[str, ...]
) -> None:
    assert error_code(shell, words) == (2, "input-needed")
    assert not (shell.directory / "home").exists()


def test_without_a_terminal_a_client_is_not_asked_for(shell: Shell, shell_harness: Harness) -> None:
    running = shell.start("connect", "crm", *PRESET, "--no-browser", "--json")
    running.send_line("http://localhost/callback")
    done = running.finish()
    assert json.loads(done.stderr.splitlines()[-1])["error"]["code"] == "input-needed"
    assert not shell_harness.services.store.connections.all()


@pytest.mark.parametrize("options", ["--no-input", "--no-browser", "--assist --no-input"])
def test_a_reauthorization_needs_a_person_and_is_not_begun(
    shell: Shell, shell_harness: Harness, options: str
) -> None:
    add_verified_connection(shell_harness, "crm", shell_harness.register_client())
    assert error_code(shell, ("reauthorize", "crm", *options.split())) == (2, "input-needed")
    assert shell_harness.services.reauthorization.current() is None

    shell_harness.services.reauthorization.begin(("crm",))
    assert error_code(shell, ("reauthorize", *options.split())) == (2, "input-needed")
    assert item_states(shell_harness) == {"crm": "pending"}


def test_requests_that_cannot_be_created_end_with_the_failure(
    shell: Shell, shell_harness: Harness
) -> None:
    made = shell_harness.controls.register_client(ANNA, [], kind="self-client")
    text = f"{made['client_id']} {made['secrets']['eu']}"
    client = shell_harness.services.clients.register(text, redirect_uri="")
    shell_harness.add_connection("crm", client)
    assert error_code(shell, ("reauthorize", "crm", "--request")) == (2, "self-client")


def test_an_unknown_account_and_contradicting_options_are_rejected(
    shell: Shell, shell_harness: Harness
) -> None:
    add_verified_connection(shell_harness, "crm", shell_harness.register_client())
    assert error_code(shell, ("reauthorize", "--account", "nope@x")) == (2, "no-account")
    assert error_code(shell, ("reauthorize", "crm", "--all")) == (2, "usage")
    known = shell.run("reauthorize", "--account", ANNA, "--json")
    assert (known.exit_code, json.loads(known.stdout)) == (
        0,
        {"connections": [], "verifications": []},
    )


def test_an_existing_connection_can_be_authorized_as_the_error_says(
    shell: Shell, shell_harness: Harness
) -> None:
    shell_harness.add_connection("crm")
    running = shell.start("connect", "crm", *PRESET, "--no-browser", "--json")
    running.send_line("http://localhost/callback")
    error = json.loads(running.finish().stderr.splitlines()[-1])["error"]
    assert error["code"] == "connection-exists"
    assert "zoho-wizard reauthorize crm" in error["fix"]


def test_a_removal_is_always_confirmed(shell: Shell, shell_harness: Harness) -> None:
    shell_harness.add_connection("crm")
    assert error_code(shell, ("remove", "crm")) == (2, "input-needed")
    assert shell.run_in_terminal("remove", "crm", replies=[("[y/N]", "n")]).exit_code == 1
    assert [each.name for each in shell_harness.services.store.connections.all()] == ["crm"]
    assert shell.run_in_terminal("remove", "crm", replies=[("[y/N]", "y")]).exit_code == 0
    assert not shell_harness.services.store.connections.all()


def test_a_signal_just_before_a_prompt_interrupts_it() -> None:
    with stop_signals() as stop_event:
        signal.raise_signal(signal.SIGTERM)
        assert stop_event.is_set()
        with pytest.raises(KeyboardInterrupt), interruptible():
            pytest.fail("the prompt would wait, although the command was told to stop")
        assert signal.getsignal(signal.SIGTERM) not in (signal.SIG_DFL, signal.default_int_handler)


def test_a_signal_that_does_not_wake_the_read_of_a_prompt_ends_it() -> None:
    """The state of a signal that comes between the last step of Python and the read."""
    read_fd, write_fd = os.pipe()
    late = threading.Timer(PROCESS_TIMEOUT_SECONDS, os.write, (write_fd, b"an answer"))
    late.start()
    begins = threading.Event()

    def signal_to_another_thread() -> None:
        begins.wait()
        signal.pthread_kill(threading.get_ident(), signal.SIGTERM)

    def read_answer() -> bytes:
        with interruptible():
            begins.set()
            return os.read(read_fd, 1)

    sending = threading.Thread(target=signal_to_another_thread)
    sending.start()
    with stop_signals() as stop_event:
        with pytest.raises(KeyboardInterrupt):
            read_answer()
        assert not stop_event.is_set()
        assert late.is_alive(), "nobody has answered"
    late.cancel()
    for each in (sending, late):
        each.join()
    os.close(read_fd)
    os.close(write_fd)


def test_a_signal_at_any_moment_of_a_wait_ends_it() -> None:
    """With `threading.Event`, a signal hung the command if it came while a wait began or ended."""
    script = """
import signal
from wizard.cli.flows.serving import stop_signals

for microseconds in range(100, 1100):
    with stop_signals() as stop_event:
        signal.signal(signal.SIGALRM, signal.getsignal(signal.SIGTERM))
        signal.setitimer(signal.ITIMER_REAL, microseconds / 1_000_000)
        while not stop_event.wait(0):
            pass
"""
    subprocess.run([sys.executable, "-c", script], timeout=60, check=True)


def test_a_signal_ends_a_long_wait_at_once_whichever_thread_gets_it() -> None:
    with stop_signals() as stop_event:
        threading.Timer(0.1, signal.raise_signal, [signal.SIGTERM]).start()
        begun = time.monotonic()
        assert stop_event.wait(60)
        assert time.monotonic() - begun < 60, "not only when the wait was over"
