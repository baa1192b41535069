"""``deliver``: the credentials of a connection, brought to the programs that renew tokens."""

import os
import sys
from collections.abc import Callable
from typing import Any

import click

from wizard.cli.painter import moment
from wizard.cli.proving import gravest
from wizard.cli.terminal import NAME, Exit, Terminal, json_option, pass_terminal
from wizard.delivery import Change, Condition, Preview, Sight, profile, profiles
from wizard.document import finding_json
from wizard.errors import WizardError, explain, fail
from wizard.model import Failure
from wizard.store import Destination

CONDITION_WORDS = {
    Condition.WAITING: "○ nothing delivered yet",
    Condition.CURRENT: "✓ holds the current grant",
    Condition.BEHIND: "✗ holds grant {generation}, which is not the current one",
    Condition.ROTATED: "✗ holds a refresh token that the server has replaced",
    Condition.FOREIGN: "✗ holds a refresh token that this connection does not know",
    Condition.EDITED: "✗ was edited: {fields}",
    Condition.MISSING: "✗ the credentials are gone from it",
    Condition.UNREADABLE: "✗ cannot be read",
    Condition.UNSEEN: "✓ delivered; a command cannot be read back",
}
SHAPES = {"added": "+", "changed": "~", "same": " "}
HIDDEN = "(value not shown)"


@click.command()
@click.argument("name", type=NAME)
@click.option("--profile", "profile_id", metavar="PROFILE", help="How the place wants them.")
@click.option("--to", "target", metavar="PATH|COMMAND", help="The file, or the command.")
@click.option("--as", "entry", default="", metavar="ENTRY", help="Our entry's name in the file.")
@click.option(
    "--name",
    "names",
    multiple=True,
    metavar="FIELD=NAME",
    help="Write FIELD under another name. Can be repeated.",
)
@click.option("--then", "reload", default="", metavar="COMMAND", help="Makes the program reload.")
@click.option("--dry-run", is_flag=True, help="Show what would be written, and write nothing.")
@click.option("--show-values", is_flag=True, help="Show values too; on a terminal, after asking.")
@click.option("--yes", is_flag=True, help="Do not ask before the first write; for scripts.")
@click.option("--list", "action", flag_value="list", help="List the destinations.")
@click.option("--drift", "action", flag_value="drift", help="Look at what they hold now.")
@click.option("--undo", "action", flag_value="undo", help="Put the version before back.")
@click.option("--remove", "action", flag_value="remove", help="Deliver there no more.")
@json_option
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
    terminal.house.store.connection(name)
    target = options["target"]
    if action is None and (options["profile_id"] or options["dry_run"] or options["reload"]):
        _make(terminal, name, **options)
    elif action == "list":
        _paint(terminal, [terminal.house.delivery.look(each) for each in _chosen(terminal, name)])
    elif action == "drift":
        _drift(terminal, _chosen(terminal, name, target))
    elif action == "remove":
        _remove(terminal, _one(terminal, name, target))
    elif action == "undo":
        _each(terminal, [_one(terminal, name, target)], terminal.house.delivery.undo)
    elif chosen := _chosen(terminal, name, target):
        _each(terminal, chosen, terminal.house.delivery.deliver)
    else:
        raise fail("no-destination", name=name, known=", ".join(profiles()))


def _make(
    terminal: Terminal,
    name: str,
    *,
    profile_id: str | None,
    target: str | None,
    entry: str,
    names: tuple[str, ...],
    reload: str,
    dry_run: bool,
    show_values: bool,
    yes: bool,
) -> None:
    """Describe a destination, show what would be written there, and deliver for the first time."""
    if profile_id is None or target is None:
        known = ", ".join(profiles())
        raise fail("destination-needed", name=name, known=known)
    pairs = dict(each.partition("=")[::2] for each in names)
    delivery = terminal.house.delivery
    described = delivery.describe(name, profile_id, target, entry=entry, names=pairs, reload=reload)
    preview = delivery.preview(described)
    if show_values:
        _ask_to_show(terminal)
    _paint_preview(terminal, preview, show_values=show_values)
    if dry_run:
        return
    if not yes:
        terminal.confirm("Write this?", otherwise="--yes")
    _each(terminal, [described], delivery.add)


def _ask_to_show(terminal: Terminal) -> None:
    """Values are shown to a person who means it, never to a pipe or a log."""
    if not (sys.stdout.isatty() and terminal.interactive) or terminal.painter.as_json:
        raise fail("values-need-a-terminal")
    terminal.painter.note("Whoever sees them can use the account within the connection's scopes.")
    if not click.confirm("Show the values on this screen?", err=True):
        raise Exit(1)


def _paint_preview(terminal: Terminal, preview: Preview, *, show_values: bool) -> None:
    painter, made = terminal.painter, preview.destination
    if painter.as_json:
        if click.get_current_context().params["dry_run"]:
            painter.document(_preview_json(preview))
        return
    wanted = profile(made.profile)
    what = "would be given" if wanted.is_command else "would hold"
    painter.note(f"{made.target} {what} grant {preview.generation} of {made.connection}:")
    for change in preview.changes:
        painter.note(f"  {SHAPES[change.kind]} {change.name} = {_value(change, show_values)}")
    if preview.owner:
        painter.note(f"  it belongs to {preview.owner}, who will read what is put there")
    if preview.mode:
        painter.note(f"  its mode becomes 0600 instead of {preview.mode}: only its owner reads it")
    if made.reload:
        painter.note("then, to have it used:", command=made.reload)


