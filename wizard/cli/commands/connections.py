"""``list``, ``show``, ``revoke``, ``remove``: what there is, and how it is ended."""

from datetime import datetime
from typing import Any

import click

from wizard.cli.commands.accounts import list_by_account
from wizard.cli.commands.reveal import reveal
from wizard.cli.connection_states import (
    NOT_AUTHORIZED,
    overview_label,
    overview_state,
    state_label,
)
from wizard.cli.flows.verification import print_usage
from wizard.cli.renderer import format_datetime
from wizard.cli.terminal import CONNECTION_NAME, Exit, Terminal, json_option, pass_terminal
from wizard.errors import describe_event, fail
from wizard.model import Connection, Failure, Grant, GrantState
from wizard.paths import current_user
from wizard.serialization import explanation_summary
from wizard.store import ConnectionOverview
from wizard.tokens import RequestLogView
from wizard.verification import headline
from wizard.zoho import describe_scope

MAX_EVENTS = 10
"""Lines of history in ``show``; the page has all of them."""


@click.command("list")
@click.option("--by", type=click.Choice(["account"]), help="Whose sign-in each depends on.")
@json_option
@pass_terminal
def list_connections(terminal: Terminal, by: str | None) -> None:
    """List the connections and how they are."""
    rows, refreshed = (
        terminal.services.store.overviews.all(),
        terminal.services.store.overviews.last_refreshes(),
    )
    now = terminal.clock()
    if by == "account":
        list_by_account(terminal, rows)
    elif terminal.renderer.as_json:
        terminal.renderer.print_json(
            [_overview_json(row, refreshed.get(row.connection.name), now) for row in rows]
        )
    elif rows:
        columns = ("Name", "State", "Account", "Organization", "Zoho", "Last used")
        table_rows = [_overview_row(row, refreshed.get(row.connection.name), now) for row in rows]
        terminal.renderer.print_table(columns, table_rows)
    if not rows:
        print_no_connections(terminal)
    elif (
        checked_at := terminal.services.store.monitoring.last_checked_at()
    ) and not terminal.renderer.as_json:
        terminal.renderer.print_note(
            f"All of them were last checked by a watch at {format_datetime(checked_at)}."
        )


def print_no_connections(terminal: Terminal) -> None:
    """Say that there is no connection, and how one is made."""
    terminal.renderer.print_note(
        f"No connections in {terminal.services.paths.data_dir} (user {current_user()}). Make one:",
        command="zoho-wizard connect",
    )


def _overview_row(
    row: ConnectionOverview, refreshed_at: datetime | None, now: datetime
) -> tuple[str, ...]:
    grant, state = row.grant, overview_label(row, now)
    if grant is None:
        return (row.connection.name, state, "", "", row.connection.location or "?", "never")
    organizations = dict.fromkeys(each.name for each in grant.organizations)
    return (
        row.connection.name,
        state,
        grant.account.email if grant.account else "",
        ", ".join(organizations),
        grant.location,
        format_datetime(refreshed_at),
    )


def _overview_json(
    row: ConnectionOverview, refreshed_at: datetime | None, now: datetime
) -> dict[str, Any]:
    grant = row.grant
    return {
        "name": row.connection.name,
        "client_id": row.connection.client_id,
        "generation": row.connection.generation,
        "state": overview_state(row, now),
        "has_failed_check": row.has_failed_check,
        "account": grant.account if grant else None,
        "organizations": grant.organizations if grant else (),
        "location": grant.location if grant else row.connection.location,
        "last_refreshed_at": refreshed_at,
    }


@click.command()
@click.argument("name", type=CONNECTION_NAME)
@click.option(
    "--reveal",
    "should_reveal",
    is_flag=True,
    help="Print id, secret and refresh token as .env lines, for a program that renews tokens.",
)
@click.option("--yes", is_flag=True, help="With --reveal: do not ask; needed in a script.")
@json_option
@pass_terminal
def show(terminal: Terminal, name: str, should_reveal: bool, yes: bool) -> None:
    """Show what connection NAME reaches.

    With its proof, its ledger of asks, its history, and how a program uses it.
    """
    if should_reveal:
        reveal(terminal, name, yes=yes)
    elif terminal.renderer.as_json:
        terminal.renderer.print_json(_connection_json(terminal, name))
    else:
        _print_connection(terminal, name)


