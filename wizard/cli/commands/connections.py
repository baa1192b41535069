"""``list``, ``show``, ``edit``, ``rename``, ``revoke``, ``remove``: connections, to their end."""

import os
import shlex
import stat
import sys
from collections.abc import Collection, Iterable, Sequence
from dataclasses import fields
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from wizard.cli.flows.token_host import host_of, refuse_options, request_report
from wizard.cli.flows.verification import print_usage, step_result
from wizard.cli.results.connections import (
    AccountConnection,
    AccountConnections,
    AccountList,
    ConnectionDetails,
    ConnectionList,
    ConnectionSummary,
    EditedConnection,
    GrantSummary,
    RemovedConnection,
    RenamedConnection,
    RequestBudget,
    RevealedCredentials,
    RevokedConnection,
    TokenRequestSummary,
    VerificationSummary,
    caution_of,
    status_fields,
)
from wizard.cli.results.destinations import DestinationProblem, machine_reports
from wizard.cli.terminal import (
    CONNECTION_NAME,
    TAG,
    Exit,
    Terminal,
    pass_terminal,
    printable,
    tagged_connections,
)
from wizard.connection_details import headline, is_access_token_rejected
from wizard.errors import describe_event, describe_status, explain, fail, message
from wizard.model import Event, Failure, Grant, GrantState, VerificationReport
from wizard.model.states import ConnectionStatus
from wizard.paths import current_user
from wizard.serialization import error_report
from wizard.store import ConnectionOverview
from wizard.timefmt import format_age
from wizard.tokens.request_log import RequestLogView
from wizard.zoho import describe_scope

if TYPE_CHECKING:
    from wizard.delivery.service import DestinationStatus

MAX_EVENTS = 10
"""Lines of history in ``show``; the page has all of them."""
MAX_DESTINATION_PROBLEMS = 10
"""Lines about destinations in ``list``."""


@click.command("list")
@click.option(
    "--by",
    type=click.Choice(["account"]),
    help="Group the connections by the account that authorized them.",
)
@click.option(
    "--tag",
    "tags",
    type=TAG,
    multiple=True,
    help="List only connections with this tag. Repeat it for those that have several tags.",
)
@pass_terminal
def list_connections(terminal: Terminal, by: str | None, tags: tuple[str, ...]) -> None:
    """List connections and their states.

    It shows who authorized each connection, what it reaches, and when an access token was last
    requested. It doesn’t ask Zoho: `zoho-wizard check` does.

    \b
    Examples:
      zoho-wizard list
      zoho-wizard list --tag prod
      zoho-wizard list --by account
    """
    if host := host_of(terminal):
        refuse_options(terminal, by=by, tag=tags)
        remote = request_report(terminal, host, "list", (), ConnectionList)
        terminal.emit(remote, lambda: _print_connections(terminal, remote))
        return
    if not terminal.settings.paths.is_empty and (socket := terminal.service_socket):
        _print_served_list(terminal, socket, by, tags)
        return
    names = tagged_connections(terminal, tags) if tags else None
    if by == "account":
        accounts = _account_list(terminal, names)
        terminal.emit(accounts, lambda: _print_accounts(terminal, accounts))
    else:
        listed = _connection_list(terminal, names)
        terminal.emit(listed, lambda: _print_connections(terminal, listed))


def _print_served_list(
    terminal: Terminal, socket: Path, by: str | None, tags: tuple[str, ...]
) -> None:
    """Print what the service prints for the same options."""
    from wizard.local_api import request_list  # slow to load, and rarely needed

    options = {"by": [by] if by else [], "tag": list(tags), "json": ["1"] * terminal.is_json}
    listed = request_list(socket, options)
    if listed is None:
        raise fail("service-stopped")
    if listed.stdout:
        terminal.renderer.print_raw(listed.stdout)
    if listed.stderr:
        terminal.renderer.print_raw(listed.stderr, is_stderr=True)
    raise Exit(listed.exit_code)


