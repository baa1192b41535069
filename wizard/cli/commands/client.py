"""``client …``: the OAuth clients, their secrets, and the connections that use them.

`connect` and `import` register clients and replace secrets with the functions at the end.
"""

import re
import shlex
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import click
from click.shell_completion import CompletionItem

from wizard.cli.flows.verification import most_severe
from wizard.cli.renderer import Renderer
from wizard.cli.results.connections import (
    ClientCheckList,
    ClientDetails,
    ClientList,
    ClientSecretCheck,
    ExportedClient,
    ImportedClient,
    RefreshTokenCount,
    RemovedClient,
)
from wizard.cli.terminal import (
    Exit,
    Terminal,
    complete_stored,
    pass_terminal,
    printable,
    require_value,
)
from wizard.clients import parse_credentials
from wizard.errors import WizardError, message
from wizard.model import Client, Explanation
from wizard.serialization import error_report
from wizard.vault.passphrase import CLIENT_FILE
from wizard.zoho import preset, presets

T = TypeVar("T")


class ClientIdType(click.ParamType[str]):
    """A client id or name as an argument, completed by the shell from the store."""

    name = "client_id"

    def convert(
        self, value: Any, parameter: click.Parameter | None, context: click.Context | None
    ) -> str:
        """The ID of the client of that name; `value` itself if there isn't exactly one."""
        text = printable(value)
        if context is None or context.resilient_parsing or not text:
            return text
        clients = context.ensure_object(Terminal).services.store.clients.all()
        named = [each.client_id for each in clients if each.name == value]
        return named[0] if len(named) == 1 else text

    def shell_complete(
        self, context: click.Context, parameter: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """The IDs that start with `incomplete`."""
        return complete_stored(
            context,
            incomplete,
            lambda store: [
                CompletionItem(each.client_id, help=each.name) for each in store.clients.all()
            ],
        )


CLIENT_ID = ClientIdType()


class PresetNameType(click.ParamType[str]):
    """A preset's id, completed by the shell."""

    name = "preset"

    def shell_complete(
        self, context: click.Context, parameter: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """The presets that start with `incomplete`, each with its title."""
        return [
            CompletionItem(each.id, help=each.title)
            for each in presets()
            if each.id.startswith(incomplete)
        ]


PRESET = PresetNameType()
SUFFIX = ".zoho-client"
"""Of a client file whose name isn't given."""


@click.group()
def client() -> None:
    """Manage the OAuth clients that connections use.

    Zoho calls a program that requests access a client. You register it once in Zoho’s API
    Console, and all your connections can share it.

    \b
    Examples:
      zoho-wizard client list
      zoho-wizard client add --data-center eu
    """


@client.command("list")
@pass_terminal
def list_clients(terminal: Terminal) -> None:
    """List the clients and the connections that use them.

    It shows each client’s ID, name and data center. It prints no secrets.

    \b
    Examples:
      zoho-wizard client list
      zoho-wizard client list --json
    """
    clients = terminal.services.store.clients.all()
    listed = ClientList(tuple(_client_details(terminal, each) for each in clients))
    terminal.emit(listed, partial(_print_clients, terminal.renderer, listed))


def _print_clients(renderer: Renderer, listed: ClientList) -> None:
    rows = [
        (each.client_id, each.name, each.location, ", ".join(each.connections))
        for each in listed.clients
    ]
    if rows:
        renderer.print_table(("Client ID", "Name", "Registered in", "Connections"), rows)
    else:
        renderer.print_note(message("notes", "no-clients"), command="zoho-wizard client add")


@client.command("show")
@click.argument("client_id", type=CLIENT_ID)
@pass_terminal
def show_client(terminal: Terminal, client_id: str) -> None:
    """Show a client and the connections that use it.

    It includes the data centers for which a secret is stored, and the number of refresh tokens
    of each user. CLIENT_ID can be the client’s name, too.

    \b
    Examples:
      zoho-wizard client show crm-client
      zoho-wizard client show 1000.4SVBGEXAMPLEEXAMPLEEXAMPLE91T4
    """
    details = _client_details(terminal, terminal.services.store.clients.get(client_id))
    terminal.emit(details, partial(_print_client, terminal, details))


def _print_client(terminal: Terminal, details: ClientDetails) -> None:
    renderer = terminal.renderer
    renderer.print_facts(
        [
            ("Client ID", details.client_id),
            ("Name", details.name),
            ("Registered in", details.location),
            ("Redirect URI", details.redirect_uri or "none (a Self Client)"),
            ("Secrets stored for", ", ".join(details.secret_locations)),
            ("One secret for all", "yes" if details.has_common_secret else "no"),
            ("Connections", ", ".join(details.connections)),
            ("Registered", terminal.format_time(details.created_at)),
        ]
    )
    for each in details.refresh_tokens:
        counts = {"count": str(each.count), "email": each.email}
        renderer.print_output(f"  {message('notes', 'working-tokens', **counts)}")


@client.command("add")
@click.option(
    "--name", callback=require_value, help="Give the client this name. Default: a free name."
)
@click.option(
    "--data-center",
    default="",
    help="Say where you registered it, such as eu. Default: the wizard asks Zoho.",
)
@click.option(
    "--self-client",
    is_flag=True,
    help="Store it as the console’s Self Client, which has no redirect URI.",
)
@click.option(
    "--common-secret",
    "has_common_secret",
    is_flag=True,
    help="Say that “Use the same OAuth credentials for all data centers” is ticked in the console.",
)
@pass_terminal
def add_client(
    terminal: Terminal,
    name: str | None,
    data_center: str,
    self_client: bool,
    has_common_secret: bool,
) -> None:
    """Store a client that you registered at Zoho.

    Paste the client ID and secret at the prompt, or write them to standard input, in any
    format. Zoho verifies them before they are stored.

    \b
    Examples:
      zoho-wizard client add
      zoho-wizard client add --name crm-client --data-center eu < client.txt
    """
    added = register_client(
        terminal,
        name=name or "",
        location=resolve_location(terminal, data_center),
        is_self_client=self_client,
        has_common_secret=has_common_secret,
    )
    terminal.emit(_client_details(terminal, added), partial(print_registered, terminal, added))


@client.command("export")
@click.argument("client_id", type=CLIENT_ID)
@click.argument("file", type=click.Path(path_type=Path), required=False)
@click.option(
    "--preset",
    "preset_ids",
    type=PRESET,
    multiple=True,
    help="Suggest this preset for a colleague’s first connection. Repeat it for several.",
)
@pass_terminal
def export_client(
    terminal: Terminal, client_id: str, file: Path | None, preset_ids: tuple[str, ...]
) -> None:
    """Write a client into an encrypted file for colleagues.

    FILE gets the client ID, its secrets, the redirect URI and the suggested presets. By default,
    it is named after the client, in the current directory. A passphrase encrypts it. A script
    writes the passphrase to standard input. Send the passphrase on a different channel.

    \b
    Examples:
      zoho-wizard client export crm-client --preset crm-read-leads
      zoho-wizard client export crm-client ~/crm.zoho-client < passphrase.txt
    """
    services = terminal.services
    chosen = services.store.clients.get(client_id)
    path = file or Path(f"{re.sub(r'[^a-z0-9]+', '-', chosen.name.lower()).strip('-')}{SUFFIX}")
    for each in preset_ids:
        preset(each)
    passphrase = terminal.read_secret(
        message("prompts", "client-file-passphrase"), whole=False, twice=True
    )
    written = services.client_files.write(path, chosen.client_id, preset_ids, passphrase)
    exported = ExportedClient(
        file=str(path.absolute()),
        client_id=chosen.client_id,
        name=chosen.name,
        redirect_uri=chosen.redirect_uri or None,
        secret_locations=chosen.locations,
        presets=written.preset_ids,
    )

    def render() -> None:
        renderer = terminal.renderer
        renderer.print_success(
            message("notes", "client-exported", path=str(path), client=chosen.name)
        )
        renderer.print_note(message("notes", "client-file-power"))
        renderer.print_note(
            message("notes", "client-file-use"),
            command=f"zoho-wizard connect --client-file {shlex.quote(path.name)}",
        )

    terminal.emit(exported, render)


@client.command("import")
@click.argument("file", type=click.Path(path_type=Path))
@pass_terminal
def import_client(terminal: Terminal, file: Path) -> None:
    """Store a client that a colleague exported.

    You need the passphrase of FILE. A script writes it to standard input. Zoho verifies every
    secret in it before the client is stored. `connect --client-file` does this and connects.

    \b
    Examples:
      zoho-wizard client import crm.zoho-client
      zoho-wizard client import crm.zoho-client < passphrase.txt
    """
    imported, preset_ids = store_client_file(terminal, file)
    words = [f"--preset {each}" for each in preset_ids] or ["--preset PRESET"]
    command = ["zoho-wizard connect NAME", *words, f"--client {imported.client_id}"]

    def render() -> None:
        terminal.renderer.print_note(message("notes", "connect-with-it"), command=" ".join(command))

    terminal.emit(ImportedClient(_client_details(terminal, imported), preset_ids), render)


@client.command("check")
@click.argument("client_ids", type=CLIENT_ID, nargs=-1, metavar="[CLIENT_ID]...")
@pass_terminal
def check_clients(terminal: Terminal, client_ids: tuple[str, ...]) -> None:
    """Check client secrets with Zoho.

    It asks each data center about the secret stored for it. Without CLIENT_ID, it checks every
    client.

    \b
    Examples:
      zoho-wizard client check
      zoho-wizard client check crm-client
    """
    services = terminal.services
    selected = client_ids or tuple(each.client_id for each in services.store.clients.all())
    checks: list[ClientSecretCheck] = []
    explanations: list[Explanation | None] = []
    for client_id in selected:
        for each in services.clients.check(client_id):
            known = services.store.clients.get(client_id)
            explanation = (
                services.diagnosis.explain_client_failure(known, each.failure)
                if each.failure
                else None
            )
            error = error_report(explanation) if explanation else None
            checks.append(ClientSecretCheck(client_id, each.location, error))
            explanations.append(explanation)

    def render() -> None:
        for check, explanation in zip(checks, explanations, strict=True):
            if explanation is None:
                terminal.renderer.print_success(
                    message(
                        "notes",
                        "client-accepted",
                        data_center=check.location,
                        client_id=check.client_id,
                    )
                )
            else:
                terminal.renderer.print_explanation(explanation)

    terminal.emit(ClientCheckList(tuple(checks)), render)
    raise Exit(most_severe([each.exit_code if each else 0 for each in explanations]))


@client.command("set-secret")
@click.argument("client_id", type=CLIENT_ID)
@click.option(
    "--data-center",
    default="",
    help="Set the secret of this data center. Default: where the client was registered.",
)
@click.option(
    "--common-secret",
    "has_common_secret",
    is_flag=True,
    help="Say that “Use the same OAuth credentials for all data centers” is ticked in the console.",
)
@pass_terminal
def set_secret(
    terminal: Terminal, client_id: str, data_center: str, has_common_secret: bool
) -> None:
    """Replace a client’s secret.

    Paste the new secret at the prompt, or write it to standard input. It is stored after Zoho
    has accepted it. The previous secret is kept until a refresh with the new one succeeds.

    \b
    Examples:
      zoho-wizard client set-secret crm-client
      zoho-wizard client set-secret crm-client --data-center in < secret.txt
    """
    services = terminal.services
    services.store.clients.get(client_id)
    location = resolve_location(terminal, data_center)
    text = terminal.read_secret(message("prompts", "client-secret"))
    services.clients.set_secret(client_id, text, location, has_common_secret=has_common_secret)
    details = _client_details(terminal, services.store.clients.get(client_id))
    terminal.emit(
        details,
        lambda: terminal.renderer.print_success(message("notes", "secret-stored")),
    )


@client.command("remove")
@click.argument("client_id", type=CLIENT_ID)
@click.option("--yes", is_flag=True, help="Don’t ask for confirmation. A script needs it.")
@pass_terminal
def remove_client(terminal: Terminal, client_id: str, yes: bool) -> None:
    """Remove a client that no connection uses.

    It stays registered at Zoho, where you can delete it in the API Console.

    \b
    Examples:
      zoho-wizard client remove crm-client
      zoho-wizard client remove crm-client --yes
    """
    selected = terminal.services.store.clients.get(client_id)
    if not yes:
        terminal.confirm(
            message("prompts", "remove-client", client=selected.name, client_id=client_id),
            option="--yes",
        )
    terminal.services.clients.remove(client_id)
    text = message("notes", "client-removed", client_id=client_id)
    terminal.emit(RemovedClient(client_id), lambda: terminal.renderer.print_success(text))


def _client_details(terminal: Terminal, client: Client) -> ClientDetails:
    store = terminal.services.store
    tokens = store.grants.count_refresh_tokens(client.client_id)
    return ClientDetails(
        client_id=client.client_id,
        name=client.name,
        location=client.location,
        redirect_uri=client.redirect_uri or None,
        secret_locations=tuple(client.locations),
        has_common_secret=client.has_common_secret,
        connections=tuple(
            each.name for each in store.connections.all() if each.client_id == client.client_id
        ),
        refresh_tokens=tuple(
            RefreshTokenCount(zuid, email, count) for (zuid, email), count in tokens.items()
        ),
        created_at=client.created_at,
    )


def resolve_location(terminal: Terminal, text: str) -> str | None:
    """The data center that `text` means: a code, a name or any Zoho URL; None if it's empty.

    Raises ``unknown-data-center``.
    """
    if not text:
        return None
    zoho = terminal.services.zoho
    data_center = zoho.find_data_center(text)
    return data_center.location if data_center else zoho.data_center(text).location


def register_client(
    terminal: Terminal,
    *,
    name: str = "",
    location: str | None = None,
    is_self_client: bool = False,
    has_common_secret: bool = False,
) -> Client:
    """Ask for a client's ID and secret, verify them at Zoho, and store the client. A new secret
    of a stored client replaces the old one if the user agrees.

    Raises what `ClientService.admit` raises; nothing is stored then.
    """
    services = terminal.services
    redirect_uri = "" if is_self_client else services.settings.redirect_uri
    if terminal.is_interactive:
        _print_registration_steps(terminal, name, location, redirect_uri)
    credentials = parse_credentials(_prompt_credentials(terminal))
    known = {each.client_id for each in services.store.clients.all()}
    client = with_new_secret(
        terminal,
        lambda replace: services.clients.admit(
            credentials,
            name=name,
            redirect_uri=redirect_uri,
            location=location,
            has_common_secret=has_common_secret,
            replace=replace,
        ),
    )
    for note in credentials.notes:
        terminal.renderer.print_note(message("credential-notes", note))
    if client.client_id in known:
        terminal.renderer.print_note(message("notes", "client-known", client=client.name))
    return client


def store_client_file(terminal: Terminal, file: Path) -> tuple[Client, tuple[str, ...]]:
    """Ask for the passphrase of a client file and store its client; return the suggested presets,
    too.

    Raises what `ClientFiles.open` and `ClientFiles.store` raise; nothing is stored then.
    """
    services = terminal.services
    encrypted = CLIENT_FILE.read(file)
    prompt = message("prompts", "client-file-passphrase")
    opened = services.client_files.open(encrypted, terminal.read_secret(prompt, whole=False))
    stored = services.client_files.store(opened)
    terminal.renderer.print_success(
        message("notes", "client-stored", client=stored.name, client_id=stored.client_id)
    )
    terminal.renderer.print_note(message("notes", "client-shared"))
    if stored.redirect_uri not in ("", services.settings.redirect_uri):
        terminal.renderer.print_note(
            message("notes", "client-other-port", redirect_uri=stored.redirect_uri)
        )
    return stored, opened.preset_ids


def print_registered(terminal: Terminal, client: Client) -> None:
    """Say that Zoho accepts the client's ID and secret, and under which name it is stored."""
    data_center = terminal.services.zoho.data_center(client.location)
    terminal.renderer.print_success(
        message(
            "notes",
            "client-registered",
            data_center=data_center.name,
            client_id=client.client_id,
            client=client.name,
        )
    )


def with_new_secret(
    terminal: Terminal, act: Callable[[bool], T], may: Callable[[str], bool] | None = None
) -> T:
    """Call `act`, which gets whether it may replace the stored secret with a different one: first
    False, then True if that fails and the user agrees. `may` asks (default: the terminal).

    Raises ``secret-differs`` if nobody can be asked, and `Exit` if the answer is no.
    """
    try:
        return act(False)
    except WizardError as error:
        if error.failure.code != "secret-differs" or not (may or terminal.is_interactive):
            raise
        terminal.renderer.print_explanation(terminal.explain(error.failure))
    if not (may or partial(terminal.ask_yes_no, option=""))(message("prompts", "use-new-secret")):
        terminal.renderer.print_note(message("notes", "nothing-changed"))
        raise Exit(1)
    return act(True)


def _print_registration_steps(
    terminal: Terminal, name: str, location: str | None, redirect_uri: str
) -> None:
    zoho = terminal.services.zoho
    data_center = zoho.data_center(location) if location else zoho.data_centers[0]
    code = "register-server-based" if redirect_uri else "register-self-client"
    place = {"location": data_center.name} if location else {"default_location": data_center.name}
    terminal.renderer.print_note(
        message("notes", code, **place), command=data_center.console_add_url
    )
    if redirect_uri:
        terminal.renderer.print_facts(
            [
                ("Client Name", name or terminal.services.clients.free_name()),
                ("Homepage URL", terminal.settings.base_url),
                ("Authorized Redirect URIs", redirect_uri),
            ]
        )


def _prompt_credentials(terminal: Terminal) -> str:
    """ID and secret together: two prompts on a terminal, all of stdin in a script."""
    if not terminal.is_interactive:
        return terminal.read_secret(message("prompts", "credentials-piped"))
    prompt = message("prompts", "credentials")
    first = terminal.ask(prompt, option="", is_hidden=True)
    if "secret" in first.lower() or len(first.split()) > 1:
        return first
    return f"{first}\n{terminal.read_secret(message('prompts', 'client-secret'))}"
