"""``run``: replace this process by a command with an access token in its environment."""

import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from types import FrameType
from typing import IO

import click

from wizard.cli.commands.token import get_token, min_ttl_option, wait_option
from wizard.cli.terminal import CONNECTION_NAME, Exit, Terminal, pass_terminal
from wizard.credential_formats import MASK, TOKEN_BYTES, UNFINISHED_TOKEN_BYTES
from wizard.errors import fail
from wizard.fastpath import output, process
from wizard.tokens.cached_tokens import access_variables


@click.command()
@min_ttl_option
@wait_option
@click.option(
    "--mask", "mask_output", is_flag=True, help="Mask access tokens in its output, for logs."
)
@click.argument("name", type=CONNECTION_NAME)
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED, metavar="-- CMD...")
@pass_terminal
def run(
    terminal: Terminal,
    min_ttl: timedelta | None,
    wait: timedelta,
    mask_output: bool,
    name: str,
    command: tuple[str, ...],
) -> None:
    """Run a command with an access token of connection NAME.

    Its environment has ZOHO_ACCESS_TOKEN, ZOHO_API_DOMAIN, ZOHO_ACCOUNTS_URL, ZOHO_DC,
    ZOHO_ORGANIZATION_ID and, for each product, ZOHO_CRM_API_BASE and so on, but no other ZOHO_
    variable. It replaces this process, so that it has its own terminal, signals and exit code. A
    job longer than an hour runs $ZOHO_TOKEN_COMMAND for its next token.
    """
    token = get_token(terminal, name, wait, min_ttl=min_ttl)
    settings = terminal.settings
    environment = {
        **settings.child_environment,
        **settings.service_environment,
        **process.token_variables(
            name, token.value, access_variables(terminal.services.tokens.api_access(name))
        ),
    }
    try:
        if mask_output:
            raise Exit(run_masked(command, environment, token.value))
        terminal.close()
        process.replace_process(list(command), environment)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise fail("no-such-command", command=command[0], reason=reason) from None


CHUNK_BYTES = 65536
STDOUT, STDERR = 1, 2


class Masker:
    """Masks a token, and any text in the format of one, in a stream of chunks."""

    def __init__(self, token: str) -> None:
        self._token = token.encode()
        self._secret = re.compile(re.escape(self._token) + b"|" + TOKEN_BYTES.pattern)
        self._pending = b""

    def feed(self, chunk: bytes) -> bytes:
        """What can be shown after `chunk`: everything but an end that may become a token."""
        text = self._secret.sub(MASK.encode(), self._pending + chunk)
        pending_length = len(text) - self._partial_token_start(text)
        self._pending = text[len(text) - pending_length :]
        return text[: len(text) - pending_length]

    def flush(self) -> bytes:
        """What was held back, at the end of the stream."""
        pending, self._pending = self._pending, b""
        return pending

    def _partial_token_start(self, text: bytes) -> int:
        """Where the longest end of `text` starts that may be the start of a token."""
        found = UNFINISHED_TOKEN_BYTES.search(text)
        first = found.start() if found else len(text)
        longest = min(len(self._token) - 1, len(text))
        own = (n for n in range(longest, 0, -1) if text.endswith(self._token[:n]))
        return min(first, len(text) - next(own, 0))


def run_masked(command: Sequence[str], environment: Mapping[str, str], token: str) -> int:
    """Run `command` with its stdout and stderr masked; return its exit code, or 128 and the
    signal's number if a signal ended it; 1 instead of 0 if stdout is closed or full. Raises OSError
    if it can't start."""
    errors: list[OSError] = []
    with subprocess.Popen(  # noqa: S603 the user's command, without a shell
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None  # noqa: S101 they are pipes
        assert process.stderr is not None  # noqa: S101
        sources = ((process.stdout, STDOUT), (process.stderr, STDERR))
        threads = [
            threading.Thread(target=_copy_masked, args=(source, target, Masker(token), errors))
            for source, target in sources
        ]
        with _forwarded_signals(process):
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            code = process.wait()
    failed = output.report_failure(errors[0]) if errors else 0
    return (128 - code if code < 0 else code) or failed


def _copy_masked(source: IO[bytes], target: int, masker: Masker, errors: list[OSError]) -> None:
    """Copy until the command closes `source`. If `target` can't be written, close `source`, so that
    the command's next write fails; add the error to `errors` if stdout is closed or full."""
    try:
        while chunk := os.read(source.fileno(), CHUNK_BYTES):
            _write_all(target, masker.feed(chunk))
        _write_all(target, masker.flush())
    except OSError as error:
        source.close()
        if target == STDOUT and not isinstance(error, BrokenPipeError):
            errors.append(error)


def _write_all(target: int, text: bytes) -> None:
    while text:
        text = text[os.write(target, text) :]


@contextmanager
def _forwarded_signals(process: subprocess.Popen[bytes]) -> Iterator[None]:
    """Forward signals to the command. Ctrl-C on a terminal reaches it without us."""

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
