"""``list``, ``show``, ``revoke``, ``remove``: what there is, and how it is ended."""

from datetime import datetime
from typing import Any

import click

from wizard.broker import LedgerView
from wizard.cli.accounts import list_by_account
from wizard.cli.painter import moment
from wizard.cli.proving import say_how_to_use
from wizard.cli.reveal import reveal
from wizard.cli.terminal import NAME, Exit, Terminal, json_option, pass_terminal
from wizard.document import as_data
from wizard.errors import fail, happened
from wizard.home import user
from wizard.model import Connection, Failure, Grant, GrantState
from wizard.store import Overview
from wizard.validation import headline
from wizard.zoho import scope_words

STATE_WORDS = {
    GrantState.PROVED: "✓ proved",
    GrantState.UNPROVED: "… not proved yet",
    GrantState.MISMATCH: "≠ waits for your decision",
    GrantState.DEAD: "✗ dead",
    GrantState.SUPERSEDED: "– replaced",
    GrantState.REVOKED: "– revoked",
}

CHECK_FAILED = "✗ check failed"
"""Of a grant that Zoho has not refused for good: what the page of connections says, too."""

EVENTS_SHOWN = 10
"""Lines of history in ``show``; the page has all of them."""


@click.command("list")
@click.option("--by", type=click.Choice(["account"]), help="Whose sign-in each depends on.")
@json_option
@pass_terminal
def list_connections(terminal: Terminal, by: str | None) -> None:
    """List the connections and how they are."""
    rows, refreshed = terminal.house.store.overview(), terminal.house.store.last_refreshes()
    if by == "account":
        states = {row.connection.name: _overview_row(row, None)[1] for row in rows}
        list_by_account(terminal, rows, states)
    elif terminal.painter.as_json:
        terminal.painter.document(
            [_overview_json(row, refreshed.get(row.connection.name)) for row in rows]
        )
    elif rows:
        columns = ("Name", "State", "Account", "Organization", "Zoho", "Last used")
        lines = [_overview_row(row, refreshed.get(row.connection.name)) for row in rows]
        terminal.painter.table(columns, lines)
    if not rows:
        say_empty(terminal)
    elif (watched_at := terminal.house.store.watched_at()) and not terminal.painter.as_json:
        terminal.painter.note(f"All of them were last checked by a watch at {moment(watched_at)}.")


def say_empty(terminal: Terminal) -> None:
    """Say that there is no connection, and how one is made."""
    terminal.painter.note(
        f"No connections in {terminal.house.home.data_dir} (user {user()}). Make one:",
        command="zoho-wizard connect",
    )


def _overview_row(row: Overview, refreshed_at: datetime | None) -> tuple[str, ...]:
    grant = row.grant
    if grant is None:
        state = "… authorization under way" if row.open_attempt else "○ not authorized yet"
        return (row.connection.name, state, "", "", row.connection.location or "?", "never")
    waits = row.candidate is not None and row.candidate.state is GrantState.MISMATCH
    state = STATE_WORDS[GrantState.MISMATCH] if waits else _state(grant, row.check_failed)
    organizations = dict.fromkeys(each.name for each in grant.organizations)
    return (
        row.connection.name,
        state,
        grant.account.email if grant.account else "",
        ", ".join(organizations),
        grant.location,
        moment(refreshed_at),
    )


def _state(grant: Grant, check_failed: bool) -> str:
    """The word for a grant; `check_failed` tells what its last check came to."""
    unrefused = grant.state in (GrantState.PROVED, GrantState.UNPROVED)
    return CHECK_FAILED if check_failed and unrefused else STATE_WORDS[grant.state]


def _overview_json(row: Overview, refreshed_at: datetime | None) -> dict[str, Any]:
    grant = row.grant
    return {
        "name": row.connection.name,
        "client_id": row.connection.client_id,
        "generation": row.connection.generation,
        "state": grant.state if grant else None,
        "check_failed": row.check_failed,
        "account": grant.account if grant else None,
        "organizations": grant.organizations if grant else (),
        "location": grant.location if grant else row.connection.location,
        "last_ok": refreshed_at,
    }


