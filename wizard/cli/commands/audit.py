"""``audit``: the history of all connections and of the installation, filtered and exported."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import click

from wizard.cli.terminal import NEW_CONNECTION_NAME, Terminal, pass_terminal
from wizard.errors import describe_event, message, message_table
from wizard.model import Event
from wizard.store.history import EventFilter
from wizard.timefmt import parse_duration

DEFAULT_LIMIT = 100
"""Events that a person is shown; an export has all."""


class TimeType(click.ParamType[datetime]):
    """A time in ISO 8601, by default in this machine’s zone, or a duration until now."""

    name = "time"

    def convert(
        self, value: Any, parameter: click.Parameter | None, context: click.Context | None
    ) -> datetime:
        """Parse it."""
        text = str(value)
        try:
            return datetime.fromisoformat(text).astimezone()
        except (ValueError, OverflowError):
            pass
        try:
            duration = parse_duration(text)
        except ValueError:
            self.fail(message("usage-errors", "time-malformed", value=text), parameter, context)
        terminal = (context or click.get_current_context()).ensure_object(Terminal)
        return terminal.clock() - duration


@click.command()
@click.argument("names", type=NEW_CONNECTION_NAME, nargs=-1, metavar="[NAME]...")
@click.option(
    "--since",
    type=TimeType(),
    metavar="TIME",
    help="Show events from this time on, such as 2026-11-30, 2026-11-30T14:05 or 24h.",
)
@click.option("--until", type=TimeType(), metavar="TIME", help="Show events before this time.")
@click.option(
    "--user",
    "users",
    metavar="USER",
    multiple=True,
    help="Show what this user of the operating system did or got. Repeat it for several users.",
)
@click.option(
    "--machine",
    "machines",
    metavar="NAME",
    multiple=True,
    help="Show what the machine with this name recorded. Repeat it for several machines.",
)
@click.option(
    "--kind",
    "kinds",
    type=click.Choice(sorted(message_table()["history"])),
    metavar="KIND",
    multiple=True,
    help="Show events of this kind, such as token-served, delivered or revealed. Repeat it for "
    "several kinds.",
)
@click.option(
    "--limit",
    type=click.IntRange(min=1),
    metavar="NUMBER",
    help=f"Show only the last events, at most this many. Default: {DEFAULT_LIMIT}, or all with "
    "--json.",
)
@pass_terminal
def audit(
    terminal: Terminal,
    names: tuple[str, ...],
    since: datetime | None,
    until: datetime | None,
    users: tuple[str, ...],
    machines: tuple[str, ...],
    kinds: tuple[str, ...],
    limit: int | None,
) -> None:
    """Show who did what, and who got access tokens.

    The audit log lists authorizations, deliveries, changes, printed secrets, and access tokens that
    programs got. Without NAME, it shows everything. It contains no secrets. Events about access
    tokens are kept for 30 days. With --json, each event is one line.

    \b
    Examples:
      zoho-wizard audit --since 24h
      zoho-wizard audit crm --kind delivered --kind revealed
      zoho-wizard audit --user www-data --since 2026-11-01 --json >> audit.jsonl
    """
    is_empty = terminal.settings.paths.is_empty
    history = None if is_empty else terminal.services.store.events
    wanted = EventFilter(names, since, until, users, machines, kinds)
    if terminal.is_json:
        for event in history.search(wanted, limit) if history else ():
            terminal.renderer.print_json_line(event)
        return
    limit = limit or DEFAULT_LIMIT
    events = [*history.search(wanted, limit + 1)] if history else []
    if not events:
        terminal.renderer.print_note(message("notes", "no-events"))
        return
    _print_events(terminal, events[-limit:])
    if len(events) > limit:
        terminal.renderer.print_note(message("notes", "events-left-out", count=str(limit)))


def _print_events(terminal: Terminal, events: Sequence[Event]) -> None:
    terminal.renderer.print_table(
        ("Time", "Connection", "User", "Machine", "Event"),
        [
            (
                terminal.format_time(each.at, seconds=True),
                each.connection,
                each.user,
                each.machine if each.database_role else "",
                describe_event(each, with_author=False),
            )
            for each in events
        ],
        wraps_last=True,
    )