def print_no_connections(terminal: Terminal) -> None:
    """Say that there is no connection, and how to make one."""
    paths = terminal.settings.paths
    place = paths.data_dir if paths.is_empty else terminal.services.store.database.place
    terminal.renderer.print_note(
        message("notes", "no-connections", path=place, user=current_user()),
        command="zoho-wizard connect",
    )


def _connection_list(terminal: Terminal, names: Collection[str] | None) -> ConnectionList:
    if terminal.settings.paths.is_empty:
        return ConnectionList((), None, ())
    now = terminal.clock()
    with terminal.services.store.snapshot() as view:
        overviews, refreshed = view.overviews.all(names), view.overviews.last_refreshes()
        last_checked_at = view.monitoring.last_checked_at()
        has_destinations = bool(view.destinations.all())
        machines = [e for e in view.machines.all() if e.outdated_destinations and not e.is_here]
    problems: list[DestinationStatus] = []
    if has_destinations:  # otherwise nothing that could send requests is loaded
        with terminal.services.snapshot() as services:
            found = services.delivery.problems()
        problems = [each for each in found if names is None or each.destination.connection in names]
    summaries = (
        connection_summary(row, refreshed.get(row.connection.name), now) for row in overviews
    )
    return ConnectionList(
        tuple(summaries),
        last_checked_at,
        destination_problems(problems),
        machine_reports(machines),
    )


def destination_problems(
    statuses: "Iterable[DestinationStatus]",
) -> tuple[DestinationProblem, ...]:
    """The destinations of `DeliveryService.problems` as scripts read them."""
    return tuple(
        DestinationProblem(
            each.destination.connection,
            each.destination.target,
            each.state,
            error_report(explain(each.problem, name=each.destination.connection)),
        )
        for each in statuses
        if each.problem
    )


def connection_summary(
    row: ConnectionOverview, refreshed_at: datetime | None, now: datetime
) -> ConnectionSummary:
    """One connection of `list`, last refreshed at `refreshed_at`."""
    grant = row.grant
    return ConnectionSummary(
        name=row.connection.name,
        client_id=row.connection.client_id,
        generation=row.connection.generation,
        **status_fields(row.status(now)),
        account=grant.account if grant else None,
        organizations=grant.organizations if grant else (),
        location=grant.location if grant else row.connection.location,
        last_refreshed_at=refreshed_at,
        owner=row.connection.owner,
        tags=row.connection.tags,
        note=row.connection.note,
    )


def _print_connections(terminal: Terminal, listed: ConnectionList) -> None:
    if not listed.connections:
        print_no_connections(terminal)
        return
    terminal.renderer.print_table(
        ("Name", "State", "Account", "Organization", "Data center", "Last refresh", "Tags"),
        [
            (
                each.name,
                describe_status(ConnectionStatus(each.state, each.activity), terminal.clock()),
                each.account.email if each.account else "",
                ", ".join(dict.fromkeys(each.name for each in each.organizations)),
                each.location or "?",
                terminal.format_time(each.last_refreshed_at),
                ", ".join(each.tags),
            )
            for each in listed.connections
        ],
    )
    for each in listed.destination_problems[:MAX_DESTINATION_PROBLEMS]:
        terminal.renderer.print_failure(f"{each.target} ({each.connection}): {each.error.title}")
    if listed.destination_problems:
        hidden = len(listed.destination_problems) - MAX_DESTINATION_PROBLEMS
        count = str(hidden) if hidden > 0 else ""
        terminal.renderer.print_note(
            message("notes", "destination-problems", count=count),
            command="zoho-wizard destination status",
        )
    for machine in listed.outdated_machines:
        age = format_age(machine.last_seen_at, terminal.clock())
        count = str(machine.outdated_destinations)
        text = message("notes", "machine-behind", machine=machine.name, age=age, count=count)
        terminal.renderer.print_note(text)
    if listed.last_checked_at:
        terminal.renderer.print_note(
            message("notes", "monitor-last-ran", at=terminal.format_time(listed.last_checked_at))
        )


