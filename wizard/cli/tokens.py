"""``token``: a fresh access token, and nothing else, on stdout."""

import re
import sys
import time
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import click

from wizard.broker import LONGEST, reported_token
from wizard.cli.painter import moment
from wizard.cli.terminal import NAME, Terminal, json_option, pass_terminal
from wizard.errors import WizardError
from wizard.model import AccessToken, Failure

LONGEST_TTL = timedelta(minutes=30)
"""The most life that may be asked for: with more, hardly any token would be good enough, and each
call would make a new one."""

STEP = 0.5
"""Seconds between two looks at the clock: a computer that slept meanwhile goes on at once."""

UNTOLD = timedelta(seconds=30)
"""How long to wait where nobody says when it may go on: after a network fault."""

_SPAN = re.compile(r"(?P<count>\d{1,5})(?P<unit>[smh]?)")
_SECONDS = {"": 1, "s": 1, "m": 60, "h": 3600}


class Span(click.ParamType[timedelta]):
    """A span of time: ``90``, ``90s``, ``15m``, ``1h``; none longer than `most`."""

    name = "span"

    def __init__(self, most: timedelta = timedelta.max) -> None:
        self.most = most

    def convert(
        self, value: Any, parameter: click.Parameter | None, context: click.Context | None
    ) -> timedelta:
        """Read a number and its unit, seconds where none is given."""
        found = _SPAN.fullmatch(str(value))
        if found is None:
            self.fail(f"{value!r} is not a span of time such as 90s, 15m or 1h", parameter, context)
        span = timedelta(seconds=int(found["count"]) * _SECONDS[found["unit"]])
        if span > self.most:
            self.fail(f"{value!r} is more than {self.most // timedelta(minutes=1)}m", parameter)
        return span


min_ttl_option = click.option(
    "--min-ttl",
    type=Span(LONGEST_TTL),
    metavar="SPAN",
    help="The token must live at least this long (90s, 15m, at most 30m); else five minutes.",
)
wait_option = click.option(
    "--wait",
    type=Span(),
    default="0",
    metavar="SPAN",
    help="Wait up to this long (90s, 15m, 1h) where Zoho or the network asks for patience.",
)


def _only_stdin(
    _context: click.Context, _parameter: click.Parameter, value: str | None
) -> str | None:
    """Refuse anything but ``-`` without repeating it: it is a token that must not be in argv."""
    if value not in (None, "-"):
        raise click.BadParameter("only - is allowed: the token is read from stdin.")
    return value


@click.command()
@click.argument("name", type=NAME)
@min_ttl_option
@click.option(
    "--fresh",
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
@json_option
@pass_terminal
def token(
    terminal: Terminal,
    name: str,
    min_ttl: timedelta | None,
    fresh: bool,
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
    found = patient_token(terminal, name, wait, min_ttl=min_ttl, fresh=fresh, rejected=reported)
    if terminal.painter.as_json:
        terminal.painter.document(_document(terminal, found))
    else:
        click.echo(found.value)


def _reported(terminal: Terminal) -> str:
    """The access token on stdin: one line, typed unseen at a terminal."""
    if sys.stdin.isatty():
        return reported_token(terminal.secret_text("Rejected access token").encode())
    return reported_token(sys.stdin.buffer.readline(LONGEST + 2))


def patient_token(
    terminal: Terminal,
    name: str,
    wait: timedelta,
    *,
    min_ttl: timedelta | None,
    fresh: bool = False,
    rejected: str = "",
) -> AccessToken:
    """An access token of connection `name`, other than the `rejected` one, waiting up to `wait` for
    what is temporary.

    Raises what the broker raises once the wait is over, or would be before it helps.
    """
    deadline = terminal.clock() + wait
    seconds = None if min_ttl is None else int(min_ttl.total_seconds())
    while True:
        try:
            return terminal.house.broker.access_token(
                name, min_ttl=seconds, fresh=fresh, rejected=rejected
            )
        except WizardError as error:
            until = _worth_waiting(error.failure, terminal.clock(), deadline)
            if until is None:
                if error.failure.code == "grant-dead":
                    terminal.afterwards(partial(_raise_dead, terminal, name))
                raise
            title = terminal.explain(error.failure).title
        terminal.painter.note(f"{title}. Waiting until {moment(until)}; Ctrl-C ends it.")
        while terminal.clock() < until:
            time.sleep(STEP)


def _raise_dead(terminal: Terminal, name: str) -> None:
    """Tell whoever is told by ``watch --notify`` at once, the first time."""
    for failure in terminal.house.alarm.raise_dead(name):
        terminal.painter.finding(terminal.explain(failure))


def _worth_waiting(failure: Failure, now: datetime, deadline: datetime) -> datetime | None:
    """When to try again; None where that is too late, or no wait mends it."""
    until = failure.retry_at or min(now + UNTOLD, deadline)
    return until if failure.temporary and now < until <= deadline else None


def _document(terminal: Terminal, found: AccessToken) -> dict[str, Any]:
    reach = terminal.house.broker.reach(found.connection)
    return {
        "access_token": found.value,
        "token_type": "Zoho-oauthtoken",
        "expires_at": found.expires_at,
        "expires_in": int((found.expires_at - terminal.clock()).total_seconds()),
        "stale": found.stale,
        "location": reach.location,
        "accounts_server": reach.accounts_server,
        "api_domain": reach.api_domain,
        "api_bases": {each.id: each.api_base for each in reach.products},
        "organization_id": reach.organization_id or None,
        "organization_ids": {e.id: e.organization_id for e in reach.products if e.organization_id},
        "account": reach.account,
        "connection": found.connection,
        "generation": found.generation,
    }
