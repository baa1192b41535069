"""Commands as processes of their own, forked from one that has everything loaded.

Most of a short command's processor time goes into Python's start and the imports, hundreds of times
over in a run of the tests; a fork has them behind it. Arguments, environment, directory,
descriptors and exit code are its own, as after an exec.
"""

import gc
import importlib
import io
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from functools import cache
from pathlib import Path
from tempfile import TemporaryFile
from typing import NoReturn

LOADED = ("wizard.cli", "wizard.house", "wizard.web", "wizard.sandbox.clock")
NUMBER = 4
"""Bytes of a number on the wire."""


class Parent:
    """The process that is forked from, as the tests of one worker see it."""

    def __init__(self) -> None:
        self._control, theirs = socket.socketpair()
        self._one_at_a_time = threading.Lock()
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
        given: str,
        environment: dict[str, str],
        directory: Path,
        patience: float,
    ) -> tuple[int, str, str]:
        """Run `arguments` (a script of ours and what it is given) to its end, with `given` as its
        stdin; return exit code, stdout and stderr.

        Raises `subprocess.TimeoutExpired` after `patience` seconds, and has ended it then.
        """
        wish = {"arguments": arguments, "environment": environment, "directory": str(directory)}
        ours, theirs = socket.socketpair()
        with TemporaryFile() as stdin, TemporaryFile() as stdout, TemporaryFile() as stderr, ours:
            stdin.write(given.encode())
            stdin.seek(0)
            with theirs:
                self._ask(json.dumps(wish).encode(), [stdin, stdout, stderr, theirs])
            ours.settimeout(patience)
            pid = _number(ours)
            try:
                code = _number(ours)
            except TimeoutError:
                os.kill(pid, signal.SIGKILL)
                raise subprocess.TimeoutExpired(arguments, patience, _text(stdout)) from None
            return code, _text(stdout), _text(stderr)

    def close(self) -> None:
        """Let go of the parent, which ends it."""
        self._control.close()
        self._process.wait()

    def _ask(self, wish: bytes, files: list[io.IOBase | socket.socket]) -> None:
        with self._one_at_a_time:
            descriptors = [each.fileno() for each in files]
            socket.send_fds(self._control, [len(wish).to_bytes(NUMBER)], descriptors)
            self._control.sendall(wish)


@cache
def parent() -> Parent:
    """The parent of this worker's commands, started when first needed."""
    return Parent()


def close_parent() -> None:
    """End it, where there is one."""
    if parent.cache_info().currsize:
        parent().close()
        parent.cache_clear()


def _number(wire: socket.socket) -> int:
    return int.from_bytes(wire.recv(NUMBER, socket.MSG_WAITALL), signed=True)


def _text(file: io.IOBase) -> str:
    file.seek(0)
    return str(file.read().decode())


def _serve(control: socket.socket) -> list[str]:
    """Fork for each wish. Returns in the children alone, with their arguments."""
    while True:
        length, descriptors, *_ = socket.recv_fds(control, NUMBER, 4)
        if not length:
            sys.exit()
        wish = json.loads(control.recv(int.from_bytes(length), socket.MSG_WAITALL))
        if os.fork() == 0:
            control.close()
            return _watched(wish, descriptors)
        for each in descriptors:
            os.close(each)


def _watched(wish: dict[str, object], descriptors: list[int]) -> list[str]:
    """Fork the command itself and tell how it ended. Returns in the command."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    *own, wire = descriptors
    pid = os.fork()
    if pid:
        os.write(wire, pid.to_bytes(NUMBER, signed=True))
        _, status = os.waitpid(pid, 0)
        os.write(wire, os.waitstatus_to_exitcode(status).to_bytes(NUMBER, signed=True))
        _leave()
    os.close(wire)
    return _become(wish, own)


def _leave() -> NoReturn:
    os._exit(0)


def _become(wish: dict[str, object], descriptors: list[int]) -> list[str]:
    """Take on the environment, the directory and the descriptors of a wish."""
    for number, each in enumerate(descriptors):
        os.dup2(each, number)
        os.close(each)
    environment, arguments = wish["environment"], wish["arguments"]
    assert isinstance(environment, dict)
    assert isinstance(arguments, list)
    os.environ.clear()
    os.environ.update(environment)
    time.tzset()
    os.chdir(str(wish["directory"]))
    sys.argv = arguments
    for number, (name, mode) in enumerate((("stdin", "r"), ("stdout", "w"), ("stderr", "w"))):
        old = getattr(sys, name)
        how = {"encoding": old.encoding, "errors": old.errors, "closefd": False}
        anew = os.fdopen(number, mode, **how)
        setattr(sys, name, anew)
        setattr(sys, f"__{name}__", anew)
    return list(arguments)


if __name__ == "__main__":
    for module in LOADED:
        importlib.import_module(module)
    # Nobody waits for the watchers of commands, so the system buries them.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    gc.freeze()
    _, clock_file, *words = _serve(socket.socket(fileno=int(sys.argv[1])))
    from wizard import cli
    from wizard.sandbox.clock import FileClock

    sys.exit(cli.main(words, FileClock(Path(clock_file))))