def _account_list(terminal: Terminal, names: Collection[str] | None) -> AccountList:
    """The connections by the account that consented, each with its destinations."""
    if terminal.settings.paths.is_empty:
        return AccountList(())
    store, now = terminal.services.store, terminal.clock()
    clients = {client.client_id: client.name for client in store.clients.all()}
    targets: dict[str, list[str]] = {}
    for destination in store.destinations.all():
        targets.setdefault(destination.connection, []).append(destination.target)
    accounts: dict[tuple[str | None, str | None], list[AccountConnection]] = {}
    for row in store.overviews.all(names):
        name, grant = row.connection.name, row.grant
        email = grant.account.email if grant and grant.account else None
        location = grant.location if grant else row.connection.location
        accounts.setdefault((email, location), []).append(
            AccountConnection(
                name=name,
                **status_fields(row.status(now)),
                client=clients[row.connection.client_id],
                destinations=tuple(targets.get(name, ())),
            )
        )
    by_account = sorted(accounts.items(), key=lambda each: (each[0][0] or "~", each[0][1] or "?"))
    return AccountList(
        tuple(AccountConnections(*account, tuple(found)) for account, found in by_account)
    )


def _print_accounts(terminal: Terminal, listed: AccountList) -> None:
    if not listed.accounts:
        print_no_connections(terminal)
        return
    terminal.renderer.print_table(
        ("Account", "Data center", "Connection", "State", "Client", "Programs"),
        [
            (
                account.account or "none yet",
                account.location or "?",
                each.name,
                describe_status(ConnectionStatus(each.state, each.activity), terminal.clock()),
                each.client,
                ", ".join(each.destinations),
            )
            for account in listed.accounts
            for each in account.connections
        ],
    )


@click.command()
@click.argument("name", type=CONNECTION_NAME)
@click.option(
    "--reveal",
    "should_reveal",
    is_flag=True,
    help="Print the client ID, the client secret and the refresh token as .env lines.",
)
@click.option(
    "--yes", is_flag=True, help="With --reveal, don’t ask for confirmation. A script needs it."
)
@pass_terminal
def show(terminal: Terminal, name: str, should_reveal: bool, yes: bool) -> None:
    """Show what a connection reaches and how to use it.

    It includes the last verification, the token requests left, and the history. With --reveal,
    it prints the credentials instead, for a program that refreshes tokens itself.

    \b
    Examples:
      zoho-wizard show crm
      zoho-wizard show crm --json
      zoho-wizard show crm --reveal --yes > .env
    """
    if host := host_of(terminal):
        refuse_options(terminal, reveal=should_reveal)
        remote = request_report(terminal, host, "show", (name,), ConnectionDetails)
        current = [each for each in remote.grants if each.generation == remote.generation]
        granted, api_domain = next(iter(current), None), remote.api_domain or ""
        terminal.emit(remote, lambda: _print_details(terminal, remote, granted, api_domain))
    elif should_reveal:
        reveal(terminal, name, yes=yes)
    else:
        details = connection_details(terminal, name)
        terminal.emit(details, lambda: _print_connection(terminal, details))


def connection_details(terminal: Terminal, name: str) -> ConnectionDetails:
    """The result of `show`."""
    services, store = terminal.services, terminal.services.store
    connection, grant = store.connections.get(name), store.grants.get(name)
    shown = grant or store.grants.candidate(name)
    report = store.verification_reports.get(name, shown.generation) if shown else None
    undecided = store.attempts.undecided(name, connection.generation)
    location = grant.location if grant else connection.location
    return ConnectionDetails(
        name=name,
        client_id=connection.client_id,
        client_name=store.clients.get(connection.client_id).name,
        scope=connection.scope,
        unknown_scope=tuple(scope for each in undecided for scope in each.scope),
        location=location,
        api_domain=_api_domain(terminal, location),
        generation=connection.generation,
        **status_fields(store.overviews.get(name).status(terminal.clock())),
        headline=headline(shown, report.steps if report else ()) if shown else None,
        grants=tuple(_grant_summary(each) for each in store.grants.of_connection(name)),
        verification=_verification_summary(report) if report else None,
        request_budget=_request_budget(services.request_log.view(name)),
        history=tuple(store.events.of_connection(name)),
        cautions=tuple(caution_of(each) for each in services.cautions.of_connection(name)),
        owner=connection.owner,
        tags=connection.tags,
        note=connection.note,
    )


