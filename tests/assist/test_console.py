"""The console's co-pilot on real pages: what it fills in, what it leaves to the person."""

from collections.abc import Callable

import pytest
from core import ANNA, BOB
from playwright.sync_api import expect

from wizard import zoho
from wizard.browser import Console, Form, Handed
from wizard.errors import WizardError
from wizard.sandbox.person import Console as ConsolePages
from wizard.sandbox.person import Person, SignIn
from wizard.sandbox.server import Sandbox
from wizard.validation import parse_credentials

FORM = Form("OAuth wizard", "http://localhost:8723", "http://localhost:8723/callback")


class Desk:
    """A person at the window, who does what they are told; what they were told; the co-pilot."""

    def __init__(self, person: Person, sandbox: Sandbox, *, left: float = 30) -> None:
        self.person, self.sandbox = person, sandbox
        self.zoho = zoho.load(sandbox.url)
        self.told: list[str] = []
        self.email = ANNA
        self.acts: dict[str, Callable[[], None]] = {
            "console-sign-in": self.sign_in,
            "console-create": ConsolePages(person).create,
        }
        self.console = Console(person.page, self.zoho, self._do, left=left)

    def register(self, location: str = "eu") -> None:
        self.console.register(self.zoho.data_centre(location), FORM)

    def surprise(self, location: str = "eu") -> str:
        """What the co-pilot was surprised by."""
        with pytest.raises(WizardError) as raised:
            self.register(location)
        assert raised.value.failure.code == "console-surprise"
        return raised.value.failure.details["what"]

    def sign_in(self) -> None:
        password = self.sandbox.world.people.named(self.email).password
        SignIn(self.person).sign_in(self.email, password)

    def signed_in(self) -> None:
        """Be signed in from before."""
        user = self.sandbox.world.people.named(self.email)
        session = self.sandbox.world.sessions.begin(user.location)
        session.zuid = user.zuid
        cookie = {"name": "zoho_sandbox_session", "value": session.session_id}
        self.person.page.context.add_cookies(
            [{**cookie, "url": f"{self.sandbox.url}/{user.location}/"}]
        )

    def _do(self, handed: Handed) -> None:
        self.told.append(handed.why)
        self.acts[handed.why]()


@pytest.fixture
def desk(person: Person, zoho_sandbox: Sandbox) -> Desk:
    return Desk(person, zoho_sandbox)


def test_the_person_signs_in_and_presses_create_and_the_rest_is_done(desk: Desk) -> None:
    desk.sandbox.admin.announce(ANNA)
    desk.register()
    assert desk.told == ["console-sign-in", "console-create"]
    (client,) = desk.sandbox.world.clients
    assert (client.name, client.homepage, client.redirect_uris) == (
        FORM.name,
        FORM.homepage,
        [FORM.redirect_uri],
    )
    text = desk.console.pick_up(desk.zoho.data_centre("eu"))
    assert parse_credentials(text).client_id == client.client_id
    assert parse_credentials(text).client_secret == client.secrets["eu"]


def test_what_the_person_has_changed_in_the_form_is_theirs(desk: Desk) -> None:
    desk.signed_in()
    pages = ConsolePages(desk.person)

    def refused_first() -> None:
        desk.person.fill(pages.client_name, "Leads!")
        pages.create()
        expect(pages.errors).to_contain_text("client name")
        desk.person.fill(pages.client_name, "Our_leads")
        pages.create()

    desk.acts["console-create"] = refused_first
    desk.register()
    (client,) = desk.sandbox.world.clients
    assert (client.name, client.redirect_uris) == ("Our_leads", [FORM.redirect_uri])


def test_it_finds_the_form_from_the_consoles_first_page(desk: Desk) -> None:
    """Where the address of the form leads to the first page, as may be at the first visit."""
    desk.signed_in()
    start = f"{desk.sandbox.url}/eu/api-console/add"
    desk.person.page.route(
        start,
        lambda route: route.fulfill(status=302, headers={"Location": start.removesuffix("add")}),
        times=1,
    )
    desk.register()
    assert len(list(desk.sandbox.world.clients)) == 1


@pytest.mark.parametrize(
    ("part", "words", "clients"),
    [
        ("cards", "neither “CREATE NOW”", 0),
        ("form", "no single field called “Client Name”", 0),
        ("create", "no button called “CREATE”", 0),
        ("secret", "without “Client ID” and “Client Secret”", 1),
    ],
)
def test_at_the_first_surprise_it_stops_and_says_what_it_missed(
    desk: Desk, part: str, words: str, clients: int
) -> None:
    desk.signed_in()
    desk.sandbox.admin.change_settings(console_words=part)
    assert words in desk.surprise()
    assert len(list(desk.sandbox.world.clients)) == clients


def test_the_console_of_another_data_centre_is_a_surprise(desk: Desk) -> None:
    desk.email = BOB
    assert "the console of India, not of Europe" in desk.surprise()
    assert list(desk.sandbox.world.clients) == []


def test_whoever_left_is_not_waited_for(person: Person, zoho_sandbox: Sandbox) -> None:
    desk = Desk(person, zoho_sandbox, left=0.3)
    desk.acts["console-sign-in"] = lambda: None
    assert "Nothing has happened" in desk.surprise()


def test_nothing_is_picked_up_but_from_the_console(desk: Desk) -> None:
    desk.person.go(f"{desk.sandbox.url}/_sandbox/")
    assert desk.console.pick_up(desk.zoho.data_centre("eu")) == ""
