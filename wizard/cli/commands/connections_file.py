"""``plan``, ``apply`` and ``export-config``: connections as code."""

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

import click

from wizard.cli.commands.client import store_client_file
from wizard.cli.commands.reauthorize import (
    check_options,
    give_consents,
    open_authorizer,
    print_requests,
)
from wizard.cli.flows.authorization import (
    Authorizer,
    PasteAuthorizer,
    assist_option,
    keep_profile_option,
    no_browser_option,
)
from wizard.cli.flows.reauthorization import exit_code, item_result, print_results
from wizard.cli.flows.serving import require_page_visitor
from wizard.cli.flows.verification import most_severe
from wizard.cli.results.connections_file import (
    ApplyReport,
    ExportedConfiguration,
    FailedPart,
    FilePlanReport,
    PlannedConsents,
    PlannedDelivery,
    UnmanagedParts,
)
from wizard.cli.terminal import Exit, Terminal, pass_terminal
from wizard.connections_file.description import describe, summary
from wizard.connections_file.document import (
    MAX_CHARACTERS,
    ConnectionsFile,
    ConnectionsFileError,
    parse,
)
from wizard.connections_file.export import export
from wizard.connections_file.plan import (
    AccessChange,
    ChangeKind,
    ClientChange,
    Declined,
    FilePlan,
    Unmanaged,
)
from wizard.errors import WizardError, fail, message
from wizard.store import Destination

DEFAULT_FILE = "connections.toml"
CHANGES = 10
"""The exit code of ``plan --exit-code`` if `apply` would change something."""
MAX_SECRET_TRIES = 3

file_argument = click.argument(
    "file", type=click.Path(path_type=str), default=DEFAULT_FILE, metavar="[FILE]"
)
prune_option = click.option(
    "--prune",
    is_flag=True,
    help="Remove what isn’t in the file, too. Connections are revoked at Zoho first.",
)


@click.command()
@file_argument
@prune_option
@click.option(
    "--exit-code",
    "has_exit_code",
    is_flag=True,
    help="Exit with 10 if `apply` would change something.",
)
@pass_terminal
def plan(terminal: Terminal, file: str, prune: bool, has_exit_code: bool) -> None:
    """Show how the stored connections differ from a file.

    It shows the changes, the consents by account, the waits for Zoho’s limits, the deliveries,
    and what `apply` would not do. It changes nothing. FILE is connections.toml, or - for
    standard input.

    \b
    Examples:
      zoho-wizard plan
      zoho-wizard plan connections.toml --exit-code --json
    """
    document = read_document(terminal, file)
    found = terminal.services.connections_file.plan(document, is_pruning=prune)
    terminal.emit(plan_report(terminal, found), lambda: _print_plan(terminal, found))
    if has_exit_code and found.has_changes:
        raise Exit(CHANGES)


@click.command()
@file_argument
@prune_option
@no_browser_option
@assist_option
@keep_profile_option
@click.option(
    "--request",
    is_flag=True,
    help="Print a message for the owner of each account, who can answer it within a day. Then "
    "run `zoho-wizard reauthorize --response`.",
)
@click.option(
    "--client-file",
    "client_files",
    type=click.Path(path_type=Path),
    multiple=True,
    help="Take a client’s secrets from a `zoho-wizard client export` file. It asks for the "
    "passphrase. Repeat it for several.",
)
@click.option("--yes", is_flag=True, help="Don’t ask. A script needs it.")
@pass_terminal
def apply(
    terminal: Terminal,
    file: str,
    prune: bool,
    client_files: tuple[Path, ...],
    no_browser: bool,
    assist: bool,
    keep_profile: bool,
    request: bool,
    yes: bool,
) -> None:
    """Create and change connections to match a file.

    It shows the plan and asks. Then it asks for each missing client secret once, and leads
    through all consents, with one sign-in per account. Each connection is verified, and its
    programs get the credentials. You can stop at any time: run it again, and it continues. A
    script pipes the secrets in the order of the plan, one per line, then with --no-browser the
    callback URLs.

    \b
    Examples:
      zoho-wizard apply
      zoho-wizard apply connections.toml --assist
      zoho-wizard apply --request
    """
    check_options(assist=assist, has_other_mode=no_browser or request, keep_profiles=keep_profile)
    if assist and terminal.no_input:
        raise fail("input-needed", options="--no-browser, or --request")
    document = read_document(terminal, file)
    service = terminal.services.connections_file
    found = service.plan(document, is_pruning=prune)
    if not (terminal.is_json or found.is_empty):
        _print_plan(terminal, found)
    if not found.has_changes:
        if terminal.is_json or found.is_empty:
            _print_report(terminal, found, (), (), (), None)
        return
    if not yes:
        terminal.confirm(message("prompts", "apply-file"), option="--yes")
    command = f"zoho-wizard apply {shlex.quote(file)}"
    with open_authorizer(
        terminal,
        assist=assist,
        keep_profiles=keep_profile,
        no_browser=no_browser,
        resume_command=f"{command} --assist",
    ) as chosen:
        authorizer = chosen
        if found.consents and not request:
            authorizer = _require_person(terminal, document, found, chosen)
        _store_clients(terminal, document, client_files)
        applied = service.store_connections(document, found)
        names = service.begin_consents(found)
        if names and request:
            _print_failed(terminal, applied.failed)
            print_requests(terminal, names)
        if names:
            give_consents(
                terminal,
                authorizer,
                "/reauthorize",
                lambda: _print_progress(terminal, names),
                command,
                names,
            )
    failed = [*applied.failed]
    removed = found.unmanaged if prune and found.unmanaged else None
    if removed:
        failed += _prune(terminal, removed, yes=yes)
    _print_report(terminal, found, names, applied.delivered, failed, removed)


