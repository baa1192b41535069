"""``backup`` and ``restore``: everything in one file, and back again."""

import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from wizard import zoho
from wizard.backup import Backup, ReadBack, TakenIn, open_backup, read_back, set_aside
from wizard.cli.painter import moment
from wizard.cli.places import agreed_places, tell_left_out, wish_json
from wizard.cli.proving import Outcome, conclude, gravest, prove
from wizard.cli.terminal import Exit, Terminal, json_option, pass_terminal
from wizard.cli.troubles import tell_all
from wizard.document import as_data, finding_json
from wizard.errors import WizardError, explain, fail
from wizard.house import House
from wizard.model import GrantState
from wizard.store import Belongings, Destination, salvage

KEY_LOST = ("key-missing", "key-wrong", "key-unreadable", "keyring-locked")
"""The database is there, and nobody can read its secrets; whether for good, the person says."""


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--move", is_flag=True, help="Retire this home: it asks nothing of Zoho any more.")
@click.option("--yes", is_flag=True, help="With --move: do not ask; needed in a script.")
@json_option
@pass_terminal
def backup(terminal: Terminal, file: Path, move: bool, yes: bool) -> None:
    """Write everything into one encrypted FILE.

    Clients, connections, grants and destinations, under a passphrase and independent of this
    machine's key. A script gives the passphrase on stdin. --move is for another machine that
    takes over: two homes must never tend one grant.
    """
    house = terminal.house
    if move and not yes:
        terminal.painter.note("Every program that asks this wizard for tokens stops working.")
        terminal.confirm("Move everything away from here?", otherwise="--yes")
    made = house.backups.write(file, _passphrase(terminal, new=True), move=move)
    kept = made.belongings
    if terminal.painter.as_json:
        terminal.painter.document(
            {
                "file": str(file.absolute()),
                "made_at": made.made_at,
                "moved": move,
                "connections": [each.name for each in kept.connections],
                "clients": [each.client_id for each in kept.clients],
            }
        )
        return
    terminal.painter.good(
        f"{len(kept.connections)} connections and {len(kept.clients)} clients are in {file}, "
        "which was read back."
    )
    if not move:
        terminal.painter.note(
            "This home goes on. Restore the file elsewhere only once this one is gone; --move is "
            "for another machine that takes over."
        )
        return
    terminal.painter.note("On the other machine:", command=f"zoho-wizard restore {file.name}")
    terminal.painter.note(
        f"This home is retired. Once the other has proved everything, delete "
        f"{house.home.data_dir} here."
    )


@click.command()
@click.argument("file", type=click.Path(path_type=Path), required=False)
@click.option("--only", multiple=True, metavar="NAME", help="Restore this connection alone.")
@click.option(
    "--from-destinations",
    is_flag=True,
    help="The key is lost: read the secrets back from where they were delivered.",
)
@click.option(
    "--without-secrets",
    is_flag=True,
    help="The key is lost: keep everything else, and authorize again.",
)
@click.option("--set-aside", "agreed", is_flag=True, help="The key is lost: begin anew, with FILE.")
@click.option(
    "--source-gone",
    "alone",
    is_flag=True,
    help="The home where FILE was made is retired or gone; can be said alone, too.",
)
@click.option("--deliver", "delivers", is_flag=True, help="Hand on to the places of FILE unasked.")
@json_option
@pass_terminal
def restore(
    terminal: Terminal,
    file: Path | None,
    only: tuple[str, ...],
    from_destinations: bool,
    without_secrets: bool,
    agreed: bool,
    alone: bool,
    delivers: bool,
) -> None:
    """Restore a backup FILE, and prove it.

    Everything is taken as it was and proved one by one, within Zoho's limits. A home whose key is
    lost is set aside first, never deleted. Where the home that FILE comes from was not retired
    (`backup --move`), that is told until you say that it is gone. Files and commands that FILE
    wants credentials handed to are used from here, too, if you say so; a script says --deliver.
    """
    if alone and not (file or from_destinations or without_secrets):
        _alone(terminal)
        return
    if (file is not None) + from_destinations + without_secrets != 1:
        raise click.UsageError("Give a FILE, or --from-destinations, or --without-secrets.")
    if file is not None:
        mark = zoho.load(terminal.settings.sandbox_url).mark
        told: tuple[ReadBack, ...] = ()
        found = open_backup(file, _passphrase(terminal, new=False), mark)
        house, left = _open(terminal, agreed=agreed)
        found, strange = agreed_places(terminal, found, left, only, delivers=delivers)
    else:
        found, told = _salvaged(terminal, from_destinations)
        house, left, strange = _open(terminal, agreed=True)[0], Belongings(), ()
    taken = house.backups.take_in(found, only, alone=alone)
    _keep_the_rest(house, found, left)
    outcomes, waiting = _check(terminal, house, taken)
    _report(terminal, found, taken, told, outcomes, waiting, strange)
    raise Exit(gravest([outcome.exit_code for outcome in outcomes]))


def _alone(terminal: Terminal) -> None:
    """The person's word that nobody else tends the grants of this home."""
    known = len(terminal.house.store.twins())
    terminal.house.store.forget_twins()
    told = f"{known} grant{'' if known == 1 else 's'}" if known else "Every grant"
    terminal.painter.good(f"{told} of this home: tended here alone, as you say.")


def _passphrase(terminal: Terminal, *, new: bool) -> str:
    """Typed unseen, twice for a new file; in a script the first line of stdin."""
    if not terminal.interactive:
        return sys.stdin.readline().rstrip("\r\n")
    return str(
        click.prompt("Passphrase of the backup", hide_input=True, confirmation_prompt=new, err=True)
    )