@click.command()
@click.argument("name", type=NAME)
@click.option(
    "--reveal",
    "revealed",
    is_flag=True,
    help="Print id, secret and refresh token as .env lines, for a program that renews tokens.",
)
@click.option("--yes", is_flag=True, help="With --reveal: do not ask; needed in a script.")
@json_option
@pass_terminal
def show(terminal: Terminal, name: str, revealed: bool, yes: bool) -> None:
    """Show what connection NAME reaches.

    With its proof, its ledger of asks, its history, and how a program uses it.
    """
    if revealed:
        reveal(terminal, name, yes=yes)
    elif terminal.painter.as_json:
        terminal.painter.document(_connection_json(terminal, name))
    else:
        _paint_connection(terminal, name)


def _connection_json(terminal: Terminal, name: str) -> dict[str, Any]:
    store = terminal.house.store
    connection, grant = store.connection(name), store.grant(name)
    receipt = store.receipt(name)
    location = grant.location if grant else connection.location
    return {
        "name": name,
        "client_id": connection.client_id,
        "scope": connection.scope,
        "location": location,
        "api_domain": _api_domain(terminal, location),
        "generation": connection.generation,
        "headline": headline(grant) if grant else None,
        "grants": [_grant_json(each) for each in store.grants(name)],
        "check_failed": receipt is not None and receipt.failed,
        "receipt": receipt,
        "ledger": terminal.house.broker.ledger(name),
        "history": store.history(name),
        "cautions": [as_data(each) for each in terminal.house.cautions.of(name)],
    }


def _grant_json(grant: Grant) -> dict[str, Any]:
    return {
        "generation": grant.generation,
        "state": grant.state,
        "scope": grant.scope,
        "location": grant.location,
        "granted_at": grant.granted_at,
        "account": grant.account,
        "organizations": grant.organizations,
        "failure": grant.failure.code if grant.failure else None,
    }


def _api_domain(terminal: Terminal, location: str | None) -> str | None:
    return terminal.house.zoho.data_centre(location).api_domain if location else None


def _paint_connection(terminal: Terminal, name: str) -> None:
    store, painter = terminal.house.store, terminal.painter
    connection = store.connection(name)
    grant = store.grant(name) or store.candidate(name)
    if grant is not None:
        painter.product(headline(grant))
    receipt = store.receipt(name, grant.generation) if grant else None
    failed = receipt is not None and receipt.failed
    painter.facts(_facts(terminal, connection, grant, failed))
    painter.heading("Scopes")
    for scope in connection.scope:
        missing = grant is not None and scope not in grant.scope
        painter.item(f"  {scope}: {scope_words(scope)}{' (not granted)' if missing else ''}")
    if grant is not None and receipt is not None:
        since = ", before Zoho refused it" if grant.state is GrantState.DEAD else ""
        what = "Check" if receipt.failed else "Proof"
        painter.heading(f"{what} of {moment(receipt.finished_at or receipt.started_at)}{since}")
        painter.receipt(receipt)
    painter.heading("History")
    for event in store.history(name, limit=EVENTS_SHOWN):
        painter.item(f"  {moment(event.at)}  {happened(event)}")
    painter.blank()
    for caution in terminal.house.cautions.of(name):
        painter.caution(caution)
        painter.blank()
    _say_what_next(terminal, name, grant)


def _facts(
    terminal: Terminal, connection: Connection, grant: Grant | None, check_failed: bool
) -> list[tuple[str, str]]:
    client = terminal.house.store.client(connection.client_id)
    ledger = terminal.house.broker.ledger(connection.name)
    granted = (
        [
            ("Account", grant.account.email if grant.account else ""),
            ("Data centre", grant.location),
            ("API domain", f"{_api_domain(terminal, grant.location)} (your calls go there)"),
            ("Grant", f"{grant.generation}, from the consent of {moment(grant.granted_at)}"),
        ]
        if grant
        else [("Data centre", connection.location or "not known yet")]
    )
    return [
        ("Connection", connection.name),
        ("State", _state(grant, check_failed) if grant else "○ not authorized yet"),
        *granted,
        ("Client", f"{client.name} ({client.client_id})"),
        ("Token requests left", _left(ledger)),
        ("Counted by client", _together(ledger)),
        ("Refresh tokens", f"{ledger.refresh_tokens} of this person and client; Zoho keeps 20"),
    ]