def _value(change: Change, show_values: bool) -> str:
    return HIDDEN if change.secret and not show_values else change.value


def _preview_json(preview: Preview) -> dict[str, Any]:
    made = preview.destination
    return {
        **_place_json(made),
        "generation": preview.generation,
        "new": preview.new,
        "mode": preview.mode or None,
        "owner": preview.owner or None,
        "fields": {change.name: change.kind for change in preview.changes},
    }


def _drift(terminal: Terminal, chosen: list[Destination]) -> None:
    sights = [terminal.house.delivery.look(each) for each in chosen]
    _paint(terminal, sights)
    if any(sight.drifted for sight in sights):
        if not terminal.painter.as_json:
            terminal.painter.note(
                "Put the current grant there:", command=f"zoho-wizard deliver {terminal.name}"
            )
        raise Exit(1)


def _remove(terminal: Terminal, destination: Destination) -> None:
    terminal.house.delivery.remove(destination)
    terminal.painter.good(f"Nothing is delivered to {destination.target} any more.")
    terminal.painter.note("What it holds stays there, and works until it is revoked at Zoho.")


def _each(
    terminal: Terminal, chosen: list[Destination], act: Callable[[Destination], Destination]
) -> None:
    """Act on every destination, whatever becomes of the others; the gravest finding counts."""
    codes, documents = [], []
    for destination in chosen:
        failure: Failure | None
        try:
            destination = act(destination)
            failure = destination.failure
        except WizardError as error:
            failure = error.failure
        finding = terminal.explain(failure) if failure else None
        codes.append(finding.exit_code if finding else 0)
        said = finding_json(finding) if finding else None
        documents.append({**_destination_json(destination), "error": said})
        if not terminal.painter.as_json:
            if finding is None:
                terminal.painter.good(_said(destination))
            else:
                terminal.painter.finding(finding)
    if terminal.painter.as_json:
        terminal.painter.document(documents)
    raise Exit(gravest(codes))


def _said(destination: Destination) -> str:
    if destination.delivered_at is None:
        return f"{destination.target} holds again what it held before the wizard."
    proof = "accepted {}" if profile(destination.profile).is_command else "holds {}, read back"
    use = (
        "the reload succeeded, so it is in use"
        if destination.in_use_at
        else "whether its program uses it is not known (--then makes it reload)"
    )
    return f"{destination.target} {proof.format(f'grant {destination.generation}')}; {use}."


def _paint(terminal: Terminal, sights: list[Sight]) -> None:
    if terminal.painter.as_json:
        terminal.painter.document([_sight_json(each) for each in sights])
        return
    columns = ("Destination", "Profile", "State", "Delivered", "In use")
    terminal.painter.entries(columns, [_sight_row(each) for each in sights])
    for sight in sights:
        if sight.failure is not None:
            terminal.painter.finding(terminal.explain(sight.failure))
    if not sights:
        terminal.painter.note(f"{terminal.name} is delivered nowhere. The profiles:")
        for each in profiles().values():
            terminal.painter.note(f"  {each.id.ljust(14)} {each.title}")


def _sight_row(sight: Sight) -> tuple[str, ...]:
    destination = sight.destination
    state = CONDITION_WORDS[sight.condition].format(
        generation=sight.generation, fields=", ".join(sight.fields)
    )
    place = f"{destination.target} [{destination.entry}]" * bool(destination.entry)
    delivered = moment(destination.delivered_at)
    used = moment(destination.in_use_at) if destination.in_use_at else "not known"
    return (place or destination.target, destination.profile, state, delivered, used)


def _place_json(destination: Destination) -> dict[str, Any]:
    return {
        "name": destination.connection,
        "profile": destination.profile,
        "target": destination.target,
        "entry": destination.entry or None,
        "reload": destination.reload or None,
    }


def _destination_json(destination: Destination) -> dict[str, Any]:
    return {
        **_place_json(destination),
        "generation": destination.generation or None,
        "delivered_at": destination.delivered_at,
        "in_use_at": destination.in_use_at,
    }


def _sight_json(sight: Sight) -> dict[str, Any]:
    return {
        **_destination_json(sight.destination),
        "state": sight.condition,
        "drifted": sight.drifted,
        "found_generation": sight.generation or None,
        "edited_fields": sight.fields,
        "error": finding_json(explain(sight.failure)) if sight.failure else None,
    }


def _chosen(terminal: Terminal, name: str, target: str | None = None) -> list[Destination]:
    """The destinations of `name`: all of them, or those at `target`."""
    every = terminal.house.store.destinations(name)
    if target is None:
        return list(every)
    path = os.path.abspath(os.path.expanduser(target))
    found = [each for each in every if each.target in (target, path)]
    if not found:
        raise fail("unknown-destination", name=name, target=target)
    return found


def _one(terminal: Terminal, name: str, target: str | None) -> Destination:
    """The one destination that is meant; raises ``which-destination`` where there are several."""
    chosen = _chosen(terminal, name, target)
    if len(chosen) != 1:
        raise fail("which-destination", name=name, known=", ".join(each.target for each in chosen))
    return chosen[0]
