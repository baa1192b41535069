"""The whole product on real pages: a user at a browser, the wizard's server, the simulated Zoho."""

import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from playwright.sync_api import Page

from support.harness import ANNA, Harness, settings_for
from support.ports import free_port
from support.wizard_pages import ConnectionPage, NewConnectionPage
from wizard.services import Services
from wizard.settings import Settings
from wizard.simulator.server import Simulator
from wizard.simulator.simulated_user import ConsentPage, ConsolePage, SignInPage, SimulatedUser
from wizard.web import server as web_server
from wizard.web.server import Server

EUROPE, PRESET, CONNECTION_NAME = "Europe (zoho.eu)", "Read CRM leads", "crm-read-leads"
"""What most journeys choose, and the name that the wizard suggests for it."""


@dataclass(kw_only=True)
class Journey(Harness):
    """A user of the wizard's pages; `Core` acts outside the browser."""

    server: Server
    person: SimulatedUser

    @property
    def page(self) -> Page:
        return self.person.page

    @property
    def base_url(self) -> str:
        return self.services.settings.base_url

    def open_wizard(self, path: str = "/", person: SimulatedUser | None = None) -> None:
        """Follow a new one-time link that leads to `path`."""
        (person or self.person).go(self.server.new_browser_link(path))

    def password_of(self, email: str) -> str:
        """The user's current password."""
        return self.simulator.world.users.get(email).password

    def sign_in(self, email: str = ANNA, person: SimulatedUser | None = None) -> None:
        """Sign in on Zoho's page in the browser."""
        SignInPage(person or self.person).sign_in(email, self.password_of(email))

    def consent_page(self, email: str = "") -> ConsentPage:
        """The consent page, once `email` (if given) has signed in."""
        if email:
            self.sign_in(email)
        return ConsentPage(self.person)

    def sign_out(self) -> None:
        """Sign out on Zoho's consent page."""
        with self.person.signing_in():
            self.person.click(self.page.get_by_role("link", name="Sign out"))

    # the first connection, part by part

    def start_new_connection(
        self, data_center: str = EUROPE, preset: str = PRESET
    ) -> NewConnectionPage:
        """Open the wizard and choose data center and preset."""
        self.open_wizard()
        form = NewConnectionPage(self.person)
        form.choose_data_center(data_center)
        form.choose_preset(preset)
        # The page's script must be loaded before tests check its effects.
        form.credentials.wait_for()
        self.page.wait_for_load_state()
        return form

    def open_console(self, form: NewConnectionPage, email: str = ANNA) -> SimulatedUser:
        """Open the API console in a second tab and sign in there."""
        person = SimulatedUser(form.go_to_console(), self.person.counter)
        self.sign_in(email, person)
        return person

    def console_tab(self) -> SimulatedUser:
        """Return to the tab of the API console."""
        return SimulatedUser(self.page.context.pages[1], self.person.counter)

    def register_in_console(
        self, form: NewConnectionPage, redirect_uri: str = "", email: str = ANNA
    ) -> str:
        """Register a client with the values on the wizard's page; return the copied text."""
        person = self.open_console(form, email)
        console = ConsolePage(person)
        console.choose_client_type()
        person.fill(console.client_name, form.copyable_text("client name"))
        person.fill(console.homepage_url, form.copyable_text("homepage URL"))
        person.paste(console.redirect_uris, redirect_uri or form.copyable_text("redirect URI"))
        console.create()
        return console.copy_id_and_secret()

    def open_consent_page(
        self, data_center: str = EUROPE, preset: str = PRESET, email: str = ANNA
    ) -> ConsentPage:
        """Go to Zoho's consent page with a new client."""
        form = self.start_new_connection(data_center, preset)
        form.paste_credentials(self.register_in_console(form, email=email))
        form.connect()
        return ConsentPage(self.person)

    # with a stored client

    def open_new_connection_form(
        self, preset: str = PRESET, data_center: str = EUROPE
    ) -> NewConnectionPage:
        """The page that offers the stored client for a new connection with `task`."""
        self.open_wizard("/connections/new")
        form = NewConnectionPage(self.person)
        form.choose_data_center(data_center)
        form.choose_preset(preset)
        return form

    def open_sign_in_page(self, preset: str = PRESET, data_center: str = EUROPE) -> None:
        """Go to Zoho's sign-in page, with a client registered outside the browser."""
        if not self.services.store.clients.all():
            self.register_client()
        self.open_new_connection_form(preset, data_center).connect()

    def wait_until_verified(self) -> ConnectionPage:
        """The connection's page, once its verification has succeeded."""
        page = ConnectionPage(self.person)
        page.wait_until_verified()
        return page


@contextmanager
def start_journey(
    simulator: Simulator, directory: Path, person: SimulatedUser, settings: Settings | None = None
) -> Iterator[Journey]:
    """A new wizard that listens, with `simulator` and on its clock."""
    settings = settings or settings_for(directory, simulator.url)
    settings = dataclasses.replace(settings, port=free_port())
    with Services.open(settings, simulator.clock) as services:
        server = web_server.serve(services)
        try:
            yield Journey(services, simulator, directory, server=server, person=person)
        finally:
            server.stop()