def _connection_json(terminal: Terminal, name: str) -> dict[str, Any]:
    store = terminal.services.store
    connection, grant = store.connections.get(name), store.grants.get(name)
    report = store.verification_reports.get(name)
    location = grant.location if grant else connection.location
    return {
        "name": name,
        "client_id": connection.client_id,
        "scope": connection.scope,
        "location": location,
        "api_domain": _api_domain(terminal, location),
        "generation": connection.generation,
        "state": overview_state(store.overviews.all([name])[0], terminal.clock()),
        "headline": headline(grant) if grant else None,
        "grants": [_grant_json(each) for each in store.grants.of_connection(name)],
        "has_failed_check": report is not None and report.has_failed,
        "verification_report": report,
        "request_log": terminal.services.tokens.request_log_view(name),
        "history": store.events.of_connection(name),
        "cautions": [
            explanation_summary(each) for each in terminal.services.cautions.of_connection(name)
        ],
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
    return terminal.services.zoho.data_center(location).api_domain if location else None


def _print_connection(terminal: Terminal, name: str) -> None:
    store, renderer = terminal.services.store, terminal.renderer
    connection = store.connections.get(name)
    grant = store.grants.get(name) or store.grants.candidate(name)
    if grant is not None:
        renderer.print_output(headline(grant))
    report = store.verification_reports.get(name, grant.generation) if grant else None
    has_failed_check = report is not None and report.has_failed
    renderer.print_facts(_facts(terminal, connection, grant, has_failed_check))
    renderer.print_heading("Scopes")
    for scope in connection.scope:
        missing = grant is not None and scope not in grant.scope
        renderer.print_item(
            f"  {scope}: {describe_scope(scope)}{' (not granted)' if missing else ''}"
        )
    if grant is not None and report is not None:
        since = (
            ", before Zoho refused it" if grant.state is GrantState.NEEDS_REAUTHORIZATION else ""
        )
        what = "Check" if report.has_failed else "Proof"
        renderer.print_heading(
            f"{what} of {format_datetime(report.finished_at or report.started_at)}{since}"
        )
        renderer.print_report(report)
    renderer.print_heading("History")
    for event in store.events.of_connection(name, limit=MAX_EVENTS):
        renderer.print_item(f"  {format_datetime(event.at)}  {describe_event(event)}")
    renderer.print_blank()
    for caution in terminal.services.cautions.of_connection(name):
        renderer.print_caution(caution)
        renderer.print_blank()
    _print_next_steps(terminal, name, grant)


def _facts(
    terminal: Terminal, connection: Connection, grant: Grant | None, has_failed_check: bool
) -> list[tuple[str, str]]:
    client = terminal.services.store.clients.get(connection.client_id)
    tokens = terminal.services.tokens
    request_log = tokens.request_log_view(connection.name)
    unknown_at = tokens.outcome_unknown_since(grant) if grant else None
    granted = (
        [
            ("Account", grant.account.email if grant.account else ""),
            ("Data centre", grant.location),
            ("API domain", f"{_api_domain(terminal, grant.location)} (your calls go there)"),
            (
                "Grant",
                f"{grant.generation}, from the consent of {format_datetime(grant.granted_at)}",
            ),
        ]
        if grant
        else [("Data centre", connection.location or "not known yet")]
    )
    return [
        ("Connection", connection.name),
        ("State", state_label(grant, has_failed_check, unknown_at) if grant else NOT_AUTHORIZED),
        *granted,
        ("Client", f"{client.name} ({client.client_id})"),
        ("Token requests left", _requests_left(request_log)),
        ("Counted by client", _client_requests_left(request_log)),
        (
            "Refresh tokens",
            f"{request_log.refresh_token_count} of this person and client; Zoho keeps 20",
        ),
    ]


def _print_next_steps(terminal: Terminal, name: str, grant: Grant | None) -> None:
    renderer, candidate = terminal.renderer, terminal.services.store.grants.candidate(name)
    if candidate and candidate != grant and candidate.failure:
        renderer.print_explanation(terminal.explain(candidate.failure))
        renderer.print_blank()
    if grant is None:
        renderer.print_note("Authorize it:", command=f"zoho-wizard connect {name}")
    elif failure := grant.failure or terminal.services.diagnosis.outcome_unknown(grant):
        renderer.print_explanation(terminal.explain(failure))
    elif grant.state is GrantState.REVOKED:
        renderer.print_explanation(terminal.explain(Failure("grant-revoked")))
    else:
        print_usage(terminal, name)


def _requests_left(request_log: RequestLogView) -> str:
    text = f"{request_log.token_requests_left} in these ten minutes"
    if request_log.deferrable_requests_left == request_log.token_requests_left:
        return text
    left = request_log.deferrable_requests_left
    return f"{text}; {left} for a diagnosis, which leaves room for the whole client"


def _client_requests_left(request_log: RequestLogView) -> str:
    if not request_log.is_counted_by_client:
        return ""
    return (
        f"{request_log.client_requests_left} left for all its connections, since Zoho throttled it"
    )


@click.command()
@click.argument("name", type=CONNECTION_NAME)
@click.option("--yes", is_flag=True, help="Do not ask; needed in a script.")
@pass_terminal
def revoke(terminal: Terminal, name: str, yes: bool) -> None:
    """Revoke connection NAME at Zoho, then here.

    Every program that uses it stops working. The connection stays and can be authorized again.
    """
    store = terminal.services.store
    store.connections.get(name)
    revocable = _revocable_grants(store.grants.of_connection(name))
    if not revocable:
        raise fail("nothing-to-revoke", name=name)
    if not yes:
        terminal.renderer.print_note(f"Every program that uses {name} stops working.")
        terminal.confirm(f"Revoke {name} at Zoho?", option="--yes")
    for grant in revocable:
        terminal.services.tokens.revoke(grant)
    terminal.renderer.print_success(f"{name} is revoked at Zoho and here.")
    terminal.renderer.print_note("To use it again:", command=f"zoho-wizard reauthorize {name}")
    terminal.renderer.print_note("To be rid of it:", command=f"zoho-wizard remove {name}")


@click.command()
@click.argument("name", type=CONNECTION_NAME)
@click.option("--no-revoke", "choice", flag_value="keep", help="Forget it here; Zoho keeps it.")
@click.option("--revoke", "choice", flag_value="revoke", help="Revoke it at Zoho first.")
@pass_terminal
def remove(terminal: Terminal, name: str, choice: str | None) -> None:
    """Remove connection NAME. A script must choose --no-revoke or --revoke."""
    store = terminal.services.store
    store.connections.get(name)
    revocable = _revocable_grants(store.grants.of_connection(name))
    destinations = [each.target for each in store.destinations.all(name) if each.generation]
    for destination in destinations:
        terminal.renderer.print_note(f"Holds its credentials, and keeps them: {destination}")
    choice = choice or ("keep" if not revocable else None) or _prompt_removal(terminal, name)
    if choice == "revoke":
        for grant in revocable:
            terminal.services.tokens.revoke(grant)
    terminal.services.tokens.remove_connection(name)
    terminal.renderer.print_success(f"{name} is removed.")
    if revocable and choice == "keep":
        terminal.renderer.print_note(
            "Its refresh token still works at Zoho, and counts there among the twenty that Zoho "
            "keeps for a person and a client. Zoho's page of connected apps can end it."
        )


def _prompt_removal(terminal: Terminal, name: str) -> str:
    if not terminal.is_interactive:
        raise fail("choice-needed", name=name, options="--no-revoke, --revoke")
    terminal.renderer.print_note(
        f"{name} has a refresh token that works at Zoho. Programs that hold a copy go on using it "
        "if you forget it here; they stop if you revoke it at Zoho."
    )
    choice = click.prompt(
        "keep at Zoho, revoke at Zoho, or cancel",
        type=click.Choice(["keep", "revoke", "cancel"]),
        default="cancel",
        err=True,
    )
    if choice == "cancel":
        terminal.renderer.print_note("Nothing was changed.")
        raise Exit(1)
    return str(choice)


def _revocable_grants(grants: list[Grant] | tuple[Grant, ...]) -> list[Grant]:
    """The grants whose refresh token may still work at Zoho."""
    ended = (GrantState.NEEDS_REAUTHORIZATION, GrantState.REVOKED)
    return [grant for grant in grants if grant.state not in ended]
