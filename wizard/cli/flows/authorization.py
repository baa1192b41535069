"""One consent in the terminal: a URL is printed, and the callback URL is pasted back."""

from typing import Protocol

from wizard.authorization import CompletedAttempt, StartedAttempt
from wizard.cli.terminal import Terminal
from wizard.errors import WizardError, fail
from wizard.model import AttemptMode, Failure, FailureKind
from wizard.reauthorization.items import ReauthorizationItem
from wizard.reauthorization.plan import NextAction


class Authorizer(Protocol):
    """A way to give the consents of a re-authorization."""

    is_page_controlled: bool
    """Decisions are made on the page of the re-authorization, not in the terminal."""

    def announce(self, next_action: NextAction) -> None:
        """Say which account's consents come next."""

    def authorize_item(self, item: ReauthorizationItem) -> int:
        """Get the consent for `item`; return the generation of the stored grant.

        Raises what `authorize_in_terminal` raises.
        """

    def notify(self, message: str) -> None:
        """Say why it waits."""

    def poll(self) -> None:
        """Called repeatedly while it waits; raises if it can't continue."""


def consent_count(count: int) -> str:
    """The number of consents, in words."""
    return "1 consent" if count == 1 else f"{count} consents"


class PasteAuthorizer:
    """Consents in any browser; the callback URL is pasted into the terminal."""

    is_page_controlled = False

    def __init__(self, terminal: Terminal) -> None:
        self._terminal = terminal

    def announce(self, next_action: NextAction) -> None:
        """Say who must sign in, and who may still be signed in."""
        item, renderer = next_action.item, self._terminal.renderer
        if item is None or not item.email:
            return
        renderer.print_blank()
        task = f"Next: {consent_count(next_action.remaining_consents)} as {item.email}."
        renderer.print_note(f"{task} Sign in to Zoho as {item.email}.")
        if next_action.previous_email and next_action.previous_email != item.email:
            data_center = self._terminal.services.zoho.data_center(item.location)
            renderer.print_note(
                f"{next_action.previous_email} may still be signed in there. "
                "Sign out first, or use a private "
                "window:",
                command=data_center.sign_out_url,
            )

    def authorize_item(self, item: ReauthorizationItem) -> int:
        """Print the URL and wait for the callback URL."""
        client = self._terminal.services.store.clients.get(item.client_id)
        is_self_client = not client.redirect_uri
        return authorize_in_terminal(
            self._terminal,
            item.connection,
            is_self_client=is_self_client,
            additional_scope=item.additional_scope,
        )

    def notify(self, message: str) -> None:
        """Print it."""
        self._terminal.renderer.print_note(message)

    def poll(self) -> None:
        """A terminal needs no polling."""


def authorize_in_terminal(
    terminal: Terminal, name: str, *, is_self_client: bool, additional_scope: tuple[str, ...] = ()
) -> int:
    """Get a consent for connection `name`; return the generation of the stored grant.

    `additional_scope` is requested in addition to the connection's scopes. Raises what
    `AuthorizationService.begin` raises, and the failure of a consent that led to no grant.
    """
    return require_generation(
        _authorize_self_client(terminal, name)
        if is_self_client
        else _authorize_by_paste(terminal, name, additional_scope)
    )


def require_generation(completed: CompletedAttempt) -> int:
    """The generation of the grant that an attempt led to; raises the failure if there is none."""
    if completed.failure is not None:
        raise WizardError(completed.failure)
    if completed.generation is None:
        raise fail("unknown", name=completed.connection)
    return completed.generation


def _authorize_by_paste(
    terminal: Terminal, name: str, additional_scope: tuple[str, ...]
) -> CompletedAttempt:
    renderer, authorization = terminal.renderer, terminal.services.authorization
    attempt = authorization.begin(name, AttemptMode.PASTE, additional_scope=additional_scope)
    renderer.print_note("Open this URL in any browser, sign in and accept:", command=attempt.url)
    renderer.print_note(
        f"Your browser will end at {terminal.settings.redirect_uri}, on a page that can't be "
        "reached, or that says the consent was started elsewhere. That's right: copy its full URL "
        "and paste it here. (A bare code works too, but then only PKCE protects it.)"
    )
    try:
        return _prompt_for_callback(terminal, attempt)
    except BaseException:
        # Only this process could have finished it.
        authorization.abandon(attempt.attempt.id)
        raise


def _prompt_for_callback(terminal: Terminal, attempt: StartedAttempt) -> CompletedAttempt:
    while True:
        text = terminal.read_secret("The full URL (input is hidden)", whole=False)
        try:
            return terminal.services.authorization.complete_pasted(
                attempt.attempt.id, attempt.cookie_value, text
            )
        except WizardError as error:
            if not (terminal.is_interactive and _can_paste_again(error.failure)):
                raise
            terminal.renderer.print_explanation(terminal.explain(error.failure))


def _can_paste_again(failure: Failure) -> bool:
    """Whether the attempt still waits for the right address."""
    return failure.kind is FailureKind.USAGE or failure.code == "callback-unknown-state"


def _authorize_self_client(terminal: Terminal, name: str) -> CompletedAttempt:
    connection = terminal.services.store.connections.get(name)
    client = terminal.services.store.clients.get(connection.client_id)
    data_center = terminal.services.zoho.data_center(client.location)
    terminal.renderer.print_note(
        "In Zoho's API console, at your Self Client, choose Generate Code with this scope:",
        command=data_center.console_client_url(client.client_id),
    )
    terminal.renderer.print_command(",".join(connection.scope))
    code = terminal.read_secret("The code (valid for a few minutes; input is hidden)", whole=False)
    return terminal.services.authorization.complete_self_client(name, code)
