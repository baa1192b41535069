"""``list``, ``show``, ``revoke``, ``remove``: what there is, and how it is ended."""

import shlex
import sys
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import click

from wizard.cli.connection_states import (
    NOT_AUTHORIZED,
    overview_label,
    overview_state,
    state_label,
)
from wizard.cli.flows.verification import print_usage
from wizard.cli.terminal import CONNECTION_NAME, Exit, Terminal, json_option, pass_terminal
from wizard.errors import describe_event, fail
from wizard.model import Connection, Event, Failure, Grant, GrantState
from wizard.paths import current_user
from wizard.serialization import explanation_summary
from wizard.store import ConnectionOverview, Destination
from wizard.timefmt import format_time
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
            f"All of them were last checked by a watch at {terminal.format_time(checked_at)}."
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
        format_time(refreshed_at, now) if refreshed_at else "never",
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
            f"{what} of {terminal.format_time(report.finished_at or report.started_at)}{since}"
        )
        renderer.print_report(report)
    renderer.print_heading("History")
    events = store.events.of_connection(name, limit=MAX_EVENTS)
    times = [terminal.format_time(event.at, seconds=True) for event in events]
    width = max(map(len, times), default=0)
    for time, event in zip(times, events, strict=True):
        renderer.print_item(f"  {time.ljust(width)}  {describe_event(event)}")
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
                f"{grant.generation}, from the consent of {terminal.format_time(grant.granted_at)}",
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


COLUMNS = ("Account", "Zoho", "Connection", "State", "Client", "Programs")
NO_ACCOUNT = "nobody yet"


def list_by_account(terminal: Terminal, rows: Sequence[ConnectionOverview]) -> None:
    """The connections by the account that consented, each with the programs it was delivered
    to."""
    store, now = terminal.services.store, terminal.clock()
    clients = {client.client_id: client.name for client in store.clients.all()}
    programs: dict[str, list[Destination]] = {}
    for destination in store.destinations.all():
        programs.setdefault(destination.connection, []).append(destination)
    ordered = sorted(rows, key=lambda row: (*_account_and_location(row), row.connection.name))
    if terminal.renderer.as_json:
        terminal.renderer.print_json(_accounts_to_json(ordered, clients, programs, now))
        return
    lines = [
        (
            *_account_and_location(row),
            row.connection.name,
            overview_label(row, now),
            clients[row.connection.client_id],
            ", ".join(each.target for each in programs.get(row.connection.name, ())),
        )
        for row in ordered
    ]
    terminal.renderer.print_table(COLUMNS, lines)


def _account_and_location(row: ConnectionOverview) -> tuple[str, str]:
    """Who consented, and in which data centre."""
    grant = row.grant
    email = grant.account.email if grant and grant.account else NO_ACCOUNT
    return email, (grant.location if grant else row.connection.location) or "?"


def _accounts_to_json(
    rows: Sequence[ConnectionOverview],
    clients: Mapping[str, str],
    programs: Mapping[str, Sequence[Destination]],
    now: datetime,
) -> list[dict[str, Any]]:
    accounts: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for row in rows:
        connection = row.connection
        accounts.setdefault(_account_and_location(row), []).append(
            {
                "name": connection.name,
                "state": overview_state(row, now),
                "client": clients[connection.client_id],
                "destinations": [each.target for each in programs.get(connection.name, ())],
            }
        )
    return [
        {
            "account": None if email == NO_ACCOUNT else email,
            "location": None if location == "?" else location,
            "connections": connections,
        }
        for (email, location), connections in accounts.items()
    ]


def reveal(terminal: Terminal, name: str, *, yes: bool) -> None:
    """Print what a program needs to renew tokens itself, as ``.env`` lines.

    A terminal is asked first; a pipe needs `yes`. Raises ``no-grant``, ``missing-secret`` or
    ``reveal-needs-yes``.
    """
    services, renderer = terminal.services, terminal.renderer
    connection, grant = services.store.connections.get(name), services.store.grants.get(name)
    if grant is None:
        raise fail("no-grant", name=name)
    client = services.store.clients.get(connection.client_id)
    data_center = services.zoho.data_center(grant.location)
    secret = services.tokens.secret_for(client, grant.location)
    variables = {
        "ZOHO_CLIENT_ID": client.client_id,
        "ZOHO_CLIENT_SECRET": secret,
        "ZOHO_REFRESH_TOKEN": grant.refresh_token,
        "ZOHO_ACCOUNTS_URL": data_center.accounts_server,
        "ZOHO_API_DOMAIN": data_center.api_domain,
        "ZOHO_DC": data_center.domain_suffix,
        "ZOHO_SCOPE": ",".join(grant.scope),
    }
    renderer.print_note(
        "These are for a program that renews tokens itself. A program that can run a command for "
        f"each token needs none of them: zoho-wizard token {name}"
    )
    if not yes:
        _confirm(terminal)
    services.store.events.record(Event(terminal.clock(), name, "revealed"))
    if renderer.as_json:
        renderer.print_json(variables)
    else:
        for key, value in variables.items():
            # A shell may read these lines: what Zoho names a scope must not become a command.
            click.echo(f"{key}={shlex.quote(value)}")
    renderer.print_note(
        "Shown on purpose, and noted in the history. Keep them out of version control."
    )


def _confirm(terminal: Terminal) -> None:
    if not sys.stdout.isatty() or not terminal.is_interactive:
        raise fail("reveal-needs-yes")
    terminal.renderer.print_note(
        "Whoever sees them can use the account within the connection's scopes."
    )
    if not click.confirm("Show them on this screen?", err=True):
        terminal.renderer.print_note("Nothing was shown.")
        raise Exit(1)
