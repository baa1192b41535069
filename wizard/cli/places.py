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
from wizard.store import WISH, Belongings, Destination


def agreed_places(
    terminal: Terminal,
    found: Backup,
    left: Belongings,
    only: Collection[str],
    *,
    delivers: bool,
) -> tuple[Backup, Sequence[Destination]]:
    """The backup with the destinations that the person agrees to, and those that are left out.

    Not asked about are those that this home had itself (`left`), and connections that are here
    already. `delivers` is the person's agreement, given before.
    """
    kept, known = found.belongings, [wish_json(each) for each in left.destinations]
    here = {each.name for each in terminal.house.store.connections()}
    strange = [
        each
        for each in kept.destinations
        if (not only or each.connection in only)
        and each.connection not in here
        and wish_json(each) not in known
    ]
    if not strange or delivers or _agrees(terminal, strange):
        return found, ()
    agreed = tuple(each for each in kept.destinations if each not in strange)
    return replace(found, belongings=replace(kept, destinations=agreed)), strange


def _agrees(terminal: Terminal, strange: Sequence[Destination]) -> bool:
    painter = terminal.painter
    if not terminal.interactive or painter.as_json:
        return False
    painter.note("After every consent, the backup wants the credentials handed to these places:")
    for each in strange:
        then = f", then runs {each.reload}" if each.reload else ""
        runs = "runs " if each.profile == "command" else ""
        painter.note(f"  {each.connection}: {runs}{each.target}{then}")
    return click.confirm("Hand them on from here, too?", err=True)


def tell_left_out(terminal: Terminal, strange: Sequence[Destination]) -> None:
    """What was left out, and the command that makes each again."""
    if not strange:
        return
    terminal.painter.blank()
    terminal.painter.note("Nothing is handed on to these places of the backup. Where it shall be:")
    for each in strange:
        wanted = ["--profile", each.profile, "--to", each.target]
        wanted += ["--as", each.entry] if each.entry else []
        wanted += ["--then", each.reload] if each.reload else []
        terminal.painter.command(shlex.join(["zoho-wizard", "deliver", each.connection, *wanted]))


def wish_json(destination: Destination) -> dict[str, Any]:
    """What is wished for a destination, whatever was delivered there."""
    return {name: getattr(destination, name) for name in WISH}
