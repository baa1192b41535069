"""The consents of a command: pasted into the terminal, or given in the assisted browser.

In the terminal, a URL is printed and the callback URL is pasted back. In the assisted browser, the
user signs in and the driver accepts.
"""

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

import click

from wizard.assisted_browser import (
    ConsentDriver,
    ConsentResult,
    ConsoleAssistant,
    ExpectedConsent,
    UserPrompt,
    Windows,
)
from wizard.authorization import CompletedAttempt, StartedAttempt
from wizard.cli.flows.serving import stop_signals
from wizard.cli.terminal import Exit, Terminal
from wizard.errors import WizardError, fail, message
from wizard.model import AttemptMode, Connection, Failure, FailureKind, Identifier, Organization
from wizard.reauthorization.plan import SETTLED_STATES, NextAction, ReauthorizationItem
from wizard.zoho import products_of

if TYPE_CHECKING:
    from playwright.sync_api import Page

WINDOW_CLOSED = "window-closed"
"""The code of a failure after which no consent can be given."""
RESUME_COMMAND = "zoho-wizard reauthorize --assist"


no_browser_option = click.option(
    "--no-browser",
    is_flag=True,
    help="Stay in the terminal: paste the URL where your browser ends up.",
)
assist_option = click.option(
    "--assist",
    is_flag=True,
    help="Open a browser window: you sign in, and the wizard presses Accept. This is experimental.",
)
keep_profile_option = click.option(
    "--keep-profile", is_flag=True, help="With --assist, stay signed in until a run without it."
)


class Authorizer(Protocol):
    """A way to give the consents of a re-authorization."""

    is_page_controlled: bool
    """Decisions are made on the page of the re-authorization, not in the terminal."""
    is_account_certain: bool
    """It is certain which account approves, so that the next consent can start while a grant is
    verified."""

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


class PasteAuthorizer:
    """Consents in any browser; the callback URL is pasted into the terminal."""

    is_page_controlled = False
    is_account_certain = False

    def __init__(self, terminal: Terminal) -> None:
        self._terminal = terminal
        self._has_explained = False

    def announce(self, next_action: NextAction) -> None:
        """Say who must sign in, and who may still be signed in."""
        item, renderer = next_action.item, self._terminal.renderer
        if item is None or not item.email:
            return
        renderer.print_blank()
        details = {"count": str(next_action.remaining_consents), "email": item.email}
        renderer.print_note(message("notes", "next-consents", **details))
        if next_action.previous_email and next_action.previous_email != item.email:
            data_center = self._terminal.services.zoho.data_center(item.location)
            renderer.print_note(
                message("notes", "still-signed-in", email=next_action.previous_email),
                command=data_center.sign_out_url,
            )

    def authorize_item(self, item: ReauthorizationItem) -> int:
        """Print the URL and wait for the callback URL."""
        client = self._terminal.services.store.clients.get(item.client_id)
        is_first, self._has_explained = not self._has_explained, True
        return authorize_in_terminal(
            self._terminal,
            item.connection,
            is_self_client=not client.redirect_uri,
            additional_scope=item.additional_scope,
            is_explained=is_first,
        )

    def notify(self, message: str) -> None:
        """Print it."""
        self._terminal.renderer.print_note(message)

    def poll(self) -> None:
        """A terminal needs no polling."""


def authorize_in_terminal(
    terminal: Terminal,
    name: str,
    *,
    is_self_client: bool,
    additional_scope: tuple[str, ...] = (),
    is_explained: bool = True,
) -> int:
    """Get a consent for connection `name`; return the generation of the stored grant.

    `additional_scope` is requested in addition to the connection's scopes. `is_explained`: say
    where the browser ends up, and what to paste. Raises what
    `AuthorizationService.begin` raises, and the failure of a consent that led to no grant.
    """
    return require_generation(
        _authorize_self_client(terminal, name)
        if is_self_client
        else _authorize_by_paste(terminal, name, additional_scope, is_explained=is_explained)
    )


def require_generation(completed: CompletedAttempt) -> int:
    """The generation of the grant that an attempt led to; raises the failure if there is none."""
    if completed.failure is not None:
        raise WizardError(completed.failure)
    if completed.generation is None:
        raise fail("unknown", name=completed.connection)
    return completed.generation


