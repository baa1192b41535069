"""``revoke`` and ``remove``: how a connection ends."""

from collections.abc import Sequence

import click

from wizard.cli.results.connections import RemovedConnection, RevokedConnection
from wizard.cli.terminal import CONNECTION_NAME, Exit, Terminal, pass_terminal
from wizard.errors import fail
from wizard.model import Grant


@click.command()
@click.argument("name", type=CONNECTION_NAME)
@click.option("--yes", is_flag=True, help="Don't ask; needed in a script.")
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

    def render() -> None:
        terminal.renderer.print_success(f"{name} is revoked at Zoho and here.")
        terminal.renderer.print_note("To use it again:", command=f"zoho-wizard reauthorize {name}")
        terminal.renderer.print_note("To remove it:", command=f"zoho-wizard remove {name}")

    terminal.emit(RevokedConnection(name, _generations(revocable)), render)


@click.command()
@click.argument("name", type=CONNECTION_NAME)
@click.option(
    "--no-revoke",
    "choice",
    flag_value="keep",
    help="Remove it only here; it keeps working at Zoho.",
)
@click.option("--revoke", "choice", flag_value="revoke", help="Revoke it at Zoho first.")
@pass_terminal
def remove(terminal: Terminal, name: str, choice: str | None) -> None:
    """Remove connection NAME.

    It asks first, unless --no-revoke or --revoke is given; without a terminal, one of them is
    required.
    """
    store = terminal.services.store
    store.connections.get(name)
    revocable = _revocable_grants(store.grants.of_connection(name))
    destinations = [each.target for each in store.destinations.all(name) if each.generation]
    for destination in destinations:
        terminal.renderer.print_note(f"Keeps its credentials: {destination}")
    choice = choice or _prompt_removal(terminal, name, is_revocable=bool(revocable))
    if choice == "revoke":
        for grant in revocable:
            terminal.services.tokens.revoke(grant)
    terminal.services.tokens.remove_connection(name)
    revoked, kept = (revocable, []) if choice == "revoke" else ([], revocable)

    def render() -> None:
        terminal.renderer.print_success(f"{name} is removed.")
        if kept:
            terminal.renderer.print_note(
                "Its refresh token still works at Zoho, and counts there among the twenty that "
                "Zoho keeps for a person and a client. Zoho's page of connected apps can end it."
            )

    removed = RemovedConnection(
        name, _generations(revoked), _generations(kept), tuple(destinations)
    )
    terminal.emit(removed, render)


REMOVAL_OPTIONS = "--no-revoke or --revoke"


def _prompt_removal(terminal: Terminal, name: str, *, is_revocable: bool) -> str:
    """Ask whether to remove connection `name`, and what to do with its refresh token. Raises
    ``input-needed`` if nobody can be asked."""
    if not terminal.is_interactive:
        raise fail("input-needed", name=name, options=REMOVAL_OPTIONS)
    if not is_revocable:
        terminal.confirm(f"Remove {name}?", option=REMOVAL_OPTIONS)
        return "keep"
    terminal.renderer.print_note(
        f"{name} has a refresh token that works at Zoho. Programs that have a copy keep working if "
        "you remove it only here; they stop if you revoke it at Zoho."
    )
    choice = terminal.choose(
        "keep at Zoho, revoke at Zoho, or cancel",
        ["keep", "revoke", "cancel"],
        default="cancel",
        option=REMOVAL_OPTIONS,
    )
    if choice == "cancel":
        terminal.renderer.print_note("Nothing was changed.")
        raise Exit(1)
    return choice


def _generations(grants: Sequence[Grant]) -> tuple[int, ...]:
    return tuple(each.generation for each in grants)


def _revocable_grants(grants: Sequence[Grant]) -> list[Grant]:
    """The grants whose refresh token may still work at Zoho."""
    return [grant for grant in grants if not grant.state.is_ended]
