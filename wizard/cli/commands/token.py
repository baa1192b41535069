"""``token`` and ``run``: an access token on stdout, or in the environment of a command."""

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from itertools import islice
from pathlib import Path
from types import FrameType
from typing import IO, Any

import click

from wizard.cli.flows.token_host import host_of, refuse_options, request_token
from wizard.cli.terminal import CONNECTION_NAME, Exit, Terminal, pass_terminal
from wizard.credential_formats import MASK, TOKEN_BYTES, UNFINISHED_TOKEN_BYTES
from wizard.errors import WizardError, fail, message
from wizard.fastpath import process, served_tokens, token_file
from wizard.fastpath.token_file import MAX_TTL_SECONDS
from wizard.model import Failure
from wizard.model.failure import codes_with
from wizard.timefmt import format_duration_option, parse_duration
from wizard.tokens.cached_tokens import access_variables, token_document
from wizard.tokens.service import MAX_TOKEN_CHARACTERS, reported_token
from wizard.vault import Vault

CHUNK_BYTES = 65536
STDOUT, STDERR = 1, 2

POLL_INTERVAL_SECONDS = 0.5
"""Between two clock checks: after the computer slept, it continues at once."""

DEFAULT_RETRY_DELAY = timedelta(seconds=30)
"""The wait after a failure without a retry time, such as a network failure."""


MAX_NAMES = 10
"""Names that an error lists, to choose from."""


class DurationType(click.ParamType[timedelta]):
    """A duration: ``90``, ``90s``, ``15m``, ``1h``; at most `maximum`."""

    name = "duration"

    def __init__(self, maximum: timedelta = timedelta.max) -> None:
        self.maximum = maximum

    def convert(
        self, value: Any, parameter: click.Parameter | None, context: click.Context | None
    ) -> timedelta:
        """Parse a number and its unit; seconds by default."""
        try:
            duration = parse_duration(str(value))
        except ValueError:
            reason = message("usage-errors", "duration-malformed", value=str(value))
            self.fail(reason, parameter, context)
        if duration > self.maximum:
            most = format_duration_option(self.maximum)
            reason = message("usage-errors", "duration-too-long", value=str(value), most=most)
            self.fail(reason, parameter)
        return duration


min_ttl_option = click.option(
    "--min-ttl",
    type=DurationType(timedelta(seconds=MAX_TTL_SECONDS)),
    metavar="DURATION",
    help="Use a token that stays valid for at least this long, such as 90s or 15m, at most 30m. "
    "Default: 5m.",
)
wait_option = click.option(
    "--wait",
    type=DurationType(),
    default="0",
    metavar="DURATION",
    help="Wait up to this long, such as 90s or 15m, for a rate limit or the network. Default: 0.",
)


def _only_stdin(
    _context: click.Context, _parameter: click.Parameter, value: str | None
) -> str | None:
    """Accept only ``-``; other values aren't repeated, since a token must not be in argv."""
    if value not in (None, "-"):
        raise click.BadParameter(message("usage-errors", "only-stdin"))
    return value


@click.command()
@click.argument("name", type=CONNECTION_NAME, required=False, default="")
@min_ttl_option
@click.option(
    "--force-refresh",
    is_flag=True,
    help="Request a new token, even if the cached one still works. This works once a minute.",
)
@click.option(
    "--rejected",
    metavar="-",
    callback=_only_stdin,
    help="From standard input, read an access token that Zoho rejected. Print a different one.",
)
@wait_option
@pass_terminal
def token(
    terminal: Terminal,
    name: str,
    min_ttl: timedelta | None,
    force_refresh: bool,
    rejected: str | None,
    wait: timedelta,
) -> None:
    """Print an access token.

    Standard output gets the token and a newline, nothing else. The wizard requests a new token
    only when the cached one is about to expire. NAME isn’t needed if there is exactly one
    connection. If Zoho rejects a token, pass it to --rejected and the wizard won’t print it
    again.

    \b
    Examples:
      zoho-wizard token crm
        1000.41d9…a7
      token=$(zoho-wizard token crm) &&
          printf 'Authorization: Zoho-oauthtoken %s' "$token" |
          curl -sSfH @- https://www.zohoapis.eu/crm/v8/org
      zoho-wizard token crm --json --min-ttl 15m
    """
    if host_of(terminal):  # which knows the only connection of this machine's key
        refuse_options(terminal, force_refresh=force_refresh)
    else:
        name = name or _only_connection(terminal)
    reported = _reported(terminal) if rejected else ""
    issued = get_token(
        terminal, name, wait, min_ttl=min_ttl, force_refresh=force_refresh, rejected=reported
    )
    if terminal.is_json:
        terminal.renderer.print_json(issued.document)
    else:
        terminal.renderer.print_raw(issued.value)
    issued.note_served(terminal, name, os.getppid())


