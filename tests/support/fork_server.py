"""Run commands as processes forked from one that has everything loaded.

Most of a short command's processor time is Python's start and its imports; a fork skips both.
Arguments, environment, directory, descriptors and exit code are its own, as after an exec.
"""

import gc
import importlib
import io
import json
import os
import runpy
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import redirect_stderr, redirect_stdout, suppress
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory, TemporaryFile
from typing import IO, NoReturn

PRELOADED_LIBRARIES = (
    "authlib.integrations.requests_client",
    "getpass",
    "rich._emoji_codes",
    "rich.table",
    "support.harness",
)
"""What commands import on use. Loaded once in the process that is forked from, as is the wizard."""
WARMING_COMMANDS = (("check",), ("list",), ("status",), ("show", "crm"), ("audit",))
"""Commands that run there, so that what they read and compile is kept. The store has a connection
after the first, which would ask Zoho about it."""
INTEGER_BYTES = 4
"""Bytes of an encoded number."""


class ForkServer:
    """The process that is forked from, as the tests of one worker use it."""

    def __init__(self) -> None:
        self._control, theirs = socket.socketpair()
        self._lock = threading.Lock()
        self._process = subprocess.Popen(
            [sys.executable, __file__, str(theirs.fileno())],
            stdin=subprocess.DEVNULL,
            env={"PATH": os.defpath},
            pass_fds=[theirs.fileno()],
        )
        theirs.close()

    def run(
        self,
        arguments: list[str],
        *,
        stdin_text: str,
        environment: dict[str, str],
        directory: Path,
        timeout_seconds: float,
    ) -> tuple[int, str, str]:
        """Run `arguments` (a script and its arguments) to its end, with `stdin_text` as its stdin.

        Returns exit code, stdout and stderr. Kills the process and raises
        `subprocess.TimeoutExpired` after `timeout_seconds`.
        """
        with TemporaryFile() as stdin, TemporaryFile() as stdout, TemporaryFile() as stderr:
            stdin.write(stdin_text.encode())
            stdin.seek(0)
            files = [each.fileno() for each in (stdin, stdout, stderr)]
            process = self.start(arguments, files, environment=environment, directory=directory)
            try:
                code = process.wait(timeout_seconds)
            finally:
                process.kill()
            return code, _read_text(stdout), _read_text(stderr)

    def start(
        self,
        arguments: list[str],
        files: Sequence[int],
        *,
        environment: dict[str, str],
        directory: Path,
        new_session: bool = False,
    ) -> "ForkedProcess":
        """Start `arguments` with the descriptors `files` as its stdin, stdout and stderr."""
        command = {
            "arguments": arguments,
            "environment": environment,
            "directory": str(directory),
            "new_session": new_session,
        }
        ours, theirs = socket.socketpair()
        with theirs:
            self._send_request(json.dumps(command).encode(), [*files, theirs.fileno()])
        return ForkedProcess(ours)

    def close(self) -> None:
        """Close the connection to the parent process, which ends it."""
        self._control.close()
        self._process.wait()

    def _send_request(self, request: bytes, descriptors: list[int]) -> None:
        with self._lock:
            socket.send_fds(self._control, [len(request).to_bytes(INTEGER_BYTES)], descriptors)
            self._control.sendall(request)

    def start_with_pipes(
        self, arguments: list[str], *, environment: dict[str, str], directory: Path
    ) -> "ForkedProcess":
        """Start `arguments` with pipes for stdin, stdout and stderr."""
        (stdin, feed), (printed, stdout), (said, stderr) = (os.pipe() for _ in range(3))
        process = self.start(
            arguments, [stdin, stdout, stderr], environment=environment, directory=directory
        )
        for each in (stdin, stdout, stderr):
            os.close(each)
        process.stdin, process.stdout = os.fdopen(feed, "w"), os.fdopen(printed)
        process.stderr = os.fdopen(said)
        return process


class ForkedProcess:
    """A command that was forked; its parent reports its exit code."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self.pid = _read_integer(connection)
        self.returncode: int | None = None
        self.stdin: IO[str] | None = None
        self.stdout: IO[str] | None = None
        self.stderr: IO[str] | None = None

    def wait(self, timeout_seconds: float | None = None) -> int:
        """Return the exit code. Raises `subprocess.TimeoutExpired`."""
        if self.returncode is None:
            self._connection.settimeout(timeout_seconds)
            try:
                self.returncode = _read_integer(self._connection)
            except TimeoutError:
                raise subprocess.TimeoutExpired(str(self.pid), timeout_seconds or 0) from None
            self._connection.close()
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Send a signal, unless the exit code is known."""
        if self.returncode is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """End it, unless the exit code is known."""
        with suppress(ProcessLookupError):
            self.send_signal(signal.SIGKILL)


