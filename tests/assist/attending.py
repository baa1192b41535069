"""The person at the assisted window: signs in when it is their turn, and does nothing else."""

from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Any

from core import ANNA, Core
from playwright.sync_api import BrowserContext, Page

from wizard.authorization import Begun
from wizard.browser import Driver, Ended, Handed, Wanted
from wizard.cli.assisting import Assisted
from wizard.cli.repairing import repair_here
from wizard.cli.terminal import Terminal
from wizard.model import Mode
from wizard.sandbox.person import Person, SignIn

TYPED = """
window.typed = 0;
for (const kind of ["beforeinput", "input", "keydown"])
  addEventListener(kind, () => { window.typed += 1; }, true);
"""


@dataclass
class Attendant:
    """Answers what is handed over, as `answers` says; what it does not know it leaves."""

    core: Core
    page: Page
    email: str = ANNA
    turns: list[str] = field(default_factory=list)
    answers: dict[str, Callable[[], None]] = field(default_factory=dict)
    """By what is handed over; `sign-in`, `one-time-code`, `captcha` and `push` are known."""
    words: list[str] = field(default_factory=list)

    def __call__(self, handed: Handed) -> None:
        self.turns.append(handed.why)
        self.words.append(handed.words)
        known = {
            "sign-in": self.sign_in,
            "one-time-code": self.enter_code,
            "push": lambda: self.core.admin.confirm_push(self.email),
        }
        answer = {**known, **self.answers}.get(handed.why)
        assert answer is not None, f"nobody does anything about {handed}"
        answer()

    @property
    def person(self) -> Person:
        return Person(self.page)

    def sign_in(self) -> None:
        """Type login id and password, as far as the page asks for them."""
        page = SignIn(self.person)
        if page.login_id.is_visible():
            page.enter_login_id(self.email)
            page.login_id.wait_for(state="hidden")
        if page.captcha.is_visible():
            return
        page.enter_password(self.core.sandbox.world.people.named(self.email).password)
        page.password.wait_for(state="hidden")

    def enter_code(self) -> None:
        """Read the code off the telephone, and type it."""
        someone = self.core.sandbox.world.people.named(self.email)
        SignIn(self.person).enter_code(someone.one_time_code(self.core.sandbox.clock()))


@dataclass
class Rooms:
    """Windows without a screen: for each account a context of the tests' own browser."""

    new_context: Callable[..., BrowserContext]
    pages: dict[str, Page] = field(default_factory=dict)

    def of(self, account: str) -> Page:
        if account not in self.pages:
            self.pages[account] = self.new_context().new_page()
        return self.pages[account]

    def close_but(self, accounts: Collection[str]) -> None:
        for account in self.pages.keys() - set(accounts):
            self.pages.pop(account).close()


@dataclass
class Window:
    """A house, its Zoho, a page with a driver, and who sits before it."""

    core: Core
    page: Page
    attendant: Attendant
    driver: Driver

    def wanted(self, name: str = "crm", email: str = ANNA, **facts: Any) -> tuple[Wanted, Begun]:
        """The consent that the house asks for, for a connection that has been proved."""
        house = self.core.house
        begun = house.authorization.begin(name, Mode.PASTE)
        grant = house.store.grant(name)
        client = house.store.client(begun.attempt.client_id)
        wanted = Wanted(
            url=begun.url,
            zoho=house.zoho,
            email=email,
            clients=frozenset({client.name}),
            scope=begun.attempt.scope,
            organizations=grant.organizations if grant else (),
        )
        return (Wanted(**{**vars(wanted), **facts}) if facts else wanted), begun

    def consent(self, wanted: Wanted | None = None, begun: Begun | None = None) -> Ended:
        """Have the driver lead a consent to its end."""
        if wanted is None or begun is None:
            wanted, begun = self.wanted()
        return self.driver.consent(wanted, begun.attempt.redirect_uri)

    @property
    def decisions(self) -> int:
        """How often a button of a consent was pressed."""
        return len(self.core.asked("/oauth/v2/auth/decision"))


def window(core: Core, page: Page) -> Window:
    """A page, a driver and a person who signs in as anna."""
    page.add_init_script(TYPED)
    attendant = Attendant(core, page)
    return Window(core, page, attendant, Driver(page, attendant))


def repair(core: Core, rooms: Rooms, tell: Callable[[Handed], None]) -> Terminal:
    """Go through the repair under way as ``reauthorize --assist`` does, in windows without a
    screen."""
    terminal = Terminal(core.house.clock)
    terminal.settings = core.house.settings
    terminal.house = core.house
    repair_here(terminal, Assisted(terminal, rooms, lambda: False, tell=tell))
    return terminal
