"""The places a backup hands credentials to: a stranger's word until the person agrees.

They name files to be written and commands to be run, with the secrets of every later grant, and
whoever made the backup chose them.
"""

import shlex
from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Any

import click

from wizard.backup import Backup
from wizard.cli.terminal import Terminal
from wizard.store import CONFIGURED_FIELDS, Destination, StoreContents


def confirm_destinations(
    terminal: Terminal,
    backup: Backup,
    remaining: StoreContents,
    only: Collection[str],
    *,
    is_confirmed: bool,
) -> tuple[Backup, Sequence[Destination]]:
    """The backup with the destinations that the person agrees to, and those that are left out.

    Not asked about are those that this home had itself (`left`), and connections that are here
    already. `delivers` is the person's agreement, given before.
    """
    contents, known = backup.contents, [configured_fields(each) for each in remaining.destinations]
    here = {each.name for each in terminal.services.store.connections.all()}
    unconfirmed = [
        each
        for each in contents.destinations
        if (not only or each.connection in only)
        and each.connection not in here
        and configured_fields(each) not in known
    ]
    if not unconfirmed or is_confirmed or _confirm(terminal, unconfirmed):
        return backup, ()
    confirmed = tuple(each for each in contents.destinations if each not in unconfirmed)
    return replace(backup, contents=replace(contents, destinations=confirmed)), unconfirmed


def _confirm(terminal: Terminal, destinations: Sequence[Destination]) -> bool:
    renderer = terminal.renderer
    if not terminal.is_interactive or renderer.as_json:
        return False
    renderer.print_note(
        "After every consent, the backup wants the credentials handed to these places:"
    )
    for each in destinations:
        then = f", then runs {each.reload_command}" if each.reload_command else ""
        runs = "runs " if each.profile == "command" else ""
        renderer.print_note(f"  {each.connection}: {runs}{each.target}{then}")
    return click.confirm("Hand them on from here, too?", err=True)


def print_skipped_destinations(terminal: Terminal, destinations: Sequence[Destination]) -> None:
    """What was left out, and the command that makes each again."""
    if not destinations:
        return
    terminal.renderer.print_blank()
    terminal.renderer.print_note(
        "Nothing is handed on to these places of the backup. Where it shall be:"
    )
    for each in destinations:
        options = ["--profile", each.profile, "--to", each.target]
        options += ["--as", each.entry] if each.entry else []
        options += ["--then", each.reload_command] if each.reload_command else []
        terminal.renderer.print_command(
            shlex.join(["zoho-wizard", "deliver", each.connection, *options])
        )


def configured_fields(destination: Destination) -> dict[str, Any]:
    """What is wished for a destination, whatever was delivered there."""
    return {name: getattr(destination, name) for name in CONFIGURED_FIELDS}