def _authorize_by_paste(
    terminal: Terminal, name: str, additional_scope: tuple[str, ...], *, is_explained: bool
) -> CompletedAttempt:
    renderer, authorization = terminal.renderer, terminal.services.authorization
    attempt = authorization.begin(name, AttemptMode.PASTE, additional_scope=additional_scope)
    expected = {
        "email": authorization.expected_email(name),
        "organization": authorization.expected_organization(name),
    }
    renderer.print_note(message("notes", "open-consent", **expected), command=attempt.url)
    if is_explained:
        redirect_uri = attempt.attempt.redirect_uri
        renderer.print_note(message("notes", "paste-callback", redirect_uri=redirect_uri))
    try:
        return _prompt_for_callback(terminal, attempt)
    except BaseException:
        # Only this process could have finished it.
        authorization.abandon(attempt.attempt.id)
        raise


def _prompt_for_callback(terminal: Terminal, attempt: StartedAttempt) -> CompletedAttempt:
    while True:
        text = terminal.read_secret(message("prompts", "callback-url"), whole=False)
        try:
            return terminal.services.authorization.complete_pasted(
                attempt.attempt.id, attempt.cookie_value, text
            )
        except WizardError as error:
            if not (terminal.is_interactive and can_paste_again(error.failure)):
                raise
            terminal.renderer.print_explanation(terminal.explain(error.failure))


def can_paste_again(failure: Failure) -> bool:
    """Whether the attempt still waits for the right address."""
    return failure.kind is FailureKind.USAGE or failure.code == "callback-unknown-state"


def _authorize_self_client(terminal: Terminal, name: str) -> CompletedAttempt:
    connection = terminal.services.store.connections.get(name)
    client = terminal.services.store.clients.get(connection.client_id)
    data_center = terminal.services.zoho.data_center(client.location)
    terminal.renderer.print_note(
        message("notes", "generate-code"),
        command=data_center.console_client_url(client.client_id),
    )
    terminal.renderer.print_command(",".join(connection.scope))
    code = terminal.read_secret(message("prompts", "code"), whole=False)
    return terminal.services.authorization.complete_self_client(name, code)


class PageSource(Protocol):
    """Provides the browser page of an account."""

    def page_for(self, account: str, /) -> "Page":
        """The page in which `account` is signed in, or signs in."""

    def close_except(self, accounts: Collection[str], /) -> None:
        """Close the pages of all other accounts."""