def _grant_summary(grant: Grant) -> GrantSummary:
    return GrantSummary(
        generation=grant.generation,
        state=grant.state,
        scope=grant.scope,
        location=grant.location,
        granted_at=grant.granted_at,
        account=grant.account,
        organizations=grant.organizations,
        failure=grant.failure.code if grant.failure else None,
    )


def _verification_summary(report: VerificationReport) -> VerificationSummary:
    steps = tuple(step_result(each) for each in report.steps)
    return VerificationSummary(report.generation, report.started_at, report.finished_at, steps)


def _request_budget(view: RequestLogView) -> RequestBudget:
    return RequestBudget(
        requests=tuple(
            TokenRequestSummary(each.kind, each.at, each.outcome, each.retry_at)
            for each in view.requests
        ),
        token_requests_left=view.token_requests_left,
        deferrable_requests_left=view.deferrable_requests_left,
        next_request_at=view.next_request_at,
        authorizations_left=view.authorizations_left,
        refresh_token_count=view.refresh_token_count,
        is_near_refresh_token_limit=view.is_near_refresh_token_limit,
        is_counted_by_client=view.is_counted_by_client,
        client_requests_left=view.client_requests_left,
    )


def _api_domain(terminal: Terminal, location: str | None) -> str | None:
    return terminal.services.zoho.data_center(location).api_domain if location else None


def _print_connection(terminal: Terminal, details: ConnectionDetails) -> None:
    store, renderer, name = terminal.services.store, terminal.renderer, details.name
    grant = store.grants.get(name) or store.grants.candidate(name)
    api_domain = _api_domain(terminal, grant.location) if grant else None
    granted = _grant_summary(grant) if grant else None
    _print_details(terminal, details, granted, api_domain or "")
    report = store.verification_reports.get(name, grant.generation) if grant else None
    if grant is not None and report is not None:
        is_rejected = grant.state is GrantState.NEEDS_REAUTHORIZATION
        is_outdated = is_rejected or is_access_token_rejected(report.steps)
        what = "check" if report.has_failed else "verification"
        at = terminal.format_time(report.finished_at or report.started_at)
        code = f"last-{what}" if is_outdated else what
        renderer.print_heading(message("headings", code, at=at))
        renderer.print_report(report, is_outdated=is_outdated)
    if details.history:
        renderer.print_heading("History")
    events = details.history[:MAX_EVENTS]
    times = [terminal.format_time(event.at, seconds=True) for event in events]
    width = max(map(len, times), default=0)
    for time, event in zip(times, events, strict=True):
        renderer.print_item(f"  {time.ljust(width)}  {describe_event(event)}")
    renderer.print_blank()
    for caution in terminal.services.cautions.of_connection(name):
        renderer.print_caution(caution)
        renderer.print_blank()
    _print_next_steps(terminal, name, grant)


def _print_details(
    terminal: Terminal, details: ConnectionDetails, grant: GrantSummary | None, api_domain: str
) -> None:
    renderer = terminal.renderer
    if details.headline is not None:
        renderer.print_output(details.headline)
    renderer.print_facts(_facts(terminal, details, grant, api_domain))
    renderer.print_heading("Scopes")
    for scope in details.scope:
        missing = grant is not None and scope not in grant.scope
        code = "scope-not-granted" if missing else "scope"
        text = message("notes", code, scope=scope, description=describe_scope(scope))
        renderer.print_item(f"  {text}")
    for scope in details.unknown_scope:
        text = message("notes", "scope-unknown", scope=scope, description=describe_scope(scope))
        renderer.print_item(f"  {text}")


