"""What a repair came to: a table of proofs, and the same as JSON."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from wizard.cli.painter import moment
from wizard.cli.terminal import Terminal
from wizard.document import finding_json
from wizard.errors import phrase
from wizard.model import Grant, GrantState
from wizard.reauthorization import Line, LineState
from wizard.store import Destination
from wizard.validation import headline

COLUMNS = ("Connection", "State", "Reaches", "Proved", "Programs")


def paint_proofs(terminal: Terminal, lines: Sequence[Line]) -> None:
    """The table of proofs on stdout; below it on stderr what becomes of the tokens before, and what
    stands in the way."""
    terminal.painter.table(COLUMNS, [_row(terminal, line) for line in lines])
    ends = [line.revoke_at for line in lines if line.revoke_at]
    if ends:
        old = "refresh token" if len(ends) == 1 else f"{len(ends)} refresh tokens"
        at = moment(min(ends))
        terminal.painter.note(f"The {old} replaced here will be revoked at Zoho, from {at} on.")
    for line in lines:
        if line.failure is not None and line.state is not LineState.SKIPPED:
            terminal.name = line.connection
            terminal.painter.finding(terminal.explain(line.failure))


def proof_json(terminal: Terminal, line: Line) -> dict[str, Any]:
    """One line of the table as scripts read it; no secret in it."""
    store = terminal.house.store
    grant = store.grant(line.connection)
    proved, proved_at = _proof(terminal, line, grant)
    terminal.name = line.connection
    return {
        "name": line.connection,
        "state": line.state,
        "proved": proved,
        "generation": grant.generation if grant else None,
        "headline": headline(grant) if grant else None,
        "account": grant.account if grant else None,
        "organizations": grant.organizations if grant else (),
        "location": line.location,
        "proved_at": proved_at,
        "again_at": line.again_at,
        "destinations": [
            {
                "target": each.target,
                "generation": each.generation,
                "delivered_at": each.delivered_at,
                "in_use_at": each.in_use_at,
                "failure": each.failure.code if each.failure else None,
            }
            for each in store.destinations(line.connection)
        ],
        "revoke_at": line.revoke_at,
        "error": finding_json(terminal.explain(line.failure)) if line.failure else None,
    }


def exit_code(terminal: Terminal, line: Line) -> int:
    """0 for a connection that was repaired; 4 for one whose proof waits; 3 for one that does not
    work without a consent; 1 for one that was left as it was, or that a program still lacks."""
    if line.state is LineState.REPAIRED:
        return 0
    if line.state is LineState.WAITING:
        return 4
    grant = terminal.house.store.grant(line.connection)
    return 1 if grant and grant.state is GrantState.PROVED else 3


def state_of(line: Line, now: datetime) -> str:
    """How far `line` is, in words."""
    until = _clock_time(line.again_at, now) if line.again_at else ""
    return phrase("repair", "rate-limited" if line.rate_limited else line.state, until=until)


def _row(terminal: Terminal, line: Line) -> tuple[str, ...]:
    store, now = terminal.house.store, terminal.clock()
    grant = store.grant(line.connection)
    _, proved_at = _proof(terminal, line, grant)
    return (
        line.connection,
        state_of(line, now),
        headline(grant) if grant else "",
        _clock_time(proved_at, now) if proved_at else "",
        _programs(store.destinations(line.connection), grant.generation if grant else 0),
    )


def _proof(terminal: Terminal, line: Line, current: Grant | None) -> tuple[bool, datetime | None]:
    """Whether the newest grant of `line` is proved, and when it was; never the time of another
    grant's proof, nor that of a check that failed."""
    if current is None or current.state is not GrantState.PROVED:
        return False, None
    if current.generation != line.generation:  # a newer one waits
        return False, None
    receipt = terminal.house.store.receipt(line.connection, current.generation)
    return True, receipt.finished_at if receipt and receipt.proved else None


def _clock_time(at: datetime, now: datetime) -> str:
    """A time of today in short, of another day with its date."""
    here = at.astimezone()
    today = here.date() == now.astimezone().date()
    return here.strftime("%H:%M:%S") if today else moment(at)


def _programs(destinations: Sequence[Destination], generation: int) -> str:
    """How many programs hold the grant, and how many were made to read it."""
    if not destinations:
        return "no program"
    holding = [each for each in destinations if each.generation == generation]
    using = [each for each in holding if each.in_use_at is not None]
    return f"{len(holding)} of {len(destinations)} delivered, {len(using)} reloaded"
