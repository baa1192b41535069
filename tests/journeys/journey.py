"""The whole way on real pages: a person at a browser, the wizard's server, the simulated Zoho."""

import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from core import ANNA, Core, settings_for
from playwright.sync_api import Page
from ports import free_port

from wizard import web
from wizard.house import House
from wizard.sandbox.person import Consent, Console, Person, SignIn
from wizard.sandbox.person.wizard_pages import ConnectionPage, NewConnection
from wizard.sandbox.server import Sandbox
from wizard.web import Server

EUROPE, TASK, NAME = "Europe (eu)", "Read CRM leads", "crm-read-leads"
"""What most journeys choose, and the name that the wizard then proposes."""


@dataclass(kw_only=True)
class Journey(Core):
    """A person before the wizard's pages; what `Core` does, happens behind their back."""

    server: Server
    person: Person

    @property
    def page(self) -> Page:
        return self.person.page

    @property
    def base_url(self) -> str:
        return self.house.settings.base_url

    def enter(self, path: str = "/", person: Person | None = None) -> None:
        """Follow a fresh launch link that leads to `path`."""
        (person or self.person).go(self.server.new_launch_url(path))

    def password(self, email: str) -> str:
        """The made-up password that is right now."""
        return self.sandbox.world.people.named(email).password

    def sign_in(self, email: str = ANNA, person: Person | None = None) -> None:
        """Sign in at Zoho's page that stands before the person."""
        SignIn(person or self.person).sign_in(email, self.password(email))

    def consent_page(self, email: str = "") -> Consent:
        """The consent page, once `email` (if given) has signed in."""
        if email:
            self.sign_in(email)
        return Consent(self.person)

    def sign_out(self) -> None:
        """Leave Zoho's consent page to somebody else."""
        with self.person.not_counted():
            self.person.click(self.page.get_by_role("link", name="Sign out"))

    # the first connection, part by part

    def choose(self, data_centre: str = EUROPE, task: str = TASK) -> NewConnection:
        """Enter and say where and what for."""
        self.enter()
        form = NewConnection(self.person)
        form.choose_data_centre(data_centre)
        form.choose_task(task)
        # The page's script has to be there before what it does can be claimed.
        form.credentials.wait_for()
        self.page.wait_for_load_state()
        return form

    def at_console(self, form: NewConnection, email: str = ANNA) -> Person:
        """Go to the API console in a second tab and sign in there."""
        person = Person(form.go_to_console(), self.person.counter)
        self.sign_in(email, person)
        return person

    def console_tab(self) -> Person:
        """Go back to the tab that the API console was opened in."""
        return Person(self.page.context.pages[1], self.person.counter)

    def register(self, form: NewConnection, redirect_uri: str = "", email: str = ANNA) -> str:
        """Register a client with what the wizard's page offers; return what was copied."""
        person = self.at_console(form, email)
        console = Console(person)
        console.create_now()
        person.fill(console.client_name, form.shown("client name"))
        person.fill(console.homepage_url, form.shown("homepage URL"))
        person.paste(console.redirect_uris, redirect_uri or form.shown("redirect URI"))
        console.create()
        return console.copy_id_and_secret()

    def to_consent(self, data_centre: str = EUROPE, task: str = TASK, email: str = ANNA) -> Consent:
        """From nothing to Zoho's consent page, with a client of one's own."""
        form = self.choose(data_centre, task)
        form.paste_credentials(self.register(form, email=email))
        form.connect()
        return Consent(self.person)

    # with a client that is stored already

    def offered(self, task: str = TASK, data_centre: str = EUROPE) -> NewConnection:
        """The page that offers the stored client for a new connection, for `task`."""
        self.enter("/connections/new")
        form = NewConnection(self.person)
        form.choose_data_centre(data_centre)
        form.choose_task(task)
        return form

    def to_sign_in(self, task: str = TASK, data_centre: str = EUROPE) -> None:
        """To Zoho's sign-in page, with a client registered behind the person's back."""
        if not self.house.store.clients():
            self.client()
        self.offered(task, data_centre).connect()

    def arrived(self) -> ConnectionPage:
        """The connection's page, once its proof has ended well."""
        page = ConnectionPage(self.person)
        page.wait_until_proved()
        return page


@contextmanager
def travelling(sandbox: Sandbox, directory: Path, person: Person) -> Iterator[Journey]:
    """A fresh wizard that listens, beside `sandbox` and on its clock."""
    settings = dataclasses.replace(settings_for(directory, sandbox.url), port=free_port())
    with House.open(settings, sandbox.clock) as house:
        server = web.serve(house)
        try:
            yield Journey(house, sandbox, directory, server=server, person=person)
        finally:
            server.stop()
