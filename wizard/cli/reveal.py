"""``show --reveal``: the one way a refresh token leaves the wizard, and a note that it did."""

import shlex
import sys

import click

from wizard.cli.terminal import Exit, Terminal
from wizard.errors import fail
from wizard.model import Event


def reveal(terminal: Terminal, name: str, *, yes: bool) -> None:
    """Print what a program needs to renew tokens itself, as ``.env`` lines.

    A terminal is asked first; a pipe needs `yes`. Raises ``no-grant``, ``missing-secret`` or
    ``reveal-needs-yes``.
    """
    house, painter = terminal.house, terminal.painter
    connection, grant = house.store.connection(name), house.store.grant(name)
    if grant is None:
        raise fail("no-grant", name=name)
    client = house.store.client(connection.client_id)
    data_centre = house.zoho.data_centre(grant.location)
    secret = house.broker.secret(client, grant.location)
    lines = {
        "ZOHO_CLIENT_ID": client.client_id,
        "ZOHO_CLIENT_SECRET": secret,
        "ZOHO_REFRESH_TOKEN": grant.refresh_token,
        "ZOHO_ACCOUNTS_URL": data_centre.accounts_server,
        "ZOHO_API_DOMAIN": data_centre.api_domain,
        "ZOHO_DC": data_centre.suffix,
        "ZOHO_SCOPE": ",".join(grant.scope),
    }
    painter.note(
        "These are for a program that renews tokens itself. A program that can run a command for "
        f"each token needs none of them: zoho-wizard token {name}"
    )
    if not yes:
        _ask(terminal)
    house.store.note(Event(terminal.clock(), name, "revealed"))
    if painter.as_json:
        painter.document(lines)
    else:
        for key, value in lines.items():
            # A shell may read these lines: what Zoho names a scope must not become a command.
            click.echo(f"{key}={shlex.quote(value)}")
    painter.note("Shown on purpose, and noted in the history. Keep them out of version control.")


def _ask(terminal: Terminal) -> None:
    if not sys.stdout.isatty() or not terminal.interactive:
        raise fail("reveal-needs-yes")
    terminal.painter.note("Whoever sees them can use the account within the connection's scopes.")
    if not click.confirm("Show them on this screen?", err=True):
        terminal.painter.note("Nothing was shown.")
        raise Exit(1)
