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
    services, renderer = terminal.services, terminal.renderer
    connection, grant = services.store.connections.get(name), services.store.grants.get(name)
    if grant is None:
        raise fail("no-grant", name=name)
    client = services.store.clients.get(connection.client_id)
    data_center = services.zoho.data_center(grant.location)
    secret = services.tokens.secret_for(client, grant.location)
    variables = {
        "ZOHO_CLIENT_ID": client.client_id,
        "ZOHO_CLIENT_SECRET": secret,
        "ZOHO_REFRESH_TOKEN": grant.refresh_token,
        "ZOHO_ACCOUNTS_URL": data_center.accounts_server,
        "ZOHO_API_DOMAIN": data_center.api_domain,
        "ZOHO_DC": data_center.domain_suffix,
        "ZOHO_SCOPE": ",".join(grant.scope),
    }
    renderer.print_note(
        "These are for a program that renews tokens itself. A program that can run a command for "
        f"each token needs none of them: zoho-wizard token {name}"
    )
    if not yes:
        _confirm(terminal)
    services.store.events.record(Event(terminal.clock(), name, "revealed"))
    if renderer.as_json:
        renderer.print_json(variables)
    else:
        for key, value in variables.items():
            # A shell may read these lines: what Zoho names a scope must not become a command.
            click.echo(f"{key}={shlex.quote(value)}")
    renderer.print_note(
        "Shown on purpose, and noted in the history. Keep them out of version control."
    )


def _confirm(terminal: Terminal) -> None:
    if not sys.stdout.isatty() or not terminal.is_interactive:
        raise fail("reveal-needs-yes")
    terminal.renderer.print_note(
        "Whoever sees them can use the account within the connection's scopes."
    )
    if not click.confirm("Show them on this screen?", err=True):
        terminal.renderer.print_note("Nothing was shown.")
        raise Exit(1)
