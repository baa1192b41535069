"""``deliver``: the credentials of a connection, brought to the programs that renew tokens."""

import os
import sys
from collections.abc import Callable
from typing import Any

import click

from wizard.cli.flows.verification import most_severe
from wizard.cli.terminal import CONNECTION_NAME, Exit, Terminal, pass_terminal
from wizard.delivery.profiles import profile, profiles
from wizard.delivery.status import DeliveryPreview, DestinationStatus, FieldChange
from wizard.errors import WizardError, describe_state, explain, fail
from wizard.model import Failure
from wizard.serialization import explanation_to_json
from wizard.store import Destination

CHANGE_MARKS = {"added": "+", "changed": "~", "same": " "}
HIDDEN_VALUE = "(value not shown)"


@click.command()
@click.argument("name", type=CONNECTION_NAME)
@click.option("--profile", "profile_id", metavar="PROFILE", help="How the place wants them.")
@click.option("--to", "target", metavar="PATH|COMMAND", help="The file, or the command.")
@click.option("--as", "entry", default="", metavar="ENTRY", help="Our entry's name in the file.")
@click.option(
    "--name",
    "field_names",
    multiple=True,
    metavar="FIELD=NAME",
    help="Write FIELD under another name. Can be repeated.",
)
@click.option(
    "--then", "reload_command", default="", metavar="COMMAND", help="Makes the program reload."
)
@click.option("--dry-run", is_flag=True, help="Show what would be written, and write nothing.")
@click.option("--show-values", is_flag=True, help="Show values too; on a terminal, after asking.")
@click.option("--yes", is_flag=True, help="Do not ask before the first write; for scripts.")
@click.option("--list", "action", flag_value="list", help="List the destinations.")
@click.option("--drift", "action", flag_value="drift", help="Look at what they hold now.")
@click.option("--undo", "action", flag_value="undo", help="Put the version before back.")
@click.option("--remove", "action", flag_value="remove", help="Deliver there no more.")
@pass_terminal
def deliver(terminal: Terminal, /, name: str, action: str | None, **options: Any) -> None:
    """Deliver the credentials of connection NAME to its destinations.

    With --profile and --to it makes a destination, after a preview: a file (.env, JSON, an SDK's
    token store, rclone's configuration …) or a command that takes them on stdin. Alone, it
    delivers the current grant to all destinations again.

    \b
      zoho-wizard deliver crm --profile dotenv --to /srv/app/.env --then 'systemctl restart app'
      zoho-wizard deliver crm --profile command --to 'vault kv put secret/zoho -'
    """
    terminal.services.store.connections.get(name)
    target = options["target"]
    if action is None and (
        options["profile_id"] or options["dry_run"] or options["reload_command"]
    ):
        _add_destination(terminal, name, **options)
    elif action == "list":
        _print_statuses(
            terminal,
            [terminal.services.delivery.check(each) for each in _find_destinations(terminal, name)],
        )
    elif action == "drift":
        _check_status(terminal, _find_destinations(terminal, name, target))
    elif action == "remove":
        _remove_destination(terminal, _find_one_destination(terminal, name, target))
    elif action == "undo":
        _apply_to_each(
            terminal,
            [_find_one_destination(terminal, name, target)],
            terminal.services.delivery.undo,
        )
    elif destinations := _find_destinations(terminal, name, target):
        _apply_to_each(terminal, destinations, terminal.services.delivery.deliver)
    else:
        raise fail("no-destination", name=name, known=", ".join(profiles()))