@click.command()
@pass_terminal
def export_config(terminal: Terminal) -> None:
    """Write a connections file for what is stored.

    It has no secrets, and its order depends only on its content, so you can keep it in version
    control. `plan` finds no difference from it.

    \b
    Examples:
      zoho-wizard export-config > connections.toml
      zoho-wizard export-config | zoho-wizard plan -
    """
    text = export(terminal.services.connections_file.installation())
    terminal.emit(ExportedConfiguration(text), lambda: terminal.renderer.print_raw(text))


def read_document(terminal: Terminal, file: str) -> ConnectionsFile:
    """The connections file at path `file`, or on standard input. Raises
    ``connections-file-missing``, ``connections-file-unreadable``, and what `parse` raises."""
    try:
        if file == "-":
            text = sys.stdin.read(MAX_CHARACTERS + 1)
        else:
            with Path(file).open(encoding="utf-8") as opened:
                text = opened.read(MAX_CHARACTERS + 1)
    except FileNotFoundError:
        raise fail("connections-file-missing", path=file) from None
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it isn’t text in UTF-8"
        raise fail("connections-file-unreadable", path=file, reason=str(reason)) from None
    try:
        return parse(text, terminal.services.zoho)
    except ConnectionsFileError as error:
        if terminal.is_json:
            raise
        for each in error.problems:
            terminal.renderer.print_note(f"{file}: {each.text}")
        details = {key: text for key, text in error.failure.details.items() if key != "problems"}
        raise fail("connections-file-invalid", **details) from None


def _require_person(
    terminal: Terminal,
    document: ConnectionsFile,
    found: FilePlan,
    authorizer: Authorizer | None,
) -> Authorizer | None:
    """How the consents are given; None: on the pages. The codes of Self Clients can only be pasted.
    Raises ``input-needed`` if nobody can give or paste them."""
    clients = {document.connections[each.connection].client for each in found.consents}
    if authorizer is None and all(document.clients[each].self_client for each in clients):
        authorizer = PasteAuthorizer(terminal)
    if authorizer is None:
        require_page_visitor(terminal, message("input-options", "paste-or-request"))
    elif isinstance(authorizer, PasteAuthorizer):
        terminal.require_line(message("prompts", "callback-piped"))
    return authorizer


def _store_clients(
    terminal: Terminal, document: ConnectionsFile, client_files: Sequence[Path]
) -> None:
    """Store the clients of the client files, then ask for the secrets that are still missing."""
    for client_file in client_files:
        store_client_file(terminal, client_file)
    for client, location in terminal.services.connections_file.plan(document).missing_secrets:
        _store_secret(terminal, document, client, location)


def _store_secret(
    terminal: Terminal, document: ConnectionsFile, client: ClientChange, location: str
) -> None:
    """Ask for a secret, and store it if Zoho accepts it; a person can try again."""
    question = message("prompts", "file-secret", client=client.name, location=location.upper())
    for left in reversed(range(MAX_SECRET_TRIES)):
        text = terminal.read_secret(question, whole=False)
        try:
            terminal.services.connections_file.store_secret(
                document, client.client_id, location, text
            )
        except WizardError as error:
            if error.failure.temporary or not (terminal.is_interactive and left):
                raise
            terminal.renderer.print_explanation(terminal.explain(error.failure))
        else:
            return


