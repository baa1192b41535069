"""A server process and what it prints at its start."""

import re
import subprocess
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager


class ServerProcess:
    """A server process; its stderr is read up to the expected text."""

    def __init__(self, command: Sequence[str], environment: Mapping[str, str]) -> None:
        self._process = subprocess.Popen(
            command,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            stdin=subprocess.DEVNULL,
            text=True,
        )

    def wait_for_output(self, pattern: str) -> str:
        """Return the match of the regular expression `pattern` in the first line that has one."""
        assert self._process.stderr is not None
        for line in self._process.stderr:
            if found := re.search(pattern, line):
                # Later output must not fill the pipe.
                threading.Thread(target=self._process.stderr.read, daemon=True).start()
                return found.group()
        raise AssertionError(f"{self._process.args!r} ended without {pattern!r}")

    def end(self) -> str:
        """Stop the process; return its output."""
        self._process.terminate()
        assert self._process.stdout is not None
        printed = self._process.stdout.read()
        self._process.wait(60)
        return printed


@contextmanager
def running_server(
    command: Sequence[str], environment: Mapping[str, str]
) -> Iterator[ServerProcess]:
    """Run a server process within the context."""
    served = ServerProcess(command, environment)
    try:
        yield served
    finally:
        served.end()