def _add_destination(
    terminal: Terminal,
    name: str,
    *,
    profile_id: str | None,
    target: str | None,
    entry: str,
    field_names: tuple[str, ...],
    reload_command: str,
    dry_run: bool,
    show_values: bool,
    yes: bool,
) -> None:
    """Describe a destination, show what would be written there, and deliver for the first time."""
    if profile_id is None or target is None:
        known = ", ".join(profiles())
        raise fail("destination-needed", name=name, known=known)
    pairs = dict(each.partition("=")[::2] for each in field_names)
    delivery = terminal.services.delivery
    destination = delivery.describe(
        name, profile_id, target, entry=entry, field_names=pairs, reload_command=reload_command
    )
    preview = delivery.preview(destination)
    if show_values:
        _confirm_showing_values(terminal)
    _print_preview(terminal, preview, show_values=show_values)
    if dry_run:
        return
    if not yes:
        terminal.confirm("Write this?", option="--yes")
    _apply_to_each(terminal, [destination], delivery.add)


def _confirm_showing_values(terminal: Terminal) -> None:
    """Values are shown to a person who means it, never to a pipe or a log."""
    if not (sys.stdout.isatty() and terminal.is_interactive) or terminal.renderer.as_json:
        raise fail("values-need-a-terminal")
    terminal.renderer.print_note(
        "Whoever sees them can use the account within the connection's scopes."
    )
    if not click.confirm("Show the values on this screen?", err=True):
        raise Exit(1)


def _print_preview(terminal: Terminal, preview: DeliveryPreview, *, show_values: bool) -> None:
    renderer, destination = terminal.renderer, preview.destination
    if renderer.as_json:
        if click.get_current_context().params["dry_run"]:
            renderer.print_json(_preview_to_json(preview))
        return
    profile_info = profile(destination.profile)
    verb = "would be given" if profile_info.is_command else "would hold"
    renderer.print_note(
        f"{destination.target} {verb} grant {preview.generation} of {destination.connection}:"
    )
    for change in preview.changes:
        renderer.print_note(
            f"  {CHANGE_MARKS[change.kind]} {change.name} = {_displayed_value(change, show_values)}"
        )
    if preview.owner:
        renderer.print_note(f"  it belongs to {preview.owner}, who will read what is put there")
    if preview.mode:
        renderer.print_note(
            f"  its mode becomes 0600 instead of {preview.mode}: only its owner reads it"
        )
    if destination.reload_command:
        renderer.print_note("then, to have it used:", command=destination.reload_command)


def _displayed_value(change: FieldChange, show_values: bool) -> str:
    return HIDDEN_VALUE if change.is_secret and not show_values else change.value


def _preview_to_json(preview: DeliveryPreview) -> dict[str, Any]:
    destination = preview.destination
    return {
        **_configuration_to_json(destination),
        "generation": preview.generation,
        "is_new": preview.is_new,
        "mode": preview.mode or None,
        "owner": preview.owner or None,
        "fields": {change.name: change.kind for change in preview.changes},
    }


def _check_status(terminal: Terminal, destinations: list[Destination]) -> None:
    statuses = [terminal.services.delivery.check(each) for each in destinations]
    _print_statuses(terminal, statuses)
    if any(found.needs_delivery for found in statuses):
        if not terminal.renderer.as_json:
            terminal.renderer.print_note(
                "Put the current grant there:",
                command=f"zoho-wizard deliver {terminal.connection_name}",
            )
        raise Exit(1)


def _remove_destination(terminal: Terminal, destination: Destination) -> None:
    terminal.services.delivery.remove(destination)
    terminal.renderer.print_success(f"Nothing is delivered to {destination.target} any more.")
    terminal.renderer.print_note(
        "What it holds stays there, and works until it is revoked at Zoho."
    )


def _apply_to_each(
    terminal: Terminal,
    destinations: list[Destination],
    action: Callable[[Destination], Destination],
) -> None:
    """Act on every destination, whatever becomes of the others; the gravest finding counts."""
    codes, documents = [], []
    for destination in destinations:
        failure: Failure | None
        try:
            destination = action(destination)
            failure = destination.failure
        except WizardError as error:
            failure = error.failure
        explanation = terminal.explain(failure) if failure else None
        codes.append(explanation.exit_code if explanation else 0)
        error_document = explanation_to_json(explanation) if explanation else None
        documents.append({**_destination_to_json(destination), "error": error_document})
        if not terminal.renderer.as_json:
            if explanation is None:
                terminal.renderer.print_success(_result_message(destination))
            else:
                terminal.renderer.print_explanation(explanation)
    if terminal.renderer.as_json:
        terminal.renderer.print_json(documents)
    raise Exit(most_severe(codes))