class AssistedAuthorizer:
    """Consents in browser windows of the wizard, one per account, which the driver compares with
    Zoho's page."""

    is_account_certain = True

    def __init__(
        self,
        terminal: Terminal,
        windows: PageSource,
        should_stop: Callable[[], bool],
        *,
        keep_profiles: bool = False,
        on_prompt: Callable[[UserPrompt], None] | None = None,
    ) -> None:
        """`should_stop` says whether to end; `on_prompt` gets what the user has to do (default:
        it is printed)."""
        self.is_page_controlled = not terminal.is_interactive
        self._terminal = terminal
        self._windows = windows
        self._should_stop = should_stop
        self._keep_profiles = keep_profiles
        self._on_prompt = on_prompt or self._print_prompt
        self._driver: ConsentDriver | None = None
        self._drivers: dict[str, ConsentDriver] = {}
        self._accepted_client_names: dict[str, frozenset[str]] = {}
        """By client: names on Zoho's page that the user has accepted."""

    def announce(self, next_action: NextAction) -> None:
        """Say which account's window comes next, and close those with nothing left to do."""
        reauthorization = self._terminal.services.reauthorization.current()
        items = reauthorization.items if reauthorization else ()
        self._windows.close_except(
            {each.email for each in items if each.state not in SETTLED_STATES}
        )
        if next_action.item is not None and next_action.item.email:
            email = next_action.item.email
            self._terminal.renderer.print_blank()
            details = {"count": str(next_action.remaining_consents), "email": email}
            self._terminal.renderer.print_note(message("notes", "next-consents-window", **details))

    def authorize_item(self, item: ReauthorizationItem) -> int:
        """Lead the window of the item's account through the consent."""
        if not self._terminal.services.store.clients.get(item.client_id).redirect_uri:
            return authorize_in_terminal(self._terminal, item.connection, is_self_client=True)
        return self.authorize(
            item.connection, email=item.email, additional_scope=item.additional_scope
        )

    def authorize(
        self, name: str, *, email: str = "", additional_scope: tuple[str, ...] = ()
    ) -> int:
        """Lead the window of `email` (empty: not known yet) through a consent for connection
        `name`; return the generation of the stored grant."""
        services = self._terminal.services
        attempt = services.authorization.begin(
            name, AttemptMode.PASTE, additional_scope=additional_scope
        )
        try:
            self._driver = self._driver_for(email)
            expected = self._expected_consent(attempt, email)
            result = self._driver.give_consent(expected, attempt.attempt.redirect_uri)
        except WizardError:
            services.authorization.abandon(attempt.attempt.id)
            raise
        self._remember_client_name(attempt.attempt.client_id, result)
        if result.error_text:
            raise self._error_page_failure(attempt.attempt.id, result.error_text)
        self._driver.show_notice(message("notes", "zoho-has-answered", name=name))
        return require_generation(
            services.authorization.complete_pasted(
                attempt.attempt.id, attempt.cookie_value, result.callback_url
            )
        )

    def console_assistant(self) -> ConsoleAssistant:
        """The assistant for Zoho's console, in the window without a known account."""
        return ConsoleAssistant(
            self._windows.page_for(""),
            self._terminal.services.zoho,
            self._on_prompt,
            self._should_stop,
        )

    @property
    def is_stopped(self) -> bool:
        """Whether it was asked to stop."""
        return self._should_stop()

    def notify(self, message: str) -> None:
        """Print it here and show it in the window."""
        self._terminal.renderer.print_note(message)
        if self._driver is not None:
            self._driver.show_notice(message)

    def poll(self) -> None:
        """Raise ``window-closed`` if the window is gone."""
        if self._driver is not None:
            self._driver.poll()

    def _driver_for(self, email: str) -> ConsentDriver:
        page = self._windows.page_for(email)
        driver = self._drivers.get(email)
        if driver is None or driver.page is not page:
            driver = self._drivers[email] = ConsentDriver(page, self._on_prompt, self._should_stop)
        return driver

    def _print_prompt(self, prompt: UserPrompt) -> None:
        self._terminal.renderer.print_note(message("notes", "your-turn", text=prompt.message))

    def _expected_consent(self, started: StartedAttempt, email: str) -> ExpectedConsent:
        services, attempt = self._terminal.services, started.attempt
        previous = services.store.grants.get(attempt.connection)
        client = services.store.clients.get(attempt.client_id)
        return ExpectedConsent(
            url=started.url,
            zoho=services.zoho,
            email=email,
            client_names=self._accepted_client_names.get(client.client_id, frozenset())
            | {client.name},
            scope=attempt.scope,
            organizations=previous.organizations
            if previous
            else _expected_organizations(services.store.connections.get(attempt.connection)),
            can_trust_browser=self._keep_profiles,
        )

    def _remember_client_name(self, client_id: str, result: ConsentResult) -> None:
        """Expect this client name from now on: the ID matched, and the user accepted it."""
        if result.accepted_client_name:
            known = self._accepted_client_names.get(client_id, frozenset())
            self._accepted_client_names[client_id] = known | {result.accepted_client_name}

    def _error_page_failure(self, attempt_id: str, page_text: str) -> WizardError:
        """The failure on an error page of Zoho, parsed like pasted text."""
        reading = self._terminal.services.reader.explain_text(page_text)
        known = reading.explanation.failure if reading.is_explained else None
        failure = known or fail("zoho-page-unknown", page_text=page_text[:200]).failure
        self._terminal.services.authorization.abandon(attempt_id, failure)
        return WizardError(failure)


def _expected_organizations(connection: Connection) -> tuple[Organization, ...]:
    """What the first consent of `connection` must choose, for each of its products."""
    name, environment = connection.expected_organization, connection.expected_environment
    if not name:
        return ()
    unknown_id = Identifier("expected")
    return tuple(
        Organization(each.id, unknown_id, name, environment)
        for each in products_of(connection.scope)
    )


@contextmanager
def assisted_authorizer(
    terminal: Terminal, *, keep_profiles: bool, resume_command: str = RESUME_COMMAND
) -> Iterator[AssistedAuthorizer]:
    """Consents in the assisted browser while the context lasts. Raises what `Windows` raises.

    `resume_command` continues later: if the window is closed early, or after Ctrl-C, nothing is
    lost.
    """
    with (
        stop_signals() as stop_event,
        Windows(terminal.settings, keep_profiles=keep_profiles) as windows,
    ):
        try:
            yield AssistedAuthorizer(
                terminal, windows, stop_event.is_set, keep_profiles=keep_profiles
            )
        except WizardError as error:
            if error.failure.code != WINDOW_CLOSED or not stop_event.is_set():
                raise
            terminal.renderer.print_note(message("notes", "to-continue"), command=resume_command)
            raise Exit(1) from None
