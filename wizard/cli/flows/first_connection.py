"""A first connection in the assisted window: its client in Zoho's console, then its consent."""

from collections.abc import Callable
from dataclasses import replace

import click

from wizard.assisted_browser import ClientForm, ConsoleAssistant
from wizard.cli.flows.assisted_authorization import AssistedAuthorizer
from wizard.cli.flows.connection_request import (
    ConnectionRequest,
    create_connection,
    with_new_secret,
)
from wizard.cli.flows.reauthorization import WINDOW_CLOSED
from wizard.cli.terminal import Terminal
from wizard.clients import parse_credentials
from wizard.errors import WizardError, fail, message
from wizard.model import Client
from wizard.zoho import DataCenter

EXPERIMENTAL_NOTICE = (
    "This is an experiment: the wizard knows Zoho's console from descriptions, and was never tried "
    "on it. At the first surprise it leaves the rest to you."
)
CREDENTIALS_NOTICE = (
    "Zoho shows the id and the secret of the new client. Taken over, they are checked with Zoho, "
    "stored encrypted, and shown nowhere."
)
IMPORT_QUESTION = "May the wizard take them over from that page?"


class ManualRegistrationError(Exception):
    """The window goes no further with the client; what is wrong is said, and nothing is lost."""

    def __init__(self, error: WizardError) -> None:
        super().__init__(error.failure.code)
        self.failure = error.failure


def with_data_center(
    terminal: Terminal, connection_request: ConnectionRequest
) -> ConnectionRequest:
    """`wish` with a data centre, which is asked for where it decides which console opens.

    Raises ``choice-needed`` where nobody can be asked, ``unknown-data-centre``.
    """
    if connection_request.data_center or connection_request.stored_client(terminal) is not None:
        return connection_request
    if not terminal.is_interactive:
        raise fail("choice-needed", options="--client")
    prompt = "Your Zoho's data centre (eu, us, in …), or any address of your Zoho"
    completed = replace(connection_request, data_center=str(click.prompt(prompt, err=True)))
    completed.location(terminal)
    return completed


def authorize_in_assisted_browser(
    terminal: Terminal,
    name: str,
    connection_request: ConnectionRequest,
    authorizer: AssistedAuthorizer,
    confirm: Callable[[str], bool],
) -> int:
    """See that connection `name` and its client are stored, and lead to its consent; returns the
    generation of the grant. `may` asks the person a question.

    Raises `ByHand` where the client must be registered by hand, and as `Assisted.lead`.
    """
    store = terminal.services.store
    if name not in {each.name for each in store.connections.all()}:
        client = connection_request.stored_client(terminal) or _register_client(
            terminal, connection_request, authorizer, confirm
        )
        create_connection(terminal, name, connection_request, client)
    grant = store.grants.get(name)
    account = grant.account if grant else None
    return authorizer.authorize(name, email=account.email if account else "")


def _register_client(
    terminal: Terminal,
    connection_request: ConnectionRequest,
    authorizer: AssistedAuthorizer,
    confirm: Callable[[str], bool],
) -> Client:
    data_center = terminal.services.zoho.data_center(connection_request.location(terminal) or "")
    assistant = authorizer.console_assistant()
    try:
        client = _register_in_console(terminal, data_center, assistant, confirm)
    except WizardError as error:
        if error.failure.code == WINDOW_CLOSED and authorizer.is_stopped:
            raise
        assistant.show_notice(message("user-prompts", "console-by-hand"))
        raise ManualRegistrationError(
            _console_error("closed") if error.failure.code == WINDOW_CLOSED else error
        ) from None
    terminal.renderer.print_success(
        f"{client.client_id} is right at {data_center.name} ({data_center.location})."
    )
    return client


def _register_in_console(
    terminal: Terminal,
    data_center: DataCenter,
    assistant: ConsoleAssistant,
    confirm: Callable[[str], bool],
) -> Client:
    """Have a client registered at `place` and take it over; raises ``console-surprise``,
    ``window-closed``, and as `Clients.admit`."""
    services, settings = terminal.services, terminal.settings
    terminal.renderer.print_note(
        f"Zoho's API console ({data_center.name}) opens in a window of its own."
    )
    terminal.renderer.print_note(EXPERIMENTAL_NOTICE)
    name = services.clients.free_name()
    assistant.register_client(
        data_center, ClientForm(name, settings.base_url, settings.redirect_uri)
    )
    assistant.show_notice(message("user-prompts", "console-created"))
    terminal.renderer.print_note(CREDENTIALS_NOTICE)
    if not confirm(IMPORT_QUESTION):
        raise _console_error("kept")
    assistant.show_notice(None)
    text = assistant.read_credentials(data_center)
    try:
        credentials = parse_credentials(text)
    except WizardError:
        raise _console_error("unread") from None
    return with_new_secret(
        terminal,
        lambda replace: services.clients.admit(
            credentials,
            redirect_uri=settings.redirect_uri,
            location=data_center.location,
            replace=replace,
        ),
        confirm,
    )


def _console_error(code: str) -> WizardError:
    return fail("console-surprise", description=message("unexpected-pages", code))
