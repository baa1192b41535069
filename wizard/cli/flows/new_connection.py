"""A new connection and its client, from the options of ``connect``."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeVar

from wizard.cli.terminal import Exit, Terminal
from wizard.clients import ConnectionRequest, parse_credentials
from wizard.errors import WizardError, fail
from wizard.model import Client

T = TypeVar("T")

USE_IT = "Use the new secret?"


@dataclass(frozen=True)
class ConnectOptions:
    """The options of ``connect``, as given."""

    preset_ids: tuple[str, ...] = ()
    scope: str = ""
    data_center: str = ""
    client_id: str = ""
    is_self_client: bool = False

    @property
    def is_empty(self) -> bool:
        """Nothing was given except the name."""
        return not (self.preset_ids or self.scope or self.data_center or self.client_id)

    def request(self, terminal: Terminal) -> ConnectionRequest:
        """The request; raises what `ConnectionRequest.of` raises, and ``unknown-data-centre``."""
        return ConnectionRequest.of(self.preset_ids, self.scope, self.location(terminal))

    def location(self, terminal: Terminal) -> str | None:
        """The data center; None if none was named. Raises ``unknown-data-centre``."""
        return resolve_location(terminal, self.data_center)

    def stored_client(self, terminal: Terminal) -> Client | None:
        """The client named, or the only suitable one; None if there is none.

        Raises ``unknown-client``, or ``client-choice-needed`` if several are suitable.
        """
        store = terminal.services.store
        if self.client_id:
            return store.clients.get(self.client_id)
        matching = [
            each
            for each in store.clients.all()
            if self.is_self_client is not bool(each.redirect_uri)
        ]
        if len(matching) > 1:
            names = ", ".join(f"{each.client_id} ({each.name})" for each in matching)
            raise fail("client-choice-needed", clients=names)
        return matching[0] if matching else None


def resolve_location(terminal: Terminal, text: str) -> str | None:
    """The data center that `text` means: a code, a name or any Zoho URL; None if it's empty.

    Raises ``unknown-data-centre``.
    """
    if not text:
        return None
    zoho = terminal.services.zoho
    data_center = zoho.find_data_center(text)
    return data_center.location if data_center else zoho.data_center(text).location


def create_connection(
    terminal: Terminal, name: str, options: ConnectOptions, client: Client
) -> None:
    """Store a new connection, by default in its client's data center.

    Raises ``connection-exists``, ``bad-name``, and what `ConnectOptions.request` raises.
    """
    request = options.request(terminal)
    request = replace(request, location=request.location or client.location)
    terminal.services.store.connections.add(request.connection(name, client, terminal.clock()))


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
        terminal.renderer.print_note(note)
    if client.client_id in known:
        terminal.renderer.print_note(f"This client is already stored, as {client.name}.")
    return client


def print_registered(terminal: Terminal, client: Client) -> None:
    """Say that Zoho accepts the client's id and secret."""
    data_center = terminal.services.zoho.data_center(client.location)
    terminal.renderer.print_success(
        f"{client.client_id} is right at {data_center.name} ({data_center.location})."
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
    if not (may or partial(terminal.ask_yes_no, option=""))(USE_IT):
        terminal.renderer.print_note("Nothing was changed.")
        raise Exit(1)
    return act(True)


def _print_registration_steps(
    terminal: Terminal, name: str, location: str | None, redirect_uri: str
) -> None:
    zoho = terminal.services.zoho
    data_center = zoho.data_center(location) if location else zoho.data_centers[0]
    kind = "Server-based Applications" if redirect_uri else "Self Client"
    location_text = (
        data_center.name if location else f"{data_center.name}; for another one: --data-center"
    )
    terminal.renderer.print_note(
        f"Open Zoho's API console ({location_text}) and choose {kind}:",
        command=data_center.console_add_url,
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
        return terminal.read_secret("the client ID and secret")
    prompt = "Client ID, or both in any shape (input is hidden)"
    first = terminal.ask(prompt, option="", is_hidden=True)
    if "secret" in first.lower() or len(first.split()) > 1:
        return first
    return f"{first}\n{terminal.read_secret('Client Secret')}"