def _facts(
    terminal: Terminal, details: ConnectionDetails, grant: GrantSummary | None, api_domain: str
) -> list[tuple[str, str]]:
    granted = (
        [
            ("Account", grant.account.email if grant.account else ""),
            ("Data center", grant.location),
            ("API domain", api_domain),
            ("Authorization", str(grant.generation)),
            ("Approved", terminal.format_time(grant.granted_at)),
        ]
        if grant
        else [("Data center", details.location or message("notes", "not-known-yet"))]
    )
    status = ConnectionStatus(details.state, details.activity)
    budget = details.request_budget
    return [
        ("Connection", details.name),
        ("State", describe_status(status, terminal.clock())),
        *granted,
        ("Owner", details.owner),
        ("Tags", ", ".join(details.tags)),
        ("Note", details.note),
        ("Client", f"{details.client_name} ({details.client_id})"),
        ("Token requests left", _requests_left(budget)),
        ("Counted by client", _client_requests_left(budget)),
        (
            "Refresh tokens",
            message("notes", "refresh-token-count", count=str(budget.refresh_token_count)),
        ),
    ]


def _print_next_steps(terminal: Terminal, name: str, grant: Grant | None) -> None:
    renderer, candidate = terminal.renderer, terminal.services.store.grants.candidate(name)
    if candidate and candidate != grant and candidate.failure:
        renderer.print_explanation(terminal.explain(candidate.failure))
        renderer.print_blank()
    if grant is None:
        renderer.print_note(message("notes", "authorize-it"), command=f"zoho-wizard connect {name}")
    elif failure := grant.failure or _outcome_unknown(terminal, grant):
        renderer.print_explanation(terminal.explain(failure))
    elif grant.state is GrantState.REVOKED:
        renderer.print_explanation(terminal.explain(Failure("grant-revoked")))
    else:
        print_usage(terminal, name)


def _outcome_unknown(terminal: Terminal, grant: Grant) -> Failure | None:
    """The failure of a refresh without a stored answer. Most grants have none, and then the
    diagnosis isn't loaded."""
    if terminal.services.store.grant_history.unanswered_refresh(grant) is None:
        return None
    return terminal.services.diagnosis.outcome_unknown(grant)


def _requests_left(budget: RequestBudget) -> str:
    left, deferrable = budget.token_requests_left, budget.deferrable_requests_left
    details = {"left": str(left), "deferrable": str(deferrable) if deferrable != left else ""}
    return message("notes", "requests-left", **details)


def _client_requests_left(budget: RequestBudget) -> str:
    if not budget.is_counted_by_client:
        return ""
    return message("notes", "client-requests-left", left=str(budget.client_requests_left))


def reveal(terminal: Terminal, name: str, *, yes: bool) -> None:
    """Print what a program needs to refresh tokens itself, as the lines of the profile ``dotenv``.

    Asks first on a terminal; a pipe needs `yes`. Raises ``no-grant``, ``missing-secret`` or
    ``reveal-needs-yes``.
    """
    from wizard.delivery.profiles import credential_values, profile  # `list` and `show` need none

    services, renderer = terminal.services, terminal.renderer
    connection, grant = services.store.connections.get(name), services.store.grants.get(name)
    if grant is None:
        raise fail("no-grant", name=name)
    client = services.store.clients.get(connection.client_id)
    data_center = services.zoho.data_center(grant.location)
    secret = services.client_requests.secret_for(client, grant.location)
    values = credential_values(grant, client, secret, data_center)
    credentials = RevealedCredentials(
        **{each.name: values[each.name] for each in fields(RevealedCredentials)}
    )
    renderer.print_note(
        message("notes", "reveal-not-needed"),
        command=f"zoho-wizard token {name}",
    )
    if not yes:
        _confirm(terminal)
    services.store.events.record(
        Event(terminal.clock(), name, "revealed", {"output": _describe_stdout()})
    )
    # A shell may read these lines: what Zoho names a scope must not become a command.
    lines = [
        f"{variable}={shlex.quote(value)}"
        for variable, value in profile("dotenv").required_fields(values, {}).items()
    ]
    terminal.emit(credentials, lambda: renderer.print_raw("\n".join(lines)))
    renderer.print_note(message("notes", "revealed"))