def _only_connection(terminal: Terminal) -> str:
    """The name of the only connection; raises ``no-connections`` or ``connection-needed``. Creates
    nothing where nothing is stored."""
    names: tuple[str, ...] = ()
    if not terminal.settings.paths.is_empty:
        socket = terminal.service_socket
        names = (
            _served_names(socket)
            if socket
            else terminal.services.store.connections.find(limit=MAX_NAMES).names
        )
    if not names:
        raise fail("no-connections")
    if len(names) > 1:
        raise fail("connection-needed", names=", ".join(names))
    terminal.connection_name = names[0]
    return names[0]


def _served_names(socket: Path) -> tuple[str, ...]:
    """The names of connections that the service has, at most `MAX_NAMES`."""
    from wizard.local_api import request_list  # slow to load, and rarely needed

    listed = request_list(socket, {"json": ["1"]})
    if listed is None or listed.exit_code:
        raise fail("service-stopped")
    names = (str(each["name"]) for each in json.loads(listed.stdout)["connections"])
    return tuple(islice(names, MAX_NAMES))


def _reported(terminal: Terminal) -> str:
    """The access token on stdin: one line, typed hidden on a terminal."""
    if sys.stdin.isatty():
        return reported_token(terminal.read_secret(message("prompts", "rejected-token")).encode())
    return reported_token(sys.stdin.buffer.readline(MAX_TOKEN_CHARACTERS + 2))


@dataclass(frozen=True)
class IssuedToken:
    """An access token, and what a program needs to use it."""

    value: str = field(repr=False)
    generation: int
    document: object = field(repr=False)
    """What ``token --json`` prints."""
    variables: Mapping[str, str]
    """What ``run`` sets in addition to the token."""
    is_recorded: bool = False
    """It's in the history: a service or a token host has recorded what it served."""

    def note_served(self, terminal: Terminal, name: str, process_id: int) -> None:
        """Record that a process got it."""
        if not self.is_recorded:
            log = terminal.settings.paths.served_log
            served_tokens.note(log, name, self.generation, process_id)


def get_token(
    terminal: Terminal,
    name: str,
    wait: timedelta,
    *,
    min_ttl: timedelta | None,
    force_refresh: bool = False,
    rejected: str = "",
) -> IssuedToken:
    """An access token of connection `name` other than the `rejected` one; temporary failures are
    retried for up to `wait`.

    Raises what `TokenService.access_token` raises once no retry fits into `wait`.
    """
    deadline = terminal.clock() + wait
    seconds = None if min_ttl is None else int(min_ttl.total_seconds())
    while True:
        try:
            return issue_token(terminal, name, seconds, force_refresh, rejected)
        except WizardError as error:
            until = _retry_time(error.failure, terminal.clock(), deadline)
            if until is None:
                is_rejected = error.failure.code == "refresh-token-rejected"
                if is_rejected and not (host_of(terminal) or terminal.service_socket):
                    terminal.defer(partial(notify_rejected, terminal, name))
                raise
            title = terminal.explain(error.failure).title
        terminal.renderer.print_note(
            message("notes", "waiting-for-token", title=title, until=terminal.format_time(until))
        )
        while terminal.clock() < until:
            time.sleep(POLL_INTERVAL_SECONDS)


def issue_token(
    terminal: Terminal,
    name: str,
    min_ttl: int | None,
    force_refresh: bool = False,
    rejected: str = "",
) -> IssuedToken:
    """An access token from the token host, from a service that has the encryption key, or from this
    process. Raises what they refuse."""
    if host := host_of(terminal):
        copied = request_token(terminal, host, name, min_ttl, rejected)
        return IssuedToken(
            copied.access_token,
            copied.generation,
            json.loads(copied.document_at(terminal.clock().timestamp())),
            copied.variable_values,
            True,
        )
    try:
        return _issue(terminal, name, min_ttl, force_refresh, rejected)
    except WizardError as error:
        is_lost = error.failure.code in codes_with("database_unreachable")
        copy = _copied_token(terminal, name, min_ttl) if is_lost else None
        if copy is None or force_refresh or rejected:
            raise
        return copy


def _issue(
    terminal: Terminal, name: str, min_ttl: int | None, force_refresh: bool, rejected: str
) -> IssuedToken:
    """An access token from a service that has the encryption key, or from this process."""
    if socket := terminal.service_socket:
        from wizard.local_api import request_access  # slow to load, and rarely needed

        served = request_access(
            socket, name, min_ttl=min_ttl, force_refresh=force_refresh, rejected=rejected
        )
        if served is None:
            raise fail("service-stopped")
        return IssuedToken(served.value, served.generation, served.document, served.variables, True)
    tokens = terminal.services.tokens
    token = tokens.access_token(
        name, min_ttl=min_ttl, force_refresh=force_refresh, rejected=rejected
    )
    if terminal.services.store.database.is_shared:
        terminal.defer(partial(_deliver_overdue, terminal, name))
    access = tokens.api_access(name)
    document = token_document(token, access, terminal.services.clock())
    return IssuedToken(token.value, token.generation, document, access_variables(access))


