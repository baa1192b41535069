"""A first connection in the assisted window: from nothing to a grant, and what is left by hand."""

from dataclasses import dataclass, field

import pytest
from attending import Attendant, Rooms
from core import ANNA, Core
from playwright.sync_api import Page
from shell import Shell

from wizard.cli.assisting import Assisted
from wizard.cli.first import MAY_I, ByHand, consent_in_window
from wizard.cli.terminal import Exit, Terminal
from wizard.cli.wish import USE_IT, Wish
from wizard.errors import WizardError
from wizard.model import Client, ClientSecret
from wizard.sandbox.person import Consent, Console, Person, SignIn

WISH = Wish(("crm-read-leads",), data_centre="eu")
OLD = "a1" * 21


@dataclass
class First:
    """Somebody who has nothing yet, at the window and at the terminal."""

    core: Core
    page: Page
    allows: bool = True
    ended: bool = False
    asked: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        pages = Person(self.page)
        self.attendant = Attendant(self.core, self.page)
        self.attendant.answers = {
            "console-sign-in": self.sign_in,
            "console-create": Console(pages).create,
            "account-new": Consent(pages).accept_button.click,
        }

    def sign_in(self) -> None:
        password = self.core.sandbox.world.people.named(ANNA).password
        SignIn(Person(self.page)).sign_in(ANNA, password)

    def connect(self) -> int:
        terminal = Terminal(self.core.house.clock)
        terminal.settings, terminal.house = self.core.house.settings, self.core.house
        rooms = Rooms(self.page.context.browser.new_context, {"": self.page})
        window = Assisted(terminal, rooms, lambda: self.ended, tell=self.attendant)
        return consent_in_window(terminal, "crm", WISH, window, self._may)

    def left_by_hand(self) -> str:
        """What the person is told when the rest is theirs; nothing is stored then."""
        with pytest.raises(ByHand) as raised:
            self.connect()
        assert self.core.house.store.connections() == ()
        assert self.core.house.store.clients() == ()
        return raised.value.failure.details["what"]

    def _may(self, question: str) -> bool:
        self.asked.append(question)
        return self.allows


@pytest.fixture
def first(core: Core, page: Page) -> First:
    return First(core, page)


def test_signing_in_create_yes_and_accept_are_all_that_is_left_to_do(
    first: First, capsys: pytest.CaptureFixture[str]
) -> None:
    assert first.connect() == 1
    assert first.attendant.turns == ["console-sign-in", "console-create", "account-new"]
    assert first.asked == [MAY_I]
    (client,) = first.core.house.store.clients()
    (made,) = first.core.sandbox.world.clients
    assert (client.client_id, client.location) == (made.client_id, "eu")
    assert made.redirect_uris == [first.core.house.settings.redirect_uri]
    assert first.core.climb("crm", 1)[-1].failure is None
    said = "".join(capsys.readouterr()) + "".join(first.attendant.words)
    assert made.secrets["eu"] not in said


def test_without_permission_nothing_is_taken_over(first: First) -> None:
    first.allows = False
    assert "bring id and secret over yourself" in first.left_by_hand()
    assert len(list(first.core.sandbox.world.clients)) == 1


def test_what_cannot_be_read_for_sure_is_left_to_the_person(first: First) -> None:
    hidden = "document.querySelector('#client-secret').textContent = '••••••••'"
    first.attendant.answers["console-create"] = lambda: (
        Console(Person(first.page)).create(),
        first.page.wait_for_selector("#client-secret"),
        first.page.evaluate(hidden),
    )
    assert "could not be read" in first.left_by_hand()


def test_a_client_that_zoho_does_not_confirm_is_not_stored(first: First) -> None:
    def rotate(_: str) -> bool:
        (made,) = first.core.sandbox.world.clients
        first.core.admin.rotate_secret(made.client_id)
        return True

    first._may = rotate  # type: ignore[method-assign]
    with pytest.raises(ByHand, match="wrong-secret"):
        first.connect()
    assert first.core.house.store.clients() == ()


@pytest.mark.parametrize("yes", [True, False])
def test_a_new_secret_of_a_stored_client_on_the_page_is_asked_about(
    first: First, yes: bool
) -> None:
    core = first.core

    def stored_meanwhile(question: str) -> bool:
        """Somebody stores the client in another window, with a secret that was then regenerated."""
        first.asked.append(question)
        if question != MAY_I:
            return yes
        (made,) = core.sandbox.world.clients
        secrets, uri = (ClientSecret("eu", OLD),), core.house.settings.redirect_uri
        core.house.store.add_client(Client(made.client_id, made.name, "eu", uri, secrets))
        return True

    first._may = stored_meanwhile  # type: ignore[method-assign]
    if yes:
        assert first.connect() == 1
    else:
        with pytest.raises(Exit):
            first.connect()
    assert first.asked == [MAY_I, USE_IT]
    (client,) = core.house.store.clients()
    assert (client.secret_for("eu") != OLD) is yes


def test_a_window_that_the_person_closes_leaves_the_rest_by_hand(first: First) -> None:
    first.attendant.answers["console-sign-in"] = first.page.close
    assert first.left_by_hand() == "You closed the window."


def test_ctrl_c_ends_it(first: First) -> None:
    def stop() -> None:
        first.ended = True

    first.attendant.answers["console-sign-in"] = stop
    with pytest.raises(WizardError, match="window-closed"):
        first.connect()


def test_a_client_that_is_there_needs_no_console(first: First) -> None:
    first.core.client()
    first.attendant.answers["sign-in-new"] = first.attendant.sign_in
    assert first.connect() == 1
    assert first.attendant.turns == ["sign-in-new", "account-new"]


def test_without_a_screen_the_command_says_so_and_changes_nothing(shell: Shell) -> None:
    wish = ("--task", "crm-read-leads", "--data-centre", "eu", "--assist")
    done = shell.at_a_terminal("connect", "crm", *wish, answers=[])
    assert done.code == 1
    assert "There is no screen to open a window on" in done.out
    assert shell.run("list", "--json").out.strip() == "[]"


def test_a_script_is_told_that_the_console_needs_a_person(shell: Shell) -> None:
    done = shell.run("connect", "crm", "--task", "crm-read-leads", "--assist")
    assert done.code == 2
    assert "--client" in done.err
