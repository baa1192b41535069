"""``rename``: a new name for a connection."""

import click

from wizard.cli.results.connections import RenamedConnection
from wizard.cli.terminal import CONNECTION_NAME, Terminal, pass_terminal, printable


@click.command()
@click.argument("old", type=CONNECTION_NAME)
@click.argument("new")
@pass_terminal
def rename(terminal: Terminal, old: str, new: str) -> None:
    """Rename connection OLD to NEW.

    Its authorizations, cached access token, destinations, access permissions and history keep
    working under the new name. Programs that ask for tokens of OLD must ask for NEW.

    \b
    Example:
      zoho-wizard rename crm crm-production
    """
    new = printable(new)
    terminal.services.tokens.rename_connection(old, new)

    def render() -> None:
        terminal.renderer.print_success(f"{old} is now called {new}.")
        terminal.renderer.print_note(
            "Programs that ask for its access tokens must use the new name:",
            command=f"zoho-wizard token {new}",
        )

    terminal.emit(RenamedConnection(new, old), render)