def _deliver_overdue(terminal: Terminal, name: str) -> None:
    """Deliver to the destinations here what another machine re-authorized."""
    with suppress(WizardError):  # the program has its token
        if terminal.services.store.destinations.overdue(name):  # else nothing more is loaded
            terminal.services.reauthorization.deliver_overdue(name)


def _copied_token(terminal: Terminal, name: str, min_ttl: int | None) -> IssuedToken | None:
    """This machine's copy of a token of a shared store, marked as stale, while the store can't be
    reached; None if it doesn't stay valid long enough."""
    paths, now = terminal.settings.paths, terminal.clock().timestamp()
    try:
        content = token_file.read(paths.token_file(name))
        copy = token_file.unpack(Vault.open(paths).key, paths.token_owner(name), content)
    except (OSError, ValueError, WizardError):
        return None
    if not token_file.is_usable(copy.expires_at, copy.issued_at, now, min_ttl or 0):
        return None
    document = {**json.loads(copy.document_at(now)), "stale": True}
    return IssuedToken(copy.access_token, copy.generation, document, copy.variable_values)


def notify_rejected(terminal: Terminal, name: str) -> None:
    """Send a notification of ``monitor --notify`` at once, the first time."""
    for failure in terminal.services.monitoring.notify_rejected(name):
        terminal.renderer.print_explanation(terminal.explain(failure))


def _retry_time(failure: Failure, now: datetime, deadline: datetime) -> datetime | None:
    """When to try again; None if that is too late, or waiting doesn't help."""
    until = failure.retry_at or min(now + DEFAULT_RETRY_DELAY, deadline)
    return until if failure.temporary and now < until <= deadline else None


@click.command()
@min_ttl_option
@wait_option
@click.option(
    "--mask",
    "mask_output",
    is_flag=True,
    help="Mask access tokens in the command’s output, for logs.",
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
    """Run a command with an access token.

    The command’s environment gets ZOHO_ACCESS_TOKEN, ZOHO_API_DOMAIN, ZOHO_ACCOUNTS_URL,
    ZOHO_DC, ZOHO_ORGANIZATION_ID and a base URL for each product, such as ZOHO_CRM_API_BASE,
    but no other ZOHO_ variable. It replaces this process, so it keeps the terminal, the signals
    and the exit code. A job that runs longer than an hour runs $ZOHO_TOKEN_COMMAND for its next
    token.

    \b
    Examples:
      zoho-wizard run crm -- python report.py
      zoho-wizard run crm --mask -- sh -c 'env | grep ZOHO_'
    """
    token = get_token(terminal, name, wait, min_ttl=min_ttl)
    settings = terminal.settings
    environment = {
        **settings.child_environment,
        **settings.service_environment,
        **process.token_variables(name, token.value, token.variables),
    }
    token.note_served(terminal, name, os.getpid())
    try:
        if mask_output:
            raise Exit(run_masked(command, environment, token.value))
        terminal.close()
        process.replace_process(list(command), environment)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise fail("no-such-command", command=command[0], reason=reason) from None


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
    with (
        forwarded_signals() as forward_to,
        subprocess.Popen(  # noqa: S603 the user's command, without a shell
            command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        ) as child,
    ):
        forward_to(child)
        assert child.stdout is not None  # noqa: S101 they are pipes
        assert child.stderr is not None  # noqa: S101
        sources = ((child.stdout, STDOUT), (child.stderr, STDERR))
        threads = [
            threading.Thread(target=_copy_masked, args=(source, target, Masker(token), errors))
            for source, target in sources
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        code = child.wait()
    failed = process.report_failure(errors[0]) if errors else 0
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
def forwarded_signals() -> Iterator[Callable[[subprocess.Popen[bytes]], None]]:
    """Forward signals to the command that the block starts and passes to the yielded function, also
    those that arrive before. Ctrl-C on a terminal reaches it without us."""
    early: list[int] = []
    children: list[subprocess.Popen[bytes]] = []

    def forward(number: int, _frame: FrameType | None) -> None:
        if not children:
            early.append(number)
        elif number != signal.SIGINT or not sys.stdin.isatty():
            children[0].send_signal(number)

    def forward_to(child: subprocess.Popen[bytes]) -> None:
        children.append(child)
        for number in early:
            child.send_signal(number)

    numbers = [getattr(signal, name, None) for name in ("SIGINT", "SIGTERM", "SIGHUP")]
    previous = {number: signal.signal(number, forward) for number in numbers if number}
    try:
        yield forward_to
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