def _open(terminal: Terminal, *, agreed: bool) -> tuple[House, Belongings]:
    """The house; where its key is lost, a new one in its place, and what the old one said.

    Unless it was `agreed`, the person is asked first.
    """
    try:
        return terminal.house, Belongings()
    except WizardError as error:
        if error.failure.code not in KEY_LOST:
            raise
        if not agreed:
            terminal.painter.finding(terminal.explain(error.failure))
            question = "Set that database aside, and begin anew with the backup?"
            terminal.confirm(question, otherwise="--set-aside")
    home = terminal.settings.home
    left = salvage(home)
    directory = set_aside(home, terminal.clock())
    terminal.painter.note(f"The database whose key is lost was set aside in {directory}")
    return terminal.house, left


def _salvaged(terminal: Terminal, reading: bool) -> tuple[Backup, tuple[ReadBack, ...]]:
    """What is left without the key, with what the destinations hold where `reading`.

    Raises ``key-in-order`` where nothing is lost.
    """
    try:
        terminal.house.store.connections()
    except WizardError as error:
        if error.failure.code not in KEY_LOST:
            raise
    else:
        raise fail("key-in-order", where=terminal.house.vault.where.detail)
    left, now = salvage(terminal.settings.home), terminal.clock()
    table = zoho.load(terminal.settings.sandbox_url)
    if reading:
        filled, told = read_back(left, table, now)
        return Backup(now, "the destinations", table.mark, filled, retired=True), told
    return Backup(now, "what needs no key", table.mark, left, retired=True), ()


def _keep_the_rest(house: House, found: Backup, left: Belongings) -> None:
    """Connections that are younger than the backup: kept without their secrets."""
    known = {each.name.lower() for each in found.belongings.connections}
    rest = tuple(each for each in left.connections if each.name.lower() not in known)
    names = {each.name for each in rest}
    destinations = tuple(each for each in left.destinations if each.connection in names)
    if rest:
        house.store.take_in(replace(left, connections=rest, destinations=destinations))


def _check(
    terminal: Terminal, house: House, taken: TakenIn
) -> tuple[list[Outcome], tuple[str, ...]]:
    """Prove what was taken in, one by one, until Zoho cannot be asked any more; also the names
    of those that wait."""
    outcomes: list[Outcome] = []
    names = [name for name in taken.connections if _to_prove(house, name)]
    for place, name in enumerate(names):
        if not terminal.painter.as_json:
            terminal.painter.note(f"{name}:")
        grant = house.store.grant(name)
        outcome = prove(terminal, name, grant.generation if grant else 0)
        outcomes.append(outcome)
        if outcome.finding is None and not terminal.painter.as_json:
            conclude(terminal, outcome)
        failure = outcome.finding.failure if outcome.finding else None
        if failure is not None and failure.temporary:
            return outcomes, tuple(names[place + 1 :])
    terminal.name = ""
    return outcomes, ()


def _tell_causes(terminal: Terminal, house: House, outcomes: list[Outcome]) -> None:
    """What failed of `outcomes`, each cause once."""
    findings = {each.name: each.finding for each in outcomes if each.finding}
    failures = {name: found.failure for name, found in findings.items() if found.failure}
    well = [each.name for each in outcomes if each.finding is None]
    tell_all(terminal.painter, house.troubles.of(failures, well))


def _to_prove(house: House, name: str) -> bool:
    grant = house.store.grant(name)
    return grant is not None and grant.state is GrantState.UNPROVED


def _report(
    terminal: Terminal,
    found: Backup,
    taken: TakenIn,
    told: tuple[ReadBack, ...],
    outcomes: list[Outcome],
    waiting: tuple[str, ...],
    strange: Sequence[Destination],
) -> None:
    house, painter = terminal.house, terminal.painter
    unauthorized = [name for name in taken.connections if house.store.grant(name) is None]
    if painter.as_json:
        painter.document(
            {
                "made_at": found.made_at,
                "made_on": found.made_on,
                "restored": taken.connections,
                "already_here": taken.already,
                "read_back": [_told_json(each) for each in told],
                "checks": [outcome.to_json() for outcome in outcomes],
                "unchecked": waiting,
                "to_authorize": unauthorized,
                "not_delivered_to": [wish_json(each) for each in strange],
                "cautions": [as_data(each) for each in house.cautions.of_home()],
            }
        )
        return
    _tell_causes(terminal, house, outcomes)
    painter.blank()
    for each in told:
        if each.failure is not None:
            painter.note(f"{each.connection}: {explain(each.failure).title} ({each.target})")
    painter.good(
        f"{len(taken.connections)} connections restored from {found.made_on}, "
        f"{moment(found.made_at)}; {len(taken.already)} were here already."
    )
    if waiting:
        painter.note(
            f"{len(waiting)} are not proved yet; when Zoho can be asked again:",
            command=f"zoho-wizard check {' '.join(waiting)}",
        )
    for name in unauthorized:
        painter.note(f"{name} has no grant; authorize it:", command=f"zoho-wizard connect {name}")
    tell_left_out(terminal, strange)
    for caution in house.cautions.of_home():
        painter.blank()
        painter.caution(caution)


def _told_json(told: ReadBack) -> dict[str, Any]:
    error = finding_json(explain(told.failure)) if told.failure else None
    return {"connection": told.connection, "target": told.target, "error": error}