def _describe_stdout() -> str:
    """What stdout is, for the history."""
    descriptor = sys.stdout.fileno()
    try:
        os.write(descriptor, b"")
    except OSError as error:
        return message("process-outputs", "closed-stdout", reason=error.strerror or "")
    mode = os.fstat(descriptor).st_mode
    if os.isatty(descriptor):
        return "a terminal"
    if stat.S_ISREG(mode):
        return "a file"
    return "a pipe" if stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode) else "a device"


def _confirm(terminal: Terminal) -> None:
    if not sys.stdout.isatty() or not terminal.is_interactive:
        raise fail("reveal-needs-yes")
    terminal.renderer.print_note(message("notes", "secrets-are-powerful"))
    terminal.confirm(
        message("prompts", "print-secrets"),
        option="--yes",
        declined=message("notes", "nothing-printed"),
    )


@click.command()
@click.argument("name", type=CONNECTION_NAME)
@click.option(
    "--owner", help="Set who is responsible for it: a person, a team or an email address."
)
@click.option(
    "--tag", "add_tags", type=TAG, multiple=True, help="Add this tag. Repeat it for several tags."
)
@click.option(
    "--remove-tag",
    "remove_tags",
    type=TAG,
    multiple=True,
    help="Remove this tag. Repeat it for several tags.",
)
@click.option(
    "--note", help="Set a note for people. It isn’t encrypted, so it can’t contain a secret."
)
@pass_terminal
def edit(
    terminal: Terminal,
    name: str,
    owner: str | None,
    add_tags: tuple[str, ...],
    remove_tags: tuple[str, ...],
    note: str | None,
) -> None:
    """Change a connection’s owner, tags or note.

    They are for you: Zoho doesn’t get them, and no token changes. What you don’t pass stays as
    it is, and an empty text removes the owner or the note. `list`, `check` and `reauthorize`
    select connections by tag.

    \b
    Examples:
      zoho-wizard edit crm --owner anna@zylker.example --tag prod
      zoho-wizard edit crm --remove-tag prod --note ''
      zoho-wizard check --tag prod
    """
    if owner is None and note is None and not (add_tags or remove_tags):
        raise click.UsageError(message("usage-errors", "edit-nothing"))
    owner, note = (None if each is None else printable(each) for each in (owner, note))
    connection = terminal.services.store.connections.edit(
        name, owner=owner, add_tags=add_tags, remove_tags=remove_tags, note=note
    )
    terminal.services.store.events.record(Event(terminal.clock(), name, "edited"))
    edited = EditedConnection(name, connection.owner, connection.tags, connection.note)
    terminal.emit(edited, lambda: _print_edited(terminal, edited))


def _print_edited(terminal: Terminal, edited: EditedConnection) -> None:
    terminal.renderer.print_facts(
        [
            ("Connection", edited.name),
            ("Owner", edited.owner or "none"),
            ("Tags", ", ".join(edited.tags) or "none"),
            ("Note", edited.note or "none"),
        ]
    )


@click.command()
@click.argument("old", type=CONNECTION_NAME)
@click.argument("new")
@pass_terminal
def rename(terminal: Terminal, old: str, new: str) -> None:
    """Rename a connection.

    Its authorizations, cached access token, destinations, access permissions and history keep
    working under the new name. Programs that request tokens by the old name must use the new
    one.

    \b
    Examples:
      zoho-wizard rename crm crm-production
      zoho-wizard token crm-production
    """
    new = printable(new)
    terminal.services.tokens.rename_connection(old, new)

    def render() -> None:
        terminal.renderer.print_success(message("notes", "renamed", previous_name=old, name=new))
        terminal.renderer.print_note(
            message("notes", "renamed-programs"),
            command=f"zoho-wizard token {new}",
        )

    terminal.emit(RenamedConnection(new, old), render)


