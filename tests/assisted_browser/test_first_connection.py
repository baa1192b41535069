"""A first connection in the assisted window, and which steps remain manual."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
from playwright.sync_api import Page
from support.assisted_windows import AssistedUser, HeadlessWindows
from support.harness import ANNA, Harness
from support.shell import Shell

from wizard.cli.commands.connect import (
    ConnectOptions,
    ManualRegistrationError,
    authorize_in_assisted_browser,
)
from wizard.cli.flows.authorization import AssistedAuthorizer
from wizard.cli.terminal import Exit, Terminal
from wizard.errors import WizardError, message
from wizard.model import Client, ClientSecret
from wizard.simulator.simulated_user import ConsentPage, ConsolePage, SignInPage, SimulatedUser

REQUEST = ConnectOptions(("crm-read-leads",), data_center="eu")
OLD = "a1" * 21
USE_IT = message("prompts", "use-new-secret")
IMPORT_QUESTION = message("prompts", "read-credentials")


@dataclass
class FirstConnection:
    """A new user at the window and at the terminal."""

    harness: Harness
    page: Page
    answer: Callable[[str], bool] = lambda _question: True
    is_stopped: bool = False
    questions: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        pages = SimulatedUser(self.page)
        self.attendant = AssistedUser(self.harness, self.page)
        self.attendant.actions = {
            "console-sign-in": self.sign_in,
            "console-create": ConsolePage(pages).create,
            "account-new": ConsentPage(pages).accept_button.click,
        }

    def sign_in(self) -> None:
        password = self.harness.simulator.world.users.get(ANNA).password
        SignInPage(SimulatedUser(self.page)).sign_in(ANNA, password)

    def connect(self) -> int:
        terminal = Terminal(self.harness.services.clock)
        terminal.settings, terminal.services = self.harness.services.settings, self.harness.services
        browser = self.page.context.browser
        assert browser is not None
        windows = HeadlessWindows(browser.new_context, {"": self.page})
        window = AssistedAuthorizer(
            terminal, windows, lambda: self.is_stopped, on_prompt=self.attendant
        )
        return authorize_in_assisted_browser(terminal, "crm", REQUEST, window, self._confirm)

    def remaining_steps(self) -> str:
        """The prompts for the remaining manual steps; nothing is stored then."""
        with pytest.raises(ManualRegistrationError) as raised:
            self.connect()
        assert self.harness.services.store.connections.all() == ()
        assert self.harness.services.store.clients.all() == ()
        return raised.value.failure.details["description"]

    def _confirm(self, question: str) -> bool:
        self.questions.append(question)
        return self.answer(question)


@pytest.fixture
def first(harness: Harness, page: Page) -> FirstConnection:
    return FirstConnection(harness, page)


def test_the_user_only_signs_in_presses_create_confirms_and_accepts(
    first: FirstConnection, capsys: pytest.CaptureFixture[str]
) -> None:
    assert first.connect() == 1
    assert first.attendant.prompt_reasons == ["console-sign-in", "console-create", "account-new"]
    assert first.questions == [IMPORT_QUESTION]
    (client,) = first.harness.services.store.clients.all()
    (made,) = first.harness.simulator.world.clients
    assert (client.client_id, client.location) == (made.client_id, "eu")
    assert made.redirect_uris == [first.harness.services.settings.redirect_uri]
    assert first.harness.verify("crm", 1)[-1].failure is None
    said = "".join(capsys.readouterr()) + "".join(first.attendant.prompt_messages)
    assert made.secrets["eu"] not in said


@pytest.mark.slow
def test_without_permission_no_credentials_are_stored(first: FirstConnection) -> None:
    first.answer = lambda _question: False
    assert "copy the client ID and secret yourself" in first.remaining_steps()
    assert len(list(first.harness.simulator.world.clients)) == 1


def test_credentials_that_cannot_be_read_reliably_are_left_to_the_user(
    first: FirstConnection,
) -> None:
    hidden = "document.querySelector('#client-secret').textContent = '••••••••'"

    def create_with_hidden_secret() -> None:
        ConsolePage(SimulatedUser(first.page)).create()
        first.page.wait_for_selector("#client-secret")
        first.page.evaluate(hidden)

    first.attendant.actions["console-create"] = create_with_hidden_secret
    assert "couldn’t read the client ID" in first.remaining_steps()


@pytest.mark.slow
def test_a_client_that_zoho_does_not_confirm_is_not_stored(first: FirstConnection) -> None:
    def rotate(_: str) -> bool:
        (made,) = first.harness.simulator.world.clients
        first.harness.controls.rotate_secret(made.client_id)
        return True

    first.answer = rotate
    with pytest.raises(ManualRegistrationError, match="wrong-secret"):
        first.connect()
    assert first.harness.services.store.clients.all() == ()


@pytest.mark.slow
@pytest.mark.parametrize("yes", [True, False])
def test_a_new_secret_of_a_stored_client_on_the_page_is_asked_about(
    first: FirstConnection, yes: bool
) -> None:
    harness = first.harness

    def stored_meanwhile(question: str) -> bool:
        """Another window stores the client, with a secret that is then regenerated."""
        if question != IMPORT_QUESTION:
            return yes
        (made,) = harness.simulator.world.clients
        secrets, uri = (ClientSecret("eu", OLD),), harness.services.settings.redirect_uri
        harness.services.store.clients.add(Client(made.client_id, made.name, "eu", uri, secrets))
        return True

    first.answer = stored_meanwhile
    if yes:
        assert first.connect() == 1
    else:
        with pytest.raises(Exit):
            first.connect()
    assert first.questions == [IMPORT_QUESTION, USE_IT]
    (client,) = harness.services.store.clients.all()
    assert (client.secret_for("eu") != OLD) is yes


def test_after_the_user_closes_the_window_the_rest_is_done_manually(first: FirstConnection) -> None:
    first.attendant.actions["console-sign-in"] = first.page.close
    assert first.remaining_steps() == "You closed the window."


def test_ctrl_c_stops_the_command(first: FirstConnection) -> None:
    def stop() -> None:
        first.is_stopped = True

    first.attendant.actions["console-sign-in"] = stop
    with pytest.raises(WizardError, match="window-closed"):
        first.connect()


def test_a_stored_client_needs_no_console(first: FirstConnection) -> None:
    first.harness.register_client()
    first.attendant.actions["sign-in-new"] = first.attendant.sign_in
    assert first.connect() == 1
    assert first.attendant.prompt_reasons == ["sign-in-new", "account-new"]


@pytest.mark.slow
def test_without_a_screen_the_command_says_so_and_changes_nothing(shell: Shell) -> None:
    arguments = ("--preset", "crm-read-leads", "--data-center", "eu", "--assist")
    done = shell.run_in_terminal("connect", "crm", *arguments, replies=[])
    assert done.exit_code == 1
    assert "There’s no display to open a window on" in done.stdout
    assert json.loads(shell.run("list", "--json").stdout)["connections"] == []


def test_a_script_gets_an_error_because_the_console_needs_a_user(shell: Shell) -> None:
    done = shell.run("connect", "crm", "--preset", "crm-read-leads", "--assist")
    assert done.exit_code == 2
    assert "--client" in done.stderr