def _result_message(destination: Destination) -> str:
    if destination.delivered_at is None:
        return f"{destination.target} holds again what it held before the wizard."
    verb = "accepted {}" if profile(destination.profile).is_command else "holds {}, read back"
    use = (
        "the reload succeeded, so it is in use"
        if destination.reloaded_at
        else "whether its program uses it is not known (--then makes it reload)"
    )
    return f"{destination.target} {verb.format(f'grant {destination.generation}')}; {use}."


def _print_statuses(terminal: Terminal, statuses: list[DestinationStatus]) -> None:
    if terminal.renderer.as_json:
        terminal.renderer.print_json([_status_to_json(each) for each in statuses])
        return
    columns = ("Destination", "Profile", "State", "Delivered", "In use")
    terminal.renderer.print_entries(columns, [_status_row(terminal, each) for each in statuses])
    for status in statuses:
        if status.failure is not None:
            terminal.renderer.print_explanation(terminal.explain(status.failure))
    if not statuses:
        terminal.renderer.print_note(
            f"{terminal.connection_name} is delivered nowhere. The profiles:"
        )
        for each in profiles().values():
            terminal.renderer.print_note(f"  {each.id.ljust(14)} {each.title}")


def _status_row(terminal: Terminal, status: DestinationStatus) -> tuple[str, ...]:
    destination = status.destination
    state = describe_state(status.state, **status.details)
    target = f"{destination.target} [{destination.entry}]" * bool(destination.entry)
    delivered = terminal.format_time(destination.delivered_at)
    reloaded_at = destination.reloaded_at
    used = terminal.format_time(reloaded_at) if reloaded_at else "not known"
    return (target or destination.target, destination.profile, state, delivered, used)


def _configuration_to_json(destination: Destination) -> dict[str, Any]:
    return {
        "name": destination.connection,
        "profile": destination.profile,
        "target": destination.target,
        "entry": destination.entry or None,
        "reload_command": destination.reload_command or None,
    }


def _destination_to_json(destination: Destination) -> dict[str, Any]:
    return {
        **_configuration_to_json(destination),
        "generation": destination.generation or None,
        "delivered_at": destination.delivered_at,
        "reloaded_at": destination.reloaded_at,
    }


def _status_to_json(status: DestinationStatus) -> dict[str, Any]:
    return {
        **_destination_to_json(status.destination),
        "state": status.state,
        "needs_delivery": status.needs_delivery,
        "found_generation": status.found_generation or None,
        "changed_fields": status.changed_fields,
        "error": explanation_to_json(explain(status.failure)) if status.failure else None,
    }


def _find_destinations(
    terminal: Terminal, name: str, target: str | None = None
) -> list[Destination]:
    """The destinations of `name`: all of them, or those at `target`."""
    destinations = terminal.services.store.destinations.all(name)
    if target is None:
        return list(destinations)
    path = os.path.abspath(os.path.expanduser(target))
    matching = [each for each in destinations if each.target in (target, path)]
    if not matching:
        raise fail("unknown-destination", name=name, target=target)
    return matching


def _find_one_destination(terminal: Terminal, name: str, target: str | None) -> Destination:
    """The one destination that is meant; raises ``which-destination`` where there are several."""
    destinations = _find_destinations(terminal, name, target)
    if len(destinations) != 1:
        raise fail(
            "which-destination", name=name, known=", ".join(each.target for each in destinations)
        )
    return destinations[0]
