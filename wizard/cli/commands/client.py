"""``client …``: the OAuth clients, their secrets, and who uses them."""

from typing import Any

import click
from click.shell_completion import CompletionItem

from wizard.cli.flows.connection_request import register_client, resolve_location
from wizard.cli.flows.verification import most_severe
from wizard.cli.terminal import Exit, Terminal, json_option, pass_terminal, printable
from wizard.errors import WizardError
from wizard.model import Client
from wizard.serialization import explanation_to_json


class ClientIdType(click.ParamType[str]):
    """A client id or name as an argument, completed by the shell from the store."""

    name = "client_id"

    def convert(
        self, value: Any, parameter: click.Parameter | None, context: click.Context | None
    ) -> str:
        """The id of the one client of that name; `value` itself where it is no such name."""
        text = printable(value)
        if context is None or context.resilient_parsing or not text:
            return text
        clients = context.ensure_object(Terminal).services.store.clients.all()
        named = [each.client_id for each in clients if each.name == value]
        return named[0] if len(named) == 1 else text

    def shell_complete(
        self, context: click.Context, parameter: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """The ids that begin with `incomplete`; none rather than an error."""
        try:
            clients = context.ensure_object(Terminal).services.store.clients.all()
        except WizardError:
            return []
        return [
            CompletionItem(each.client_id, help=each.name)
            for each in clients
            if each.client_id.startswith(incomplete)
        ]


CLIENT_ID = ClientIdType()


@click.group()
def client() -> None:
    """The OAuth clients that connections use."""


@client.command("list")
@json_option
@pass_terminal
def list_clients(terminal: Terminal) -> None:
    """List the clients and who uses them."""
    clients = terminal.services.store.clients.all()
    if terminal.renderer.as_json:
        terminal.renderer.print_json([_client_to_json(terminal, each) for each in clients])
        return
    rows = [
        (each.client_id, each.name, each.location, ", ".join(_connections_using(terminal, each)))
        for each in clients
    ]
    if rows:
        terminal.renderer.print_table(("Client ID", "Name", "Home", "Connections"), rows)
    else:
        terminal.renderer.print_note(
            "No clients yet. Register one:", command="zoho-wizard client add"
        )


@client.command("show")
@click.argument("client_id", type=CLIENT_ID)
@json_option
@pass_terminal
def show_client(terminal: Terminal, client_id: str) -> None:
    """Show a client and who uses it.

    Secrets per data centre, connections, and refresh tokens counted per user.
    """
    selected = terminal.services.store.clients.get(client_id)
    if terminal.renderer.as_json:
        terminal.renderer.print_json(_client_to_json(terminal, selected))
        return
    terminal.renderer.print_facts(
        [
            ("Client ID", selected.client_id),
            ("Name", selected.name),
            ("Home", selected.location),
            ("Redirect URI", selected.redirect_uri or "none (a Self Client)"),
            ("Secrets stored for", ", ".join(selected.locations)),
            ("One secret for all", "yes" if selected.has_common_secret else "no"),
            ("Connections", ", ".join(_connections_using(terminal, selected))),
            ("Registered", terminal.format_time(selected.created_at)),
        ]
    )
    for (_zuid, email), count in terminal.services.store.grants.count_refresh_tokens(
        client_id
    ).items():
        tokens = "token" if count == 1 else "tokens"
        terminal.renderer.print_output(
            f"  {count} living refresh {tokens} of {email}; Zoho keeps 20"
        )


@client.command("add")
@click.option("--name", default="", help="What to call it here.")
@click.option("--data-center", default="", help="Where it was registered; else it is looked for.")
@click.option("--self-client", is_flag=True, help="It is the console's Self Client.")
@click.option(
    "--common-secret",
    "has_common_secret",
    is_flag=True,
    help='"Use the same credentials" is ticked at Zoho.',
)
@json_option
@pass_terminal
def add_client(
    terminal: Terminal, name: str, data_center: str, self_client: bool, has_common_secret: bool
) -> None:
    """Register a client.

    Its id and secret come by prompt or stdin, in any shape, and are proved at Zoho.
    """
    added = register_client(
        terminal,
        name=name,
        location=resolve_location(terminal, data_center),
        is_self_client=self_client,
        has_common_secret=has_common_secret,
    )
    if terminal.renderer.as_json:
        terminal.renderer.print_json(_client_to_json(terminal, added))


@client.command("check")
@click.argument("client_ids", type=CLIENT_ID, nargs=-1, metavar="[CLIENT_ID]...")
@json_option
@pass_terminal
def check_clients(terminal: Terminal, client_ids: tuple[str, ...]) -> None:
    """Ask Zoho whether the secrets are right.

    Each data centre is asked about the secret stored for it; of clients named, or all.
    """
    services, renderer = terminal.services, terminal.renderer
    selected = client_ids or tuple(each.client_id for each in services.store.clients.all())
    rows: list[dict[str, Any]] = []
    for client_id in selected:
        for each in services.clients.check(client_id):
            known = services.store.clients.get(client_id)
            explanation = (
                services.diagnosis.explain_client_failure(known, each.failure)
                if each.failure
                else None
            )
            error = explanation_to_json(explanation) if explanation else None
            rows.append({"client_id": client_id, "location": each.location, "error": error})
            if renderer.as_json:
                continue
            if explanation is None:
                renderer.print_success(f"{client_id} is right at {each.location}.")
            else:
                renderer.print_explanation(explanation)
    if renderer.as_json:
        renderer.print_json(rows)
    code = most_severe([row["error"]["exit_code"] if row["error"] else 0 for row in rows])
    raise Exit(code)


@client.command("set-secret")
@click.argument("client_id", type=CLIENT_ID)
@click.option("--data-center", default="", help="Whose secret it is; else the client's home.")
@click.option(
    "--common-secret",
    "has_common_secret",
    is_flag=True,
    help='"Use the same credentials" is ticked at Zoho.',
)
@pass_terminal
def set_secret(
    terminal: Terminal, client_id: str, data_center: str, has_common_secret: bool
) -> None:
    """Store a new secret for a client.

    It comes by prompt or stdin, and is stored once Zoho has said that it is right. The one before
    is kept until a refresh has succeeded with the new one.
    """
    services = terminal.services
    services.store.clients.get(client_id)
    location = resolve_location(terminal, data_center)
    text = terminal.read_secret("Client Secret")
    services.clients.set_secret(client_id, text, location, has_common_secret=has_common_secret)
    terminal.renderer.print_success("The new secret is right, and stored.")


@client.command("remove")
@click.argument("client_id", type=CLIENT_ID)
@click.option("--yes", is_flag=True, help="Do not ask; needed in a script.")
@pass_terminal
def remove_client(terminal: Terminal, client_id: str, yes: bool) -> None:
    """Remove a client that no connection uses.

    At Zoho it stays registered.
    """
    selected = terminal.services.store.clients.get(client_id)
    if not yes:
        terminal.confirm(f"Remove {selected.name} ({client_id})?", option="--yes")
    terminal.services.clients.remove(client_id)
    terminal.renderer.print_success(f"{client_id} is removed here. At Zoho it stays registered.")


def _connections_using(terminal: Terminal, client: Client) -> list[str]:
    connections = terminal.services.store.connections.all()
    return [each.name for each in connections if each.client_id == client.client_id]


def _client_to_json(terminal: Terminal, client: Client) -> dict[str, Any]:
    tokens = terminal.services.store.grants.count_refresh_tokens(client.client_id)
    return {
        "client_id": client.client_id,
        "name": client.name,
        "location": client.location,
        "redirect_uri": client.redirect_uri or None,
        "secret_locations": client.locations,
        "has_common_secret": client.has_common_secret,
        "connections": _connections_using(terminal, client),
        "refresh_tokens": [
            {"zuid": zuid, "email": email, "count": count}
            for (zuid, email), count in tokens.items()
        ],
        "created_at": client.created_at,
    }