def _say_what_next(terminal: Terminal, name: str, grant: Grant | None) -> None:
    painter, candidate = terminal.painter, terminal.house.store.candidate(name)
    if candidate and candidate != grant and candidate.failure:
        painter.finding(terminal.explain(candidate.failure))
        painter.blank()
    if grant is None:
        painter.note("Authorize it:", command=f"zoho-wizard connect {name}")
    elif grant.failure is not None:
        painter.finding(terminal.explain(grant.failure))
    elif grant.state is GrantState.REVOKED:
        painter.finding(terminal.explain(Failure("grant-revoked")))
    else:
        say_how_to_use(terminal, name)


def _left(ledger: LedgerView) -> str:
    text = f"{ledger.token_requests_left} in these ten minutes"
    if ledger.spare_left == ledger.token_requests_left:
        return text
    return f"{text}; {ledger.spare_left} for a diagnosis, which leaves room for the whole client"


def _together(ledger: LedgerView) -> str:
    if not ledger.counted_by_client:
        return ""
    return f"{ledger.client_requests_left} left for all its connections, since Zoho throttled it"


@click.command()
@click.argument("name", type=NAME)
@click.option("--yes", is_flag=True, help="Do not ask; needed in a script.")
@pass_terminal
def revoke(terminal: Terminal, name: str, yes: bool) -> None:
    """Revoke connection NAME at Zoho, then here.

    Every program that uses it stops working. The connection stays and can be authorized again.
    """
    store = terminal.house.store
    store.connection(name)
    living = _living(store.grants(name))
    if not living:
        raise fail("nothing-to-revoke", name=name)
    if not yes:
        terminal.painter.note(f"Every program that uses {name} stops working.")
        terminal.confirm(f"Revoke {name} at Zoho?", otherwise="--yes")
    for grant in living:
        terminal.house.broker.revoke(grant)
    terminal.painter.good(f"{name} is revoked at Zoho and here.")
    terminal.painter.note("To use it again:", command=f"zoho-wizard reauthorize {name}")
    terminal.painter.note("To be rid of it:", command=f"zoho-wizard remove {name}")


@click.command()
@click.argument("name", type=NAME)
@click.option("--forget", "choice", flag_value="forget", help="Forget it here; Zoho keeps it.")
@click.option("--revoke", "choice", flag_value="revoke", help="Revoke it at Zoho first.")
@pass_terminal
def remove(terminal: Terminal, name: str, choice: str | None) -> None:
    """Remove connection NAME. A script must choose --forget or --revoke."""
    store = terminal.house.store
    store.connection(name)
    living = _living(store.grants(name))
    holders = [each.target for each in store.destinations(name) if each.generation]
    for holder in holders:
        terminal.painter.note(f"Holds its credentials, and keeps them: {holder}")
    choice = choice or ("forget" if not living else None) or _ask_what_becomes_of_it(terminal, name)
    if choice == "revoke":
        for grant in living:
            terminal.house.broker.revoke(grant)
    terminal.house.broker.forget(name)
    terminal.painter.good(f"{name} is removed.")
    if living and choice == "forget":
        terminal.painter.note(
            "Its refresh token still works at Zoho, and counts there among the twenty that Zoho "
            "keeps for a person and a client. Zoho's page of connected apps can end it."
        )


def _ask_what_becomes_of_it(terminal: Terminal, name: str) -> str:
    if not terminal.interactive:
        raise fail("choice-needed", name=name, options="--forget, --revoke")
    terminal.painter.note(
        f"{name} has a refresh token that works at Zoho. Programs that hold a copy go on using it "
        "if you forget it here; they stop if you revoke it at Zoho."
    )
    answer = click.prompt(
        "forget here, revoke at Zoho, or cancel",
        type=click.Choice(["forget", "revoke", "cancel"]),
        default="cancel",
        err=True,
    )
    if answer == "cancel":
        terminal.painter.note("Nothing was changed.")
        raise Exit(1)
    return str(answer)


def _living(grants: list[Grant] | tuple[Grant, ...]) -> list[Grant]:
    """The grants whose refresh token may still work at Zoho."""
    ended = (GrantState.DEAD, GrantState.REVOKED)
    return [grant for grant in grants if grant.state not in ended]
