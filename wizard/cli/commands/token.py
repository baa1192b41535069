"""``token``: a fresh access token, and nothing else, on stdout."""

import sys
import time
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import click

from wizard.cli.terminal import CONNECTION_NAME, Terminal, pass_terminal
from wizard.errors import WizardError
from wizard.fastpath.commands import MAX_TTL_SECONDS
from wizard.model import AccessToken, Failure
from wizard.timefmt import format_duration_option, parse_duration
from wizard.tokens.cached_tokens import token_document
from wizard.tokens.service import MAX_TOKEN_CHARACTERS, reported_token

POLL_INTERVAL_SECONDS = 0.5
"""Between two clock checks: after the computer slept, it continues at once."""

DEFAULT_RETRY_DELAY = timedelta(seconds=30)
"""The wait after a failure without a retry time, such as a network failure."""


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
        except ValueError as error:
            self.fail(f"{value!r} is {error}", parameter, context)
        if duration > self.maximum:
            most = format_duration_option(self.maximum)
            self.fail(f"{value!r} is more than {most}", parameter)
        return duration


min_ttl_option = click.option(
    "--min-ttl",
    type=DurationType(timedelta(seconds=MAX_TTL_SECONDS)),
    metavar="DURATION",
    help="The token must live at least this long (90s, 15m, at most 30m); else five minutes.",
)
wait_option = click.option(
    "--wait",
    type=DurationType(),
    default="0",
    metavar="DURATION",
    help="Wait up to this long (90s, 15m, 1h) where Zoho or the network asks for patience.",
)


def _only_stdin(
    _context: click.Context, _parameter: click.Parameter, value: str | None
) -> str | None:
    """Accept only ``-``; other values aren't repeated, since a token must not be in argv."""
    if value not in (None, "-"):
        raise click.BadParameter("only - is allowed: the token is read from stdin.")
    return value


@click.command()
@click.argument("name", type=CONNECTION_NAME)
@min_ttl_option
@click.option(
    "--force-refresh",
    is_flag=True,
    help="A new token, even if the cached one is still good; at most one a minute.",
)
@click.option(
    "--rejected",
    metavar="-",
    callback=_only_stdin,
    help="Read an access token that Zoho rejected from stdin, and print another.",
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
    """Print an access token of connection NAME.

    stdout gets the token and a newline, nothing else. Zoho is asked only when the cached token
    comes near its end, and only by one process at a time. --json adds where it may be used.

    If Zoho rejects the token, report it with --rejected - and it isn't printed again. If it is no
    longer the current one, the current one is printed.
    """
    reported = _reported(terminal) if rejected else ""
    access_token = get_token(
        terminal, name, wait, min_ttl=min_ttl, force_refresh=force_refresh, rejected=reported
    )
    if terminal.is_json:
        access = terminal.services.tokens.api_access(name)
        terminal.renderer.print_json(token_document(access_token, access, terminal.clock()))
    else:
        terminal.renderer.print_raw(access_token.value)


def _reported(terminal: Terminal) -> str:
    """The access token on stdin: one line, typed hidden on a terminal."""
    if sys.stdin.isatty():
        return reported_token(terminal.read_secret("Rejected access token").encode())
    return reported_token(sys.stdin.buffer.readline(MAX_TOKEN_CHARACTERS + 2))


def get_token(
    terminal: Terminal,
    name: str,
    wait: timedelta,
    *,
    min_ttl: timedelta | None,
    force_refresh: bool = False,
    rejected: str = "",
) -> AccessToken:
    """An access token of connection `name` other than the `rejected` one; temporary failures are
    retried for up to `wait`.

    Raises what `TokenService.access_token` raises once no retry fits into `wait`.
    """
    deadline = terminal.clock() + wait
    seconds = None if min_ttl is None else int(min_ttl.total_seconds())
    while True:
        try:
            return terminal.services.tokens.access_token(
                name, min_ttl=seconds, force_refresh=force_refresh, rejected=rejected
            )
        except WizardError as error:
            until = _retry_time(error.failure, terminal.clock(), deadline)
            if until is None:
                if error.failure.code == "refresh-token-rejected":
                    terminal.defer(partial(_notify_rejected, terminal, name))
                raise
            title = terminal.explain(error.failure).title
        terminal.renderer.print_note(
            f"{title}. Waiting until {terminal.format_time(until)}; Ctrl-C ends it."
        )
        while terminal.clock() < until:
            time.sleep(POLL_INTERVAL_SECONDS)


def _notify_rejected(terminal: Terminal, name: str) -> None:
    """Send a notification of ``monitor --notify`` at once, the first time."""
    for failure in terminal.services.monitoring.notify_rejected(name):
        terminal.renderer.print_explanation(terminal.explain(failure))


def _retry_time(failure: Failure, now: datetime, deadline: datetime) -> datetime | None:
    """When to try again; None if that is too late, or waiting doesn't help."""
    until = failure.retry_at or min(now + DEFAULT_RETRY_DELAY, deadline)
    return until if failure.temporary and now < until <= deadline else None
