"""``open``: the page of a connection in the browser."""

import click

from wizard.cli.flows.serving import open_app
from wizard.cli.results.connections import OpenedPage
from wizard.cli.terminal import CONNECTION_NAME, Terminal, pass_terminal


@click.command("open")
@click.argument("name", type=CONNECTION_NAME)
@pass_terminal
def open_connection(terminal: Terminal, name: str) -> None:
    """Open the page of connection NAME in a browser.

    Uses the wizard that is serving, or serves until you stop it. Without a browser, over SSH for
    example, it prints a one-time browser link.
    """
    terminal.services.store.connections.get(name)
    page = f"/connections/{name}"
    url = terminal.services.settings.base_url + page
    open_app(terminal, page, lambda link: OpenedPage(name, url, link))
