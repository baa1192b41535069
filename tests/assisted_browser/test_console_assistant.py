"""The console assistant on real pages: what it fills in and what it leaves to the user."""

from collections.abc import Callable

import pytest
from playwright.sync_api import expect
from support.harness import ANNA, BOB

from wizard import zoho
from wizard.assisted_browser import ClientForm, ConsoleAssistant, UserPrompt
from wizard.clients import parse_credentials
from wizard.errors import WizardError
from wizard.simulator.server import Simulator
from wizard.simulator.simulated_user import ConsolePage as ConsolePages
from wizard.simulator.simulated_user import SignInPage, SimulatedUser

FORM = ClientForm("OAuth wizard", "http://localhost:8723", "http://localhost:8723/callback")


class ConsoleUser:
    """A user at the window who follows the prompts; the prompts; the assistant."""

    def __init__(
        self, person: SimulatedUser, simulator: Simulator, *, time_left_seconds: float = 30
    ) -> None:
        self.person, self.simulator = person, simulator
        self.zoho = zoho.load(simulator.url)
        self.prompt_reasons: list[str] = []
        self.email = ANNA
        self.actions: dict[str, Callable[[], object]] = {
            "console-sign-in": self.sign_in,
            "console-create": ConsolePages(person).create,
        }
        self.console = ConsoleAssistant(
            person.page, self.zoho, self._on_prompt, abandoned_timeout_seconds=time_left_seconds
        )

    def register(self, location: str = "eu") -> None:
        self.console.register_client(self.zoho.data_center(location), FORM)

    def failure_details(self, location: str = "eu") -> str:
        """What the assistant didn't expect."""
        with pytest.raises(WizardError) as raised:
            self.register(location)
        assert raised.value.failure.code == "console-surprise"
        return raised.value.failure.details["description"]

    def sign_in(self) -> None:
        password = self.simulator.world.users.get(self.email).password
        SignInPage(self.person).sign_in(self.email, password)

    def restore_session(self) -> None:
        """Start signed in."""
        user = self.simulator.world.users.get(self.email)
        session = self.simulator.world.sessions.begin(user.location)
        session.zuid = user.zuid
        url = f"{self.simulator.url}/{user.location}/"
        self.person.page.context.add_cookies(
            [{"name": "zoho_simulator_session", "value": session.session_id, "url": url}]
        )

    def _on_prompt(self, prompt: UserPrompt) -> None:
        self.prompt_reasons.append(prompt.reason)
        self.actions[prompt.reason]()


@pytest.fixture
def console_user(person: SimulatedUser, zoho_simulator: Simulator) -> ConsoleUser:
    return ConsoleUser(person, zoho_simulator)


def test_the_user_signs_in_and_presses_create_and_the_assistant_does_the_rest(
    console_user: ConsoleUser,
) -> None:
    console_user.simulator.controls.announce(ANNA)
    console_user.register()
    assert console_user.prompt_reasons == ["console-sign-in", "console-create"]
    (client,) = console_user.simulator.world.clients
    assert (client.name, client.homepage, client.redirect_uris) == (
        FORM.name,
        FORM.homepage,
        [FORM.redirect_uri],
    )
    text = console_user.console.read_credentials(console_user.zoho.data_center("eu"))
    assert parse_credentials(text).client_id == client.client_id
    assert parse_credentials(text).client_secret == client.secrets["eu"]


@pytest.mark.slow
def test_values_that_the_user_changed_in_the_form_are_kept(console_user: ConsoleUser) -> None:
    console_user.restore_session()
    pages = ConsolePages(console_user.person)

    def refused_first() -> None:
        console_user.person.fill(pages.client_name, "Leads!")
        pages.create()
        expect(pages.errors).to_contain_text("client name")
        console_user.person.fill(pages.client_name, "Our_leads")
        pages.create()

    console_user.actions["console-create"] = refused_first
    console_user.register()
    (client,) = console_user.simulator.world.clients
    assert (client.name, client.redirect_uris) == ("Our_leads", [FORM.redirect_uri])


def test_the_assistant_finds_the_form_from_the_first_page_of_the_console(
    console_user: ConsoleUser,
) -> None:
    """The URL of the form may lead to the first page, as on the first visit."""
    console_user.restore_session()
    start = f"{console_user.simulator.url}/eu/api-console/add"
    console_user.person.page.route(
        start,
        lambda route: route.fulfill(status=302, headers={"Location": start.removesuffix("add")}),
        times=1,
    )
    console_user.register()
    assert len(list(console_user.simulator.world.clients)) == 1


@pytest.mark.slow
@pytest.mark.parametrize(
    ("part", "words", "clients"),
    [
        ("cards", "no “CREATE NOW” button", 0),
        ("form", "no field called “Client Name”", 0),
        ("create", "no “CREATE” button", 0),
        ("secret", "doesn’t show “Client ID” and “Client Secret”", 1),
    ],
)
def test_the_assistant_stops_at_an_unexpected_page_and_says_what_is_missing(
    console_user: ConsoleUser, part: str, words: str, clients: int
) -> None:
    console_user.restore_session()
    console_user.simulator.controls.change_settings(console_labels=part)
    assert words in console_user.failure_details()
    assert len(list(console_user.simulator.world.clients)) == clients


@pytest.mark.slow
def test_the_console_of_a_different_data_center_is_unexpected(console_user: ConsoleUser) -> None:
    console_user.email = BOB
    assert "the console of India, not of Europe" in console_user.failure_details()
    assert list(console_user.simulator.world.clients) == []


def test_the_assistant_stops_waiting_when_the_user_has_left(
    person: SimulatedUser, zoho_simulator: Simulator
) -> None:
    console_user = ConsoleUser(person, zoho_simulator, time_left_seconds=0.3)
    console_user.actions["console-sign-in"] = lambda: None
    assert "Nothing happened" in console_user.failure_details()


def test_credentials_are_read_only_from_the_console(console_user: ConsoleUser) -> None:
    console_user.person.go(f"{console_user.simulator.url}/_simulator/")
    assert console_user.console.read_credentials(console_user.zoho.data_center("eu")) == ""