def _print_progress(terminal: Terminal, names: Sequence[str]) -> None:
    """Print how far each connection is, for people; a script asks `plan`."""
    if not terminal.is_json:
        print_results(terminal, terminal.services.reauthorization.latest_items(names))


def _prune(terminal: Terminal, removed: Unmanaged, *, yes: bool) -> Sequence[Declined]:
    if not yes:
        count = str(len(removed.connections) or "")
        terminal.confirm(message("prompts", "prune", count=count), option="--yes")
    return terminal.services.connections_file.prune(removed)


def _print_plan(terminal: Terminal, found: FilePlan) -> None:
    sections = describe(found)
    for section in sections:
        terminal.renderer.print_heading(section.heading)
        for line in section.lines:
            terminal.renderer.print_item(f"  {line}")
    if sections:
        terminal.renderer.print_output("")
    terminal.renderer.print_item(summary(found))
    if found.requested:
        terminal.renderer.print_note(
            message("notes", "when-a-url-returns"), command="zoho-wizard reauthorize --response"
        )


def _print_report(
    terminal: Terminal,
    found: FilePlan,
    names: Sequence[str],
    delivered: Sequence[Destination],
    failed: Sequence[Declined],
    removed: Unmanaged | None,
) -> None:
    """Print what was done, and end with the exit code of the most severe failure."""
    items = terminal.services.reauthorization.latest_items(names)
    report = ApplyReport(
        plan=plan_report(terminal, found),
        connections=tuple(item_result(terminal, each) for each in items),
        deliveries=tuple(_delivery(each) for each in delivered),
        failed=tuple(_failed_part(terminal, each) for each in failed),
        removed=_unmanaged_parts(removed) if removed else None,
    )

    def render() -> None:
        if items:
            print_results(terminal, items)
        elif not found.has_changes:
            terminal.renderer.print_success(summary(found))
        elif not failed:
            declined = str(len(found.declined) or "")
            terminal.renderer.print_success(message("notes", "file-applied", declined=declined))

    terminal.emit(report, render)
    _print_failed(terminal, failed)
    codes = [exit_code(terminal, each) for each in items]
    codes += [terminal.explain(each.failure).exit_code for each in failed]
    if code := most_severe(codes):
        raise Exit(code)


def _print_failed(terminal: Terminal, failed: Sequence[Declined]) -> None:
    for each in failed:
        terminal.renderer.print_failure(each.path)
        terminal.renderer.print_explanation(terminal.explain(each.failure))


def plan_report(terminal: Terminal, found: FilePlan) -> FilePlanReport:
    """A plan as scripts read it."""
    return FilePlanReport(
        has_changes=found.has_changes,
        clients=found.clients,
        connections=found.connections,
        destinations=found.destinations,
        access=found.access,
        monitor=found.monitor,
        consents=found.consents,
        requested=found.requested,
        sign_ins=found.round.sign_in_count,
        groups=tuple(
            PlannedConsents(
                each.email,
                each.location,
                each.client_name,
                each.names,
                round(each.wait.total_seconds()),
            )
            for each in found.round.groups
        ),
        wait_seconds=round(found.round.wait.total_seconds()),
        deliveries=tuple(_delivery(each) for each in found.deliveries),
        declined=tuple(_failed_part(terminal, each) for each in found.declined),
        warnings=tuple(_failed_part(terminal, each) for each in found.warnings),
        unmanaged=_unmanaged_parts(found.unmanaged),
        prune=found.is_pruning,
    )


def _failed_part(terminal: Terminal, declined: Declined) -> FailedPart:
    error = terminal.error_report(declined.failure, "")
    assert error is not None  # noqa: S101 - there is a failure
    return FailedPart(declined.path, error)


def _delivery(destination: Destination) -> PlannedDelivery:
    return PlannedDelivery(destination.connection, destination.target, destination.entry)


def _unmanaged_parts(unmanaged: Unmanaged) -> UnmanagedParts:
    return UnmanagedParts(
        unmanaged.connections,
        tuple(_delivery(each) for each in unmanaged.destinations),
        tuple(
            AccessChange(each.connection, each.user, ChangeKind.REMOVE)
            for each in unmanaged.permissions
        ),
        tuple(each.name for each in unmanaged.clients),
    )
