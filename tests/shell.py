"""A person's shell: commands run as real processes, on the simulated Zoho's clock."""

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
from core import Core
from forked import parent
from ports import free_port

from wizard.house import House
from wizard.sandbox.clock import Clock
from wizard.sandbox.server import Sandbox
from wizard.settings import from_environment

LAUNCHER = Path(__file__).with_name("launcher.py")
PATIENCE = 30.0
"""Seconds that a process may take; far more than any needs, on two busy cores."""


@dataclass(frozen=True)
class Result:
    """How a command ended."""

    code: int
    out: str
    err: str


class Running:
    """A command under way, whose stderr is read as it comes."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self._lines: list[str] = []
        self._more = threading.Condition()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def see(self, pattern: str) -> str:
        """Wait until stderr holds `pattern` (a regular expression); return what it found."""
        deadline = time.monotonic() + PATIENCE
        with self._more:
            while True:
                text = "".join(self._lines)
                if found := re.search(pattern, text):
                    return found.group()
                left = deadline - time.monotonic()
                if left <= 0 or not (self._reader.is_alive() and self._more.wait(left)):
                    raise AssertionError(f"{pattern!r} was not said, but:\n{text}")

    def type(self, line: str) -> None:
        """Type a line."""
        assert self._process.stdin is not None
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()

    def end(self, number: int | None = None) -> Result:
        """Wait for the end, after a signal if one is given."""
        if number is not None:
            self._process.send_signal(number)
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with suppress(BrokenPipeError):
            self._process.stdin.close()
        out = self._process.stdout.read()
        code = self._process.wait(PATIENCE)
        self._reader.join(PATIENCE)
        self._process.stdout.close()
        return Result(code, out, "".join(self._lines))

    def _read(self) -> None:
        assert self._process.stderr is not None
        with self._process.stderr as stderr:
            for line in stderr:
                with self._more:
                    self._lines.append(line)
                    self._more.notify_all()
        with self._more:
            self._more.notify_all()


@dataclass
class Shell:
    """An account on a machine with a home of its own, and a simulated Zoho to talk to."""

    sandbox: Sandbox
    directory: Path
    clock_file: Path
    environment: dict[str, str]
    port: int
    under_way: list[subprocess.Popen[Any]] = field(default_factory=list)

    def run(self, *arguments: str, given: str = "", **environment: str) -> Result:
        """Run a command to its end in a script: stdin is `given`, nothing is a terminal."""
        _, *words = self.command(*arguments)
        done = parent().run(
            words,
            given=given,
            environment={**self.environment, **environment},
            directory=self.directory,
            patience=PATIENCE,
        )
        return Result(*done)

    def start(self, *arguments: str, **environment: str) -> Running:
        """Start a command and leave it running."""
        process = subprocess.Popen(
            self.command(*arguments),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**self.environment, **environment},
            cwd=self.directory,
        )
        self.under_way.append(process)
        return Running(process)

    def at_a_terminal(
        self, *arguments: str, answers: Sequence[tuple[str, str]] = (), columns: int = 100
    ) -> Result:
        """Run a command on a terminal; as each prompt is seen, in order, type the answer to it."""
        master, slave = pty.openpty()
        process = subprocess.Popen(
            self.command(*arguments),
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env={**self.environment, "TERM": "xterm", "COLUMNS": str(columns)},
            cwd=self.directory,
            start_new_session=True,
        )
        os.close(slave)
        self.under_way.append(process)
        try:
            said = _converse(master, answers)
        finally:
            os.close(master)
        return Result(process.wait(PATIENCE), said, "")

    def command(self, *arguments: str) -> list[str]:
        """The argument vector for a command of the wizard."""
        return [sys.executable, str(LAUNCHER), str(self.clock_file), *arguments]


def _converse(master: int, answers: Sequence[tuple[str, str]]) -> str:
    """Read a terminal until it is closed, answering what it asks."""
    said, heard, waiting = "", 0, iter([*answers, None])
    expected = next(waiting)
    while True:
        ready, _, _ = select.select([master], [], [], PATIENCE)
        assert ready, f"nothing more was said after:\n{said}"
        try:
            chunk = os.read(master, 4096)
        except OSError:  # Linux's way to say that the other side has closed
            return said
        if not chunk:
            return said
        said += chunk.decode(errors="replace")
        if expected and expected[0] in said[heard:]:
            heard = len(said)
            os.write(master, (expected[1] + "\n").encode())
            expected = next(waiting)


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    """A shell whose wizard has nothing stored yet."""
    clock_file = tmp_path / "clock"
    port = free_port()
    with Sandbox(clock=Clock(mirror=clock_file)) as sandbox:
        environment = {
            "PATH": os.defpath,
            "PYTHON_KEYRING_BACKEND": os.environ["PYTHON_KEYRING_BACKEND"],
            "HOME": str(tmp_path),
            "ZOHO_WIZARD_HOME": str(tmp_path / "home"),
            "ZOHO_WIZARD_ZOHO": sandbox.url,
            "ZOHO_WIZARD_PORT": str(port),
        }
        shell = Shell(sandbox, tmp_path, clock_file, environment, port)
        yield shell
        for process in shell.under_way:
            process.kill()
            process.wait(PATIENCE)
            for pipe in (process.stdin, process.stdout):
                if pipe:
                    pipe.close()


@pytest.fixture
def stored(shell: Shell) -> Iterator[Core]:
    """What the shell's wizard has stored, opened in this process to arrange and to look."""
    with House.open(from_environment(shell.environment), shell.sandbox.clock) as house:
        yield Core(house, shell.sandbox, shell.directory)
