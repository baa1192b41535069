"""A user's shell: commands run as real processes on the simulated Zoho's clock."""

import os
import pty
import re
import select
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from support.fork_server import ForkedProcess, fork_server
from support.harness import Harness
from support.json_output import check_json_output
from support.ports import free_port
from wizard.services import Services
from wizard.settings import from_environment
from wizard.simulator.server import Simulator
from wizard.simulator.settings import Clock

CLI_LAUNCHER = Path(__file__).with_name("cli_launcher.py")
PROCESS_TIMEOUT_SECONDS = 30.0
"""Seconds that a process may take; far more than needed on two busy cores."""


@dataclass(frozen=True)
class CommandResult:
    """The result of a command."""

    exit_code: int
    stdout: str
    stderr: str


class RunningCommand:
    """A running command, whose stderr is read as it comes."""

    def __init__(self, process: ForkedProcess, arguments: Sequence[str]) -> None:
        self._process = process
        self._arguments = arguments
        self._lines: list[str] = []
        self._line_added = threading.Condition()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def wait_for_stderr(self, pattern: str) -> str:
        """Wait until stderr contains `pattern` (a regular expression); return the match."""
        deadline = time.monotonic() + PROCESS_TIMEOUT_SECONDS
        with self._line_added:
            while True:
                text = "".join(self._lines)
                if found := re.search(pattern, text):
                    return found.group()
                left = deadline - time.monotonic()
                if left <= 0 or not (self._reader.is_alive() and self._line_added.wait(left)):
                    raise AssertionError(f"{pattern!r} was not said, but:\n{text}")

    def read_stdout_line(self) -> str:
        """Wait for the next line of stdout."""
        assert self._process.stdout is not None
        return self._process.stdout.readline()

    def send_line(self, line: str) -> None:
        """Type a line."""
        assert self._process.stdin is not None
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()

    def send_signal(self, number: int) -> None:
        self._process.send_signal(number)

    def finish(self, signal_number: int | None = None) -> CommandResult:
        """Wait for the end, after a signal if one is given."""
        if signal_number is not None:
            self._process.send_signal(signal_number)
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with suppress(BrokenPipeError):
            self._process.stdin.close()
        out = self._process.stdout.read()
        code = self._process.wait(PROCESS_TIMEOUT_SECONDS)
        self._reader.join(PROCESS_TIMEOUT_SECONDS)
        self._process.stdout.close()
        stderr = "".join(self._lines)
        if code >= 0:
            check_json_output(self._arguments, code, out, stderr)
        return CommandResult(code, out, stderr)

    def _read(self) -> None:
        assert self._process.stderr is not None
        with self._process.stderr as stderr:
            for line in stderr:
                with self._line_added:
                    self._lines.append(line)
                    self._line_added.notify_all()
        with self._line_added:
            self._line_added.notify_all()


@dataclass
class Shell:
    """A user account with its own data directory, and a simulated Zoho."""

    simulator: Simulator
    directory: Path
    clock_file: Path
    environment: dict[str, str]
    port: int
    processes: list[subprocess.Popen[Any] | ForkedProcess] = field(default_factory=list)

    def run(self, *arguments: str, stdin_text: str = "", **environment: str) -> CommandResult:
        """Run a command to its end in a script: stdin is `given`, and nothing is a terminal."""
        _, *words = self.command(*arguments)
        done = fork_server().run(
            words,
            stdin_text=stdin_text,
            environment={**self.environment, **environment},
            directory=self.directory,
            timeout_seconds=PROCESS_TIMEOUT_SECONDS,
        )
        check_json_output(arguments, *done)
        return CommandResult(*done)

    def start(self, *arguments: str, **environment: str) -> RunningCommand:
        """Start a command without waiting for it."""
        _, *words = self.command(*arguments)
        process = fork_server().start_with_pipes(
            words, environment={**self.environment, **environment}, directory=self.directory
        )
        self.processes.append(process)
        return RunningCommand(process, arguments)

    def run_in_terminal(
        self, *arguments: str, replies: Sequence[tuple[str, str]] = (), columns: int = 100
    ) -> CommandResult:
        """Run a command in a terminal; type each answer when its prompt appears, in order."""
        master, slave = pty.openpty()
        _, *words = self.command(*arguments)
        process = fork_server().start(
            words,
            [slave] * 3,
            environment={**self.environment, "TERM": "xterm", "COLUMNS": str(columns)},
            directory=self.directory,
            new_session=True,
        )
        os.close(slave)
        try:
            said = _interact(master, replies)
            return CommandResult(process.wait(PROCESS_TIMEOUT_SECONDS), said, "")
        finally:
            process.kill()
            os.close(master)

    def command(self, *arguments: str) -> list[str]:
        """The argument vector for a command of the wizard."""
        return [sys.executable, str(CLI_LAUNCHER), str(self.clock_file), *arguments]


def _interact(master: int, replies: Sequence[tuple[str, str]]) -> str:
    """Read a terminal until it is closed, answering its prompts."""
    said, answered_length, waiting = "", 0, iter([*replies, None])
    expected = next(waiting)
    while True:
        ready, _, _ = select.select([master], [], [], PROCESS_TIMEOUT_SECONDS)
        assert ready, f"nothing more was said after:\n{said}"
        try:
            chunk = os.read(master, 4096)
        except OSError:  # on Linux: the other side has closed
            return said
        if not chunk:
            return said
        said += chunk.decode(errors="replace")
        if expected and expected[0] in said[answered_length:]:
            answered_length = len(said)
            os.write(master, (expected[1] + "\n").encode())
            expected = next(waiting)


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    """A shell whose wizard has nothing stored yet."""
    clock_file = tmp_path / "clock"
    port = free_port()
    with Simulator(clock=Clock(offset_file=clock_file)) as simulator:
        environment = {
            "PATH": os.defpath,
            "PYTHON_KEYRING_BACKEND": os.environ["PYTHON_KEYRING_BACKEND"],
            "HOME": str(tmp_path),
            "ZOHO_WIZARD_HOME": str(tmp_path / "home"),
            "ZOHO_WIZARD_SIMULATOR_URL": simulator.url,
            "ZOHO_WIZARD_PORT": str(port),
        }
        shell = Shell(simulator, tmp_path, clock_file, environment, port)
        yield shell
        for process in shell.processes:
            process.kill()
            process.wait(PROCESS_TIMEOUT_SECONDS)
            for pipe in (process.stdin, process.stdout):
                if pipe:
                    pipe.close()


@pytest.fixture
def shell_harness(shell: Shell) -> Iterator[Harness]:
    """The services of the shell's wizard, opened in this process."""
    with Services.open(from_environment(shell.environment), shell.simulator.clock) as services:
        yield Harness(services, shell.simulator, shell.directory)
