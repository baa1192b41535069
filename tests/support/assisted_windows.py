"""The user at the assisted window: signs in when asked, and does nothing else."""

import threading
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from playwright.sync_api import BrowserContext, Page

from support.harness import ANNA, Harness
from wizard.assisted_browser import ConsentDriver, ConsentResult, ExpectedConsent, UserPrompt
from wizard.authorization import StartedAttempt
from wizard.cli.flows.authorization import AssistedAuthorizer
from wizard.cli.flows.reauthorization import reauthorize_in_terminal
from wizard.cli.terminal import Terminal
from wizard.model import AttemptMode
from wizard.reauthorization.plan import Action
from wizard.simulator.simulated_user import SignInPage, SimulatedUser
from wizard.zoho import limits

LIMIT_POLL_SECONDS = 0.3
COUNT_TYPING_SCRIPT = """
window.typed = 0;
for (const kind of ["beforeinput", "input", "keydown"])
  addEventListener(kind, () => { window.typed += 1; }, true);
"""


@dataclass
class AssistedUser:
    """Responds to each handover with `answers`; ignores unknown ones."""

    harness: Harness
    page: Page
    email: str = ANNA
    prompt_reasons: list[str] = field(default_factory=list)
    actions: dict[str, Callable[[], object]] = field(default_factory=dict)
    """By handover; `sign-in`, `one-time-code`, `captcha` and `push` have defaults."""
    prompt_messages: list[str] = field(default_factory=list)

    def __call__(self, prompt: UserPrompt) -> None:
        self.prompt_reasons.append(prompt.reason)
        self.prompt_messages.append(prompt.message)
        known = {
            "sign-in": self.sign_in,
            "one-time-code": self.enter_code,
            "push": lambda: self.harness.controls.confirm_push(self.email),
        }
        answer = {**known, **self.actions}.get(prompt.reason)
        assert answer is not None, f"nobody does anything about {prompt}"
        answer()

    @property
    def person(self) -> SimulatedUser:
        return SimulatedUser(self.page)

    def sign_in(self) -> None:
        """Type login id and password, as far as the page asks for them."""
        page = SignInPage(self.person)
        if page.login_id.is_visible():
            page.enter_login_id(self.email)
            page.login_id.wait_for(state="hidden")
        if page.captcha.is_visible():
            return
        page.enter_password(self.harness.simulator.world.users.get(self.email).password)
        page.password.wait_for(state="hidden")

    def enter_code(self) -> None:
        """Read the code from the phone and type it."""
        someone = self.harness.simulator.world.users.get(self.email)
        SignInPage(self.person).enter_code(someone.one_time_code(self.harness.simulator.clock()))


@dataclass
class HeadlessWindows:
    """Windows without a display: for each account a context of the tests' own browser."""

    new_context: Callable[..., BrowserContext]
    pages: dict[str, Page] = field(default_factory=dict)

    def page_for(self, account: str) -> Page:
        if account not in self.pages:
            self.pages[account] = self.new_context().new_page()
        return self.pages[account]

    def close_except(self, accounts: Collection[str]) -> None:
        for account in self.pages.keys() - set(accounts):
            self.pages.pop(account).close()


class AssistedUsers:
    """The user of each account, at their own window."""

    def __init__(self, harness: Harness, windows: HeadlessWindows) -> None:
        self.harness = harness
        self.windows = windows
        self.turns: list[tuple[str, str]] = []
        self.actions: dict[str, Callable[[AssistedUser], None]] = {}

    def __call__(self, prompt: UserPrompt) -> None:
        email = list(self.windows.pages)[-1]
        self.turns.append((email, prompt.reason))
        attendant = AssistedUser(self.harness, self.windows.pages[email], email)
        answer = self.actions.get(prompt.reason)
        if answer:
            answer(attendant)
        else:
            attendant(prompt)


@dataclass
class AssistedWindow:
    """Services, their Zoho, a page with a driver, and its user."""

    harness: Harness
    page: Page
    user: AssistedUser
    driver: ConsentDriver

    def expected_consent(
        self, name: str = "crm", email: str = ANNA, **fields: Any
    ) -> tuple[ExpectedConsent, StartedAttempt]:
        """The consent that the services request for a verified connection."""
        services = self.harness.services
        begun = services.authorization.begin(name, AttemptMode.PASTE)
        grant = services.store.grants.get(name)
        client = services.store.clients.get(begun.attempt.client_id)
        wanted = ExpectedConsent(
            url=begun.url,
            zoho=services.zoho,
            email=email,
            client_names=frozenset({client.name}),
            scope=begun.attempt.scope,
            organizations=grant.organizations if grant else (),
        )
        return (ExpectedConsent(**{**vars(wanted), **fields}) if fields else wanted), begun

    def consent(
        self, expected: ExpectedConsent | None = None, started: StartedAttempt | None = None
    ) -> ConsentResult:
        """Let the driver finish a consent."""
        if expected is None or started is None:
            expected, started = self.expected_consent()
        return self.driver.give_consent(expected, started.attempt.redirect_uri)

    @property
    def decision_count(self) -> int:
        """How often a button of a consent was pressed."""
        return len(self.harness.logged_requests("/oauth/v2/auth/decision"))


def open_assisted_window(harness: Harness, page: Page) -> AssistedWindow:
    """A page, a driver and a user who signs in as anna."""
    page.add_init_script(COUNT_TYPING_SCRIPT)
    attendant = AssistedUser(harness, page)
    return AssistedWindow(harness, page, attendant, ConsentDriver(page, attendant))


def is_waiting_for_a_limit(harness: Harness) -> bool:
    """Whether a re-authorization waits, with no consent under way whose code could expire."""
    current = harness.services.reauthorization.next_action()
    is_waiting = current is not None and current.action is Action.WAIT
    return is_waiting and not harness.services.store.attempts.open()


@contextmanager
def without_waits_for_limits(harness: Harness) -> Iterator[None]:
    """Let the time pass whenever the re-authorization waits for a limit."""
    is_over = threading.Event()

    def watch() -> None:
        while not is_over.wait(LIMIT_POLL_SECONDS):
            if is_waiting_for_a_limit(harness):
                harness.advance(seconds=limits().window_seconds + 1)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield
    finally:
        is_over.set()
        watcher.join()


def reauthorize(
    harness: Harness, windows: HeadlessWindows, on_prompt: Callable[[UserPrompt], None]
) -> Terminal:
    """Run the current re-authorization as ``reauthorize --assist`` does, without a display."""
    terminal = Terminal(harness.services.clock)
    terminal.settings = harness.services.settings
    terminal.services = harness.services
    reauthorize_in_terminal(
        terminal, AssistedAuthorizer(terminal, windows, lambda: False, on_prompt=on_prompt)
    )
    return terminal
