"""``destination`` and ``deliver``: bring a connection's credentials to other programs."""

import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import click
from click.shell_completion import CompletionItem

from wizard.cli.flows.verification import most_severe
from wizard.cli.results.destinations import (
    DeliveryPreviewReport,
    DeliveryReport,
    DestinationDetails,
    DestinationList,
    DestinationStatusList,
    DestinationStatusReport,
    RemovedDestination,
)
from wizard.cli.terminal import CONNECTION_NAME, Exit, Terminal, pass_terminal, require_value
from wizard.delivery.profiles import PLACEHOLDERS, profile, profiles
from wizard.delivery.service import DeliveryPreview, DestinationStatus, FieldChange
from wizard.errors import WizardError, describe_state, fail, message
from wizard.model import Failure
from wizard.store import Destination

CHANGE_MARKS = {"added": "+", "changed": "~", "same": " "}


def _complete_profile(
    _context: click.Context, _parameter: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    found = [each for each in profiles().values() if each.id.startswith(incomplete)]
    return [CompletionItem(each.id, help=each.title) for each in found]


target_option = click.option(
    "--to",
    "target",
    metavar="PATH|COMMAND",
    callback=require_value,
    help="Use only this destination. Default: all of them.",
)
one_target_option = click.option(
    "--to",
    "target",
    metavar="PATH|COMMAND",
    callback=require_value,
    help="Use this destination. Default: the only one.",
)


@click.group()
def destination() -> None:
    """Manage programs that get a connection’s credentials.

    A destination is a file, such as .env, JSON, an SDK’s token store or rclone’s configuration.
    It can also be a command that reads the credentials from standard input. After a
    re-authorization, the wizard delivers the new credentials.

    \b
    Examples:
      zoho-wizard destination add crm --profile dotenv --to /srv/app/.env
      zoho-wizard destination status
    """


def _profiles_help() -> str:
    """The profiles and placeholders for the end of the help; ``\\b`` keeps one per line."""
    width = max(len(each.id) for each in profiles().values())
    titles = {each.id: each.title.partition(" (")[0] for each in profiles().values()}
    rows = "\n".join(f"  {profile_id:{width}}  {title}" for profile_id, title in titles.items())
    examples = {
        "location": "us, eu",
        "location_upper": "US, EU",
        "domain_suffix": "com, eu",
        "data_center": "as the profile spells it",
    }
    width = max(map(len, PLACEHOLDERS)) + 2
    names = "\n".join(
        f"  {'{' + name + '}':{width}}  {examples.get(name, '')}".rstrip() for name in PLACEHOLDERS
    )
    heading = "Profiles (or pass the path of your own TOML file)"
    return f"\b\n{heading}:\n{rows}\n\n\b\nPlaceholders:\n{names}"


@destination.command("add", epilog=_profiles_help())
@click.argument("name", type=CONNECTION_NAME)
@click.option(
    "--profile",
    "profile_id",
    metavar="PROFILE",
    shell_complete=_complete_profile,
    help="Write the format that the program reads, such as dotenv. Without it, the formats are "
    "listed.",
)
@click.option(
    "--to",
    "target",
    metavar="PATH|COMMAND",
    callback=require_value,
    help="Write to this file, or run this command.",
)
@click.option(
    "--as",
    "entry",
    default="",
    metavar="ENTRY",
    help="Name the entry in a file with several. Default: the connection’s name.",
)
@click.option(
    "--name",
    "field_names",
    multiple=True,
    metavar="FIELD=NAME",
    help="Write FIELD under a different name. Repeat it for several fields.",
)
@click.option(
    "--set",
    "field_values",
    multiple=True,
    metavar="NAME=VALUE",
    help="Write the field NAME, too. VALUE can contain the placeholders below. Repeat it for "
    "several fields.",
)
@click.option(
    "--then",
    "reload_command",
    default="",
    metavar="COMMAND",
    help="Run this command after each delivery, so that the program reloads. Default: none.",
)
@click.option(
    "--mode",
    "file_mode",
    default="",
    metavar="MODE",
    help="Give the file this mode: 0600, 0640 or 0660. Default: 0600, or 0640 with --group.",
)
@click.option(
    "--group",
    "file_group",
    default="",
    metavar="GROUP",
    help="Give the file to this group, so that a service can read it. Default: unchanged.",
)
@click.option("--dry-run", is_flag=True, help="Show what would be written, and write nothing.")
@click.option(
    "--show-values", is_flag=True, help="Show the values, too. This works only in a terminal."
)
@click.option("--yes", is_flag=True, help="Don’t ask before the first delivery. A script needs it.")
@pass_terminal
def add_destination(
    terminal: Terminal,
    /,
    name: str,
    profile_id: str | None,
    target: str | None,
    entry: str,
    field_names: tuple[str, ...],
    field_values: tuple[str, ...],
    reload_command: str,
    file_mode: str,
    file_group: str,
    *,
    dry_run: bool,
    show_values: bool,
    yes: bool,
) -> None:
    """Add a destination to a connection, and deliver to it.

    It shows what would change and asks. A file keeps everything else that it contains.

    \b
    Examples:
      zoho-wizard destination add crm --profile dotenv --to /srv/app/.env \\
          --then 'systemctl restart app'
      zoho-wizard destination add crm --profile command \\
          --to 'vault kv put secret/zoho -'
      zoho-wizard destination add crm --profile dotenv --to /etc/app/zoho.env \\
          --group app
      zoho-wizard destination add crm --profile dotenv --to .env --dry-run \\
          --set 'TOKEN_URL={token_endpoint}' --set 'ZOHO_REGION={location_upper}'
    """
    terminal.services.store.connections.get(name)
    if profile_id is None or target is None:
        raise fail("destination-needed", name=name, known=", ".join(profiles()))
    pairs = dict(each.partition("=")[::2] for each in field_names)
    delivery = terminal.services.delivery
    wanted = Destination(
        name,
        profile_id,
        target,
        entry=entry,
        field_names=pairs,
        field_values=dict(each.partition("=")[::2] for each in field_values),
        reload_command=reload_command,
        file_mode=file_mode,
        file_group=file_group,
    )
    described = delivery.describe(wanted)
    preview = delivery.preview(described)
    if show_values:
        _confirm_showing_values(terminal)
    if dry_run:
        terminal.emit(
            _preview_report(preview),
            lambda: _print_preview(terminal, preview, is_certain=False, show_values=show_values),
        )
        return
    if not terminal.is_json:
        _print_preview(terminal, preview, is_certain=yes, show_values=show_values)
    if hint := profile(described.profile).with_fields(described.field_values).hint:
        terminal.renderer.print_note(hint)
    if not yes:
        terminal.confirm(message("prompts", "deliver"), option="--yes")
    _emit_one(terminal, delivery.add(described))


@destination.command("list")
@click.argument("name", required=False, type=CONNECTION_NAME)
@pass_terminal
def list_destinations(terminal: Terminal, name: str | None) -> None:
    """List destinations.

    It shows what was configured and delivered. `destination status` reads what each destination
    has now. Without NAME, it lists the destinations of all connections. It also lists those
    on other machines that share the database. Only commands there can change them.

    \b
    Examples:
      zoho-wizard destination list
      zoho-wizard destination list crm --json
    """
    store = terminal.services.store
    if name is not None:
        store.connections.get(name)
    own, elsewhere = store.destinations.all(name), store.destinations.elsewhere(name)
    current = {each.name: each.generation for each in store.connections.all()}

    def delivered(stored: Destination) -> str:
        at = terminal.format_time(stored.delivered_at)
        is_outdated = stored.generation not in (0, current.get(stored.connection))
        return message("notes", "delivered-before", at=at) if is_outdated else at

    def render() -> None:
        columns = ["Destination", "Connection", "Profile", "Delivered", "Reload command"]
        rows = [
            [
                _target_text(each),
                each.connection,
                each.profile,
                delivered(each),
                each.reload_command or "none",
            ]
            for each in (*own, *elsewhere)
        ]
        if elsewhere:
            machines = [*["this machine"] * len(own), *(each.machine_name for each in elsewhere)]
            columns.append("Machine")
            rows = [[*row, machine] for row, machine in zip(rows, machines, strict=True)]
        terminal.renderer.print_records(columns, rows)
        if not rows:
            _print_no_destinations(terminal, name)

    details = [_details(terminal, each) for each in own]
    details += [replace(_details(terminal, e), machine=e.machine_name) for e in elsewhere]
    terminal.emit(DestinationList(tuple(details)), render)


@destination.command("status")
@click.argument("name", required=False, type=CONNECTION_NAME)
@click.option(
    "--all",
    "is_all",
    is_flag=True,
    help="Check the destinations of all connections. This is the default without NAME.",
)
@target_option
@pass_terminal
def show_status(terminal: Terminal, name: str | None, target: str | None, *, is_all: bool) -> None:
    """Show which credentials the destinations have now.

    It reads the files. The exit code is 1 if a destination doesn’t have the current
    authorization. Without NAME, it checks the destinations of all connections.

    \b
    Examples:
      zoho-wizard destination status
      zoho-wizard destination status crm || zoho-wizard deliver crm
    """
    if is_all and name:
        raise click.UsageError(message("usage-errors", "name-or-all"))
    found = _find_destinations(terminal, name, target)
    statuses = [terminal.services.delivery.check(each) for each in found]
    terminal.emit(
        DestinationStatusList(tuple(_status_report(terminal, each) for each in statuses)),
        lambda: _print_statuses(terminal, name, statuses),
    )
    if any(each.needs_delivery for each in statuses):
        raise Exit(1)


@destination.command("undo")
@click.argument("name", type=CONNECTION_NAME)
@one_target_option
@pass_terminal
def undo_delivery(terminal: Terminal, name: str, target: str | None) -> None:
    """Restore what a destination had before the last delivery.

    Undo it again to bring the delivery back, unless it was the first one there. If the
    connection has several destinations, name one with --to.

    \b
    Examples:
      zoho-wizard destination undo crm
      zoho-wizard destination undo crm --to /srv/app/.env
    """
    _emit_one(
        terminal,
        terminal.services.delivery.undo(_find_one_destination(terminal, name, target)),
    )


@destination.command("remove")
@click.argument("name", type=CONNECTION_NAME)
@one_target_option
@pass_terminal
def remove_destination(terminal: Terminal, name: str, target: str | None) -> None:
    """Stop delivering to a destination.

    It keeps the credentials that it has, and they work until they are revoked. If the
    connection has several destinations, name one with --to.

    \b
    Examples:
      zoho-wizard destination remove crm
      zoho-wizard destination remove crm --to /srv/app/.env
    """
    removed = _find_one_destination(terminal, name, target)
    terminal.services.delivery.remove(removed)

    def render() -> None:
        terminal.renderer.print_success(
            message("notes", "destination-removed", target=removed.target)
        )
        terminal.renderer.print_note(message("notes", "destination-still-works"))

    terminal.emit(RemovedDestination(**_configured(removed)), render)


@click.command()
@click.argument("name", required=False, type=CONNECTION_NAME)
@click.option(
    "--all", "is_all", is_flag=True, help="Deliver to the destinations of all connections."
)
@target_option
@pass_terminal
def deliver(terminal: Terminal, name: str | None, target: str | None, *, is_all: bool) -> None:
    """Deliver a connection’s credentials.

    It writes the current authorization to each destination, reads it back, and runs the reload
    command. Add a destination with `zoho-wizard destination add` first.

    \b
    Examples:
      zoho-wizard deliver crm
      zoho-wizard deliver --all
    """
    if is_all == bool(name):
        raise click.UsageError(message("usage-errors", "name-or-all"))
    found = _find_destinations(terminal, name, target)
    if name and not found:
        raise fail("no-destination", name=name, known=", ".join(profiles()))
    outcomes = [_delivered(terminal, each) for each in found]
    reports = tuple(_details(terminal, each, failure) for each, failure in outcomes)
    if not terminal.is_json:
        _print_failures(terminal, outcomes)
    terminal.emit(
        DeliveryReport(reports), lambda: None if found else _print_no_destinations(terminal, name)
    )
    raise Exit(most_severe([each.error.exit_code if each.error else 0 for each in reports]))


def _delivered(terminal: Terminal, wanted: Destination) -> tuple[Destination, Failure | None]:
    """Deliver to one destination and print whether it worked; a failure doesn't stop the others."""
    try:
        delivered = terminal.services.delivery.deliver(wanted)
    except WizardError as error:
        outcome: tuple[Destination, Failure | None] = wanted, error.failure
    else:
        outcome = delivered, delivered.failure
    if outcome[1] is not None:
        terminal.renderer.print_failure(f"{wanted.target} ({wanted.connection})")
    elif not terminal.is_json:
        _print_delivered(terminal, outcome[0])
    return outcome


def _print_failures(
    terminal: Terminal, outcomes: Sequence[tuple[Destination, Failure | None]]
) -> None:
    """Explain what failed, each failure once."""
    explanations = {
        (explanation.title, explanation.cause): explanation
        for each, failure in outcomes
        if failure is not None
        for explanation in [terminal.explain(failure, each.connection)]
    }
    for explanation in explanations.values():
        terminal.renderer.print_explanation(explanation)


def _emit_one(terminal: Terminal, changed: Destination) -> None:
    """Emit one destination after a delivery or an undo; a reload that failed is a failure."""
    report = _details(terminal, changed, changed.failure)
    terminal.emit(report, lambda: _print_outcome(terminal, changed, changed.failure))
    raise Exit(report.error.exit_code if report.error else 0)


def _print_outcome(terminal: Terminal, changed: Destination, failure: Failure | None) -> None:
    if failure is not None:
        terminal.renderer.print_explanation(terminal.explain(failure, changed.connection))
        return
    _print_delivered(terminal, changed)


def _print_delivered(terminal: Terminal, changed: Destination) -> None:
    if changed.delivered_at is None:
        terminal.renderer.print_success(message("notes", "delivery-undone", target=changed.target))
        return
    code = "command-accepted" if profile(changed.profile).is_command else "destination-has"
    details = {"target": changed.target, "generation": str(changed.generation)}
    terminal.renderer.print_success(message("notes", code, **details))
    if changed.reloaded_at:
        terminal.renderer.print_note(message("notes", "program-reloaded"))
    else:
        terminal.renderer.print_note(message("notes", "program-unknown"))


def _confirm_showing_values(terminal: Terminal) -> None:
    """Values are shown to a person who agrees, never to a pipe or a log."""
    if not (sys.stdout.isatty() and terminal.is_interactive) or terminal.is_json:
        raise fail("values-need-a-terminal")
    terminal.renderer.print_note(message("notes", "secrets-are-powerful"))
    terminal.confirm(message("prompts", "print-secrets"), option="")


def _print_preview(
    terminal: Terminal, preview: DeliveryPreview, *, is_certain: bool, show_values: bool
) -> None:
    renderer, described = terminal.renderer, preview.destination
    kind = "command" if profile(described.profile).is_command else "file"
    details = {"target": described.target, "generation": str(preview.generation)}
    name = described.connection
    code = f"{'delivers' if is_certain else 'would-deliver'}-to-{kind}"
    renderer.print_note(message("notes", code, name=name, **details))
    for change in preview.changes:
        renderer.print_note(
            f"  {CHANGE_MARKS[change.kind]} {change.name} = {_displayed_value(change, show_values)}"
        )
    if preview.owner:
        renderer.print_note(f"  {message('notes', 'preview-owner', owner=preview.owner)}")
    if preview.mode:
        mode = described.file_mode or "0600"
        code = "preview-mode" if mode == "0600" else "preview-group-mode"
        text = message("notes", code, mode=mode, previous_mode=preview.mode)
        renderer.print_note(f"  {text}")
    for directory in preview.group_writable:
        renderer.print_note(f"  {message('notes', 'preview-directory', path=str(directory))}")
    if described.reload_command:
        renderer.print_note(message("notes", "preview-reload"), command=described.reload_command)


def _displayed_value(change: FieldChange, show_values: bool) -> str:
    is_hidden = change.is_secret and not show_values
    return message("notes", "hidden-value") if is_hidden else change.value


def _print_statuses(
    terminal: Terminal, name: str | None, statuses: Sequence[DestinationStatus]
) -> None:
    columns = ("Destination", "Connection", "State", "Delivered", "In use since")
    terminal.renderer.print_records(columns, [_status_row(terminal, each) for each in statuses])
    for each in statuses:
        if each.failure is not None:
            terminal.renderer.print_explanation(
                terminal.explain(each.failure, each.destination.connection)
            )
    if not statuses:
        _print_no_destinations(terminal, name)
    elif any(each.needs_delivery for each in statuses):
        terminal.renderer.print_note(
            message("notes", "deliver-current"), command=f"zoho-wizard deliver {name or '--all'}"
        )


def _status_row(terminal: Terminal, status: DestinationStatus) -> tuple[str, ...]:
    checked = status.destination
    state = describe_state(status.state, **status.details)
    reloaded_at = checked.reloaded_at if checked.delivered_at else None
    used = terminal.format_time(reloaded_at) if reloaded_at else message("notes", "not-known")
    delivered = terminal.format_time(checked.delivered_at)
    return (_target_text(checked), checked.connection, state, delivered, used)


def _target_text(destination: Destination) -> str:
    entry = f" [{destination.entry}]" if destination.entry else ""
    return f"{destination.target}{entry}"


def _print_no_destinations(terminal: Terminal, name: str | None) -> None:
    terminal.renderer.print_note(
        message("notes", "no-destinations", name=name or ""),
        command=f"zoho-wizard destination add {name or 'NAME'} --profile PROFILE --to PATH",
    )
    terminal.renderer.print_note("Profiles:")
    terminal.renderer.print_choices([(each.id, each.title) for each in profiles().values()])


def _find_destinations(
    terminal: Terminal, name: str | None, target: str | None = None
) -> list[Destination]:
    """The destinations here of a connection, or of all; those at `target` if it is given.

    Raises ``unknown-connection``, ``unknown-destination``.
    """
    if name is not None:
        terminal.services.store.connections.get(name)
    found = list(terminal.services.store.destinations.all(name))
    if target is None:
        return found
    path = os.path.abspath(os.path.expanduser(target))
    matching = [each for each in found if each.target in (target, path)]
    if not matching:
        raise fail("unknown-destination", target=target, **({"name": name} if name else {}))
    return matching


def _find_one_destination(terminal: Terminal, name: str, target: str | None) -> Destination:
    """The only matching destination; raises ``no-destination``, or ``which-destination`` if there
    are several."""
    found = _find_destinations(terminal, name, target)
    if not found:
        raise fail("no-destination", name=name, known=", ".join(profiles()))
    if len(found) > 1:
        known = ", ".join(each.target for each in found)
        raise fail("which-destination", name=name, known=known)
    return found[0]


# results


def _configured(stored: Destination) -> dict[str, Any]:
    """The fields that a person chose."""
    return {
        "connection": stored.connection,
        "profile": stored.profile,
        "target": stored.target,
        "entry": stored.entry or None,
        "field_names": stored.field_names,
        "field_values": stored.field_values,
        "reload_command": stored.reload_command or None,
        "file_mode": stored.file_mode or None,
        "file_group": stored.file_group or None,
    }


def _details(
    terminal: Terminal, stored: Destination, failure: Failure | None = None
) -> DestinationDetails:
    return DestinationDetails(
        **_configured(stored),
        generation=stored.generation or None,
        delivered_at=stored.delivered_at,
        reloaded_at=stored.reloaded_at,
        error=terminal.error_report(failure or stored.failure, stored.connection),
        machine=None,
    )


def _status_report(terminal: Terminal, status: DestinationStatus) -> DestinationStatusReport:
    return DestinationStatusReport(
        **_configured(status.destination),
        state=status.state,
        needs_delivery=status.needs_delivery,
        found_generation=status.found_generation or None,
        changed_fields=status.changed_fields,
        delivered_at=status.destination.delivered_at,
        reloaded_at=status.destination.reloaded_at,
        error=terminal.error_report(status.failure, status.destination.connection),
    )


def _preview_report(preview: DeliveryPreview) -> DeliveryPreviewReport:
    return DeliveryPreviewReport(
        **_configured(preview.destination),
        generation=preview.generation,
        is_new=preview.is_new,
        mode=preview.mode or None,
        owner=preview.owner or None,
        group_writable=preview.group_writable,
        fields={change.name: change.kind for change in preview.changes},
    )