@cache
def fork_server() -> ForkServer:
    """The parent of this worker's commands, started on first use."""
    return ForkServer()


def close_fork_server() -> None:
    """Stop it, if there is one."""
    if fork_server.cache_info().currsize:
        fork_server().close()
        fork_server.cache_clear()


def _read_integer(connection: socket.socket) -> int:
    return int.from_bytes(connection.recv(INTEGER_BYTES, socket.MSG_WAITALL), signed=True)


def _read_text(file: io.IOBase) -> str:
    file.seek(0)
    return str(file.read().decode())


def _serve(control: socket.socket) -> list[str]:
    """Fork for each request. Returns only in the children, with their arguments."""
    while True:
        length, descriptors, *_ = socket.recv_fds(control, INTEGER_BYTES, 4)
        if not length:
            sys.exit()
        command = json.loads(control.recv(int.from_bytes(length), socket.MSG_WAITALL))
        if os.fork() == 0:
            control.close()
            return _fork_command(command, descriptors)
        for each in descriptors:
            os.close(each)


def _fork_command(request: dict[str, object], descriptors: list[int]) -> list[str]:
    """Fork the command and send its exit code. Returns in the command."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    *own, wire = descriptors
    pid = os.fork()
    if pid:
        os.write(wire, pid.to_bytes(INTEGER_BYTES, signed=True))
        _, status = os.waitpid(pid, 0)
        os.write(wire, os.waitstatus_to_exitcode(status).to_bytes(INTEGER_BYTES, signed=True))
        _exit()
    os.close(wire)
    return _apply_request(request, own)


def _exit() -> NoReturn:
    os._exit(0)


def _apply_request(request: dict[str, object], descriptors: list[int]) -> list[str]:
    """Apply the environment, the directory and the descriptors of a request."""
    for number, each in enumerate(descriptors):
        os.dup2(each, number)
        os.close(each)
    environment, arguments = request["environment"], request["arguments"]
    assert isinstance(environment, dict)
    assert isinstance(arguments, list)
    if request["new_session"]:
        os.setsid()
    os.environ.clear()
    os.environ.update(environment)
    time.tzset()
    os.chdir(str(request["directory"]))
    sys.argv = arguments
    for number, (name, mode) in enumerate((("stdin", "r"), ("stdout", "w"), ("stderr", "w"))):
        old = getattr(sys, name)
        buffering = 1 if name == "stderr" else -1
        how = {"encoding": old.encoding, "errors": old.errors, "closefd": False}
        reopened = os.fdopen(number, mode, buffering, **how)
        setattr(sys, name, reopened)
        setattr(sys, f"__{name}__", reopened)
    return list(arguments)


def _preload() -> None:
    """Load and run what the commands have in common."""
    sys.path[0] = str(Path(__file__).parents[1])
    from support.compiled_statements import share_compiled_statements
    from support.records import add_connections, add_grant
    from wizard import cli
    from wizard.services import Services
    from wizard.settings import from_environment

    package = Path(cli.__file__).parents[1]
    modules = sorted(package.rglob("*.py"))
    names = [".".join(each.relative_to(package.parent).with_suffix("").parts) for each in modules]
    names = [each.removesuffix(".__init__") for each in names if not each.endswith("__main__")]
    for name in (*PRELOADED_LIBRARIES, *names):
        importlib.import_module(name)
    with (
        TemporaryDirectory() as home,
        redirect_stdout(io.StringIO()),
        redirect_stderr(io.StringIO()),
    ):
        os.environ |= {"HOME": home, "PYTHON_KEYRING_BACKEND": "keyring.backends.fail.Keyring"}
        share_compiled_statements()
        first, *others = WARMING_COMMANDS
        cli.main(first)
        with Services.open(from_environment()) as services:
            add_connections(services.store)
            add_grant(services.store)
        for words in others:
            cli.main(words)
    # Whoever starts the tests may ignore it, as `nohup` does; the commands are to end by it.
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    # Nothing waits for the children, so let the system reap them.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    gc.freeze()


if __name__ == "__main__":
    _preload()
    script, *_ = _serve(socket.socket(fileno=int(sys.argv[1])))
    from wizard.fastpath import process

    try:
        runpy.run_path(script, run_name="__main__")
    except SystemExit as end:
        process.end(int(end.code or 0))
    process.end(0)
