"""``client …``: the OAuth clients, their secrets, and who uses them."""

from typing import Any

import click
from click.shell_completion import CompletionItem

from wizard.cli.painter import moment
from wizard.cli.proving import gravest
from wizard.cli.terminal import Exit, Terminal, json_option, pass_terminal, readable
from wizard.cli.wish import location_of, register
from wizard.document import finding_json
from wizard.errors import WizardError
from wizard.model import Client


class ClientName(click.ParamType[str]):
    """A client id or name as an argument, completed by the shell from the store."""

    name = "client"

    def convert(
        self, value: Any, parameter: click.Parameter | None, context: click.Context | None
    ) -> str:
        """The id of the one client of that name; `value` itself where it is no such name."""
        wanted = readable(value)
        if context is None or context.resilient_parsing or not wanted:
            return wanted
        clients = context.ensure_object(Terminal).house.store.clients()
        named = [each.client_id for each in clients if each.name == value]
        return named[0] if len(named) == 1 else wanted

    def shell_complete(
        self, context: click.Context, parameter: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """The ids that begin with `incomplete`; none rather than an error."""
        try:
            clients = context.ensure_object(Terminal).house.store.clients()
        except WizardError:
            return []
        return [
            CompletionItem(each.client_id, help=each.name)
            for each in clients
            if each.client_id.startswith(incomplete)
        ]


CLIENT = ClientName()


@click.group()
def client() -> None:
    """The OAuth clients that connections use."""


@client.command("list")
@json_option
@pass_terminal
def list_clients(terminal: Terminal) -> None:
    """List the clients and who uses them."""
    clients = terminal.house.store.clients()
    if terminal.painter.as_json:
        terminal.painter.document([_to_json(terminal, each) for each in clients])
        return
    rows = [
        (each.client_id, each.name, each.location, ", ".join(_connections(terminal, each)))
        for each in clients
    ]
    if rows:
        terminal.painter.table(("Client ID", "Name", "Home", "Connections"), rows)
    else:
        terminal.painter.note("No clients yet. Register one:", command="zoho-wizard client add")


@client.command("show")
@click.argument("client_id", type=CLIENT)
@json_option
@pass_terminal
def show_client(terminal: Terminal, client_id: str) -> None:
    """Show a client and who uses it.

    Secrets per data centre, connections, and refresh tokens counted per user.
    """
    found = terminal.house.store.client(client_id)
    if terminal.painter.as_json:
        terminal.painter.document(_to_json(terminal, found))
        return
    terminal.painter.facts(
        [
            ("Client ID", found.client_id),
            ("Name", found.name),
            ("Home", found.location),
            ("Redirect URI", found.redirect_uri or "none (a Self Client)"),
            ("Secrets stored for", ", ".join(found.locations)),
            ("One secret for all", "yes" if found.common_secret else "no"),
            ("Connections", ", ".join(_connections(terminal, found))),
            ("Registered", moment(found.created_at)),
        ]
    )
    for (_zuid, email), count in terminal.house.store.refresh_tokens_of(client_id).items():
        tokens = "token" if count == 1 else "tokens"
        terminal.painter.product(f"  {count} living refresh {tokens} of {email}; Zoho keeps 20")


@client.command("add")
@click.option("--name", default="", help="What to call it here.")
@click.option("--data-centre", default="", help="Where it was registered; else it is looked for.")
@click.option("--self-client", is_flag=True, help="It is the console's Self Client.")
@click.option("--same-for-all", is_flag=True, help='"Use the same credentials" is ticked at Zoho.')
@json_option
@pass_terminal
def add(
    terminal: Terminal, name: str, data_centre: str, self_client: bool, same_for_all: bool
) -> None:
    """Register a client.

    Its id and secret come by prompt or stdin, in any shape, and are proved at Zoho.
    """
    added = register(
        terminal,
        name=name,
        location=location_of(terminal, data_centre),
        self_client=self_client,
        same_for_all=same_for_all,
    )
    if terminal.painter.as_json:
        terminal.painter.document(_to_json(terminal, added))


@client.command("check")
@click.argument("client_ids", type=CLIENT, nargs=-1, metavar="[CLIENT_ID]...")
@json_option
@pass_terminal
def check_clients(terminal: Terminal, client_ids: tuple[str, ...]) -> None:
    """Ask Zoho whether the secrets are right.

    Each data centre is asked about the secret stored for it; of clients named, or all.
    """
    house, painter = terminal.house, terminal.painter
    wanted = client_ids or tuple(each.client_id for each in house.store.clients())
    rows: list[dict[str, Any]] = []
    for client_id in wanted:
        for each in house.clients.check(client_id):
            known = house.store.client(client_id)
            finding = house.diagnosis.of_client(known, each.failure) if each.failure else None
            error = finding_json(finding) if finding else None
            rows.append({"client_id": client_id, "location": each.location, "error": error})
            if painter.as_json:
                continue
            if finding is None:
                painter.good(f"{client_id} is right at {each.location}.")
            else:
                painter.finding(finding)
    if painter.as_json:
        painter.document(rows)
    code = gravest([row["error"]["exit_code"] if row["error"] else 0 for row in rows])
    raise Exit(code)


@client.command("secret")
@click.argument("client_id", type=CLIENT)
@click.option("--data-centre", default="", help="Whose secret it is; else the client's home.")
@click.option("--same-for-all", is_flag=True, help='"Use the same credentials" is ticked at Zoho.')
@pass_terminal
def change_secret(terminal: Terminal, client_id: str, data_centre: str, same_for_all: bool) -> None:
    """Store a new secret for a client.

    It comes by prompt or stdin, and is stored once Zoho has said that it is right. The one before
    is kept until a refresh has succeeded with the new one.
    """
    house = terminal.house
    house.store.client(client_id)
    location = location_of(terminal, data_centre)
    text = terminal.secret_text("Client Secret")
    house.clients.change_secret(client_id, text, location, same_for_all=same_for_all)
    terminal.painter.good("The new secret is right, and stored.")


@client.command("remove")
@click.argument("client_id", type=CLIENT)
@click.option("--yes", is_flag=True, help="Do not ask; needed in a script.")
@pass_terminal
def remove_client(terminal: Terminal, client_id: str, yes: bool) -> None:
    """Remove a client that no connection uses.

    At Zoho it stays registered.
    """
    found = terminal.house.store.client(client_id)
    if not yes:
        terminal.confirm(f"Remove {found.name} ({client_id})?", otherwise="--yes")
    terminal.house.clients.remove(client_id)
    terminal.painter.good(f"{client_id} is removed here. At Zoho it stays registered.")


def _connections(terminal: Terminal, found: Client) -> list[str]:
    connections = terminal.house.store.connections()
    return [each.name for each in connections if each.client_id == found.client_id]


def _to_json(terminal: Terminal, found: Client) -> dict[str, Any]:
    tokens = terminal.house.store.refresh_tokens_of(found.client_id)
    return {
        "client_id": found.client_id,
        "name": found.name,
        "location": found.location,
        "redirect_uri": found.redirect_uri or None,
        "secrets_for": found.locations,
        "same_for_all": found.common_secret,
        "connections": _connections(terminal, found),
        "refresh_tokens": [
            {"zuid": zuid, "email": email, "count": count}
            for (zuid, email), count in tokens.items()
        ],
        "created_at": found.created_at,
    }