@click.command()
@click.argument("name", type=CONNECTION_NAME)
@click.option("--yes", is_flag=True, help="Don’t ask for confirmation. A script needs it.")
@pass_terminal
def revoke(terminal: Terminal, name: str, yes: bool) -> None:
    """Revoke a connection at Zoho and here.

    Every program that uses its tokens stops working. The connection is kept, and you can
    authorize it again.

    \b
    Examples:
      zoho-wizard revoke crm
      zoho-wizard revoke crm --yes
      zoho-wizard reauthorize crm
    """
    store = terminal.services.store
    store.connections.get(name)
    revocable = store.grants.revocable(name)
    if not revocable:
        raise fail("nothing-to-revoke", name=name)
    if not yes:
        terminal.renderer.print_note(message("notes", "programs-of-connection-stop", name=name))
        terminal.confirm(message("prompts", "revoke", name=name), option="--yes")
    for grant in revocable:
        terminal.services.tokens.revoke(grant)

    def render() -> None:
        terminal.renderer.print_success(message("notes", "revoked", name=name))
        terminal.renderer.print_note(
            message("notes", "to-use-again"), command=f"zoho-wizard reauthorize {name}"
        )
        terminal.renderer.print_note(
            message("notes", "to-remove"), command=f"zoho-wizard remove {name}"
        )

    terminal.emit(RevokedConnection(name, _generations(revocable)), render)


@click.command()
@click.argument("name", type=CONNECTION_NAME)
@click.option(
    "--no-revoke",
    "choice",
    flag_value="keep",
    help="Remove it only here. Its refresh token keeps working at Zoho.",
)
@click.option(
    "--revoke", "choice", flag_value="revoke", help="Revoke its refresh token at Zoho first."
)
@pass_terminal
def remove(terminal: Terminal, name: str, choice: str | None) -> None:
    """Remove a connection from this installation.

    It asks what to do with the refresh token. Without a terminal, pass --no-revoke or --revoke.
    Destinations keep the credentials that they have.

    \b
    Examples:
      zoho-wizard remove crm
      zoho-wizard remove crm --revoke
    """
    store = terminal.services.store
    store.connections.get(name)
    revocable = store.grants.revocable(name)
    destinations = [each.target for each in store.destinations.all(name) if each.generation]
    for destination in destinations:
        keeps = (
            "destination-keeps-revoked" if choice == "revoke" else "destination-keeps-credentials"
        )
        terminal.renderer.print_note(message("notes", keeps, target=destination))
    choice = choice or _prompt_removal(terminal, name, is_revocable=bool(revocable))
    if choice == "revoke":
        for grant in revocable:
            terminal.services.tokens.revoke(grant)
    terminal.services.tokens.remove_connection(name)
    revoked, kept = (revocable, []) if choice == "revoke" else ([], revocable)

    def render() -> None:
        terminal.renderer.print_success(message("notes", "removed", name=name))
        if kept:
            terminal.renderer.print_note(message("notes", "token-kept-at-zoho"))

    removed = RemovedConnection(
        name, _generations(revoked), _generations(kept), tuple(destinations)
    )
    terminal.emit(removed, render)


def _prompt_removal(terminal: Terminal, name: str, *, is_revocable: bool) -> str:
    """Ask whether to remove connection `name`, and what to do with its refresh token. Raises
    ``input-needed`` if nobody can be asked."""
    if not terminal.is_interactive:
        raise fail("input-needed", name=name, options=message("input-options", "removal"))
    if not is_revocable:
        terminal.confirm(
            message("prompts", "remove", name=name), option=message("input-options", "removal")
        )
        return "keep"
    terminal.renderer.print_note(message("notes", "removal-choice", name=name))
    choice = terminal.choose(
        message("prompts", "removal-choice"),
        ["keep", "revoke", "cancel"],
        default="cancel",
        option=message("input-options", "removal"),
    )
    if choice == "cancel":
        terminal.renderer.print_note(message("notes", "nothing-changed"))
        raise Exit(1)
    return choice


def _generations(grants: Sequence[Grant]) -> tuple[int, ...]:
    return tuple(each.generation for each in grants)
