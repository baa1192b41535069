"""A user at a terminal decides about a consent of a different account."""

import os
import pty
import re
import select
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

from support.harness import ANNA, CARLA, FIRST_ORGANIZATION, Harness
from support.reauthorization import add_verified_connection, item_states
from support.shell import PROCESS_TIMEOUT_SECONDS, Shell

URL = re.compile(r"http://127\.0\.0\.1:\d+/[^\s\x1b]+/oauth/v2/auth\?[^\s\x1b]+")


class TerminalSession:
    """A command in a terminal: wait for its output and answer it."""

    def __init__(self, master: int) -> None:
        self._master = master
        self.said = ""
        self._matched_until = 0

    def wait_for_output(self, pattern: str | re.Pattern[str]) -> str:
        """Wait for `pattern` in new output; return the match."""
        while not (found := re.compile(pattern).search(self.said, self._matched_until)):
            ready, _, _ = select.select([self._master], [], [], PROCESS_TIMEOUT_SECONDS)
            assert ready, f"nothing more was said after:\n{self.said}"
            self.said += os.read(self._master, 4096).decode(errors="replace")
        self._matched_until = found.end()
        return found.group()

    def send_line(self, text: str) -> None:
        os.write(self._master, f"{text}\n".encode())

    def give_consent(self, shell: Shell, email: str, organization: str = "") -> None:
        """Accept the requested consent and paste the final URL."""
        url = self.wait_for_output(URL)
        self.wait_for_output("input is hidden")
        self.send_line(shell.simulator.controls.authorize(url, email, organization))


@contextmanager
def terminal_session(shell: Shell, *arguments: str) -> Iterator[TerminalSession]:
    """A command in a terminal, which has succeeded when the block ends."""
    master, slave = pty.openpty()
    process = subprocess.Popen(
        shell.command(*arguments),
        stdin=slave,
        stdout=slave,
        stderr=slave,
        env={**shell.environment, "TERM": "xterm", "COLUMNS": "100"},
        start_new_session=True,
    )
    os.close(slave)
    shell.processes.append(process)
    try:
        yield TerminalSession(master)
        assert process.wait(PROCESS_TIMEOUT_SECONDS) == 0
    finally:
        os.close(master)


def test_the_grant_of_a_different_account_is_revoked_and_the_right_one_consents(
    shell: Shell, shell_harness: Harness
) -> None:
    add_verified_connection(shell_harness, "crm", shell_harness.register_client())
    with terminal_session(shell, "reauthorize", "crm", "--no-browser") as talk:
        talk.give_consent(shell, CARLA, FIRST_ORGANIZATION)
        talk.wait_for_output("A different account approved this")
        talk.wait_for_output("To sign out there")
        talk.wait_for_output(r"\[retry\]")
        talk.send_line("retry")
        talk.give_consent(shell, ANNA)
        talk.wait_for_output("✓ Re-authorized")
    assert [
        grant.state.value for grant in shell_harness.services.store.grants.of_connection("crm")
    ] == [
        "verified",
        "revoked",
        "replaced",
    ]


def test_a_different_account_is_accepted_deliberately(shell: Shell, shell_harness: Harness) -> None:
    add_verified_connection(shell_harness, "crm", shell_harness.register_client())
    with terminal_session(shell, "reauthorize", "crm", "--no-browser") as talk:
        talk.give_consent(shell, CARLA, FIRST_ORGANIZATION)
        talk.wait_for_output(r"\[retry\]")
        talk.send_line("accept")
        talk.wait_for_output("✓ Re-authorized")
    grant = shell_harness.services.store.grants.get("crm")
    assert grant is not None
    assert grant.account is not None
    assert grant.account.email == CARLA


def test_several_connections_need_one_confirmation(shell: Shell, shell_harness: Harness) -> None:
    client = shell_harness.register_client()
    for name in ("crm", "leads"):
        add_verified_connection(shell_harness, name, client)
    with terminal_session(shell, "reauthorize", "crm", "leads", "--no-browser") as talk:
        talk.wait_for_output("2 consents in all, 1 sign-in")
        talk.wait_for_output("Re-authorize 2 connections of")
        assert item_states(shell_harness) == {}
        talk.send_line("y")
        talk.wait_for_output(f"Next: 2 consents as {ANNA}")
        talk.give_consent(shell, ANNA)
        talk.give_consent(shell, ANNA)
        talk.wait_for_output("(?s)✓ Re-authorized.*✓ Re-authorized")
