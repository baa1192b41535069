"""Runs a command whose output passes through our hands, and masks access tokens in it."""

import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from types import FrameType
from typing import IO

from wizard.credential_formats import MASK, TOKEN_BYTES, UNFINISHED_TOKEN_BYTES

CHUNK_BYTES = 65536


class Masker:
    """Masks a token and everything in the form of one in a stream, however it is cut in pieces."""

    def __init__(self, token: str) -> None:
        self._token = token.encode()
        self._secret = re.compile(re.escape(self._token) + b"|" + TOKEN_BYTES.pattern)
        self._pending = b""

    def feed(self, chunk: bytes) -> bytes:
        """What can be shown once `piece` has come: all but an end that may become a token."""
        text = self._secret.sub(MASK.encode(), self._pending + chunk)
        pending_length = len(text) - self._partial_token_start(text)
        self._pending = text[len(text) - pending_length :]
        return text[: len(text) - pending_length]

    def flush(self) -> bytes:
        """What was held back, since no more comes."""
        pending, self._pending = self._pending, b""
        return pending

    def _partial_token_start(self, text: bytes) -> int:
        """Where the longest end of `text` begins that may be the beginning of a token."""
        found = UNFINISHED_TOKEN_BYTES.search(text)
        first = found.start() if found else len(text)
        longest = min(len(self._token) - 1, len(text))
        own = (n for n in range(longest, 0, -1) if text.endswith(self._token[:n]))
        return min(first, len(text) - next(own, 0))


def run_masked(command: Sequence[str], environment: Mapping[str, str], token: str) -> int:
    """Run `command` with its stdout and stderr masked; returns its exit code, by the shells' rule
    128 and the signal's number where a signal ended it. Raises OSError where it cannot start."""
    with subprocess.Popen(  # noqa: S603 the person's own command, without a shell
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None  # noqa: S101 they are pipes
        assert process.stderr is not None  # noqa: S101
        sources = ((process.stdout, 1), (process.stderr, 2))
        threads = [
            threading.Thread(target=_copy_masked, args=(source, target, Masker(token)))
            for source, target in sources
        ]
        with _forwarded_signals(process):
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            code = process.wait()
    return 128 - code if code < 0 else code


def _copy_masked(source: IO[bytes], target: int, masker: Masker) -> None:
    """Copy until the command closes `source`, or nobody reads `target` any more: then `source` is
    closed, so that the command learns of it."""
    with suppress(BrokenPipeError):
        while chunk := os.read(source.fileno(), CHUNK_BYTES):
            _write_all(target, masker.feed(chunk))
        _write_all(target, masker.flush())
        return
    source.close()


def _write_all(target: int, text: bytes) -> None:
    while text:
        text = text[os.write(target, text) :]


@contextmanager
def _forwarded_signals(process: subprocess.Popen[bytes]) -> Iterator[None]:
    """Hand on what is meant for the command. Ctrl-C at a terminal reaches it without us."""

    def forward(number: int, _frame: FrameType | None) -> None:
        if number != signal.SIGINT or not sys.stdin.isatty():
            process.send_signal(number)

    numbers = [getattr(signal, name, None) for name in ("SIGINT", "SIGTERM", "SIGHUP")]
    previous = {number: signal.signal(number, forward) for number in numbers if number}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
