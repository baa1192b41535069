"""What a repair came to: a table of proofs, and the same as JSON."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from wizard.cli.renderer import format_datetime
from wizard.cli.terminal import Terminal
from wizard.errors import message
from wizard.model import Grant, GrantState
from wizard.reauthorization import ItemState, ReauthorizationItem
from wizard.serialization import explanation_to_json
from wizard.store import Destination
from wizard.verification import headline

COLUMNS = ("Connection", "State", "Reaches", "Proved", "Programs")


def print_results(terminal: Terminal, items: Sequence[ReauthorizationItem]) -> None:
    """The table of proofs on stdout; below it on stderr what becomes of the tokens before, and what
    stands in the way."""
    terminal.renderer.print_table(COLUMNS, [_row(terminal, item) for item in items])
    ends = [line.revoke_at for line in items if line.revoke_at]
    if ends:
        old = "refresh token" if len(ends) == 1 else f"{len(ends)} refresh tokens"
        at = format_datetime(min(ends))
        terminal.renderer.print_note(
            f"The {old} replaced here will be revoked at Zoho, from {at} on."
        )
    for line in items:
        if line.failure is not None and line.state is not ItemState.SKIPPED:
            terminal.connection_name = line.connection
            terminal.renderer.print_explanation(terminal.explain(line.failure))


def item_to_json(terminal: Terminal, item: ReauthorizationItem) -> dict[str, Any]:
    """One line of the table as scripts read it; no secret in it."""
    store = terminal.services.store
    grant = store.grants.get(item.connection)
    has_verification, verified_at = _verification(terminal, item, grant)
    terminal.connection_name = item.connection
    return {
        "name": item.connection,
        "state": item.state,
        "is_verified": has_verification,
        "generation": grant.generation if grant else None,
        "headline": headline(grant) if grant else None,
        "account": grant.account if grant else None,
        "organizations": grant.organizations if grant else (),
        "location": item.location,
        "verified_at": verified_at,
        "retry_at": item.retry_at,
        "destinations": [
            {
                "target": each.target,
                "generation": each.generation,
                "delivered_at": each.delivered_at,
                "reloaded_at": each.reloaded_at,
                "failure": each.failure.code if each.failure else None,
            }
            for each in store.destinations.all(item.connection)
        ],
        "revoke_at": item.revoke_at,
        "error": explanation_to_json(terminal.explain(item.failure)) if item.failure else None,
    }


def exit_code(terminal: Terminal, item: ReauthorizationItem) -> int:
    """0 for a connection that was repaired; 4 for one whose proof waits; 3 for one that does not
    work without a consent; 1 for one that was left as it was, or that a program still lacks."""
    if item.state is ItemState.REAUTHORIZED:
        return 0
    if item.state is ItemState.WAITING_TO_RETRY:
        return 4
    grant = terminal.services.store.grants.get(item.connection)
    return 1 if grant and grant.state is GrantState.VERIFIED else 3


def state_of(line: ReauthorizationItem, now: datetime) -> str:
    """How far `line` is, in words."""
    until = _clock_time(line.retry_at, now) if line.retry_at else ""
    return message(
        "reauthorization-items", "rate-limited" if line.rate_limited else line.state, until=until
    )


def _row(terminal: Terminal, item: ReauthorizationItem) -> tuple[str, ...]:
    store, now = terminal.services.store, terminal.clock()
    grant = store.grants.get(item.connection)
    _, verified_at = _verification(terminal, item, grant)
    return (
        item.connection,
        state_of(item, now),
        headline(grant) if grant else "",
        _clock_time(verified_at, now) if verified_at else "",
        _program_counts(store.destinations.all(item.connection), grant.generation if grant else 0),
    )


def _verification(
    terminal: Terminal, line: ReauthorizationItem, current: Grant | None
) -> tuple[bool, datetime | None]:
    """Whether the newest grant of `line` is proved, and when it was; never the time of another
    grant's proof, nor that of a check that failed."""
    if current is None or current.state is not GrantState.VERIFIED:
        return False, None
    if current.generation != line.generation:  # a newer one waits
        return False, None
    report = terminal.services.store.verification_reports.get(line.connection, current.generation)
    return True, report.finished_at if report and report.is_verified else None


def _clock_time(at: datetime, now: datetime) -> str:
    """A time of today in short, of another day with its date."""
    here = at.astimezone()
    today = here.date() == now.astimezone().date()
    return here.strftime("%H:%M:%S") if today else format_datetime(at)


def _program_counts(destinations: Sequence[Destination], generation: int) -> str:
    """How many programs hold the grant, and how many were made to read it."""
    if not destinations:
        return "no program"
    current = [each for each in destinations if each.generation == generation]
    reloaded = [each for each in current if each.reloaded_at is not None]
    return f"{len(current)} of {len(destinations)} delivered, {len(reloaded)} reloaded"
