"""A user at a terminal: a command that prompts, and its answers."""

import os
import pty
import re
import select
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from support.fork_server import fork_server
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
            self._read()
        self._matched_until = found.end()
        return found.group()

    def read_to_end(self) -> None:
        """Read until the command closes the terminal."""
        with suppress(OSError):  # on Linux: the other side has closed
            while True:
                self._read()

    def _read(self) -> None:
        ready, _, _ = select.select([self._master], [], [], PROCESS_TIMEOUT_SECONDS)
        assert ready, f"nothing more was said after:\n{self.said}"
        self.said += os.read(self._master, 4096).decode(errors="replace")

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
    _, *words = shell.command(*arguments)
    process = fork_server().start(
        words,
        [slave] * 3,
        environment={**shell.environment, "TERM": "xterm", "COLUMNS": "100"},
        directory=shell.directory,
        new_session=True,
    )
    os.close(slave)
    shell.processes.append(process)
    try:
        session = TerminalSession(master)
        yield session
        session.read_to_end()
        assert process.wait(PROCESS_TIMEOUT_SECONDS) == 0
    finally:
        os.close(master)
